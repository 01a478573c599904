"""What a token endpoint's answer means (RFC 6749, sections 5.1 and 5.2)."""

from __future__ import annotations

from typing import Any

from .._token import Token, lifetime_seconds
from ..errors import LoginError
from ._request import Answer

_CLIENT = frozenset({"invalid_client", "unauthorized_client"})
_LATER = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_CONFIGURATION = frozenset({"invalid_request", "invalid_scope", "unsupported_grant_type", "invalid_target"})
_NO_SUCH_RENEWAL = frozenset({"unauthorized_client", "unsupported_grant_type"})
_REASONS = {"password": "user", "refresh_token": "refresh_token", "client_credentials": "client"}


def read_token(answer: Answer, grant_type: str, refresh_token: str | None, *, renewal: bool) -> Token:
    """
    The token in *answer* to a request of *grant_type*; *refresh_token* is what was presented, and is kept where no new one comes.

    Raises `LoginError` and its kinds. Where a *renewal* is not open to the client at all, its refresh token counts as refused.
    """
    payload = answer.payload()
    members = payload or {}
    refusal = _by_error(answer, members, grant_type, renewal=renewal)
    if refusal is not None:
        raise refusal
    if not answer.fine:
        raise answer.refused(_description(members), reason=_by_status(answer, grant_type))
    if payload is None:
        raise answer.unreadable()
    value = members.get("access_token")
    if not isinstance(value, str) or not value:
        raise _without_token(answer, members, grant_type)
    _check_type(answer, members.get("token_type"))
    issued = members.get("refresh_token")
    return answer.token(
        value,
        expires_in=lifetime_seconds(members.get("expires_in")),
        refresh_token=issued if isinstance(issued, str) and issued else refresh_token,
    )


def _by_error(answer: Answer, payload: dict[str, Any], grant_type: str, *, renewal: bool) -> LoginError | None:
    """What a known ``error`` says, whatever the status is."""
    code = payload.get("error")
    if not isinstance(code, str):
        return None
    text = _description(payload)
    if code == "invalid_grant" or (renewal and code in _NO_SUCH_RENEWAL):
        return answer.rejected(text, reason=_REASONS[grant_type] if grant_type != "client_credentials" else None)
    if code in _CLIENT:
        return answer.rejected(text, reason="client")
    if code in _LATER:
        return answer.unavailable(text)
    return answer.misfit(text, "check its scope, grant_type and form fields") if code in _CONFIGURATION else None


def _by_status(answer: Answer, grant_type: str) -> str | None:
    """With no ``error`` that is known, a refused password may as well be a refused client."""
    return None if grant_type == "password" and answer.status == 401 else _REASONS[grant_type]  # noqa: PLR2004


def _without_token(answer: Answer, payload: dict[str, Any], grant_type: str) -> LoginError:
    if isinstance(payload.get("error"), str):
        return answer.rejected(_description(payload), reason=_REASONS[grant_type])
    return LoginError(
        f"the login endpoint {answer.origin} answered without access_token; check that it is a token endpoint"
    )


def _check_type(answer: Answer, token_type: Any) -> None:
    """The API takes bearer tokens only (RFC 6750); some servers leave the type out."""
    if token_type is not None and (not isinstance(token_type, str) or token_type.lower() != "bearer"):
        raise answer.misfit(
            f"token_type {token_type if isinstance(token_type, str) else type(token_type).__name__}",
            "let the client get bearer tokens",
        )


def _description(payload: dict[str, Any]) -> str:
    texts = (payload.get(name) for name in ("error", "error_description"))
    return ": ".join(text for text in texts if isinstance(text, str) and text)
