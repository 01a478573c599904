"""The rules, named after the contract and the lessons, and the monitor that checks them."""

from __future__ import annotations

import asyncio
import math
import re
from typing import NamedTuple

from aiohttp import ClientRequest, ClientResponse

from exterview_auth import CredentialsRejectedError, LoginUnavailableError, Token

from ._api import API, REFUSES, Issued, Platform
from ._callers import Call, Sending
from ._loop import SimulatedLoop
from ._naming import NAME
from ._network import Arrived, ClientEnd, Observer
from ._owner import SLOW_HOOK, Owner
from ._plan import Plan
from ._stores import KEPT

PAUSE = 10.0
"""Seconds for which rejected credentials are not presented again at first."""
TOLERANCE = 0.2
"""Seconds of difference that clocks, leeways and distances may cause."""
HELD_BACK = 0.05
"""Seconds for which aiohttp may hold back a head that has its credentials already."""
WINDOW_SHARE, LONGEST_MARGIN = 0.25, 1.0
"""The part of a life in which it is renewed at most, and the seconds before its end in which a token is not sent."""
SLOW_SHARE = 0.7
"""The part of the login timeout that a login may take if no other owner is to give up waiting for it."""
UNCHANGED_PAUSE = 2.2
"""Seconds after a renewal that found nothing newer, in which there must be another attempt."""
DISTURBANCES = ("store trouble", "pause", "kill", "suspend")
"""With one of these, the fleet may have to work without its store."""

ONE_LOGIN = "1: one login at a time"
ONE_IN_THE_FLEET = "1: one login at a time in the fleet"
NO_NEEDLESS_LOGIN = "2: no login while the newest token is good"
NO_DEAD_TOKEN = "4: no request is sent with a token that its owner knows to be dead"
NO_DEAD_HEAD = "4: no head is written with a token that its owner knows to be dead"
NOT_CANCELLED = "5: the login belongs to nobody"
REJECTION_REMEMBERED = "7: rejected credentials are not presented again within the pause"
FAILURE_REMEMBERED = "7: after any other definite failure no login within the pause"
RETRY_AFTER = "7: no login before a Retry-After has passed"
WITHIN_BUDGET = "7: no login beyond the budget of useless ones"
IN_TIME = "8: no token is sent after its end"
NO_WAIT = "8: no request waits while its owner's token is valid"
RENEWED_AHEAD = "8: a token in use is renewed before its end"
IDENTICAL_BODIES = "12: bodies arrive byte-identical"
NEVER_BACKWARDS = "17: a late writer does not replace a newer token"
OVERRIDES = "what a subclass of a store overrides is called"
LOGOUT_WINS = "18: a logout discards the login in flight"
KEEPS_TRYING = "17: what the store did not get is saved or deleted later"
LOGOUT_REACHES_THE_STORE = "18: after a logout the store does not have the token"
ROTATED_ONCE = "33: a refresh token is presented once"

_HEAD = re.compile(rb"(?is)^POST (?=.*\r\nauthorization: bearer ([^\r]+)\r\n)(?=.*\r\nx-name: ([^\r]+)\r\n)")


class Broken(NamedTuple):
    """A rule that was broken."""

    rule: str
    what: str
    at: float


