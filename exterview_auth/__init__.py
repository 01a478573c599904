"""
Authentication for the Exterview API on aiohttp: one login for any number of requests, which are then sent with its token.

::

    async with aiohttp.ClientSession() as http, ExterviewAuth.from_env() as auth:
        api = AuthSession(http, auth)
        data = await api.graphql("query { interviews { id title } }")

- `ExterviewAuth` owns one account's token, and is an aiohttp middleware. `AuthPool` has one owner per account.
- `AuthSession` sends requests: aiohttp's own verbs, and ``graphql``.
- A login gets the token: `PasswordLogin`, `OAuth2Login`, `StaticLogin`, or any async callable from `LoginContext` to `Token`.
- A store shares the token between owners: `MemoryStore`, `FileStore`, `RedisStore`, or any `TokenStore`.
- Every error is an `ExterviewAuthError`, which is an ``aiohttp.ClientError``. ``help("exterview_auth.errors")`` has the tree.

Extras add `exterview_auth.emulator` (an embedded server), `exterview_auth.httpx` and `exterview_auth.telemetry`.
`exterview_auth.testing` is for the tests of applications. The file ``llms.txt`` in the package has this and the README as one text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from ._aiohttp.graphql import graphql_unauthenticated
    from ._auth import ExterviewAuth
    from ._credentials import Credentials
    from ._endpoint import PRODUCTION, SANDBOX
    from ._events import Reason
    from ._login_record import LoginRecord
    from ._pool import AuthPool
    from ._session import AuthSession
    from ._stats import Stats
    from ._token import Token
    from .errors import (
        ApiError,
        BadRequestError,
        ClosedError,
        ConfigurationError,
        CredentialsRejectedError,
        ExterviewAuthError,
        ForbiddenError,
        GraphQLError,
        InsecureTransportError,
        LoggedOutError,
        LoginBudgetExceededError,
        LoginError,
        LoginUnavailableError,
        ReentrantLoginError,
        StoreError,
        UnauthorizedError,
    )
    from .logins import OAuth2Login, PasswordLogin, StaticLogin
    from .logins._context import LoginContext
    from .stores import FileStore, MemoryStore, RedisStore, TokenStore

__all__ = [
    "PRODUCTION",
    "SANDBOX",
    "ApiError",
    "AuthPool",
    "AuthSession",
    "BadRequestError",
    "ClosedError",
    "ConfigurationError",
    "Credentials",
    "CredentialsRejectedError",
    "ExterviewAuth",
    "ExterviewAuthError",
    "FileStore",
    "ForbiddenError",
    "GraphQLError",
    "InsecureTransportError",
    "LoggedOutError",
    "LoginBudgetExceededError",
    "LoginContext",
    "LoginError",
    "LoginRecord",
    "LoginUnavailableError",
    "MemoryStore",
    "OAuth2Login",
    "PasswordLogin",
    "Reason",
    "RedisStore",
    "ReentrantLoginError",
    "StaticLogin",
    "Stats",
    "StoreError",
    "Token",
    "TokenStore",
    "UnauthorizedError",
    "graphql_unauthenticated",
]

_ON_FIRST_USE = {
    "PRODUCTION": "._endpoint",
    "SANDBOX": "._endpoint",
    "ApiError": ".errors",
    "AuthPool": "._pool",
    "AuthSession": "._session",
    "BadRequestError": ".errors",
    "ClosedError": ".errors",
    "ConfigurationError": ".errors",
    "Credentials": "._credentials",
    "CredentialsRejectedError": ".errors",
    "ExterviewAuth": "._auth",
    "ExterviewAuthError": ".errors",
    "FileStore": ".stores",
    "ForbiddenError": ".errors",
    "GraphQLError": ".errors",
    "InsecureTransportError": ".errors",
    "LoggedOutError": ".errors",
    "LoginBudgetExceededError": ".errors",
    "LoginContext": ".logins._context",
    "LoginError": ".errors",
    "LoginRecord": "._login_record",
    "LoginUnavailableError": ".errors",
    "MemoryStore": ".stores",
    "OAuth2Login": ".logins",
    "PasswordLogin": ".logins",
    "Reason": "._events",
    "RedisStore": ".stores",
    "ReentrantLoginError": ".errors",
    "StaticLogin": ".logins",
    "Stats": "._stats",
    "StoreError": ".errors",
    "Token": "._token",
    "TokenStore": ".stores",
    "UnauthorizedError": ".errors",
    "graphql_unauthenticated": "._aiohttp.graphql",
}

_MODULES = ("errors", "logins", "stores")
"""What ``import exterview_auth`` alone has always given, too."""


if not TYPE_CHECKING:  # so that a misspelt name is an error to the type checker

    def __getattr__(name: str) -> Any:
        """
        Load each name on first use (PEP 562).

        The command's ``--version`` and a pytest plugin import this package, and need nothing of aiohttp.
        """
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - on first use

            return version("exterview-auth")
        if name not in _ON_FIRST_USE and name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - on first use

        if name in _MODULES:
            return import_module(f".{name}", __name__)
        value = globals()[name] = getattr(import_module(_ON_FIRST_USE[name], __name__), name)
        return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not: ``help`` shows these."""
    return [*__all__, *_MODULES]
