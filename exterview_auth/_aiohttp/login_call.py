"""
Calls the application's login with a session on separate connections, held to the same safety as the API.

They go to the network as the requests' session does: through its proxy, or the environment's. With ``login_session=`` the
connections are that session's. It must not share its connector with the requests: a login that queued behind them would wait
for those that wait for it. Nothing of a session's default headers, of its ``auth`` and of a netrc file goes along: the login
alone proves who asks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from http.cookies import BaseCookie
from typing import Any

from aiohttp import (
    ClientError,
    ClientRequest,
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
from .._proxies import on_the_way
from .._token import Token
from ..errors import CredentialsRejectedError, ExterviewAuthError, LoginError, LoginUnavailableError
from ..logins._context import Login, LoginContext, PossibleRejectionError
from .internals.imported import HttpProcessingError
from .internals.needed import require_aiohttp, require_real_session
from .internals.sessions import (
    Network,
    going,
    network_of,
    own_middlewares,
    request_class_of,
    twin_of,
    without_own_credentials,
)
from .login_request import TooLongError, held


class LoginCall:
    """The login as the core calls it: from the token that is being replaced to the next one."""

    __slots__ = ("_api_key", "_endpoint", "_known_problems", "_network", "_session", "_timeout", "login")

    def __init__(
        self, login: Login, *, api_key: ApiKey, endpoint: URL, session: ClientSession | None, timeout: float
    ) -> None:
        # Now and not in the login, whose failure every request would get: the constructor's is about the installation.
        require_aiohttp()
        if session is not None:
            require_real_session(session, "login_session")
        self.login = login
        self._api_key = api_key
        self._endpoint = endpoint
        self._session = session
        self._timeout = timeout
        self._network: Network | None = None
        # Invariant: those of the files that were unreadable after the last login; here, because a `LoginRunner` serves one login.
        self._known_problems: tuple[str, ...] = ()

    def follow(self, session: ClientSession) -> None:
        """Let logins go to the network as *session* does, the first that a request came through. With ``login_session=`` they do not."""
        if self._network is None:
            self._network = network_of(session)

    @property
    def file_problems(self) -> list[str]:
        """Why credentials are old ones: their files cannot be read any more."""
        of_login: Callable[[], str | None] = getattr(self.login, "_problem", lambda: None)
        return [problem for problem in (self._api_key.problem, of_login()) if problem is not None]

    def new_file_problems(self) -> list[str]:
        """Return those of the problems that there were not when this was called last."""
        problems, known = self.file_problems, self._known_problems
        self._known_problems = tuple(problems)
        return [problem for problem in problems if problem not in known]

    @property
    def destination(self) -> str:
        """Where logins go, as a part of sentences; empty for a login that may go anywhere, or nowhere."""
        goes_to: Callable[[URL], URL] | None = getattr(self.login, "_goes_to", None)
        if goes_to is None:
            return ""
        url = goes_to(self._endpoint)
        network = network_of(self._session) if self._session is not None else self._network
        way = "" if network is None else on_the_way(network.proxy, url, trust_env=network.trust_env)
        return f" at {url.origin()}{way}"

    async def __call__(self, previous: Token | None) -> Token:
        """Log in once. What the login opened is closed when it ends."""
        context = LoginContext(
            session=self._make_session, endpoint=self._endpoint, api_key=self._api_key.value, previous=previous
        )
        try:
            return await self._answer(context)
        except Exception as failure:
            known = _typed(failure)
            if known is None:
                self._add_notes(failure)
                raise
            error = known  # raised below: as its context, a library's error would show the request's headers
        finally:
            if context.opened_session is not None:
                await self._end(context.opened_session)
        raise error

    def _add_notes(self, failure: Exception) -> None:
        """Say beside a rejection which credential is an old one, because its file cannot be read."""
        rejected = failure.rejection if isinstance(failure, PossibleRejectionError) else failure
        if isinstance(rejected, CredentialsRejectedError):
            for problem in self.file_problems:
                rejected.add_note(f"{problem}; the last value that was there is still in use")

    async def _answer(self, context: LoginContext) -> Token:
        answer: Any = self.login(context)
        if inspect.isawaitable(answer):
            token: Token = await answer
            return token
        kind = type(answer).__name__
        del answer  # it may be the token's text, and error trackers print local variables
        raise LoginError(f"the login returned {kind} at once; make it an async callable that returns a Token")

    def _make_session(self) -> ClientSession:
        # Created for one login and closed with it: nothing is left to leak, and an idle account costs no connection.
        if self._session is None:
            made = ClientSession(
                request_class=held(ClientRequest),
                timeout=ClientTimeout(total=self._timeout),
                cookie_jar=DummyCookieJar(),
            )
            return without_own_credentials(made if self._network is None else going(made, self._network))
        if self._session.closed:
            raise LoginError("login_session is closed; keep it open for as long as the owner is used")
        jar = self._session.cookie_jar
        own_jar = None if type(jar) is DummyCookieJar else _JarOfOneLogin(jar)
        own = own_middlewares(self._session)
        twin = twin_of(self._session, own, cookie_jar=own_jar, request_class=held(request_class_of(self._session)))
        return without_own_credentials(twin)

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
        secure = jar.treat_as_secure_origin
        super().__init__(unsafe=jar.unsafe, quote_cookie=jar.quote_cookie, treat_as_secure_origin=secure)
        self._of_the_session = jar

    def filter_cookies(self, request_url: URL = URL()) -> BaseCookie[str]:  # noqa: B008 - aiohttp's signature
        found = self._of_the_session.filter_cookies(request_url)
        # Of a kind that quotes values, or does not.
        return type(found)({**found, **super().filter_cookies(request_url)})


def _typed(failure: Exception) -> LoginError | None:
    """
    Return what an error of the application's login means, or ``None`` if it is for the core to judge.

    An error that holds the request's headers is not chained.
    """
    from ..logins._http_dates import retry_after  # noqa: PLC0415 - few logins fail
    from ..logins._statuses import headers_of, is_of_httpx_transport, meaning_of, status_of  # noqa: PLC0415 - as above
    from ..logins._unreachable import without_secrets  # noqa: PLC0415 - as above

    if isinstance(failure, ExterviewAuthError):
        return LoginError(str(failure)) if isinstance(failure, TooLongError) else None
    kind = type(failure).__name__
    if isinstance(failure, RedirectClientError):
        return LoginError(f"the login was redirected to what cannot be followed ({kind}); give its final URL")
    status = None if isinstance(failure.__cause__, HttpProcessingError) else status_of(failure)
    if status is None:
        if not isinstance(failure, ClientError) and not is_of_httpx_transport(failure):
            return None
        error: LoginError = LoginUnavailableError(
            f"the login could not be made ({kind}); check its endpoint and the network"
        )
        error.__cause__ = None if isinstance(failure, ClientResponseError) else without_secrets(failure)
        return error

    meaning = meaning_of(status)
    if meaning is LoginUnavailableError:
        return LoginUnavailableError(
            f"the login answered {status}", retry_after=retry_after(headers_of(failure)), status=status
        )
    return meaning(f"the login answered {status} ({kind})")
