"""The rules, named after the contract and the lessons, and the monitor that checks them."""

from __future__ import annotations

import asyncio
import math
import re
from typing import NamedTuple

from aiohttp import ClientRequest

from exterview_auth import CredentialsRejectedError, LoginError, LoginUnavailableError, Token
from exterview_auth._core.acquisition import LOCK_SHARE
from exterview_auth.stores._shared import LEASE

from ._api import Issued, Platform
from ._callers import Call, Sending
from ._loop import SimulatedLoop
from ._network import Arrived
from ._owner import Owner
from ._plan import Plan
from ._stores import KEPT

PAUSE, MISFIT_PAUSE = 10.0, 1.0
"""Seconds for which rejected credentials are not presented again at first."""
TOLERANCE = 0.2
"""Seconds of difference that clocks, leeways and distances may cause."""
DISTURBANCES = ("store trouble", "pause", "kill", "suspend")
"""With one of these, the fleet may have to work without its store."""

ONE_LOGIN = "1: one login at a time"
ONE_IN_THE_FLEET = "1: one login at a time in the fleet"
NO_NEEDLESS_LOGIN = "2: no login while the newest token is good"
NO_REJECTED_TOKEN = "4: no request leaves with a rejected token"
NOT_CANCELLED = "5: the login belongs to nobody"
REJECTION_REMEMBERED = "7: rejected credentials are not presented again within the pause"
FAILURE_REMEMBERED = "7: after any other definite failure no login begins within the pause"
RETRY_AFTER = "7: no login before a Retry-After has passed"
IN_TIME = "8: no token is sent after its end"
NOT_REVIVED = "18: a rejected or logged out token is not used again"
LOGOUT_WINS = "18: a logout discards the login in flight"
LOGOUT_REACHES_THE_STORE = "18: after a logout the store does not have the token"
NEVER_BACKWARDS = "29: a late writer does not replace a newer token"
ROTATED_ONCE = "33: a refresh token is presented once"
IDENTICAL_BODIES = "12: bodies arrive byte-identical"

_HEAD = re.compile(rb"(?is)^POST (?=.*\r\nauthorization: bearer ([^\r]+)\r\n)(?=.*\r\nx-name: ([^\r]+)\r\n)")


class Broken(NamedTuple):
    """A rule that was broken."""

    rule: str
    what: str
    at: float


