"""One observed owner: the library's own `ExterviewAuth`, and what it must have learned."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING
from unittest import mock

from exterview_auth import AuthSession, ExterviewAuth, LoginContext, OAuth2Login, PasswordLogin, Token, _auth

from ._answers import FOR_EVER
from ._api import API, LOGIN, Issued, Platform
from ._ledger import Ledger
from ._naming import naming
from ._plan import Setting

if TYPE_CHECKING:
    from ._process import Process
    from ._world import World

ENDPOINT = f"https://{API}/graphql"
SLOW_HOOK = 4.2
"""Seconds: less than a hook may take, and most of a life of five seconds."""
ACCOUNTS = ("anna", "berta")
MAX_PAUSE = 60.0
"""Seconds for which rejected credentials, and other definite failures, are remembered at most."""
LAZY_SHARE = 0.2
"""The part of a life below which a lazy login gets a newer token."""
FINISHING = 3.0
"""Seconds that a flight may take to finish after its login failed: it releases a lock in a store that may not answer."""


class Owner:
    """``auth`` and ``api`` are the library's; the rest is what the monitor knows. Times are in seconds of the loop."""

    def __init__(self, world: World, process: Process, number: int) -> None:
        setting, platform = world.plan.setting, world.platform
        self.number = number
        self.process = process
        self.account = account = ACCOUNTS[number % setting.accounts]
        self.monitor = world.monitor
        self.platform = platform
        self.lifetime, self.lazy = setting.lifetime, setting.lazy
        self.login_timeout = setting.login_timeout
        self.ledger = Ledger(setting.max_logins)
        self.dead: dict[str, float] = {}
        """Texts of tokens that it must not send any more: refused to it, invalidated, logged out; and since when."""
        self.doubted: set[str] = set()
        """Texts of tokens that were ever refused to it."""
        self.given_up: set[str] = set()
        """Texts of tokens that were logged out or invalidated."""
        self.logged_out: set[str] = set()
        """Texts of tokens that it had when it logged out."""
        self.used: dict[str, float] = {}
        """When a request first used each token."""
        self.newest: Issued | None = None
        """The token of its newest login, until a logout."""
        self.to_keep: Issued | None = None
        """The same, whatever others do: the store is to have it, or a newer one."""
        self.deleted_at = -math.inf
        """When it last had the store forget the account's token."""
        self.begun = self.logins_running = self.succeeded = self.failed = 0
        self.rejected_at = self.not_before = self.failed_for_good_at = -math.inf
        """By the process's clock."""
        self.cancelled_at = -math.inf
        """When a login was cancelled, perhaps by itself, which is a definite failure."""
        self.failed_for_good = 0
        """Definite failures in a row that are no rejections."""
        self.failed_at = -math.inf
        self.flights: dict[str, float] = {}
        """When the flight of each token began, by the token's text."""
        self.logged_out_at = -math.inf
        self.closed = self.closing = False
        self.slept_in_flight = False
        """Whether its machine slept during a flight."""
        self.login_began = 0.0
        """By a clock that goes on while the machine sleeps."""
        self.unchanged = ""
        """The text of the token that the current flight's login returned because it has nothing newer: only the API can tell."""
        self.flight: object = None
        self.flight_began = self.login_flight = 0.0
        """When the current flight began, and the flight of the newest login."""
        self.flight_ended = self.login_begun = -math.inf
        """When the newest flight ended, and the newest login began."""
        with mock.patch.object(_auth, "boot_time", process.clock):
            self.auth = ExterviewAuth(
                ObservedLogin(self, _login_of(setting, account, platform)),
                api_key=self._key if setting.rotates else platform.key,
                endpoint=ENDPOINT,
                store=process.store,
                account=account,
                login_timeout=setting.login_timeout,
                refresh_ahead=setting.refresh_ahead,
                max_logins=(setting.max_logins, 60.0),
                on_token=_hook_of(setting.hook, lambda: self) if setting.hook else None,
                login_session=process.login_session,
            )
        self.api = AuthSession(process.session, self.auth)

    @property
    def pause(self) -> float:
        """Seconds without a login after this number of definite failures."""
        return min(MAX_PAUSE, 2.0 ** (self.failed_for_good - 1)) if self.failed_for_good else 0.0

    def may_not_log_in(self, since: float) -> bool:
        """Return whether a login failed *since* then, or an earlier failure still blocks the next one."""
        latches = self.rejected_at + MAX_PAUSE, self.cancelled_at + MAX_PAUSE, self.failed_for_good_at + self.pause
        forbidden_until = max(self.not_before, *latches)
        return self.failed_at >= since - FINISHING or self.process.clock() < forbidden_until

    # -- the only looks into the engine: they make a judgement milder, or name the token that an action is about ---------

    @property
    def current(self) -> Token | None:
        """The token that it would send with, also if it was rejected."""
        issued = self.auth._keeper.state.current
        return None if issued is None else issued.token

    @property
    def current_text(self) -> str:
        """Its text, or an empty one."""
        current = self.current
        return "" if current is None else str.__str__(current.value)

    @property
    def is_busy(self) -> bool:
        """Whether it has work in the background, or is about to end it: a close waits for a login that was sent."""
        return self.closing or self.auth._keeper.lifecycle.holds_open

    def look_at_flight(self) -> None:
        """Note when a flight begins and ends."""
        flight = self.auth._keeper._renewal.single_flight.current
        if flight is not self.flight:
            now = self.process.loop.now
            if self.flight is not None:
                self.flight_ended = now
                self.dead.pop(self.unchanged, None)
                self.unchanged = ""
            self.flight, self.flight_began = flight, now

    async def _key(self) -> str:
        await asyncio.sleep(0.001)
        return self.platform.key

    def __repr__(self) -> str:
        return f"owner {self.number} of {self.account} in {self.process.party}"


