"""
What a GraphQL answer without a token says about a login (GraphQL specification, section 7.1).

A wrong password that is taken for an outage is sent again and again until the account is locked, and an outage that is taken for a
wrong password stops logins for a while. So the structure of an answer decides, and words only where the structure agrees:

1. An error with the ``path`` of the login's own field, or beside its ``data``, is what the login itself has answered. Its code or
   status may say that it is about the server's load. Anything else is a refusal; a code of an internal error may be both (Apollo
   gives it to any exception), so the core asks once more before it counts as one.
2. An error without a path came before the login was executed: the document does not fit, or the server is in trouble.
3. Many APIs put a refusal into ``data``: ``errors``, a union's ``...Error``, ``success: false``, a message without anything else;
   and what stands before them may answer with such an object alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from .._redaction import MAX_SENTENCE
from ..errors import LoginError
from ._request import LoginResponse
from ._statuses import RETRYABLE, TOO_MANY, failing_status
from ._words import ABOUT_THE_API_KEY, PERSON, a_sentence, by_plain_name, reason_in, words_in

_DOCUMENT = frozenset({
    "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "OPERATION_RESOLUTION_FAILURE", "PERSISTED_QUERY_NOT_FOUND",
    "PERSISTED_QUERY_NOT_SUPPORTED", "VALIDATIONERROR", "INVALIDSYNTAX", "VALIDATION_FAILED", "PARSE_FAILED", "GRAPHQL",
    "GRAPHQL_VALIDATION", "NOT_SUPPORTED", "UNDEFINEDFIELD", "UNDEFINEDTYPE", "ARGUMENTNOTACCEPTED",
    "MISSINGREQUIREDARGUMENTS", "ARGUMENTLITERALSINCOMPATIBLE", "VARIABLEMISMATCH", "SELECTIONMISMATCH",
})  # fmt: skip
_USER = frozenset({
    "UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN", "ACCESS_DENIED", "BAD_USER_INPUT", "INVALID_CREDENTIALS",
    "BAD_CREDENTIALS", "WRONG_CREDENTIALS", "AUTHENTICATION_FAILED", "INVALID_PASSWORD", "WRONG_PASSWORD", "INVALID_EMAIL",
    "USER_NOT_FOUND", "ACCOUNT_LOCKED", "ACCOUNT_DISABLED",
})  # fmt: skip
_LIMITED = frozenset({
    "RATE_LIMITED", "RATE_LIMIT_EXCEEDED", "REQUESTS_EXCEEDED", "TOO_MANY_REQUESTS", "TOO_MANY_LOGINS", "THROTTLED",
})  # fmt: skip
"""Asked too often. `TOO_MANY_ATTEMPTS` is not one: it says that the account is blocked."""
_LATER = frozenset({
    *_LIMITED, "SERVICE_UNAVAILABLE", "UNAVAILABLE", "BAD_GATEWAY", "GATEWAY_TIMEOUT", "TIMEOUT", "REQUEST_TIMEOUT", "DOWNSTREAM_SERVICE_ERROR",
    "SUBREQUEST_HTTP_ERROR", "BUSY", "POSTGRES_MAX_CONNECTIONS_ERROR",
})  # fmt: skip
_INTERNAL = frozenset(
    {"INTERNAL_SERVER_ERROR", "INTERNAL_ERROR", "INTERNAL", "UNEXPECTED", "POSTGRES_ERROR", "DATAFETCHINGEXCEPTION"}
)
_INTERNAL_STATUS = 500
_ADVICE = "its document or variables do not fit the API; set document= and variables= (with from_env EXTERVIEW_LOGIN_DOCUMENT)"

_WRONG = r"(?:invalid|incorrect|wrong|bad|unknown|mismatch|not found|do(?:es)? ?n[o']t (?:exist|match)|locked|disabled)"
_WRONG_USER = re.compile(rf"\b{_WRONG}\b.{{0,40}}\b{PERSON}\b|\b{PERSON}\b.{{0,40}}\b{_WRONG}\b", re.IGNORECASE)
_WRONG_DOCUMENT = re.compile(
    r"""(?:Cannot query field|Unknown (?:argument|type|fragment|directive|operation)|Syntax Error|Variable "\$"""
    r"""|Field ".*" (?:of type|argument|must)|Field '.*' doesn't exist|Must provide)"""
)
_MAX_CODE = 100
_MAX_DEPTH = 4
_MAX_ITEMS = 100

