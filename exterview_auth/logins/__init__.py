"""
The ways to log in.

A login is any async callable that takes a `LoginContext` and returns a `Token`. One call is one attempt: the owner retries, sets the
deadline and remembers failures, so that a login does none of this. A login that has nothing newer returns ``context.previous``.

- `PasswordLogin` sends the user's e-mail and password in a GraphQL mutation.
- `OAuth2Login` asks a token endpoint: client credentials, password, refresh token, or another grant.
- `StaticLogin` reads a token from the application, without any request.

Your own login raises `CredentialsRejectedError` if the credentials must change, `LoginUnavailableError` if the same request may
succeed later, and `LoginError` for everything else. Any other exception passes through to the caller. With an attribute
``identity``, stores and pools know whose token it is.
"""

# How a login of this package works. ``_aiohttp/login_call.py`` makes the context: a session on separate connections, the API's
# endpoint and key, and the token that is being replaced, whose refresh token the login may present. The core (``_core/login.py``)
# retries, and sends nothing again if the login returns ``context.previous`` itself.
#
# The logins here send every request with `post` in ``_request.py``. It requires TLS, follows no redirect, bounds the body, and
# returns a `LoginResponse` that knows which texts are secret. The response becomes a token, or an error that tells a refusal
# from an outage:
#
# - ``rejected()``: `CredentialsRejectedError`. The credentials must change; the core remembers the refusal for a while.
# - ``unavailable()``: `LoginUnavailableError`. The same request may succeed later; the core sends it again with backoff.
# - ``perhaps_rejected()``: a `LoginUnavailableError` that the core takes for a refusal if it comes twice.
# - ``misconfigured()``: `LoginError`. URL, document or form fields do not fit the server; the message says which to check.
#
# `PasswordLogin` finds the token in any GraphQL answer (``_token_search.py``), or else what the answer says of the login
# (``_graphql_answer.py``).
# `OAuth2Login` tries its grants in turn (``_oauth2.py``), authenticates the client (``_client_auth.py``) and reads the response
# of the token endpoint (``_oauth2_response.py``). `StaticLogin` reads a token from the application, without any request.
#
# To add a login: write a module like ``_password.py`` with a class whose ``__call__`` builds the request, calls `post` and reads
# the response; give it an ``identity``, so that stores and pools know whose token it is, and ``issuer_at``, so that nobody else is
# shown its refresh tokens (``_identity.py``), or ``presents_refresh_tokens = False``, so that none is stored; name it below and in
# ``exterview_auth/__init__.py``. An OAuth grant of one request needs no code: ``grant_type=`` names it. One of several requests,
# such as the device code, is a separate class that polls inside one call. It uses `ClientAuthentication`, and
# ``_oauth2_response.py``, which then needs the grant's error codes and its reason.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._oauth2 import OAuth2Login
    from ._password import PasswordLogin
    from ._static import StaticLogin

__all__ = ["OAuth2Login", "PasswordLogin", "StaticLogin"]

_ON_FIRST_USE = {"OAuth2Login": "._oauth2", "PasswordLogin": "._password", "StaticLogin": "._static"}


if not TYPE_CHECKING:  # so that a misspelt name is an error to the type checker

    def __getattr__(name: str) -> Any:
        """Load a login on first use (PEP 562): few programs need more than one."""
        if name not in _ON_FIRST_USE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - on first use

        value = globals()[name] = getattr(import_module(_ON_FIRST_USE[name], __name__), name)
        return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not: ``help`` shows these."""
    return list(__all__)
