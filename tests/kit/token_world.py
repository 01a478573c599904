"""One account's keeper in a world that a state machine changes: two clocks, a login, a store, requests, and the rules."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from exterview_auth import ClosedError, LoggedOutError, LoginError, LoginUnavailableError, MemoryStore, Token, _token
from exterview_auth._core.account import Account
from exterview_auth._core.keeper import Keeper
from exterview_auth._core.state import IssuedToken
from exterview_auth._options import OwnerOptions
from exterview_auth._stats import Stats
from tests.kit import clock
from tests.kit.tokens import Answer, Issue, Life, check_times, end_of, opaque

EPOCH = 1_700_000_000.0
SLOWEST = 40.0
"""Seconds in which a flight ends, with everything that it cancels."""
NOTHING_NEWER = "nothing newer"
Times = tuple[float, float, float]


class Plan(NamedTuple):
    """What the login endpoint does from now on."""

    latency: float
    does: Answer | LoginError | str


class World:
    """Time passes only in `run`; `clock` also goes on while the machine sleeps, and the `wall` clock may be set."""

    def __init__(self, *, window: float, shared: bool, seed: int) -> None:
        self.loop = clock.VirtualLoop()
        # After years, the next float after the loop's time is further away than asyncio's own resolution.
        vars(self.loop)["_clock_resolution"] = 1e-6
        self.problems: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.problems.append(context))
        self.asleep = self.wall_offset = 0.0
        self.plan = Plan(0.0, opaque(3600, 3600.0))
        self.store = MemoryStore(timer=self.clock) if shared else None
        options = OwnerOptions(login_timeout=30.0, refresh_ahead=window)
        account = Account("ada", options=options, clock=self.clock, random=random.Random(seed))
        self.keeper = Keeper(self.login, account, store=self.store)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(_token, "time", SimpleNamespace(time=self.wall))
        self.calls = self.running = self.failures = self.cut_off = self.successes = 0
        self.numbers = iter(range(1, 10**9))
        self.issues: dict[str, Issue] = {}
        self.unchanged: set[str] = set()
        self.refused: list[str] = []
        self.wanted = False  # whether a request asked since the token was last lost
        self.era = self.refusals = 0
        self.rejected_until = float("-inf")
        self.pending: set[asyncio.Task[None]] = set()
        self.known: dict[IssuedToken, tuple[Times, Life]] = {}
        self.last = self.keeper.stats()

    # -- clocks -----------------------------------------------------------------------------------------------------

    def clock(self) -> float:
        return self.loop.now + self.asleep

    def wall(self) -> float:
        return EPOCH + self.clock() + self.wall_offset

    def run(self, work: Coroutine[Any, Any, Any] | None = None) -> Any:
        """Run *work*, and then everything that is ready."""
        result = None if work is None else self.loop.run_until_complete(work)
        self.loop.run_until_complete(clock.settle())
        return result

    # -- the login --------------------------------------------------------------------------------------------------

    async def login(self, previous: Token | None) -> Token:
        self._begins()
        plan, sent, era = self.plan, self.clock(), self.era
        self.running += 1
        try:
            await asyncio.sleep(plan.latency)
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        finally:
            self.running -= 1
        return self._answer(plan.does, previous, sent, era)

    def _begins(self) -> None:
        """One at a time. Not in the pause; in the window, or because a request wants it."""
        self.calls += 1
        assert self.running == 0
        assert self.clock() >= self.rejected_until
        issued = self.keeper.state.unexpired
        if issued is not None:
            assert self.clock() >= issued.renew_at
            assert issued.used
        elif self.keeper.state.unrejected is None:
            assert self.wanted

    def _answer(self, does: Answer | LoginError | str, previous: Token | None, sent: float, era: int) -> Token:
        if isinstance(does, LoginError):
            self.failures += 1
            if hasattr(does, "reason") and era == self.era:
                self.rejected_until = self.clock() + 10.0
            elif not isinstance(does, LoginUnavailableError) and era == self.era:
                self.rejected_until = self.clock() + 1.0
            raise does.copy_for_waiter()
        self.rejected_until = float("-inf")
        if isinstance(does, str):
            issued = self.keeper.state.current
            if previous is not None and issued is not None and previous is issued.token:
                self.unchanged.add(previous.value)
                return previous
            does = opaque(60, 60.0)
        self.successes += 1
        token = does.make(f"T{next(self.numbers)}", self.wall())
        self.issues[token.value] = Issue(does.life(self.wall()), sent, self.clock(), era)
        return token

    # -- requests ---------------------------------------------------------------------------------------------------

    def ask(self, refused: IssuedToken | None = None, *, times: int = 1) -> None:
        """Start requests that want a token, in tasks; the API refused *refused* to them before."""
        self.wanted = True
        for _ in range(times):
            task = self.loop.create_task(self._ask(refused))
            self.pending.add(task)
            task.add_done_callback(self._asked)

    def refuse(self, issued: IssuedToken, **how: bool) -> bool:
        """Have the API refuse *issued*; return whether to send again."""

        async def refuse() -> bool:
            return self.keeper.refuse(issued, **how)

        return bool(self.loop.run_until_complete(refuse()))

    async def _ask(self, refused: IssuedToken | None) -> None:
        state, began, refusals = self.keeper.state, self.loop.now, self.refusals
        issued = state.current
        at_once = issued is not None and refused is None and state.unexpired is issued
        if refused is not None or issued is None or self.clock() >= state.usable_until:
            try:
                issued = await self.keeper.obtain(refused)
            finally:
                assert self.loop.now - began <= SLOWEST * (2 + self.refusals - refusals)
        assert issued is not None
        if at_once:
            assert self.loop.now == began  # No request waits for a renewal
        issued.used = True
        self._obtained(issued, refused)

    def _obtained(self, issued: IssuedToken, refused: IssuedToken | None) -> None:
        """No request gets an expired token, unless the source has nothing newer, nor one refused to it."""
        text = str(issued.token.value)
        if text in self.unchanged and (issued is refused or not issued.rejected):
            return
        assert issued is not refused
        assert not issued.rejected
        issue = self.issues[text]
        end = end_of(issue)
        assert self.clock() < end or self.clock() == issue.received

    def _asked(self, task: asyncio.Task[None]) -> None:
        self.pending.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is not None and not isinstance(failure, LoginError | LoggedOutError | ClosedError):
            self.problems.append({"exception": failure})

    # -- the rules --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """After each step."""
        assert not self.problems, self.problems
        self._check_token(self.keeper.state.current)
        self._check_timer()
        self._check_stats(self.keeper.stats())

    def _check_token(self, issued: IssuedToken | None) -> None:
        state = self.keeper.state
        if self.clock() < state.usable_until:  # the fast path checks this alone
            assert issued is not None
            assert state.unexpired is issued
        if issued is None:
            return
        times = (issued.end, issued.expires, issued.renew_at)
        if issued not in self.known:
            life = self._first_seen(issued)
            self.known[issued] = times, life
        # Drawn once, and put off by renewals that bring nothing; and whatever the wall clock does, no life becomes longer.
        kept = times[:2] == (float("inf"),) * 2 and issued.token.value in self.unchanged
        assert kept or times[:2] == self.known[issued][0][:2]
        assert kept or issued.renew_at >= self.known[issued][0][2]

    def _first_seen(self, issued: IssuedToken) -> Life:
        text = str(issued.token.value)
        issue = self.issues[text]
        if issued.from_login:
            assert issue.era == self.era  # A logout discards the login in flight
        else:
            assert issue.era == -1
            assert text not in self.refused[-16:]
        if text not in self.unchanged:
            check_times(issued, issue, end_of(issue))
        return issue.life

    def _check_timer(self) -> None:
        """
        No renewal is due for a token that was cleared, nor for one without end.

        A timer may stay armed for a token that was rejected since: the next token arms it again, and a logout or close
        cancels it (`check_logged_out`, `close`). If it fires, it does nothing: `_begins` allows no login that no request wants.
        """
        issued = self.keeper.state.current
        if self.keeper._renewal.armed:
            assert issued is not None
            assert self.known[issued][1].seconds is not None

    def _check_stats(self, now: Stats) -> None:
        """Counters only grow, and they add up."""
        for name in Stats.__slots__:
            assert name == "waiting" or getattr(now, name) >= getattr(self.last, name)
        self.last = now
        assert now.waiting == len(self.pending) <= now.waiting_peak
        assert now.logins + now.adopted == self.keeper.state.last_number
        assert now.refreshes_ahead <= now.logins <= self.successes
        assert self.failures <= now.login_failures <= self.failures + self.cut_off
        assert now.store_failures == now.save_failures == 0

    def check_logged_out(self) -> None:
        """After a logout no request waits, no login is in flight or due, also if a rejected token left its timer."""
        assert self.keeper.state.current is None
        assert not self.pending
        assert not self.keeper._renewal.armed
        assert not self.keeper.lifecycle.holds_open

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """A close leaves nothing, and every later use raises."""
        try:
            self.loop.run_until_complete(self.keeper.lifecycle.aclose())
            self.run()
            assert not self.pending
            assert not self.keeper._renewal.armed
            assert not self.keeper.lifecycle.holds_open
            assert not asyncio.all_tasks(self.loop)
            assert all(handle.cancelled() for handle in _scheduled(self.loop))
            for use in (self.keeper.obtain, self.keeper.lifecycle.logout):
                with pytest.raises(ClosedError):
                    self.run(use())
            self.run(self.keeper.lifecycle.aclose())
            gc.collect(0)
            assert not self.problems, self.problems
        finally:
            self.patch.undo()
            self.loop.close()


def _scheduled(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    return getattr(loop, "_scheduled", [])
