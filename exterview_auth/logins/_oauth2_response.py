"""What a token endpoint's response means (RFC 6749, sections 5.1 and 5.2), in the standard's shape and in those of vendors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .._token import Token
from ..errors import LoginError
from ._request import LoginResponse
from ._statuses import RETRYABLE, failing_status
from ._token_search import lifetime_near
from ._words import DESCRIPTIONS, by_plain_name, reason_in, words_in

_CLIENT = frozenset({"invalid_client", "unauthorized_client"})
_LIMITED = frozenset({"too_many_requests", "rate_limit_exceeded", "rate_limited", "throttled"})
_LATER = frozenset({
    "temporarily_unavailable", "server_error", "slow_down",
    # Of vendors, which send them with status 400 too: Google, Salesforce, Auth0, and what gateways are made with.
    "internal_failure", "unknown_error", *_LIMITED,
    "internal_error", "internal_server_error", "service_unavailable", "backend_error", "request_timeout",
})  # fmt: skip
_BLOCKED = frozenset({"too_many_attempts"})
"""A user who is blocked because of wrong passwords; Auth0 says so with status 429, and another attempt would not help."""
_CONFIGURATION = frozenset({"invalid_request", "invalid_scope", "unsupported_grant_type", "invalid_target"})
_REJECTION_REASONS = {"password": "user", "refresh_token": "refresh_token", "client_credentials": "client"}
_BEARER = frozenset({"", "bearer", "bearertoken", "jwtbearer"})
"""Types of a bearer token (RFC 6750) without case and punctuation; some servers leave the type out."""


def read_token(response: LoginResponse, grant_type: str, refresh_token: str | None) -> Token | LoginError:
    """
    Return the token in *response* to a request of *grant_type*, or the error that it amounts to.

    *refresh_token* is the one that was sent; it is kept if no new one comes.
    """
    payload = response.payload()
    if payload is None:
        payload = _from_form(response.form())
    members = by_plain_name(payload)
    refusal = _by_error(response, members, grant_type)
    if refusal is not None:
        return refusal
    if not response.ok:
        return response.refused(_sentence(members) or response.words(payload), reason=_by_status(response, grant_type))
    if payload is None:
        return response.unreadable()
    value = members.get("accesstoken")
    if not isinstance(value, str) or not value:
        return _without_token(response, members, grant_type)
    wrong_type = _wrong_type(response, members.get("tokentype"))
    if wrong_type is not None:
        return wrong_type
    issued = members.get("refreshtoken")
    return response.token(
        value,
        expires_in=lifetime_near((payload,), response.served_at),
        refresh_token=issued if isinstance(issued, str) and issued else refresh_token,
    )


def _from_form(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return the members of an answer that is a form, as servers older than the standard give it; there it is ``expires``."""
    return {"expires_in": fields.get("expires"), **fields} if fields.keys() & {"access_token", "error"} else None


def _by_error(response: LoginResponse, members: Mapping[str, Any], grant_type: str) -> LoginError | None:
    """Return what a known code says; providers send it with any status, and some in an object."""
    codes, text = set(_codes(members)), _sentence(members)
    if "invalid_grant" in codes:
        return response.rejected(text, reason=None if grant_type == "client_credentials" else _reason(grant_type))
    # What we send is complete: many servers call a dead refresh token invalid_request, and authlib's a wrong user too.
    of_refresh = grant_type == "refresh_token"
    is_wrong = "invalid_request" in codes and (of_refresh or (grant_type == "password" and reason_in(text) == "user"))
    if is_wrong or codes & _BLOCKED:
        return response.rejected(text, reason="refresh_token" if of_refresh else "user")
    if codes & _CLIENT:
        return response.rejected(text, reason="client")
    if codes & _LATER:
        return response.unavailable(text, limited=bool(codes & _LIMITED))
    if codes & _CONFIGURATION:
        return response.misconfigured(text, "check its scope, grant_type and form fields")
    return None


def _codes(members: Mapping[str, Any]) -> Iterator[str]:
    """Yield the codes of a refusal: of ``error``, and of the members of an object that stands there."""
    error = members.get("error")
    inner = by_plain_name(error)
    for value in (error, members.get("errorcode"), *(inner.get(name) for name in ("code", "type", "status", "error"))):
        if isinstance(value, str):
            yield re.sub(r"[\s-]+", "_", value.strip().lower())
        if failing_status(value) in RETRYABLE:
            yield "temporarily_unavailable"
    if inner.get("istransient") is True:  # Facebook
        yield "temporarily_unavailable"


def _reason(grant_type: str) -> str | None:
    return _REJECTION_REASONS.get(grant_type)


def _by_status(response: LoginResponse, grant_type: str) -> str | None:
    """Return the reason for a status without a known code: a 401 to a password may mean the client as well as the user."""
    return None if grant_type == "password" and response.status == 401 else _reason(grant_type)  # noqa: PLR2004


def _without_token(response: LoginResponse, members: dict[str, Any], grant_type: str) -> LoginError:
    if members.get("error") or members.get("errorcode"):
        return response.rejected(_sentence(members), reason=_reason(grant_type))
    return response.without_token(members, "access_token", response.words(members), "check that it is a token endpoint")


def _wrong_type(response: LoginResponse, token_type: Any) -> LoginError | None:
    """Return an error unless this is a bearer token: one that is bound to a key (``mac``, ``DPoP``) cannot be sent alone."""
    if token_type is None or (isinstance(token_type, str) and re.sub(r"[\W_]", "", token_type.lower()) in _BEARER):
        return None
    return response.misconfigured(
        f"token_type {token_type if isinstance(token_type, str) else type(token_type).__name__}",
        "configure the client for bearer tokens",
    )


def _sentence(members: Mapping[str, Any]) -> str:
    """Return the code and the description of a refusal."""
    error = members.get("error")
    code = error if isinstance(error, str) else words_in(members, ("errorcode",))
    description = words_in(members, DESCRIPTIONS) or (words_in(error) if isinstance(error, dict) else "")
    return ": ".join(dict.fromkeys(text for text in (code, description) if text))
