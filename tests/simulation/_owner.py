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
from ._plan import Setting

if TYPE_CHECKING:
    from ._process import Process
    from ._world import World

ENDPOINT = f"https://{API}/graphql"
ACCOUNTS = ("anna", "berta")
MAX_PAUSE = 60.0
"""Seconds for which rejected credentials are remembered at most."""
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
        self.max_logins = setting.max_logins
        self.rejected: dict[str, float] = {}
        """Texts of tokens that it rejected, and since when."""
        self.given_up: set[str] = set()
        """Texts of tokens that were logged out or invalidated."""
        self.newest: Issued | None = None
        """The token of its newest login, until a logout."""
        self.begun = self.logins_running = self.succeeded = self.failed = 0
        self.rejected_at = self.not_before = self.misfit_at = -math.inf
        self.blocked_at = -math.inf
        """When a login failed in a way that may have paused the next ones."""
        """By the process's clock."""
        self.failed_at = -math.inf
        self.flights: dict[str, float] = {}
        """When the flight of each token began, by the token's text."""
        self.logged_out_at = -math.inf
        self.closed = False
        self.slept_in_flight = False
        """Whether its machine slept during a flight."""
        self.login_began = 0.0
        """By a clock that goes on while the machine sleeps."""
        self.flight: object = None
        self.flight_began = self.login_flight = 0.0
        """When the current flight began, and the flight of the newest login."""
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

    def may_not_log_in(self, since: float) -> bool:
        """Return whether a login failed *since* then, or an earlier failure still blocks the next one."""
        forbidden_until = max(self.not_before, self.rejected_at + MAX_PAUSE, self.blocked_at + MAX_PAUSE)
        return self.failed_at >= since - FINISHING or self.process.clock() < forbidden_until

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
            token: Token = await self._login(context)  # type: ignore[misc]  # all of them are awaitable
        except BaseException as failure:
            owner.monitor.login_failed(owner, failure)
            raise
        else:
            owner.monitor.login_gave(owner, token)
            return token
        finally:
            owner.logins_running -= 1


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
        if kind == "sends":
            async with whose().api.post(ENDPOINT, json={"from": "the hook"}):
                pass
        if kind == "cancels itself":
            raise asyncio.CancelledError

    return on_token
