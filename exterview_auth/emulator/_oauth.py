"""``POST /oauth/token``: the OAuth 2.0 token endpoint (RFC 6749)."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import hdrs, web

from ._faults import InjectedRefusal
from ._guard import media_type
from ._responses import Refusal, json_response
from ._state import EmulatorState

FORM = "application/x-www-form-urlencoded"
NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_BUSY = 429
_SERVER_ERROR = 500

# A form whose names are unique; `_form` refuses others, because two values for one parameter are ambiguous.
Form = Mapping[str, str]


async def answer_token_request(state: EmulatorState, request: web.Request) -> web.Response:
    """Answer with a token for one of the `GRANTS`; errors as in RFC 6749, section 5.2."""
    form = await _form(request)
    if form.get("grant_type") in GRANTS:
        state.note_operation(form["grant_type"])
    try:
        async with state.login():
            _authenticate_client(state, request, form)
            grant = GRANTS.get(form.get("grant_type", ""))
            if grant is None:
                raise _error("unsupported_grant_type", "client_credentials, password and refresh_token are supported")
            return json_response(grant(state, form), headers=NOT_STORED)
    except InjectedRefusal as refusal:
        # The same fault as for the GraphQL login, in this endpoint's own format: clients look at the code first.
        unavailable = refusal.status == _BUSY or refusal.status >= _SERVER_ERROR
        code, text = "temporarily_unavailable" if unavailable else "invalid_grant", str(refusal)
        raise Refusal(refusal.status, code, headers=refusal.headers, error_description=text) from None


def _token(state: EmulatorState, form: Form, **more: str) -> dict[str, Any]:
    scope = {"scope": form["scope"]} if "scope" in form else {}
    answer = {"access_token": state.issue_token(), "token_type": "Bearer", "expires_in": state.token_lifetime}
    return {**answer, **scope, **more}


def _password(state: EmulatorState, form: Form) -> dict[str, Any]:
    if not state.accounts.knows_user(form.get("username", ""), form.get("password", "")):
        raise _error("invalid_grant", "The user name or the password is wrong")
    return _token(state, form, refresh_token=state.issue_refresh_token())


def _refresh_token(state: EmulatorState, form: Form) -> dict[str, Any]:
    renewed = state.accounts.rotate_refresh_token(form.get("refresh_token", ""))
    if renewed is None:
        raise _error("invalid_grant", "The refresh token is invalid, revoked or was used before")
    return _token(state, form, refresh_token=renewed)


GRANTS: dict[str, Callable[[EmulatorState, Form], dict[str, Any]]] = {
    "client_credentials": _token,
    "password": _password,
    "refresh_token": _refresh_token,
}


async def _form(request: web.Request) -> Form:
    if media_type(request) != FORM:
        raise _error("invalid_request", f"The Content-Type must be {FORM}")
    try:
        pairs = parse_qsl((await request.read()).decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise _error("invalid_request", "The form cannot be read") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _error("invalid_request", "A parameter is given more than once")
    return form


def _authenticate_client(state: EmulatorState, request: web.Request, form: Form) -> None:
    """Check the client's credentials: by HTTP Basic or in the form, never both (RFC 6749, section 2.3)."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is not None and "client_secret" in form:
        raise _error("invalid_request", "The client authenticates in the header or in the form, not in both")
    if authorization is None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
    else:
        client_id, secret = _basic(authorization)
    if not state.accounts.knows_client(client_id, secret):
        raise _error("invalid_client", "The client id or secret is wrong", status=401)


def _basic(authorization: str) -> tuple[str, str]:
    """Return id and secret, which were form-encoded before they were joined (RFC 6749, section 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        client_id, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise _error(
            "invalid_client", "The Authorization header must be 'Basic' with the client's credentials", status=401
        )
    return unquote_plus(client_id), unquote_plus(secret)


def _error(code: str, description: str, *, status: int = 400) -> Refusal:
    headers = {**NOT_STORED, "WWW-Authenticate": "Basic"} if status == 401 else NOT_STORED  # noqa: PLR2004 - Unauthorized
    return Refusal(status, code, headers=headers, error_description=description)