class ObservedLogin:
    """A login that its owner's monitor observes."""

    def __init__(self, owner: Owner, login: Callable[[LoginContext], object]) -> None:
        self._owner = owner
        self._login = login
        self.identity = owner.account

    async def __call__(self, context: LoginContext) -> Token:
        owner = self._owner
        owner.begun += 1
        owner.logins_running += 1
        owner.monitor.login_begins(owner)
        try:
            token = self._kept(context.previous)
            if token is None:
                token = await self._login(context)  # type: ignore[misc]  # all of them are awaitable
        except BaseException as failure:
            owner.monitor.login_failed(owner, failure)
            raise
        else:
            owner.monitor.login_gave(owner, token)
            return token
        finally:
            owner.logins_running -= 1

    def _kept(self, previous: Token | None) -> Token | None:
        """Return the token that a lazy login has already, if much of its life is left: it has nothing newer."""
        platform, life = self._owner.platform, self._owner.lifetime
        text = "" if previous is None else str.__str__(previous.value)
        issued = platform.tokens.get(text)
        if not self._owner.lazy or issued is None or life is None or text != self._owner.current_text:
            return None
        now = self._owner.process.loop.now
        return previous if issued.good(now) and issued.ends - now > LAZY_SHARE * life else None


def _login_of(setting: Setting, account: str, platform: Platform) -> Callable[[LoginContext], object]:
    if setting.login == "password":
        return PasswordLogin(account, "simulated password")
    if setting.login == "oauth":
        return OAuth2Login(
            f"https://{LOGIN}/token", "client", grant_type="password", username=account, password="simulated password"
        )

    async def log_in(context: LoginContext) -> Token:
        del context
        trouble = platform.next_login_trouble()
        await asyncio.sleep(setting.slowest_login)
        return await _troubled(trouble, account, platform, setting.lifetime)

    return log_in


async def _troubled(trouble: str, account: str, platform: Platform, lifetime: float | None) -> Token:
    """Do what an application's own login may do."""
    if trouble in ("silence", "drips", "endless"):
        await asyncio.sleep(FOR_EVER)
    elif trouble in ("reset", "broken off", "refuses connections"):
        raise ConnectionResetError("the simulated login breaks off")
    elif trouble in ("status 400", "status 401"):
        raise asyncio.CancelledError
    elif trouble not in ("", "useless"):
        raise ValueError("the simulated login is wrong")
    issued = platform.issue(account)
    if trouble:
        issued.revoked_at = 0.0
    return Token(issued.text, expires_in=lifetime)


def _hook_of(kind: str, whose: Callable[[], Owner]) -> Callable[[Token, Token | None, object], object]:
    async def on_token(new: Token, old: Token | None, reason: object) -> None:
        del new, old, reason
        if kind == "raises":
            raise RuntimeError("the simulated hook fails")
        if kind == "hangs":
            await asyncio.sleep(FOR_EVER)
        if kind == "calls back":
            await whose().auth.token()
        if kind == "slow":
            await asyncio.sleep(SLOW_HOOK)
        if kind == "sends":
            naming.set(f"hook of {len(whose().monitor.senders)}")
            whose().monitor.senders[naming.get()] = whose()
            async with whose().api.post(ENDPOINT, json={"from": "the hook"}):
                pass
        if kind == "cancels itself":
            raise asyncio.CancelledError

    return on_token
