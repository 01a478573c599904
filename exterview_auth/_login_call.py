"""Calls the application's login with a session on connections of its own."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)
from yarl import URL

from ._api_key import ApiKey
from ._login_context import Login, LoginContext
from ._settings import origin_of, require_safe_transport
from ._token import Token
from .errors import CredentialsRejectedError, ExterviewAuthError, LoginError, LoginUnavailableError
from .logins._http_time import retry_after

_REJECTIONS = frozenset({400, 401, 403})
_TOO_MANY, _SERVER_ERRORS = 429, 500


class LoginCall:
    """The login as the keeper knows it: from the token that is replaced to the next one."""

    __slots__ = ("_api_key", "_endpoint", "_login", "_session", "_timeout")

    def __init__(
        self, login: Login, *, api_key: ApiKey, endpoint: URL, session: ClientSession | None, timeout: float
    ) -> None:
        self._login = login
        self._api_key = api_key
        self._endpoint = endpoint
        self._session = session
        self._timeout = timeout

    async def __call__(self, previous: Token | None) -> Token:
        """One attempt; what the login opened is closed when it ends."""
        context = LoginContext(
            session=self._session_maker(), endpoint=self._endpoint, api_key=self._api_key.value, previous=previous
        )
        try:
            return await self._login(context)
        except ClientError as failure:
            if isinstance(failure, ExterviewAuthError):
                raise
            error = _typed(failure)
        finally:
            if self._session is None and context.opened_session is not None:
                await context.opened_session.close()
        raise error

    def _session_maker(self) -> Callable[[], ClientSession]:
        given = self._session
        if given is not None:
            return lambda: given
        return self._make_session

    def _make_session(self) -> ClientSession:
        return ClientSession(
            middlewares=(_LoginGuard(),), timeout=ClientTimeout(total=self._timeout), cookie_jar=DummyCookieJar()
        )


class _LoginGuard:
    """A client middleware: HTTPS or loopback, and no redirect off the origin (rule 22)."""

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        require_safe_transport(request.url, "the login's URL")
        response = await handler(request)
        location = response.headers.get("Location")
        if location is not None and 300 <= response.status < 400:  # noqa: PLR2004 - redirects
            self._require_same_origin(request.url, location, response)
        return response

    @staticmethod
    def _require_same_origin(url: URL, location: str, response: ClientResponse) -> None:
        try:
            stays = origin_of(url.join(URL(location))) == origin_of(url)
        except ValueError:
            stays = False
        if not stays:
            response.close()
            raise LoginError(f"the login at {url.origin()} was redirected to another origin; give its final URL")


def _typed(failure: ClientError) -> LoginError:
    """What an aiohttp error of the application's own login means; one that holds the request's headers is not chained."""
    kind = type(failure).__name__
    if not isinstance(failure, ClientResponseError):
        error: LoginError = LoginUnavailableError(f"the login could not be made ({kind})")
        error.__cause__ = failure
        return error
    if failure.status in _REJECTIONS:
        return CredentialsRejectedError(f"the login answered {failure.status}")
    if failure.status == _TOO_MANY or failure.status >= _SERVER_ERRORS:
        return LoginUnavailableError(f"the login answered {failure.status}", retry_after=retry_after(failure.headers))
    return LoginError(f"the login answered {failure.status} ({kind})")
