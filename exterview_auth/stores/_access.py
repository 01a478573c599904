"""
A store as an owner sees it: every call is bounded, and no failure of the store reaches a request.

1. No method raises what the store raises. A store that fails or is too slow counts as empty and unlocked, and its circuit
   breaker opens.
2. All calls of one session together wait at most `STORE_BUDGET` seconds for the store, or less under a short login timeout.
   Waiting for another owner's login is not waiting for the store. A session that no request waits for may spend so much on
   each call: a slow store is to get what must not be lost.
3. While the breaker is open, only a session that probes calls the store, one at a time; the others wait for its outcome.
4. Only the store's public methods are called, because a subclass or a wrapper may override them; all calls under a lock in the
   context in which the lock was entered.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, NamedTuple, Self, TypeVar

from .._calls import CANCEL_GRACE, bounded, cancel_and_wait, kind_of
from .._events import emit
from .._records import Feed
from .._token import Token, is_same_login
from . import TokenStore
from ._breaker import LONGEST_OPEN, breaker_of
from ._fence import Fence, fences_in

T = TypeVar("T")

STORE_BUDGET = 2.0
"""Seconds that one session waits for a failing store at most."""
BUDGET_SHARE = 0.25
"""The part of the login timeout that this may take, and once more until an abandoned call ends: a login needs the rest."""
LOCK_SHARE = 0.5
"""The part for which a logout, or a login whose lock's holder shows no life, waits for the lock: a login needs the rest."""


class Saved(NamedTuple):
    """
    Whether a token is stored or deleted now, or another owner's newer entry is there, so that nothing need be repeated.

    *newer* is the token of that entry, if it can be read.
    """

    settled: bool
    newer: Token | None = None


class StoreAccess:
    """One owner's access to one account in a store. *feed* is notified of each call; *label* is what events call the account."""

    def __init__(
        self,
        store: TokenStore,
        account: str,
        feed: Feed,
        login_timeout: float = math.inf,
        *,
        label: str = "",
    ) -> None:
        self.store = store
        self.account = account
        self._label = label
        self.feed = feed
        self.clock = feed.clock
        self.breaker = breaker_of(store)
        self.budget = min(STORE_BUDGET, login_timeout * BUDGET_SHARE)
        self.lock_patience = login_timeout * LOCK_SHARE
        self._lock_suspended_until = float("-inf")
        self.look_again_at = float("-inf")
        """When to look into the store although no login is allowed: another owner may have logged in."""
        self._detached: set[asyncio.Task[Any]] = set()
        # Invariant: tasks that hold the lock only because a write that was given up still runs.
        self._stuck: set[asyncio.Task[Any]] = set()

    def session(self, *, probe: bool = False, budget: float | None = None) -> StoreSession:
        """
        Begin a sequence of calls that belong together; with *probe*, which needs ``with``, also while the breaker is open.

        *budget*: seconds that they may wait for the store, each call no longer than `STORE_BUDGET`.
        """
        return StoreSession(self, probe=probe, budget=self.budget if budget is None else budget)

    async def aclose(self) -> None:
        """Wait until detached work has ended, but not for a write that ignores its cancellation."""
        ending = self._detached - self._stuck
        if ending:
            _, late = await asyncio.wait(ending, timeout=STORE_BUDGET)
            for task in late:
                await cancel_and_wait(task)

    def leave_loop(self) -> None:
        """Drop tasks that belong to another loop or process, without touching them."""
        self._detached, self._stuck = set(), set()

    @property
    def lock_suspended(self) -> bool:
        """Whether to log in without the lock, because its holder recently did not release it, or is a write that is stuck."""
        return bool(self._stuck) or self.clock() < self._lock_suspended_until

    def lock_timed_out(self, seconds: float) -> None:
        """Suspend the lock: its holder is stuck. The store is not, and what the holder saved can still be read."""
        now = self.clock()
        self.feed.store_was_called("lock", now - seconds, "TimeoutError")
        self._lock_suspended_until = now + LONGEST_OPEN
        emit(logging.WARNING, "store.lock_timeout", account=self._label, seconds=seconds)

    def run_detached(self, work: Coroutine[Any, Any, T], name: str, context: Context | None = None) -> asyncio.Task[T]:
        """Start *work*, which must be bounded and raise nothing; it runs to its end even if nobody awaits it."""
        context = Context() if context is None else context
        task = asyncio.get_running_loop().create_task(work, context=context, name=f"exterview_auth {name}")
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)
        return task

    def note_stuck(self, holding: asyncio.Task[Any]) -> None:
        """Note that *holding* holds the lock until a write ends that was given up."""
        self._stuck.add(holding)
        holding.add_done_callback(self._stuck.discard)


