"""
Every error of this library, by what solves the problem: a change of the program or of the credentials, or time.

::

    aiohttp.ClientError
    └── ExterviewAuthError
        ├── ConfigurationError             the program must be changed
        │   ├── InsecureTransportError     credentials would leave without TLS
        │   └── ReentrantLoginError        a login would wait for itself
        ├── LoginError                     logging in failed
        │   ├── CredentialsRejectedError   the credentials must be changed (``.reason``, ``.retry_after``)
        │   ├── LoginUnavailableError      the login endpoint may answer later (``.status``, ``.retry_after``)
        │   └── LoginBudgetExceededError   new tokens are refused too (``.retry_after``)
        ├── StoreError                     a shared store does not work now; requests never raise it
        ├── LoggedOutError                 ``logout()`` was called while a request waited
        ├── ClosedError                    the owner was closed before
        └── ApiError                       the API returned an error, as 429 or 5xx (``.status``, ``.message``, ``.retry_after``)
            ├── BadRequestError            400
            ├── UnauthorizedError          401
            ├── ForbiddenError             403
            └── GraphQLError               200 with ``errors`` (``.errors``, ``.data``)

Each request that waits for a login gets its own copy of the login's error (`ExterviewAuthError.copy_for_waiter`). No message,
argument or cause holds a token, key or password. Most messages say what is wrong, then, after a semicolon, what to do.
"""

from __future__ import annotations

from typing import Any, Self

from aiohttp import ClientError

from ._seconds import seconds_in

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
    """The base class. It is an ``aiohttp.ClientError``, so that existing handlers keep working."""

    def copy_for_waiter(self) -> Self:
        """Return an equal error with the same cause: a shared instance would collect the traceback of every waiter."""
        # Without the constructor, because an application's own subclass may have other arguments.
        twin = Exception.__new__(type(self), *self.args)
        twin.args = self.args
        twin.__dict__.update(self.__dict__)
        if hasattr(self, "__notes__"):
            twin.__notes__ = list(self.__notes__)
        twin.__cause__ = self.__cause__
        twin.__suppress_context__ = True
        return twin


class ConfigurationError(ExterviewAuthError):
    """Wrong use of the library; the message says what to change. Nothing was sent."""


class InsecureTransportError(ConfigurationError):
    """Credentials would have been sent over ``http://`` to another machine. Nothing was sent."""


class ReentrantLoginError(ConfigurationError):
    """A login asked for the token that it was called to get, and would have waited for itself."""


class LoginError(ExterviewAuthError):
    """A login failed; ``__cause__`` is the reason, if there is one."""


class CredentialsRejectedError(LoginError):
    """
    The login endpoint rejected the credentials.

    ``reason`` says which: ``"user"``, ``"client"``, ``"api_key"``, ``"refresh_token"``, or ``None`` if it is unknown. They are
    not sent again for a while. An error in that time repeats the first one, as its message says, and ``retry_after`` is the
    number of seconds until the next login. Otherwise, ``retry_after`` is what the endpoint asked for, or ``None``.
    """

    # Here for an application's subclass whose constructor is not this one.
    retry_after: float | None = None

    def __init__(
        self,
        message: str = "the credentials were rejected",
        *,
        reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Create the error, as an application's own login raises it."""
        super().__init__(message)
        self.reason = reason
        self.retry_after = seconds_in(retry_after)


class LoginUnavailableError(LoginError):
    """
    The login endpoint may answer later: it cannot be reached, is in trouble, or has too many requests.

    ``status`` is the HTTP status of its last answer (429, 503, ...), by which a rate limit differs from an outage. It is ``None``
    if no answer came. ``retry_after`` is the number of seconds after which the endpoint asked to be called again, a number or a
    number as a string. It is ``None`` if the endpoint asked for nothing, or not for a positive number.
    """

    # Here for an application's subclass whose constructor is not this one.
    retry_after: float | None = None
    status: int | None = None

    def __init__(
        self,
        message: str = "the login endpoint is not available",
        *,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        """Create the error, as an application's own login raises it."""
        super().__init__(message)
        self.retry_after = seconds_in(retry_after)
        self.status = status


class LoginBudgetExceededError(LoginError):
    """
    The API refused too many new tokens. The next login is allowed after ``retry_after`` seconds.

    ``retry_after`` is ``None`` only in an error that the application created without it.
    """

    def __init__(self, message: str = "logins do not help", *, retry_after: float | None = None) -> None:
        """Create the error."""
        super().__init__(message)
        self.retry_after: float | None = seconds_in(retry_after)


class StoreError(ExterviewAuthError):
    """
    A `FileStore` or `RedisStore` does not work now; the message says why.

    Code that calls a store's methods gets it. An `ExterviewAuth` logs in without the store instead.
    """


class LoggedOutError(ExterviewAuthError):
    """``logout()`` was called while this request waited for a token."""


class ClosedError(ExterviewAuthError):
    """The `ExterviewAuth`, or the `AuthPool` that it came from, is closed."""


class ApiError(ExterviewAuthError):
    """
    The API returned an error. `AuthSession.graphql` raises it for any status that has no subclass below, such as 429 or 503.

    ``status`` is HTTP's, and ``message`` is the body's ``error`` in at most 200 printable characters. ``str()`` says both, as in
    ``HTTP 503: upstream is down``, or the message alone if the status is 200. ``retry_after`` is the seconds that the answer's
    ``Retry-After`` asks for, in either form. It is ``None`` if the header is missing or is not positive.
    Credentials that the API repeats are masked in the message, and in the ``errors`` and ``data`` of a `GraphQLError`.
    """

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        """Create the error of an answer with *status*."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after: float | None = seconds_in(retry_after)

    def __str__(self) -> str:
        message = super().__str__()
        # The library's own message, where the answer has none, ends with the status.
        says_all = self.status == 200 or message.endswith(f" {self.status}")  # noqa: PLR2004 - the status of success
        return message if says_all else f"HTTP {self.status}: {message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with `args` alone, but `status` is a required keyword.
        return _rebuild, (type(self), self.args, self.__dict__)


class BadRequestError(ApiError):
    """400: a header is missing, or the body has the wrong format."""


class UnauthorizedError(ApiError):
    """401: the API refuses the API key or the bearer token, also after a new login."""


class ForbiddenError(ApiError):
    """403: the API key lacks the permission for this operation."""


class GraphQLError(ApiError):
    """
    The API's answer has ``errors``.

    ``errors`` is the answer's list of dicts, ``data`` its partial data or ``None``
    (GraphQL specification, section 7.1, "Response Format").
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        errors: list[dict[str, Any]],
        data: dict[str, Any] | None,
        retry_after: float | None = None,
    ) -> None:
        """Create the error of an answer that carries *errors*."""
        super().__init__(message, status=status, retry_after=retry_after)
        self.errors = errors
        self.data = data


def _rebuild(kind: type[ApiError], args: tuple[Any, ...], state: dict[str, Any]) -> ApiError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