_CODES = ("code", "classification", "category", "errorcode")
_STATUSES = ("code", "status", "statuscode", "httpstatus", "httpstatuscode", "errorcode")
_SUCCESS = ("success", "ok", "succeeded", "successful", "issuccess", "authenticated", "isauthenticated")
_FAILED = frozenset({"error", "fail", "failed", "failure"})
_KINDS_OF_FAILURE = ("Failure", "Failed", "Error", "Errors")
_BESIDE_A_MESSAGE = frozenset({
    "typename", "message", "messages", "msg", "code", "errorcode", "status", "statuscode", "field", "path", "clientmutationid",
    *_SUCCESS,
})  # fmt: skip


class _Evidence(NamedTuple):
    """What a refusal says: its *text*, *codes* and *statuses*, and whether the login's own field gave it."""

    text: str
    codes: frozenset[str]
    statuses: frozenset[int]
    own: bool

    @classmethod
    def of(cls, items: Collection[Any], text: str, *, own: bool, status: int) -> _Evidence:
        """Return the evidence in *items*, errors in any shape, of an answer with HTTP *status*."""
        statuses = {
            *(found for item in items for found in _statuses(item)),
            *((status,) if status >= _INTERNAL_STATUS else ()),
        }
        return cls(text, frozenset(code for item in items for code in _codes(item)), frozenset(statuses), own)

    def read(self) -> str:
        """Return the text as far as it may be a sentence: patterns would hold up the loop for nothing."""
        return self.text[:MAX_SENTENCE]


def answered_by_login(payload: Mapping[str, Any], own: frozenset[str]) -> bool:
    """Whether the login's *own* fields were executed: an error names one in its path, or the answer has one in its data."""
    data = payload.get("data")
    return (isinstance(data, dict) and bool(data)) or any(_is_own(error, own) for error in errors_in(payload))


