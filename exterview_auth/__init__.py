"""Authentication for the Exterview API on aiohttp: one login for any number of requests, replayed invisibly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._auth import ExterviewAuth
from ._endpoint import PRODUCTION, SANDBOX
from ._events import Reason
from ._records import LoginRecord
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
from .logins._context import LoginContext
from .stores import TokenStore

if TYPE_CHECKING:
    __version__: str
    from ._aiohttp.graphql import graphql_unauthenticated
    from ._pool import AuthPool
    from .logins import OAuth2Login, PasswordLogin, StaticLogin
    from .stores import FileStore, MemoryStore, RedisStore

__all__ = [
    "PRODUCTION",
    "SANDBOX",
    "ApiError",
    "AuthPool",
    "AuthSession",
    "BadRequestError",
    "ClosedError",
    "ConfigurationError",
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
    "AuthPool": "._pool",
    "FileStore": ".stores",
    "MemoryStore": ".stores",
    "OAuth2Login": ".logins",
    "PasswordLogin": ".logins",
    "RedisStore": ".stores",
    "StaticLogin": ".logins",
    "graphql_unauthenticated": "._aiohttp.graphql",
}


if not TYPE_CHECKING:  # so that a misspelt name is an error to the type checker

    def __getattr__(name: str) -> Any:
        """Load on first use what few programs need (PEP 562)."""
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - on first use

            return version("exterview-auth")
        if name not in _ON_FIRST_USE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - on first use

        value = globals()[name] = getattr(import_module(_ON_FIRST_USE[name], __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