class Monitor(Observer):
    """Sees everything, and notes each rule that is broken."""

    def __init__(self, plan: Plan, loop: SimulatedLoop, platform: Platform) -> None:
        self._plan = plan
        self._setting = plan.setting
        self._loop = loop
        self._platform = platform
        self.undisturbed = not plan.has(*DISTURBANCES)
        self.owners: list[Owner] = []
        self.calls: dict[str, Call] = {}
        self.senders: dict[str, Owner] = {}
        """The owners of requests that no call sends, by the requests' names."""
        self.found: list[Broken] = []
        self._sent: dict[str, float] = {}

    def broken(self, rule: str, what: str) -> None:
        """Note that *rule* does not hold."""
        self.found.append(Broken(rule, what, self._loop.now))

    @property
    def now(self) -> float:
        """The time."""
        return self._loop.now

    def check(self) -> None:
        """Look at what is only seen between two steps."""
        for owner in self.owners:
            owner.look_at_flight()

    # -- the store --------------------------------------------------------------------------------------------------

    def kept(self, entry: bytes, before: bytes) -> None:
        """
        Check an *entry* of a store against the one *before*.

        A token is newer than another if its login began after the other's had its answer: of two logins at once, nobody can
        tell. An owner may replace a token that it knows to be dead.
        """
        new, old = KEPT.search(entry), KEPT.search(before)
        if new is None:
            return
        if self._setting.subclassed and not new[1]:
            self.broken(OVERRIDES, f"{new[0]!r} without its envelope")
        if old is None:
            return
        newer, older = (self._platform.tokens.get(found[2].decode()) for found in (old, new))
        if newer is None or older is None or newer.asked <= older.came:
            return
        writers = [owner for owner in self.owners if owner.ledger.of(older.text).from_login]
        if not any(newer.text in owner.dead for owner in writers):
            when = "at its close" if any(owner.closed for owner in writers) else "in passing"
            self.broken(NEVER_BACKWARDS, f"{older.text} in the place of {newer.text}, {when}, by {writers}")

    # -- logins -----------------------------------------------------------------------------------------------------

    def login_begins(self, owner: Owner) -> None:
        """Check that *owner* may log in now."""
        owner.look_at_flight()
        if owner.logins_running > 1:
            self.broken(ONE_LOGIN, f"{owner}")
        if self._fleet_is_one and sum(other.logins_running for other in self._same_account(owner)) > 1:
            self.broken(ONE_IN_THE_FLEET, f"{owner}")
        self._check_latches(owner)
        self._check_need(owner)
        self._check_renewed_ahead(owner)
        owner.login_flight, owner.login_begun = owner.flight_began, self._loop.now
        owner.login_began = self._loop.now + owner.process.slept

    def _check_latches(self, owner: Owner) -> None:
        now = owner.process.clock()
        if now < owner.rejected_at + PAUSE - TOLERANCE:
            self.broken(REJECTION_REMEMBERED, f"{owner} after {now - owner.rejected_at:.3f} s")
        if now < owner.failed_for_good_at + owner.pause - TOLERANCE:
            self.broken(
                FAILURE_REMEMBERED, f"{owner} after {now - owner.failed_for_good_at:.3f} s, not {owner.pause} s"
            )
        if now < owner.not_before - TOLERANCE:
            self.broken(RETRY_AFTER, f"{owner}, {owner.not_before - now:.3f} s too early")
        # A token that served and is at its end needs a login, whatever others cost.
        current = owner.current_text
        ended = owner.dead.get(current, math.inf) >= owner.flight_began  # it was no refusal that the flight began for
        served = owner.ledger.of(current).accepted < math.inf and ended
        began = now - (self._loop.now - owner.flight_began)
        if not served and owner.ledger.forbids(now) and owner.ledger.forbids(began):
            self.broken(WITHIN_BUDGET, f"{owner} after {owner.ledger.surely(now)} useless ones")

    @property
    def _fleet_is_one(self) -> bool:
        shared = self._setting.store != "none"
        slow = self._setting.slowest_login > SLOW_SHARE * self._setting.login_timeout
        return self.undisturbed and shared and not slow and not self._plan.has("login trouble")

    def _same_account(self, owner: Owner) -> list[Owner]:
        return [other for other in self.owners if other.account == owner.account]

    def _check_need(self, owner: Owner) -> None:
        """Check that the owner neither has, nor would have found in the shared store, a token that is good for long."""
        known = [self._platform.tokens.get(owner.current_text)]
        if self._plan.has("store trouble"):
            known = []  # the life of an answer that came late counts from the question
        if self._fleet_is_one:
            newest = [other.newest for other in self._same_account(owner) if other.newest is not None]
            known.append(max(newest, key=lambda issued: issued.came, default=None))
        for token in known:
            if token is not None and self._is_good(token, owner):
                self.broken(NO_NEEDLESS_LOGIN, f"{owner}, while {token.text} is good")

    def _is_good(self, token: Issued, owner: Owner) -> bool:
        life = self._setting.lifetime
        margin = 0.0 if life is None else self._window(life) + _leeway(life)
        good = token.good(self._loop.now) and self._loop.now + margin + TOLERANCE < token.ours and not token.refused
        rotated = self._platform.rotated > -math.inf
        return good and not rotated and token.text not in owner.given_up

    def _window(self, life: float) -> float:
        return min(self._setting.refresh_ahead, life * WINDOW_SHARE)

    def _check_renewed_ahead(self, owner: Owner) -> None:
        """Check that a token in use was not simply allowed to end, where nothing was in the way."""
        life, newest = self._setting.lifetime, owner.newest
        if life is None or newest is None or not self._could_renew(owner, newest):
            return
        ends = newest.ours - _leeway(life)
        opens = ends - self._window(life)
        if (
            opens >= ends
            or self._loop.now < ends
            or owner.flight_began < ends
            or owner.used.get(newest.text, math.inf) >= opens
        ):
            return
        tried = owner.login_begun > opens
        since = max(opens, owner.flight_ended)
        if ends - since > (UNCHANGED_PAUSE if tried else TOLERANCE / 2):
            self.broken(RENEWED_AHEAD, f"{owner}, {newest.text} from {opens:.3f} to {ends:.3f}")

    def _could_renew(self, owner: Owner, newest: Issued) -> bool:
        """Return whether nothing was in the way of a renewal since *newest* came."""
        if newest.text != owner.current_text or newest.text in owner.dead or newest.refused or newest.vague:
            return False
        process, now = owner.process, owner.process.clock()
        was_running = not (process.paused or process.slept or process.killed or self._plan.has("store trouble"))
        return was_running and owner.failed_at < newest.came and owner.ledger.perhaps(now, now) == 0

    def login_gave(self, owner: Owner, token: Token) -> None:
        """Note the token of a login, which may be the old one."""
        text = str.__str__(token.value)
        owner.rejected_at = owner.not_before = owner.failed_for_good_at = owner.cancelled_at = -math.inf
        owner.failed_for_good = 0
        known = self._platform.tokens[text]
        if known.came < math.inf:
            owner.unchanged = text
            known.vague = known.vague or text in owner.doubted or known.ours <= self._loop.now + LONGEST_MARGIN
            return
        owner.succeeded += 1
        owner.flights[text] = owner.login_flight
        owner.ledger.came(text, owner.process.clock())
        owner.newest = owner.to_keep = issued = self._platform.tokens[text]
        issued.asked, issued.came = owner.login_begun, self._loop.now
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
        elif isinstance(failure, asyncio.CancelledError):
            owner.cancelled_at = now
            self._check_cancelled(owner)
        elif not isinstance(failure, OSError | TimeoutError):
            owner.failed_for_good += 1
            owner.failed_for_good_at = now

    def _check_cancelled(self, owner: Owner) -> None:
        given_up = owner.closed or owner.logged_out_at >= owner.login_flight
        lasted = self._loop.now - owner.login_flight
        itself = self._setting.login == "callable" and self._plan.has("login trouble")
        was_not_running = owner.process.paused > 0 or owner.process.killed or owner.process.slept > 0
        if not (given_up or itself or was_not_running or lasted >= self._setting.login_timeout - TOLERANCE):
            self.broken(NOT_CANCELLED, f"a login of {owner} was cancelled after {lasted:.3f} s")

    # -- requests ---------------------------------------------------------------------------------------------------

    def leaving(self, request: ClientRequest) -> None:
        """Check the token of a request that leaves its middlewares, and that nothing held it up."""
        call = self.calls.get(request.headers.get(NAME, ""))
        text = _text_of(request)
        issued = self._platform.tokens.get(text)
        if call is None or issued is None or request.url.host != API:
            return
        self._see_doubt(call, text)
        if not call.sendings:
            self._check_wait(call)
        call.sendings.append(Sending(self._loop.now, text))
        call.owner.used.setdefault(text, self._loop.now)
        late = self._loop.now - issued.ours
        if late > TOLERANCE and not issued.vague and not self._may_be_late(call.owner):
            self.broken(IN_TIME, f"{text} with {call}, {late:.3f} s too late")

    def _check_wait(self, call: Call) -> None:
        held, owner, now = self._platform.tokens.get(call.held), call.owner, self._loop.now
        if (
            held is None
            or held.text in owner.doubted
            or held.text in owner.dead
            or now <= call.ready
            or not self._knows_the_end(owner, held)
        ):
            return
        was_running = owner.process.paused == call.paused_before and not owner.process.slept
        if was_running and now + _leeway(self._setting.lifetime or 0.0) + TOLERANCE < held.ours:
            self.broken(NO_WAIT, f"{call} waited {now - call.ready:.3f} s, {held.text} is valid until {held.ours:.3f}")

    def _knows_the_end(self, owner: Owner, issued: Issued) -> bool:
        return not issued.vague and (owner.ledger.of(issued.text).from_login or not self._plan.has("store trouble"))

    def _may_be_late(self, owner: Owner) -> bool:
        """Return whether a life may have ended between the login and its waiters: in a slow save, or in each hook."""
        outlived = self._setting.hook == "slow" and (self._setting.lifetime or math.inf) < 2 * SLOW_HOOK
        return self._plan.has("store trouble") or owner.slept_in_flight or outlived

    def _see_doubt(self, call: Call, text: str) -> None:
        """Note that the middleware has understood a refusal in a body, if it now sends with another token."""
        doubtful, call.in_doubt = call.in_doubt, ""
        if doubtful and doubtful != text:
            call.owner.dead.setdefault(doubtful, self._loop.now)

    def sent(self, request: ClientRequest) -> None:
        """Check the token of a request that has its connection."""
        name, text = request.headers.get(NAME, ""), _text_of(request)
        owner = self._owner_of(name)
        if owner is None or request.url.host != API:
            return
        self._sent[name] = self._loop.now
        if text == owner.unchanged:
            owner.dead.pop(text, None)
        if text in owner.dead:
            del self._sent[name]
            self.broken(NO_DEAD_TOKEN, f"{text} with {name} of {owner}, dead since {owner.dead[text]:.6f}")
        elif owner.flights.get(text, math.inf) < owner.logged_out_at:
            self.broken(LOGOUT_WINS, f"{text} by {owner}")

    def handed_out(self, owner: Owner, text: str) -> None:
        """Check a token that the application gets."""
        owner.used.setdefault(text, self._loop.now)
        if text in owner.dead and text != owner.unchanged:
            self.broken(NO_DEAD_TOKEN, f"{text} is given to the application by {owner}")

    def written(self, end: ClientEnd, data: bytes) -> None:
        """Check the token of a head that was held back, and note it for the answer."""
        match = _HEAD.search(data) if end.host == API else None
        if match is None:
            return
        text, name = match[1].decode(), match[2].decode()
        end.asked = name, text
        owner, now = self._owner_of(name), self._loop.now
        if (
            owner is not None
            and text != owner.unchanged
            and owner.dead.get(text, math.inf) < now - HELD_BACK
            and self._sent.get(name, now) < now
        ):
            self.broken(NO_DEAD_HEAD, f"{text} with {name}, held back for {now - self._sent[name]:.3f} s")

    def answered(self, end: ClientEnd, response: ClientResponse) -> None:
        """Note what the owner is told by the head of an answer."""
        if end.host != API or not isinstance(end.asked, tuple):
            return
        name, text = end.asked
        owner, call = self._owner_of(name), self.calls.get(name)
        if owner is None or text not in self._platform.tokens:
            return
        refused_in_body = REFUSES in response.headers and call is not None and call.body == "graphql"
        if response.status == 401 or refused_in_body:
            self._refused(owner, call, text, doubtful=refused_in_body)
        elif response.status != 400 and response.status < 500:
            owner.ledger.accepted(text, owner.process.clock())

    def _refused(self, owner: Owner, call: Call | None, text: str, *, doubtful: bool) -> None:
        now = owner.process.clock()
        owner.doubted.add(text)
        others = [at for other, at in call.told.items() if other != text] if call is not None else []
        again = min(others, default=math.inf)
        sure = call is not None and not doubtful and text == owner.current_text and not owner.closed
        owner.ledger.refused(text, now, again=again, sure=sure)
        if call is None:
            return  # the hook's request: its refusal says nothing, since the login that it belongs to goes on
        # Refused again after a login: it was made for this request, or had nothing newer.
        stays = text in call.told or (again < math.inf and owner.ledger.of(text).from_login)
        call.told.setdefault(text, now)
        if stays or owner.ledger.nearly(now, now):
            return  # the token may work for others
        if doubtful:
            call.in_doubt = text
        else:
            owner.dead.setdefault(text, self._loop.now)

    def invalidated(self, owner: Owner, text: str) -> None:
        """Note that the application gave a token to ``invalidate()``, which was the current one."""
        owner.ledger.refused(text, owner.process.clock())
        owner.given_up.add(text)
        owner.doubted.add(text)
        owner.dead.setdefault(text, self._loop.now)

    def _owner_of(self, name: str) -> Owner | None:
        call = self.calls.get(name)
        return self.senders.get(name) if call is None else call.owner

    def arrived(self, request: Arrived, issued: Issued | None, body: bytes | None) -> None:
        """Note whether an arrived request was refused, and check its *body* if that was read."""
        call = self.calls.get(request.headers.get(NAME, ""))
        if call is None:
            return
        if issued is None or issued.refused:
            call.refused_with.append(issued)
        if body is not None and call.sent_body is not None and body != call.sent_body:
            self.broken(IDENTICAL_BODIES, f"{body!r} instead of {call.sent_body!r} with {call}")


def _text_of(request: ClientRequest) -> str:
    return str.__str__(request.headers.get("Authorization", "")).removeprefix("Bearer ")


def _leeway(life: float) -> float:
    return min(LONGEST_MARGIN, life / 50)
