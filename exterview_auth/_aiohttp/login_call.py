"""
Calls the application's login with a session on separate connections, held to the same safety as the API.

With ``login_session=`` the connections are that session's. It must not share its connector with the requests: a login that
queued behind them would wait for those that wait for it.
"""

from __future__ import annotations

import inspect
from http.cookies import BaseCookie

from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    CookieJar,
    DummyCookieJar,
    RedirectClientError,
)
from aiohttp.abc import AbstractCookieJar
from yarl import URL

from .._core.api_key import ApiKey
from .._endpoint import origin_of, require_safe_transport
from .._token import Token
from ..errors import CredentialsRejectedError, ExterviewAuthError, LoginError, LoginUnavailableError
from ..logins._context import MAX_RESPONSE, Login, LoginContext
from .bodies import read_ahead
from .chains import Chains
from .internals import (
    HttpProcessingError,
    own_middlewares,
    require_aiohttp,
    require_request,
    require_session,
    twin_of,
)

_redirected: Chains[URL] = Chains()
"""Where the redirected requests of logins began."""


class LoginCall:
    """The login as the core calls it: from the token that is being replaced to the next one."""

    __slots__ = ("_api_key", "_endpoint", "_login", "_session", "_timeout")

    def __init__(
        self, login: Login, *, api_key: ApiKey, endpoint: URL, session: ClientSession | None, timeout: float
    ) -> None:
        # Now and not in the login, whose failure every request would get: the constructor's is about the installation.
        require_aiohttp()
        if session is not None:
            require_session(session)
        self._login = login
        self._api_key = api_key
        self._endpoint = endpoint
        self._session = session
        self._timeout = timeout

    async def __call__(self, previous: Token | None) -> Token:
        """Log in once. What the login opened is closed when it ends."""
        context = LoginContext(
            session=self._make_session, endpoint=self._endpoint, api_key=self._api_key.value, previous=previous
        )
        try:
            answer = self._login(context)
            if not inspect.isawaitable(answer):
                raise LoginError(
                    f"the login returned {type(answer).__name__} at once; make it an async callable that returns a Token"
                )
            return await answer
        except ClientError as failure:
            if isinstance(failure, ExterviewAuthError):
                raise
            error = _typed(failure)  # raised below: as its context, aiohttp's error would show the request's headers
        finally:
            if context.opened_session is not None:
                await self._end(context.opened_session)
        raise error

    def _make_session(self) -> ClientSession:
        # Created for one login and closed with it: nothing is left to leak, and an idle account costs no connection.
        if self._session is None:
            return ClientSession(
                middlewares=(_guard,), timeout=ClientTimeout(total=self._timeout), cookie_jar=DummyCookieJar()
            )
        if self._session.closed:
            raise LoginError("login_session is closed; keep it open for as long as the owner is used")
        jar = self._session.cookie_jar
        own_jar = None if type(jar) is DummyCookieJar else _JarOfOneLogin(jar)
        return twin_of(self._session, (*own_middlewares(self._session), _guard), cookie_jar=own_jar)

    async def _end(self, session: ClientSession) -> None:
        if self._session is None:
            await session.close()
        else:
            session.detach()


class _JarOfOneLogin(CookieJar):
    """
    The cookies that one login is given, which end with it, beside those that the application has put into *jar*.

    An identity provider knows by its cookie who is signed in. In a jar that the logins of several accounts share, it would give
    one account's token to the next.
    """

    def __init__(self, jar: AbstractCookieJar) -> None:
        # aiohttp's first 3.14 has no public name for it.
        secure = list(getattr(jar, "treat_as_secure_origin", ()))
        super().__init__(unsafe=jar.unsafe, quote_cookie=jar.quote_cookie, treat_as_secure_origin=secure)
        self._of_the_session = jar

    def filter_cookies(self, request_url: URL = URL()) -> BaseCookie[str]:  # noqa: B008 - aiohttp's signature
        found = self._of_the_session.filter_cookies(request_url)
        return type(found)(
            {**found, **super().filter_cookies(request_url)}
        )  # of a kind that quotes values, or does not


async def _guard(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Hold every request of a login to HTTPS or loopback, to its origin, and to answers that end (a client middleware)."""
    require_request(request)
    url = request.url
    require_safe_transport(url, "the login's URL", proxy=request.proxy)
    began = _redirected.beginning(request)
    if began is not None and origin_of(began) != origin_of(url):
        raise LoginError(f"the login at {began.origin()} was redirected to another origin; give its final URL")
    response = await handler(request)
    _redirected.note(request, response, url)
    # Read here and not by the login: an endless answer would fill the memory before the login's timeout.
    if await read_ahead(response, MAX_RESPONSE) is None:
        response.close()
        del response  # error trackers print local variables, and its repr shows the answer's headers
        raise LoginError(f"the login at {url.origin()} answered with more than {MAX_RESPONSE} bytes")
    return response


def _typed(failure: ClientError) -> LoginError:
    """Return what an aiohttp error of the application's login means. One that holds the request's headers is not chained."""
    from ..logins._http_dates import retry_after  # noqa: PLC0415 - few logins fail
    from ..logins._request import REJECTED, RETRYABLE, without_secrets  # noqa: PLC0415 - as above

    kind = type(failure).__name__
    if isinstance(failure, RedirectClientError):
        return LoginError(f"the login was redirected to what cannot be followed ({kind}); give its final URL")
    if not isinstance(failure, ClientResponseError) or isinstance(failure.__cause__, HttpProcessingError):
        error: LoginError = LoginUnavailableError(f"the login could not be made ({kind})")
        error.__cause__ = None if isinstance(failure, ClientResponseError) else without_secrets(failure)
        return error

    if failure.status in REJECTED:
        return CredentialsRejectedError(f"the login answered {failure.status}")
    if failure.status in RETRYABLE:
        return LoginUnavailableError(f"the login answered {failure.status}", retry_after=retry_after(failure.headers))
    return LoginError(f"the login answered {failure.status} ({kind})")