class Monitor:
    """Sees everything, and notes each rule that is broken."""

    def __init__(self, plan: Plan, loop: SimulatedLoop, platform: Platform) -> None:
        self._plan = plan
        self._setting = plan.setting
        self._loop = loop
        self._platform = platform
        self.undisturbed = not plan.has(*DISTURBANCES)
        self.owners: list[Owner] = []
        self.calls: dict[str, Call] = {}
        self.found: list[Broken] = []
        self._queued: set[str] = set()

    def broken(self, rule: str, what: str) -> None:
        """Note that *rule* does not hold."""
        self.found.append(Broken(rule, what, self._loop.now))

    # -- after each step --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check the rules that hold at any time."""
        for owner in self.owners:
            keeper = owner.auth._keeper
            current, flight = keeper.state.current, keeper._renewal.single_flight.current
            if flight is not owner.flight:
                owner.flight, owner.flight_began = flight, self._loop.now
            if current is None:
                continue
            text = str.__str__(current.token.value)
            if current.rejected:
                owner.rejected.setdefault(text, self._loop.now)
            elif text in owner.rejected or text in owner.given_up:
                self.broken(NOT_REVIVED, f"{text} by {owner}")
            elif owner.flights.get(text, math.inf) < owner.logged_out_at:
                self.broken(LOGOUT_WINS, f"{text} by {owner}")

    def kept(self, entry: bytes, before: bytes) -> None:
        """Check an *entry* of a shared store against the one *before*."""
        new, old = KEPT.search(entry), KEPT.search(before)
        if new is None or old is None or self._plan.has("store trouble", "login trouble"):
            return
        if self._setting.login_timeout * LOCK_SHARE <= LEASE:
            return  # an owner that stops waiting logs in beside the holder, which may replace its entry
        if int(new[1]) < int(old[1]):
            self.broken(NEVER_BACKWARDS, f"token {new[1].decode()} in the place of {old[1].decode()}")

    # -- logins -----------------------------------------------------------------------------------------------------

    def login_begins(self, owner: Owner) -> None:
        """Check that *owner* may log in now."""
        self.check()
        owner.login_flight = owner.flight_began
        owner.login_began = self._loop.now + owner.process.slept
        if owner.logins_running > 1:
            self.broken(ONE_LOGIN, f"{owner}")
        if self._fleet_is_one and sum(other.logins_running for other in self._same_account(owner)) > 1:
            self.broken(ONE_IN_THE_FLEET, f"{owner}")
        now = owner.process.clock()
        if now < owner.rejected_at + PAUSE - TOLERANCE:
            self.broken(REJECTION_REMEMBERED, f"{owner} after {now - owner.rejected_at:.3f} s")
        if now < owner.misfit_at + MISFIT_PAUSE - TOLERANCE:
            self.broken(FAILURE_REMEMBERED, f"{owner} after {now - owner.misfit_at:.3f} s")
        if now < owner.not_before - TOLERANCE:
            self.broken(RETRY_AFTER, f"{owner}, {owner.not_before - now:.3f} s too early")
        self._check_need(owner)

    @property
    def _fleet_is_one(self) -> bool:
        shared = self._setting.store != "none"
        slow = self._setting.slowest_login > 0.4 * self._setting.login_timeout
        return self.undisturbed and shared and not slow and not self._plan.has("login trouble")

    def _same_account(self, owner: Owner) -> list[Owner]:
        return [other for other in self.owners if other.account == owner.account]

    def _check_need(self, owner: Owner) -> None:
        """Check that the owner neither has, nor would have found in the shared store, a token that is good for long."""
        current = owner.auth._keeper.state.current
        known = [] if current is None else [self._platform.tokens.get(str.__str__(current.token.value))]
        if self._plan.has("store trouble"):
            known = []  # the life of an answer that came late counts from the question
        if self._fleet_is_one:
            known += [other.newest for other in self._same_account(owner)]
        for token in known:
            if token is not None and self._is_good(token, owner):
                self.broken(NO_NEEDLESS_LOGIN, f"{owner}, while {token.text} is good")

    def _is_good(self, token: Issued, owner: Owner) -> bool:
        life = self._setting.lifetime
        margin = 0.0 if life is None else min(self._setting.refresh_ahead, life / 4) + min(1.0, life / 50)
        good = token.good(self._loop.now) and self._loop.now + margin + TOLERANCE < token.ours and not token.refused
        rotated = self._platform.rotated > -math.inf
        return good and not rotated and token.text not in owner.given_up

    def login_gave(self, owner: Owner, token: Token) -> None:
        """Note the token of a login."""
        owner.succeeded += 1
        owner.flights[str.__str__(token.value)] = owner.login_flight
        owner.rejected_at = owner.not_before = owner.misfit_at = owner.blocked_at = -math.inf
        owner.newest = issued = self._platform.tokens[str.__str__(token.value)]
        if (life := self._setting.lifetime) is not None:
            received = self._loop.now + owner.process.slept
            issued.ours = max(owner.login_began + life, received + life / 2) - owner.process.slept
        if self._fleet_is_one and self._platform.reused and not self._plan.has("log out", "close"):
            self.broken(ROTATED_ONCE, f"{self._platform.reused} times, {owner}")

    def login_failed(self, owner: Owner, failure: BaseException) -> None:
        """Note the failure of a login."""
        owner.failed += 1
        owner.failed_at = self._loop.now
        now = owner.process.clock()
        if isinstance(failure, CredentialsRejectedError):
            owner.rejected_at = now
        elif isinstance(failure, LoginUnavailableError):
            if failure.retry_after:
                owner.not_before = max(owner.not_before, now + min(failure.retry_after, 60.0))
        else:
            owner.blocked_at = now
            if isinstance(failure, LoginError):
                owner.misfit_at = now
            elif isinstance(failure, asyncio.CancelledError):
                self._check_cancelled(owner)

    def _check_cancelled(self, owner: Owner) -> None:
        given_up = owner.closed or owner.logged_out_at >= owner.login_flight
        lasted = self._loop.now - owner.login_flight
        itself = self._setting.login == "callable" and self._plan.has("login trouble")
        was_not_running = owner.process.paused > 0 or owner.process.killed or owner.process.slept > 0
        if not (given_up or itself or was_not_running or lasted >= self._setting.login_timeout - TOLERANCE):
            self.broken(NOT_CANCELLED, f"a login of {owner} was cancelled after {lasted:.3f} s")

    # -- requests ---------------------------------------------------------------------------------------------------

    def leaving(self, request: ClientRequest) -> None:
        """Check the token of a request that leaves its middlewares."""
        call = self.calls.get(request.headers.get("X-Name", ""))
        text = str.__str__(request.headers.get("Authorization", "")).removeprefix("Bearer ")
        issued = self._platform.tokens.get(text)
        if call is None or issued is None:
            return
        call.sendings.append(Sending(self._loop.now, text))
        self.check()
        if text in call.owner.rejected:
            self.broken(NO_REJECTED_TOKEN, f"{text} with {call}")
        late = self._loop.now - issued.ours
        if late > TOLERANCE and not self._may_be_late(call.owner):
            self.broken(IN_TIME, f"{text} with {call}, {late:.3f} s too late")

    def _may_be_late(self, owner: Owner) -> bool:
        """Return whether a life may have ended between the login and its waiters, or in a slow save."""
        return self._plan.has("store trouble") or owner.slept_in_flight

    def queued(self, request: ClientRequest) -> None:
        """Note a request that had to wait for its connection: it is checked again when it is written."""
        self._queued.add(request.headers.get("X-Name", ""))

    def written(self, head: bytes) -> None:
        """Check the token of a request that had queued."""
        match = _HEAD.search(head) if self._queued else None
        if match is None or (name := match[2].decode()) not in self._queued:
            return
        self._queued.discard(name)
        # With a streamed body, aiohttp writes one step after the last check of the token.
        if self.calls[name].owner.rejected.get(match[1].decode(), math.inf) < self._loop.now:
            self.broken(
                NO_REJECTED_TOKEN, f"{match[1].decode()} with {self.calls[name]}, which had queued for a connection"
            )

    def arrived(self, request: Arrived, issued: Issued | None, body: bytes | None) -> None:
        """Note whether an arrived request was refused, and check its *body* if that was read."""
        call = self.calls.get(request.headers.get("X-Name", ""))
        if call is None:
            return
        if issued is None or issued.refused:
            call.refused_with.append(issued)
        if body is not None and call.sent_body is not None and body != call.sent_body:
            self.broken(IDENTICAL_BODIES, f"{body!r} instead of {call.sent_body!r} with {call}")
