"""
Every error of this library, by whose fault it is.

::

    aiohttp.ClientError
    └── ExterviewAuthError
        ├── ConfigurationError             the program is to be changed
        │   ├── InsecureTransportError     credentials would leave without TLS
        │   └── ReentrantLoginError        a login that waits for itself
        ├── LoginError                     no token could be had
        │   ├── CredentialsRejectedError   the credentials are to be changed (``.reason``)
        │   ├── LoginUnavailableError      the login endpoint is to be asked later (``.retry_after``)
        │   └── LoginBudgetExceededError   logins do not help (``.retry_after``)
        ├── StoreError                     a shared store cannot be used now; no request ends in it
        ├── LoggedOutError                 ``logout()`` came while a request waited
        ├── ClosedError                    ``aclose()`` came before
        └── ApiError                       the API answered with an error (``.status``, ``.message``)
            ├── BadRequestError            400
            ├── UnauthorizedError          401
            ├── ForbiddenError             403
            └── GraphQLError               200 with ``errors`` (``.errors``, ``.data``)
"""

from __future__ import annotations

from typing import Any, Self

from aiohttp import ClientError

__all__ = [
    "ApiError",
    "BadRequestError",
    "ClosedError",
    "ConfigurationError",
    "CredentialsRejectedError",
    "ExterviewAuthError",
    "ForbiddenError",
    "GraphQLError",
    "InsecureTransportError",
    "LoggedOutError",
    "LoginBudgetExceededError",
    "LoginError",
    "LoginUnavailableError",
    "ReentrantLoginError",
    "StoreError",
    "UnauthorizedError",
]


class ExterviewAuthError(ClientError):
    """The root: an ``aiohttp.ClientError``, so that existing handlers keep working."""

    def copy_for_waiter(self) -> Self:
        """An equal error with the same cause: one shared instance would collect every caller's traceback."""
        # Not by the constructor: an application's own error may have another one.
        twin = Exception.__new__(type(self), *self.args)
        twin.args = self.args
        twin.__dict__.update(self.__dict__)
        if hasattr(self, "__notes__"):
            twin.__notes__ = list(self.__notes__)
        twin.__cause__ = self.__cause__
        twin.__suppress_context__ = True
        return twin


class ConfigurationError(ExterviewAuthError):
    """A wrong use; the sentence says what to change. Nothing was sent."""


class InsecureTransportError(ConfigurationError):
    """Credentials would have left over ``http://`` to a host that is not loopback. Nothing was sent."""


class ReentrantLoginError(ConfigurationError):
    """A login asked for the very token that it is to get."""


class LoginError(ExterviewAuthError):
    """A login failed; its cause is chained."""


class CredentialsRejectedError(LoginError):
    """
    The login endpoint refused the credentials.

    ``reason`` says which: ``"user"``, ``"client"``, ``"api_key"``, ``"refresh_token"``, or ``None`` where it is not known.
    """

    def __init__(self, message: str = "the credentials were rejected", *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class LoginUnavailableError(LoginError):
    """The login endpoint cannot be reached, or asks to come back in ``retry_after`` seconds."""

    def __init__(
        self, message: str = "the login endpoint is not available", *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LoginBudgetExceededError(LoginError):
    """Too many logins in a row gave tokens that were refused; ``retry_after`` seconds until the next is made."""

    def __init__(self, message: str = "logins do not help", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(ExterviewAuthError):
    """
    A `FileStore` or `RedisStore` cannot be used now, and why.

    Whoever calls a store's methods meets it; an owner logs in for itself instead.
    """


class LoggedOutError(ExterviewAuthError):
    """``logout()`` was called while this request waited for a token."""


class ClosedError(ExterviewAuthError):
    """The owner, or the pool it came from, is closed."""


class ApiError(ExterviewAuthError):
    """The API answered with an error; ``status`` is HTTP's, ``message`` the body's own ``error``."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class BadRequestError(ApiError):
    """400: a header is missing or the body has the wrong format."""


class UnauthorizedError(ApiError):
    """401: the API key or the bearer token is invalid, also after a fresh login."""


class ForbiddenError(ApiError):
    """403: the API key lacks the permission for this operation."""


class GraphQLError(ApiError):
    """
    The answer carries ``errors``.

    ``errors`` is the answer's list of dicts, ``data`` its partial data or ``None``
    (GraphQL specification, section 7.1, "Response Format").
    """

    def __init__(self, message: str, *, status: int, errors: list[dict[str, Any]], data: dict[str, Any] | None) -> None:
        super().__init__(message, status=status)
        self.errors = errors
        self.data = data


def _rebuild(kind: type[ApiError], args: tuple[Any, ...], state: dict[str, Any]) -> ApiError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
