"""`ExterviewAuth`: the owner of one account's token."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession
from yarl import URL

from ._aiohttp.bodies import AT_HAND, JSON
from ._aiohttp.login_call import LoginCall
from ._aiohttp.middleware import DEFAULT_OPTIONS, Middleware, RequestOptions
from ._aiohttp.origins import origins_of
from ._aiohttp.queued import SIGNED_AGAIN, StaleTokenError
from ._aiohttp.refusal import ACCEPTED_BELOW
from ._aiohttp.signing import AUTHORIZATION, CONTENT_TYPE, X_API_KEY, as_headers
from ._clock import boot_time
from ._core.account import Account, nothing_to_prepare
from ._core.api_key import api_key as key_of
from ._core.keeper import Keeper
from ._endpoint import PRODUCTION, endpoint_url, shown_url
from ._options import check_callables, checked_account, checked_token, named, owner_options
from ._records import Listener
from ._refusals import discreet, shown_when_made
from ._secret import refuse_pickling
from ._token import Token
from .errors import ConfigurationError
from .logins._context import LoginContext
from .logins._identity import store_realm
from .stores import TokenStore

if TYPE_CHECKING:
    from typing import Unpack

    from ._credentials import Credentials
    from ._events import Reason
    from ._login_record import LoginRecord
    from ._overrides import Overrides
    from ._stats import Stats


class ExterviewAuth:
    """
    The owner of one account's token, and an aiohttp client middleware.

    ``ClientSession(middlewares=(auth,))`` or `AuthSession(session, auth)` send every request to the endpoint's origin with the
    API key and a bearer token. Any number of requests that find no token, or get a 401, cause one login and are sent (again) with
    its token.

    - *login*: an async callable ``(LoginContext) -> Token``: `PasswordLogin`, `OAuth2Login`, `StaticLogin` or your own.
    - *api_key*: the organization's key, or a sync or async callable that is read at every login and after a 401.
    - *endpoint*: ``"production"``, ``"sandbox"`` or a URL (HTTPS, or HTTP on this machine).
    - *store*, *account*: where owners of the same account share their token, and its name there.
    - *origins*: further URLs whose origins get the credentials.
    - *login_timeout*: seconds for a login with all its attempts.
    - *refresh_ahead*: seconds before expiry at which the token is renewed in the background, at most a quarter of its lifetime; 0
      for never.
    - *max_logins*: the limit of useless logins, and the seconds for which each counts. A login is useless if its token is refused
      or invalidated within that time, before any request was accepted with it.
    - *is_unauthorized*: a sync or async test whether a response refuses the token, in place of status 401. If it raises, the
      status decides. `AuthSession.graphql` adds GraphQL's own refusal.
    - *on_token*: called with ``(new, old, reason)`` once per login, before any waiting request continues.
    - *on_login*: called with a `LoginRecord` after every login, also a failed one. No request waits for it.
    - *login_session*: a session for the logins (a private CA, a client certificate, a resolver) that shares no connections with
      the requests. You close it. The cookies that a login endpoint sets end with the login. Without a *login_session*, logins
      take over ``trust_env`` and the default proxy of the session that the first request came through. The default headers,
      ``auth`` and netrc entries of a session never go to a login endpoint.
    - *clock*: for tests, a callable that returns seconds. It replaces the clock of lifetimes, renewals ahead of expiry and pauses
      of logins, and no change of the wall clock may move it. A test can advance `exterview_auth.testing.Clock`, which also ends
      the pauses between the attempts of one login. With any other clock, these pauses take real time. An attempt itself, stores
      and hooks always take real time.

    Raises `ConfigurationError` for every wrong argument, before anything is sent.
    """

    __module__ = "exterview_auth"

    # Ten thousand accounts have one each. `__dict__` stays, empty: applications may patch a method of an owner in their tests.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_account",
        "_api_key",
        "_clock",
        "_endpoint",
        "_keeper",
        "_lifecycle",
        "_middleware",
        "_origins",
        "_state",
        "_unanswered",
    )

    @discreet
    def __init__(
        self,
        login: Callable[[LoginContext], Awaitable[Token]],
        *,
        api_key: str | Callable[[], str | Awaitable[str]],
        endpoint: str | URL = PRODUCTION,
        store: TokenStore | None = None,
        account: str | None = None,
        origins: Iterable[str | URL] = (),
        login_timeout: float = 30.0,
        refresh_ahead: float = 300.0,
        max_logins: tuple[int, float] = (5, 60.0),
        is_unauthorized: Callable[[ClientResponse], bool | Awaitable[bool]] | None = None,
        on_token: Callable[[Token, Token | None, Reason], object] | None = None,
        on_login: Callable[[LoginRecord], object] | None = None,
        login_session: ClientSession | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        check_callables(login=login, is_unauthorized=is_unauthorized, on_token=on_token, on_login=on_login, clock=clock)
        self._endpoint = endpoint_url(endpoint)
        if store is not None and (isinstance(store, type) or not isinstance(store, TokenStore)):
            raise ConfigurationError(f"store must have the methods load, save, delete and lock, not be {named(store)}")
        self._clock = boot_time if clock is None else clock
        self._account = checked_account(account, login, shared=store is not None)
        key = key_of(api_key)
        options = owner_options(login_timeout, refresh_ahead, max_logins)
        call = LoginCall(
            login, api_key=key, endpoint=self._endpoint, session=login_session, timeout=options.login_timeout
        )
        realm, issuer = store_realm(self._endpoint, login)
        keeper = Keeper(
            call,
            Account(
                self._account,
                realm=realm,
                label=account,
                options=options,
                clock=self._clock,
                prepare=key.read if callable(api_key) else nothing_to_prepare,
                issuer=issuer,
                presents_refresh_tokens=getattr(login, "presents_refresh_tokens", True) is not False,
            ),
            store=store,
            on_token=on_token,
            on_login=on_login,
            keep_alive=_OwnerRef(self),
        )
        request_options = DEFAULT_OPTIONS if is_unauthorized is None else RequestOptions(is_unauthorized)
        self._keeper = keeper
        self._lifecycle = keeper.lifecycle
        self._middleware = Middleware(keeper, origins_of(self._endpoint, origins), key, request_options, call)
        # What the fast path reads, without the steps through `_middleware` and `_keeper`.
        self._state = keeper.state
        self._api_key = key
        self._origins = self._middleware.origins
        self._unanswered = self._middleware.signed.unanswered

    @classmethod
    @discreet
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Unpack[Overrides]) -> Self:
        """
        Return an owner with the configuration in *environ*, by default the process's environment.

        The API key is in ``EXTERVIEW_API_KEY``. The token comes from ``EXTERVIEW_EMAIL`` and ``EXTERVIEW_PASSWORD``, for OAuth
        2.0 from ``EXTERVIEW_TOKEN_URL``, ``EXTERVIEW_CLIENT_ID`` and ``EXTERVIEW_CLIENT_SECRET``, or else from
        ``EXTERVIEW_BEARER_TOKEN``. A variable with ``_FILE`` at the end, such as ``EXTERVIEW_PASSWORD_FILE``, names a file with
        the key, password, secret or token, which is read again at each login. ``EXTERVIEW_ENDPOINT`` or ``EXTERVIEW_ENVIRONMENT``
        chooses the API. ``EXTERVIEW_STORE`` is a directory or a Redis URL; its store is closed with the owner. The README's table
        has all variables. *overrides* are arguments of the constructor. Raises a `ConfigurationError` that names what is missing.
        """
        from ._environment import arguments_from, set_up  # noqa: PLC0415 - on first use
        from ._overrides import check_names  # noqa: PLC0415 - as above

        environ = os.environ if environ is None else environ
        check_names(overrides, cls)
        arguments = arguments_from(environ, overrides)
        opened = None if "store" in overrides else arguments.get("store")
        # If a subclass's constructor fails, error trackers find no environment as a whole among the local variables.
        environ, overrides = None, {}
        owner = cls(**arguments)
        if opened is not None:
            # Last: a directory is created only for a configuration that is right in all else.
            set_up(opened)
            owner._lifecycle.close_last = opened.aclose
        return owner

    @property
    def endpoint(self) -> URL:
        """The API's URL."""
        return self._endpoint

    @property
    def account(self) -> str:
        """The account's name, or the login's own identity, or an empty string."""
        return self._account

    # -- as a middleware --------------------------------------------------------------------------------------------

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """
        Send *request*, with credentials if it goes to one of the origins; return the answer to its last attempt.

        This is the fast path, of few steps: no lock, no store, no task, no log call, and no clock unless the token has a
        lifetime. It stands here and not in `Middleware`, because a call less is worth it: every request pays for it.
        """
        state, unanswered = self._state, self._unanswered
        issued, until = state.fast_path, state.fast_path_until
        if (
            issued is None
            or request.loop is not self._lifecycle.loop
            or (request.url is not self._origins.last_url and not self._origins.is_ours(request.url, request))
            or request.proxy is not None
            or request.body.__class__ not in AT_HAND
            or (until is not None and self._clock() >= until)
        ):
            return await self._middleware.send(request, handler)
        # The steps of `sign`, without its call.
        headers = request.headers
        headers[AUTHORIZATION] = issued.authorization
        headers[X_API_KEY] = self._api_key.value
        if CONTENT_TYPE not in headers:
            headers[CONTENT_TYPE] = JSON
        issued.used = True
        # As in `Middleware._attempt`. Known as unanswered before the await, so that a change of the token reaches a request that
        # still queues.
        unanswered[request] = response = None
        try:
            response = await handler(request)
        except StaleTokenError:
            pass
        finally:
            late = unanswered.pop(request, SIGNED_AGAIN)
            if late is not None:
                late.restore()
                issued = late.issued
        if response is None:
            late = None  # thousands wait now, and none should hold what is done with
            return await self._middleware.send(request, handler, DEFAULT_OPTIONS)
        if response.status < ACCEPTED_BELOW and issued.accepted_since_refusal:
            return response
        return await self._middleware.replay_if_refused(request, handler, DEFAULT_OPTIONS, (response, issued))

    # -- for other transports ---------------------------------------------------------------------------------------

    async def token(self) -> Token:
        """Return a usable token, after a login if one is needed. Raises the login's error, `ClosedError`, `LoggedOutError`."""
        issued = await self._keeper.obtain()
        issued.used = True
        return issued.token

    async def headers(self) -> dict[str, str]:
        """Return ``Authorization`` and ``x-api-key`` for a request to the endpoint; their values print as ``'***'``."""
        return as_headers(await self._keeper.obtain(), self._api_key)

    async def credentials(self) -> Credentials:
        """Return the token and the headers of a request, in one step. After a refusal, pass that token to `invalidate`."""
        from ._credentials import Credentials  # noqa: PLC0415 - on first use

        issued = await self._keeper.obtain()
        return Credentials(issued.token, as_headers(issued, self._api_key))

    @property
    def current(self) -> Token | None:
        """The token in use, without a login. ``None`` if there is none, or if it was refused or invalidated, or has expired."""
        issued = self._state.unexpired
        return None if issued is None else issued.token

    @discreet
    def invalidate(self, token: Token) -> None:
        """Treat *token* as refused, so that the next request logs in. Does nothing unless it is the current token."""
        self._keeper.invalidate(checked_token(token, "invalidate"))

    def stats(self) -> Stats:
        """Return a snapshot of what happened since this owner was created."""
        return self._keeper.stats()

    # -- the end ----------------------------------------------------------------------------------------------------

    async def logout(self) -> None:
        """
        Forget the token here and in the store; the next request logs in again.

        The result of a login in flight is discarded, and the requests that wait for it get `LoggedOutError`.
        """
        await self._lifecycle.logout()

    async def aclose(self) -> None:
        """
        End all background work. Every later use raises `ClosedError`; closing twice is fine.

        If a login has been sent whose refresh token a store must keep, it may still end within 3 s, and its token is saved.
        """
        await self._lifecycle.aclose()

    async def __aenter__(self) -> Self:
        self._lifecycle.enter()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    # -- for telemetry ----------------------------------------------------------------------------------------------

    def _listen(self, *listeners: Listener) -> None:
        self._keeper.account.listen(*listeners)

    def _leave(self, *listeners: Listener) -> None:
        self._keeper.account.leave(*listeners)

    def _owners(self) -> list[ExterviewAuth]:
        return [self]

    def __del__(self, _warnings: Any = warnings) -> None:  # the module may be gone when the interpreter exits
        lifecycle: Any = getattr(self, "_lifecycle", None)
        if lifecycle is None:
            return  # the constructor refused an argument
        if lifecycle.holds_open:
            _warnings.warn(f"unclosed {self!r}; call aclose() or use it in async with", ResourceWarning, source=self)
        lifecycle.drop()

    @shown_when_made
    def __repr__(self) -> str:
        account = f", account={self._account!r}" if self._account else ""
        label = self._keeper.account.label
        if self._account and label != self._account:
            account += f", events={label!r}"
        return f"<ExterviewAuth {shown_url(self._endpoint)!r}{account}, {self._lifecycle.status}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)


class _OwnerRef(weakref.ref[ExterviewAuth]):
    """The owner, if it still exists, as a login asks for it when it begins; a pool that evicted the owner keeps it then."""

    __slots__ = ()

    def __call__(self) -> ExterviewAuth | None:
        owner = super().__call__()
        if owner is not None and owner._lifecycle.on_busy is not None:  # noqa: SLF001 - the owner's own part
            owner._lifecycle.on_busy(owner)  # noqa: SLF001 - as above
        return owner