def errors_in(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the answer's errors, each as an object."""
    errors = payload.get("errors")
    items = errors if isinstance(errors, list) else []
    shaped = ({"message": item} if isinstance(item, str) else item for item in items)
    return [error for error in shaped if isinstance(error, dict)]


def graphql_refusal(
    response: LoginResponse, payload: Mapping[str, Any], own: frozenset[str] = frozenset()
) -> LoginError | None:
    """Return the error that the answer amounts to, or ``None`` if it refuses nothing. *own* are the fields of the login."""
    errors = errors_in(payload)
    if errors:
        text = next((error["message"] for error in errors if isinstance(error.get("message"), str)), "")
        is_own = answered_by_login(payload, own)
        evidence = _Evidence.of(errors, text, own=is_own, status=response.status)
        # The document comes first: servers also give BAD_USER_INPUT to variables that do not fit it.
        if not is_own and _is_about_the_document(payload, errors, evidence):
            return response.misconfigured(text, _ADVICE)
        return _judged(response, evidence)
    items, text = _refused_in(payload)
    if not items:
        return None
    return _judged(response, _Evidence.of(items, text, own="data" in payload, status=response.status))


def said_by_login(payload: Mapping[str, Any]) -> str:
    """Return what the login's own field says for people, in an answer that is no refusal."""
    return next((found for answer in _answers(payload) if (found := words_in(answer))), "")


def status_refusal(response: LoginResponse, payload: Mapping[str, Any] | None) -> LoginError:
    """Return the error of the status, quoting a body that is not GraphQL's."""
    message = response.words(payload)
    return response.refused(message, reason=_by_status(response, reason_in(message)))


def _judged(response: LoginResponse, found: _Evidence) -> LoginError:
    later = {status for status in found.statuses if status in RETRYABLE and status != _INTERNAL_STATUS}
    about = reason_in(found.text)
    if found.codes & _LATER or later:
        return response.unavailable(found.text, limited=bool(found.codes & _LIMITED) or TOO_MANY in later)
    if found.codes & _USER or found.statuses - {_INTERNAL_STATUS}:
        return response.rejected(found.text, reason=_by_status(response, about) or "user")
    if (found.codes & _INTERNAL or found.statuses) and not _names_a_wrong_credential(found):
        return response.perhaps_rejected(found.text, reason=about) if found.own else response.unavailable(found.text)
    if found.own or response.ok:
        return response.rejected(found.text, reason=about or ("user" if found.own else None))
    return response.refused(found.text, reason=_by_status(response, about))


def _names_a_wrong_credential(found: _Evidence) -> bool:
    return bool(ABOUT_THE_API_KEY.search(found.read()) or _WRONG_USER.search(found.read()))


def _by_status(response: LoginResponse, about: str | None) -> str | None:
    """Return *about*, or blame the API key for a bare 403: the API documents it for a key without permission."""
    return about or ("api_key" if response.status == 403 else None)  # noqa: PLR2004


# -- errors -------------------------------------------------------------------------------------------------------------


def _is_own(error: Mapping[str, Any], own: frozenset[str]) -> bool:
    path = error.get("path")
    first = path[0] if isinstance(path, list) and path else None
    if not isinstance(first, str):
        return False
    # graphql-ruby begins the path of an error in the document with the operation: "mutation Login".
    return first in own if own else first.partition(" ")[0] not in {"mutation", "query"}


def _is_about_the_document(payload: Mapping[str, Any], errors: list[dict[str, Any]], found: _Evidence) -> bool:
    """Whether nothing was executed because the document or its variables do not fit."""
    # Where nothing says so: no ``data``, and errors that point into the document.
    points = payload.get("data") is None and all("locations" in error and "path" not in error for error in errors)
    return bool(found.codes & _DOCUMENT or _WRONG_DOCUMENT.match(found.read()) or (points and not found.codes))


def _codes(error: Any) -> Iterator[str]:
    members = by_plain_name(error)
    for holder in (members, by_plain_name(members.get("extensions"))):
        for value in (holder.get(name) for name in _CODES):
            if isinstance(value, str | int) and len(str(value)) < _MAX_CODE:
                yield str(value).upper().replace("-", "_")


def _statuses(error: Any, depth: int = _MAX_DEPTH) -> Iterator[int]:
    """Yield the HTTP statuses in *error*: frameworks put them into ``extensions``, ``exception``, ``response``, ``http``."""
    members = by_plain_name(error)
    for name, value in members.items():
        status = failing_status(value) if name in _STATUSES else None
        if status is not None:
            yield status
        elif isinstance(value, dict) and depth > 0:
            yield from _statuses(value, depth - 1)


# -- a refusal in the data ----------------------------------------------------------------------------------------------


def _refused_in(payload: Mapping[str, Any]) -> tuple[list[Any], str]:
    """Return the objects that tell of a refusal in *payload*, and its words; no objects if there is none."""
    for answer in _answers(payload):
        items = list(_refusals_of(by_plain_name(answer)))
        if items:
            return items, a_sentence(map(words_in, (*items, answer)))
    return [], ""


def _answers(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """
    Yield what the login's own fields have answered, or the payload itself where it is not GraphQL's.

    Some APIs have the answer in an object that is a name alone (``auth { login }``).
    """
    if "data" not in payload:
        yield payload
    data = payload.get("data")
    for value in data.values() if isinstance(data, dict) else ():
        if isinstance(value, dict):
            yield value
            inner = [member for member in value.values() if member is not None]
            if len(inner) == 1 and isinstance(inner[0], dict):
                yield inner[0]


def _refusals_of(members: Mapping[str, Any]) -> Iterator[Any]:
    errors = [value for name, value in members.items() if name.endswith(("error", "errors")) and value]
    for value in errors:
        yield from _items(value)
    if errors or _is_failure(members):
        yield {name: value for name, value in members.items() if not isinstance(value, dict | list)}


def _items(errors: Any, depth: int = _MAX_DEPTH) -> Iterator[Any]:
    """Yield each error in *errors*: a text, an object, a list of them, or an object that has a list for each input."""
    is_error = isinstance(errors, dict) and not _BESIDE_A_MESSAGE.isdisjoint(by_plain_name(errors))
    if isinstance(errors, dict | list) and not is_error and depth > 0:
        for inner in list(errors.values() if isinstance(errors, dict) else errors)[:_MAX_ITEMS]:
            yield from _items(inner, depth - 1)
    elif isinstance(errors, str | dict):
        yield {"message": errors} if isinstance(errors, str) else errors


def _is_failure(members: Mapping[str, Any]) -> bool:
    kind, status = members.get("typename"), members.get("status")
    if isinstance(kind, str) and kind.endswith(_KINDS_OF_FAILURE):
        return True
    if members.get("errorcode") or any(failing_status(members.get(name)) for name in _STATUSES):
        return True
    if any(members.get(name) is False for name in _SUCCESS) or status == 0:  # which `False` is too
        return True
    if isinstance(status, str) and status.lower() in _FAILED:
        return True
    # A message, and nothing beside it that claims success or could hold a token under another name.
    claims = isinstance(status, str) or status == 1 or any(members.get(name) for name in _SUCCESS)
    is_alone = _BESIDE_A_MESSAGE.issuperset(name for name, value in members.items() if value is not None)
    return is_alone and not claims and bool(words_in(members, ("message", "messages", "msg")))
