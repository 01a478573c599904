"""`ExterviewAuth`: the owner of one account's token."""

from __future__ import annotations

import inspect
import os
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NoReturn, Self

from aiohttp import ClientMiddlewareType, ClientSession
from yarl import URL

from ._aiohttp.login_call import LoginCall
from ._aiohttp.middleware import BY_STATUS, Exchange, Manner
from ._aiohttp.origins import Origins
from ._aiohttp.refusal import IsUnauthorized
from ._clock import boot_time
from ._core.api_key import ApiKey, ApiKeySource
from ._core.keeper import Keeper
from ._core.on_token import OnToken
from ._core.single_flight import Seat
from ._endpoint import PRODUCTION, endpoint_url
from ._options import check_callables, checked_account, named, renewal_options
from ._secret import Secret, refuse_pickling
from ._stats import Stats
from ._token import Token
from .errors import ConfigurationError
from .logins._context import Login
from .stores import TokenStore


class ExterviewAuth(Exchange):
    """
    The owner of one account's token, and an aiohttp client middleware.

    ``ClientSession(middlewares=(auth,))`` or `AuthSession(session, auth)` send every request to the endpoint's origin with
    the API key and a bearer token. Any number of requests that find no token, or meet a 401, cause one login and are sent
    (again) with its token.

    - *login*: an async callable ``(LoginContext) -> Token``: `PasswordLogin`, `OAuth2Login`, `StaticLogin` or your own.
    - *api_key*: the organization's key, or a sync or async callable that is read at every login and after a 401.
    - *endpoint*: ``"production"``, ``"sandbox"`` or a URL (HTTPS, or loopback).
    - *store*, *account*: where owners of the same account share their token, and its name there.
    - *origins*: further URLs whose origins get the credentials.
    - *login_timeout*: seconds for a login with all its attempts.
    - *refresh_ahead*: seconds before expiry at which the token is replaced in the background, at most a quarter of its
      life; 0 for never.
    - *max_logins*: at most so many useless logins in so many seconds.
    - *is_unauthorized*: what counts as a refusal, instead of status 401.
    - *on_token*: told ``(new, old, reason)`` once per login, before any waiting request goes on.
    - *login_session*: a session for the logins (a proxy, a private CA); never closed here.

    Raises `ConfigurationError` for every argument that cannot be right, before anything is sent.
    """

    def __init__(
        self,
        login: Login,
        *,
        api_key: ApiKeySource,
        endpoint: str | URL = PRODUCTION,
        store: TokenStore | None = None,
        account: str | None = None,
        origins: Iterable[str | URL] = (),
        login_timeout: float = 30.0,
        refresh_ahead: float = 300.0,
        max_logins: tuple[int, float] = (5, 60.0),
        is_unauthorized: IsUnauthorized | None = None,
        on_token: OnToken | None = None,
        login_session: ClientSession | None = None,
    ) -> None:
        if login_session is not None and not isinstance(login_session, ClientSession):
            raise ConfigurationError(f"login_session is an aiohttp.ClientSession, not {type(login_session).__name__}")
        check_callables(login=login, is_unauthorized=is_unauthorized, on_token=on_token)
        self._endpoint = endpoint_url(endpoint)
        if store is not None and (isinstance(store, type) or not isinstance(store, TokenStore)):
            raise ConfigurationError(f"store has the methods load, save, delete and lock, not {named(store)}")
        self._account = checked_account(account, login, shared=store is not None)
        key = ApiKey(api_key)
        policy = renewal_options(login_timeout, refresh_ahead, max_logins)
        call = LoginCall(
            login, api_key=key, endpoint=self._endpoint, session=login_session, timeout=policy.login_timeout
        )
        keeper = Keeper(
            call,
            policy=policy,
            store=store,
            account=f"{self._endpoint.origin()}|{self._account}",
            prepare=key.read,
            on_token=on_token,
            clock=boot_time,
            owner=_AtWork(self),
        )
        self._keep: Callable[[ExterviewAuth], None] | None = None
        manner = BY_STATUS if is_unauthorized is None else Manner(is_unauthorized)
        super().__init__(keeper, Origins(self._endpoint, origins), key, manner, clock=boot_time)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """
        An owner as *environ* describes it, by default the process's environment.

        ``EXTERVIEW_API_KEY`` (or ``EXTERVIEW_API_KEY_FILE``); ``EXTERVIEW_EMAIL`` and ``EXTERVIEW_PASSWORD``, else
        ``EXTERVIEW_BEARER_TOKEN`` (or ``EXTERVIEW_BEARER_TOKEN_FILE``); ``EXTERVIEW_ENDPOINT`` or
        ``EXTERVIEW_ENVIRONMENT``. *overrides* are arguments of the constructor. Raises `ConfigurationError` that names
        what is missing.
        """
        unknown = sorted(set(overrides) - set(inspect.signature(cls).parameters))
        if unknown:
            raise ConfigurationError(f"ExterviewAuth has no argument {unknown[0]!r}; see help(ExterviewAuth)")
        from ._environment import arguments_from  # noqa: PLC0415 - on first use

        return cls(**arguments_from(os.environ if environ is None else environ, overrides))

    # -- what it is for --------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> URL:
        """The API's URL."""
        return self._endpoint

    @property
    def account(self) -> str:
        """The account's name, or the login's own identity, or nothing."""
        return self._account

    def in_manner(self, manner: Manner, seen: int | None = None, seat: Seat | None = None) -> ClientMiddlewareType:
        """
        The middleware for requests with an own refusal test or body factory.

        Or that began when *seen* were `issued`, and have waited in *seat*.
        """
        return partial(self._run, manner=manner, seen=seen, seat=seat)

    @property
    def manner(self) -> Manner:
        """How requests are treated that say nothing else."""
        return self._manner

    def owns(self, url: URL) -> bool:
        """Whether credentials go to *url*."""
        return self._origins.own(url)

    @property
    def waits(self) -> bool:
        """Whether a request would have to wait for a token now."""
        held = self._held
        if held.express is None:
            return held.fresh is None
        return held.express_until is not None and self._clock() >= held.express_until

    @property
    def issued(self) -> int:
        """How many tokens there have been."""
        return self._held.issued

    def seat(self, until: float | None) -> Seat:
        """A seat for one who waits for a token; see `Keeper.seat`."""
        return self._keeper.seat(until=until)

    # -- for other transports ---------------------------------------------------------------------------------------

    async def token(self) -> Token:
        """A usable token, after a login if one is needed. Raises the login's error, `ClosedError`, `LoggedOutError`."""
        grant = await self._keeper.obtain()
        grant.asked = True
        return grant.token

    async def headers(self) -> dict[str, str]:
        """``Authorization`` and ``x-api-key`` for a request to the endpoint; their values print as ``'***'``."""
        grant = await self._keeper.obtain()
        grant.asked = True
        return {"Authorization": Secret(grant.authorization), "x-api-key": Secret(self._api_key.value)}

    def invalidate(self, token: Token) -> None:
        """Mark *token* refused: the next request logs in. Nothing happens unless it is the current one."""
        if not isinstance(token, Token):
            raise ConfigurationError(f"invalidate takes the Token that was refused, not {type(token).__name__}")
        self._keeper.invalidate(token)

    def stats(self) -> Stats:
        """A snapshot of what happened since this owner was made."""
        return self._keeper.stats()

    # -- the end ----------------------------------------------------------------------------------------------------

    async def logout(self) -> None:
        """
        Forget the token here and in the store; the next request logs in anew.

        The result of a login in flight is discarded, and who waits for it gets `LoggedOutError`.
        """
        await self._keeper.logout()

    async def aclose(self) -> None:
        """End all background work. Every later use raises `ClosedError`; closing twice is fine."""
        await self._keeper.aclose()

    @property
    def busy(self) -> bool:
        """Whether a login is under way, or a save is still to be repeated."""
        return self._keeper.busy

    def retire(self, keep: Callable[[ExterviewAuth], None] | None) -> None:
        """
        A pool says so when it no longer keeps this owner: it goes on for who uses it, and is dropped in silence.

        It is given to *keep* if it is `busy`, and whenever it becomes so. ``None``: it is kept again.
        """
        self._keep = keep
        self._keeper.retire(retired=keep is not None)
        if keep is not None and self.busy:
            keep(self)

    async def __aenter__(self) -> Self:
        self._keeper.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __del__(self, _warnings: Any = warnings) -> None:
        keeper = getattr(self, "_keeper", None)
        if keeper is None:
            return
        if keeper.holds_open:
            _warnings.warn(f"unclosed {self!r}; call aclose() or use it in async with", ResourceWarning, source=self)
        keeper.drop()

    def __repr__(self) -> str:
        account = f", account={self._account!r}" if self._account else ""
        return f"<ExterviewAuth {str(self._endpoint)!r}{account}, {self._keeper.state}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)


class _AtWork(weakref.ref["ExterviewAuth"]):
    """The owner, if there is one, as asked for when its login begins; who wants to keep it is told."""

    __slots__ = ()

    def __call__(self) -> ExterviewAuth | None:
        owner = super().__call__()
        if owner is not None and owner._keep is not None:  # noqa: SLF001 - the owner's own part, without a reference to it
            owner._keep(owner)  # noqa: SLF001 - as above
        return owner
