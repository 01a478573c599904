"""What the ``errors`` of a GraphQL response say about a login (GraphQL specification, section 7.1)."""

from __future__ import annotations

import re
from typing import Any

from .._redaction import MAX_SENTENCE
from ..errors import LoginError
from ._request import LoginResponse

_DOCUMENT = frozenset({
    "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "OPERATION_RESOLUTION_FAILURE", "PERSISTED_QUERY_NOT_FOUND",
    "PERSISTED_QUERY_NOT_SUPPORTED", "VALIDATIONERROR", "INVALIDSYNTAX",
})  # fmt: skip
_USER = frozenset({
    "UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN", "ACCESS_DENIED", "BAD_USER_INPUT", "INVALID_CREDENTIALS",
    "BAD_CREDENTIALS", "WRONG_CREDENTIALS", "AUTHENTICATION_FAILED", "INVALID_PASSWORD", "WRONG_PASSWORD", "INVALID_EMAIL",
    "USER_NOT_FOUND", "ACCOUNT_LOCKED", "ACCOUNT_DISABLED", "401", "403",
})  # fmt: skip
_RETRYABLE = frozenset({
    "INTERNAL_SERVER_ERROR", "INTERNAL_ERROR", "INTERNAL", "RATE_LIMITED", "RATE_LIMIT_EXCEEDED", "TOO_MANY_REQUESTS",
    "THROTTLED", "SERVICE_UNAVAILABLE", "UNAVAILABLE", "BAD_GATEWAY", "GATEWAY_TIMEOUT", "TIMEOUT", "REQUEST_TIMEOUT",
    "DOWNSTREAM_SERVICE_ERROR", "429", "500", "502", "503", "504",
})  # fmt: skip
_ADVICE = "its document or variables do not fit the API; set document= and variables="

_API_KEY = re.compile(r"api[\s_-]?key", re.IGNORECASE)
_PERSON = r"(?:user(?:name)?|e-?mail|passwords?|credentials?|log-?in|account)"
_ABOUT_THE_USER = re.compile(rf"\b{_PERSON}\b", re.IGNORECASE)
# Apollo gives a resolver's plain `Error("Invalid password")` the code INTERNAL_SERVER_ERROR. Retrying it would lock the account.
_WRONG = r"(?:invalid|incorrect|wrong|bad|unknown|mismatch|not found|do(?:es)? ?n[o']t (?:exist|match)|locked|disabled)"
_WRONG_USER = re.compile(rf"\b{_WRONG}\b.{{0,40}}\b{_PERSON}\b|\b{_PERSON}\b.{{0,40}}\b{_WRONG}\b", re.IGNORECASE)
_WRONG_DOCUMENT = re.compile(
    r"""(?:Cannot query field|Unknown (?:argument|type|fragment|directive|operation)|Syntax Error|Variable "\$"""
    r"""|Field ".*" (?:of type|argument|must)|Must provide)"""
)
_MAX_CODE = 100


def graphql_refusal(response: LoginResponse, payload: dict[str, Any], errors: list[dict[str, Any]]) -> LoginError:
    """Return the error that *errors* amount to: a document that does not fit, wrong credentials, or a server in trouble."""
    message = next((error["message"] for error in errors if isinstance(error.get("message"), str)), "")
    read = message[:MAX_SENTENCE]
    codes = {code for error in errors for code in _codes(error)}
    # The document comes first: servers also give BAD_USER_INPUT to variables that do not fit it.
    if codes & _DOCUMENT or _WRONG_DOCUMENT.match(read) or _is_request_error(payload, errors, codes):
        return response.misconfigured(message, _ADVICE)
    about = reason_in(read)
    if codes & _USER:
        return response.rejected(message, reason=_by_status(response, about) or "user")
    # The message outranks the code of an internal error: sending wrong credentials again locks accounts.
    if codes & _RETRYABLE and not _API_KEY.search(read) and not _WRONG_USER.search(read):
        return response.unavailable(message)
    if response.ok:
        return response.rejected(message, reason=about)
    return response.refused(message, reason=_by_status(response, about))


def status_refusal(response: LoginResponse, payload: dict[str, Any] | None) -> LoginError:
    """Return the error of the status, quoting a body that is not GraphQL's."""
    message = response.words(payload)
    return response.refused(message, reason=_by_status(response, reason_in(message[:MAX_SENTENCE])))


def reason_in(message: str) -> str | None:
    """Return ``"api_key"`` or ``"user"`` if *message* mentions one of them."""
    if _API_KEY.search(message):
        return "api_key"
    return "user" if _ABOUT_THE_USER.search(message) else None


def _by_status(response: LoginResponse, about: str | None) -> str | None:
    """Return *about*, or blame the API key for a bare 403: the API documents it for a key without permission."""
    return about or ("api_key" if response.status == 403 else None)  # noqa: PLR2004


def _codes(error: dict[str, Any]) -> set[str]:
    extensions = error.get("extensions")
    holders = (error, extensions if isinstance(extensions, dict) else {})
    values = (holder.get(name) for holder in holders for name in ("code", "classification"))
    return {str(value).upper() for value in values if isinstance(value, str | int) and len(str(value)) < _MAX_CODE}


def _is_request_error(payload: dict[str, Any], errors: list[dict[str, Any]], codes: set[str]) -> bool:
    """Whether nothing was executed: no ``data``, and errors that point into the document (``locations``, no ``path``)."""
    return not codes and "data" not in payload and all("locations" in error and "path" not in error for error in errors)