class StoreSession:
    """A sequence of calls to the store; see the rules above."""

    def __init__(self, access: StoreAccess, *, probe: bool, budget: float) -> None:
        self.access = access
        self.probe = probe
        self._context: Context | None = None
        # Invariant: held from the first call while the breaker is open, until a call fails, the breaker closes, or the session
        # ends or waits for another owner.
        self._probe: asyncio.Lock | None = None
        self.locked = self.looked = False
        """Whether the account's lock is held, and whether the entry was loaded since."""
        self.writes: set[asyncio.Task[Any]] = set()
        """Writes under way, also such as were given up."""
        self.budget = budget
        """Seconds that the session may still wait for the store."""
        self._grace = min(CANCEL_GRACE, budget)
        self.failed = False
        """Whether a call failed, or was not made because the breaker is open."""
        self.loaded: tuple[Token | None] | None = None
        """What `load` found last; ``None`` if the store did not answer."""
        self.age: float | None = None
        """Seconds since the login that gave the token that was loaded last, if the store knows it; negative: it cannot know."""

    async def load(self) -> Token | None:
        """Return the stored token; ``None`` also if the store fails or holds anything else."""
        for fence in self.fences:
            fence.last_read = None
        answered = await self.call("load", lambda: _in_tuple(self.access.store.load(self.access.account)))
        self.looked = self.locked and answered is not None
        self.age = next((fence.last_read.age for fence in self.fences if fence.last_read is not None), None)
        token = answered[0] if answered is not None and isinstance(answered[0], Token) else None
        self.loaded = None if answered is None else (token,)
        return token

    async def save(self, token: Token) -> Saved:
        """Save *token*, unless this process was paused and another owner saved a newer one."""
        said = await self._change("save", lambda: self.access.store.save(self.access.account, token))
        others = (other for other in said or () if isinstance(other, Token) and not is_same_login(other, token))
        return Saved(settled=said is not None, newer=next(others, None))

    async def delete(self) -> Saved:
        """Delete the entry, unless another came after `load`. One that `load` could not see says nothing if it stays."""
        said = await self._change("delete", lambda: self.access.store.delete(self.access.account))
        if said is None or (len(said) > 1 and self.loaded is None):
            return Saved(settled=False)
        return Saved(settled=True, newer=said[-1])

    async def _change(self, name: str, make: Callable[[], Awaitable[Any]]) -> list[Any] | None:
        """Return what the store answers, and behind it the tokens of newer entries that stay; ``None`` if it fails."""
        for fence in self.fences:
            fence.refused = None
        answered = await self.call(name, lambda: _in_tuple(make()))
        if answered is None:
            return None
        # A subclass may not pass on what the fence says. An entry that cannot be read overtakes, too.
        return [*answered, *(fence.refused.token for fence in self.fences if fence.refused is not None)]

    def enter(self, context: Context) -> None:
        """Call the store in *context* from now on, in which a lock was entered, or has a fence while it is waited for."""
        self._context = context

    def leave(self) -> None:
        """Call the store under no lock any more."""
        self._context = None
        self.locked = self.looked = False

    @property
    def fences(self) -> list[Fence]:
        """What notices at a write if another owner has saved since the last look."""
        return fences_in(self._context)

    @property
    def patience(self) -> float:
        """Seconds that the next call may take."""
        return min(self.budget, STORE_BUDGET)

    @property
    def suspended(self) -> bool:
        """Whether the store must not be called now."""
        return self.access.breaker.is_open(self.access.clock()) and not self.probe

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_probe()

    async def _may_call(self) -> bool:
        """Return whether to call the store now, after the outcome of another session's probe."""
        breaker, clock = self.access.breaker, self.access.clock
        if self._probe is not None or not breaker.is_open(clock()):
            return True
        if not self.probe:
            return False
        before, probe = breaker.failures, breaker.probe()
        try:
            async with asyncio.timeout(0 if self.failed else self.patience):
                await probe.acquire()
        except TimeoutError:
            return False
        self._probe = probe
        if not breaker.is_open(clock()):
            self._end_probe()
        elif breaker.failures != before:
            self._end_probe()
            return False
        return True

    def _end_probe(self) -> None:
        """Let the sessions that wait for this one's outcome go on."""
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.release()

    async def call(self, name: str, make: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result of a call to the store, or ``None`` if it fails or exceeds the budget."""
        access = self.access
        # Before the wait for a slot, which those may hold for long whose calls fail now; and after it.
        if not await self._may_call():
            self.failed = True
            return None
        async with access.breaker.slot():
            if self.suspended:
                self.failed = True
                return None
            began = access.clock()
            try:
                result = await bounded(
                    self._run(name, make),
                    self.patience,
                    finish=True,
                    grace=self._grace,
                    context=self._context,
                )
            except Exception as failure:  # noqa: BLE001 - a store may raise anything; a request survives it
                self.record_failure(name, failure, began)
                self.budget = max(0.0, self.budget - (access.clock() - began))
                return None
            access.feed.store_was_called(name, began)
            spent = access.clock() - began
            # A result that took longer than the budget arrived in time: this process was not running when it came.
            self.budget -= spent if spent <= self.patience else 0.0
            # A lock that another owner holds (False) does not show that locks can be acquired again.
            if not self.failed and result is not False:
                access.breaker.record_success(name, access.clock())
            if result is False or not access.breaker.failures:
                self._end_probe()
            return result

    async def _run(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        if name not in ("save", "delete"):
            return await make()
        task = asyncio.current_task()
        assert task is not None
        self.writes.add(task)
        task.add_done_callback(self.writes.discard)
        return await make()

    def record_failure(self, call: str, failure: BaseException, began: float | None = None) -> None:
        """Count a failed *call*, which *began* then or now, and open the breaker."""
        self.failed = True
        now = self.access.clock()
        self.access.feed.store_was_called(call, now if began is None else began, kind_of(failure))
        self.access.breaker.record_failure(call, failure, now, began)
        self._end_probe()


async def _in_tuple(call: Awaitable[T]) -> tuple[T]:
    """Wrap the result, so that a ``None`` of the store differs from a call that failed."""
    return (await call,)
