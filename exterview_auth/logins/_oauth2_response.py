"""What a token endpoint's response means (RFC 6749, sections 5.1 and 5.2)."""

from __future__ import annotations

from typing import Any

from .._seconds import seconds_in
from .._token import Token
from ..errors import LoginError
from ._request import LoginResponse

_CLIENT = frozenset({"invalid_client", "unauthorized_client"})
_RETRYABLE = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_CONFIGURATION = frozenset({"invalid_request", "invalid_scope", "unsupported_grant_type", "invalid_target"})
_RENEWAL_NOT_ALLOWED = frozenset({"unauthorized_client", "unsupported_grant_type"})
_REJECTION_REASONS = {"password": "user", "refresh_token": "refresh_token", "client_credentials": "client"}


def read_token(
    response: LoginResponse, grant_type: str, refresh_token: str | None, *, renewal: bool
) -> Token | LoginError:
    """
    Return the token in *response* to a request of *grant_type*, or the error that it amounts to.

    *refresh_token* is the one that was sent; it is kept if no new one comes. If the
    client may not use refresh tokens at all, a *renewal* fails as if its refresh token had been rejected.
    """
    payload = response.payload()
    members = payload or {}
    refusal = _by_error(response, members, grant_type, renewal=renewal)
    if refusal is not None:
        return refusal
    if not response.ok:
        return response.refused(
            _description(members) or response.words(payload), reason=_by_status(response, grant_type)
        )
    if payload is None:
        return response.unreadable()
    value = members.get("access_token")
    if not isinstance(value, str) or not value:
        return _without_token(response, members, grant_type)
    wrong_type = _wrong_type(response, members.get("token_type"))
    if wrong_type is not None:
        return wrong_type
    issued = members.get("refresh_token")
    return response.token(
        value,
        expires_in=seconds_in(members.get("expires_in")),
        refresh_token=issued if isinstance(issued, str) and issued else refresh_token,
    )


def _by_error(response: LoginResponse, payload: dict[str, Any], grant_type: str, *, renewal: bool) -> LoginError | None:
    """Return what a known ``error`` says; providers send it with any status."""
    code = payload.get("error")
    if not isinstance(code, str):
        return None
    text = _description(payload)
    if code == "invalid_grant" or (renewal and code in _RENEWAL_NOT_ALLOWED):
        blamed = None if grant_type == "client_credentials" else _REJECTION_REASONS.get(grant_type)
        return response.rejected(text, reason=blamed)
    if code in _CLIENT:
        return response.rejected(text, reason="client")
    if code in _RETRYABLE:
        return response.unavailable(text)
    if code in _CONFIGURATION:
        return response.misconfigured(text, "check its scope, grant_type and form fields")
    return None


def _by_status(response: LoginResponse, grant_type: str) -> str | None:
    """Return the reason for a status without a known ``error``: a 401 to a password may mean the client as well as the user."""
    return None if grant_type == "password" and response.status == 401 else _REJECTION_REASONS.get(grant_type)  # noqa: PLR2004


def _without_token(response: LoginResponse, payload: dict[str, Any], grant_type: str) -> LoginError:
    if isinstance(payload.get("error"), str):
        return response.rejected(_description(payload), reason=_REJECTION_REASONS.get(grant_type))
    return response.without_token("access_token", payload, "check that it is a token endpoint")


def _wrong_type(response: LoginResponse, token_type: Any) -> LoginError | None:
    """Return an error unless this is a bearer token (RFC 6750); some servers leave the type out."""
    if token_type is None or (isinstance(token_type, str) and token_type.lower() == "bearer"):
        return None
    return response.misconfigured(
        f"token_type {token_type if isinstance(token_type, str) else type(token_type).__name__}",
        "configure the client for bearer tokens",
    )


def _description(payload: dict[str, Any]) -> str:
    texts = (payload.get(name) for name in ("error", "error_description"))
    return ": ".join(text for text in texts if isinstance(text, str) and text)
