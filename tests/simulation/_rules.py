"""What must hold, each rule under the name that contract or lessons give it, and who looks whether it does."""

from __future__ import annotations

import asyncio
import math
import re
from typing import NamedTuple

from aiohttp import ClientRequest

from exterview_auth import CredentialsRejectedError, LoginUnavailableError, Token
from exterview_auth._core.acquisition import LOCK_SHARE
from exterview_auth.stores._lock import LEASE

from ._api import Issued, Platform
from ._callers import Call, Sending
from ._loop import SimulatedLoop
from ._network import Arrived
from ._owner import Owner
from ._plan import Plan
from ._stores import KEPT

PAUSE = 10.0
"""Seconds for which rejected credentials are not presented again, at first."""
INEXACT = 0.2
"""Seconds that clocks, leeways and distances may make."""
UNCALM = ("store trouble", "pause", "kill", "suspend")
"""With one of these the fleet may have to do without its store."""

ONE_LOGIN = "1: one login at a time"
ONE_IN_THE_FLEET = "1: one login at a time in the fleet"
NO_NEEDLESS_LOGIN = "2: no login while the newest token serves"
NO_DEAD_TOKEN = "4: no request leaves with a token known to be dead"
NOT_CANCELLED = "5: the login belongs to nobody"
REJECTION_REMEMBERED = "7: rejected credentials are not presented again within the pause"
RETRY_AFTER = "7: a Retry-After is kept"
IN_TIME = "8: no token is sent after its end"
NOT_REVIVED = "18: a token that is dead or logged out is not used again"
LOGOUT_WINS = "18: a logout discards the login that is under way"
LOGOUT_REACHES_THE_STORE = "18: after a logout the store has the token no more"
NEVER_BACKWARDS = "29: a late writer does not replace a newer token"
ROTATED_ONCE = "33: a refresh token is presented once"
IDENTICAL_BODIES = "12: bodies arrive byte-identical"


_HEAD = re.compile(rb"(?is)^POST (?=.*\r\nauthorization: bearer ([^\r]+)\r\n)(?=.*\r\nx-name: ([^\r]+)\r\n)")


class Broken(NamedTuple):
    """A rule that was broken."""

    rule: str
    what: str
    at: float


class Watch:
    """Sees everything, and writes down each rule that is broken."""

    def __init__(self, plan: Plan, loop: SimulatedLoop, platform: Platform) -> None:
        self._plan = plan
        self._setting = plan.setting
        self._loop = loop
        self._platform = platform
        self.calm = not plan.having(*UNCALM)
        self.owners: list[Owner] = []
        self.calls: dict[str, Call] = {}
        self.found: list[Broken] = []
        self._queued: set[str] = set()

    def broken(self, rule: str, what: str) -> None:
        """*rule* does not hold."""
        self.found.append(Broken(rule, what, self._loop.now))

    # -- after each step --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """What holds at any time."""
        for owner in self.owners:
            keeper = owner.auth._keeper
            grant, flight = keeper.state.current, keeper._renewal.single_flight.current
            if flight is not owner.flight:
                owner.flight, owner.flight_began = flight, self._loop.now
            if grant is None:
                continue
            text = str.__str__(grant.token.value)
            if grant.rejected:
                owner.known_dead.setdefault(text, self._loop.now)
            elif text in owner.known_dead or text in owner.left:
                self.broken(NOT_REVIVED, f"{text} by {owner}")
            elif owner.flights.get(text, math.inf) < owner.logged_out_at:
                self.broken(LOGOUT_WINS, f"{text} by {owner}")

    def kept(self, entry: bytes, before: bytes) -> None:
        """A shared store keeps *entry* in the place of what was there *before*."""
        new, old = KEPT.search(entry), KEPT.search(before)
        if new is None or old is None or self._plan.having("store trouble", "login trouble"):
            return
        if self._setting.login_timeout * LOCK_SHARE <= LEASE:
            return  # who waits no longer logs in beside the holder, which may replace the entry
        if int(new[1]) < int(old[1]):
            self.broken(NEVER_BACKWARDS, f"token {new[1].decode()} in the place of {old[1].decode()}")

    # -- logins -----------------------------------------------------------------------------------------------------

    def login_begins(self, owner: Owner) -> None:
        """A login is called."""
        self.look()
        owner.login_flight = owner.flight_began
        owner.login_began = self._loop.now + owner.process.slept
        if owner.logins_running > 1:
            self.broken(ONE_LOGIN, f"{owner}")
        if self._fleet_is_one and sum(other.logins_running for other in self._kin(owner)) > 1:
            self.broken(ONE_IN_THE_FLEET, f"{owner}")
        now = owner.process.clock()
        if now < owner.rejected_at + PAUSE - INEXACT:
            self.broken(REJECTION_REMEMBERED, f"{owner} after {now - owner.rejected_at:.3f} s")
        if now < owner.not_before - INEXACT:
            self.broken(RETRY_AFTER, f"{owner}, {owner.not_before - now:.3f} s too early")
        self._look_for_need(owner)

    @property
    def _fleet_is_one(self) -> bool:
        shared = self._setting.store != "none"
        slow = self._setting.slowest_login > 0.4 * self._setting.login_timeout
        return self.calm and shared and not slow and not self._plan.having("login trouble")

    def _kin(self, owner: Owner) -> list[Owner]:
        return [other for other in self.owners if other.account == owner.account]

    def _look_for_need(self, owner: Owner) -> None:
        """A login is needless where its owner has, or would have found in the shared store, a token that is good for long."""
        grant = owner.auth._keeper.state.current
        known = [] if grant is None else [self._platform.tokens.get(str.__str__(grant.token.value))]
        if self._plan.having("store trouble"):
            known = []  # the life of what it was told late counts from its question
        if self._fleet_is_one:
            known += [other.newest for other in self._kin(owner)]
        for token in known:
            if token is not None and self._serves(token, owner):
                self.broken(NO_NEEDLESS_LOGIN, f"{owner}, while {token.text} is good")

    def _serves(self, token: Issued, owner: Owner) -> bool:
        life = self._setting.lifetime
        margin = 0.0 if life is None else min(self._setting.refresh_ahead, life / 4) + min(1.0, life / 50)
        good = token.good(self._loop.now) and self._loop.now + margin + INEXACT < token.ours and not token.refused
        rotated = self._platform.rotated > -math.inf
        return good and not rotated and token.text not in owner.left

    def login_gave(self, owner: Owner, token: Token) -> None:
        """A login has given a token."""
        owner.succeeded += 1
        owner.flights[str.__str__(token.value)] = owner.login_flight
        owner.rejected_at = owner.not_before = -math.inf
        owner.newest = issued = self._platform.tokens[str.__str__(token.value)]
        if (life := self._setting.lifetime) is not None:
            received = self._loop.now + owner.process.slept
            issued.ours = max(owner.login_began + life, received + life / 2) - owner.process.slept
        if self._fleet_is_one and self._platform.reused and not self._plan.having("log out", "close"):
            self.broken(ROTATED_ONCE, f"{self._platform.reused} times, {owner}")

    def login_failed(self, owner: Owner, failure: BaseException) -> None:
        """A login has given none."""
        owner.failed += 1
        owner.failed_at = self._loop.now
        now = owner.process.clock()
        if isinstance(failure, CredentialsRejectedError):
            owner.rejected_at = now
        elif isinstance(failure, LoginUnavailableError) and failure.retry_after:
            owner.not_before = now + min(failure.retry_after, 60.0)
        elif isinstance(failure, asyncio.CancelledError):
            self._look_at_cancelled(owner)

    def _look_at_cancelled(self, owner: Owner) -> None:
        left = owner.closed or owner.logged_out_at >= owner.login_flight
        lasted = self._loop.now - owner.login_flight
        itself = self._setting.login == "callable" and self._plan.having("login trouble")
        stood_still = owner.process.paused > 0 or owner.process.rejected or owner.process.slept > 0
        if not (left or itself or stood_still or lasted >= self._setting.login_timeout - INEXACT):
            self.broken(NOT_CANCELLED, f"a login of {owner} was cancelled after {lasted:.3f} s")

    # -- requests ---------------------------------------------------------------------------------------------------

    def leaving(self, request: ClientRequest) -> None:
        """A request leaves its middlewares."""
        call = self.calls.get(request.headers.get("X-Name", ""))
        text = str.__str__(request.headers.get("Authorization", "")).removeprefix("Bearer ")
        issued = self._platform.tokens.get(text)
        if call is None or issued is None:
            return
        call.sendings.append(Sending(self._loop.now, text))
        self.look()
        if text in call.owner.known_dead:
            self.broken(NO_DEAD_TOKEN, f"{text} with {call}")
        late = self._loop.now - issued.ours
        if late > INEXACT and not self._held_up(call.owner):
            self.broken(IN_TIME, f"{text} with {call}, {late:.3f} s too late")

    def _held_up(self, owner: Owner) -> bool:
        """Whether time may have passed that a life does not count: between a login and who waits for it, or in a slow save."""
        return self._plan.having("store trouble") or owner.slept_in_flight

    def queued(self, request: ClientRequest) -> None:
        """A request had to wait for its connection: it is looked at again when it is written."""
        self._queued.add(request.headers.get("X-Name", ""))

    def written(self, head: bytes) -> None:
        """Bytes leave a process."""
        match = _HEAD.search(head) if self._queued else None
        if match is None or (name := match[2].decode()) not in self._queued:
            return
        self._queued.discard(name)
        # Where a body is streamed, aiohttp writes one step after the last look at the token.
        if self.calls[name].owner.known_dead.get(match[1].decode(), math.inf) < self._loop.now:
            self.broken(
                NO_DEAD_TOKEN, f"{match[1].decode()} with {self.calls[name]}, which had queued for a connection"
            )

    def arrived(self, request: Arrived, issued: Issued | None, body: bytes | None) -> None:
        """A request has arrived, and was judged; *body* where it was read."""
        call = self.calls.get(request.headers.get("X-Name", ""))
        if call is None:
            return
        if issued is None or issued.refused:
            call.refused_with.append(issued)
        if body is not None and call.sent_body is not None and body != call.sent_body:
            self.broken(IDENTICAL_BODIES, f"{body!r} instead of {call.sent_body!r} with {call}")
