"""
A store that may be sick, as the keeper sees it: every call bounded, and no failure that a request could meet.

1. No method raises what the store raises: a store that fails, or is too slow, rests, and counts as empty and unlocked.
2. One visit waits `PATIENCE` for the store, or its share of a short login timeout, all its calls together; waiting for
   another's login is not waiting for the store.
3. A store that rests is asked by a probing visit alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from typing import Any, NamedTuple, TypeVar

from .._calls import CANCEL_GRACE, bounded
from .._clock import Clock
from .._events import emit
from .._stats import Counters
from .._token import Token
from . import TokenStore
from ._breaker import LONGEST_REST, health_of
from ._codec import Found
from ._lock import Turn, TurnStore
from ._waiting import Contender, contender_for

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that one visit waits for a sick store at most."""
SHARE = 0.25
"""The part of the login timeout that it waits at most, and once more for a call that was given up to end: a login needs the rest."""


class Saved(NamedTuple):
    """Whether a token is kept now; *newer* is the one that stays in its place, another's."""

    kept: bool
    newer: Token | None = None

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to do."""
        return self.kept or self.newer is not None


class StoreGuard:
    """One account in a store."""

    def __init__(
        self, store: TokenStore, account: str, clock: Clock, counters: Counters, login_timeout: float = math.inf
    ) -> None:
        self.store = store
        self.account = account
        self.clock = clock
        self.patience = min(PATIENCE, login_timeout * SHARE)
        self._health = health_of(store)
        self._counters = counters
        self._lock_rests_until = float("-inf")
        self._left_behind: set[asyncio.Task[Any]] = set()

    def visit(self, *, probing: bool = False) -> Visit:
        """A row of calls that belong together."""
        return Visit(self, probing=probing)

    async def aclose(self) -> None:
        """Wait for what was left to end by itself, a second at most."""
        if self._left_behind:
            await asyncio.wait(self._left_behind)

    def release(self) -> None:
        """Let go of tasks that belong to another loop or process."""
        self._left_behind = set()

    def line(self) -> AbstractAsyncContextManager[None]:
        """Where this process's calls to the store wait for one another, which is not waiting for the store."""
        return self._health.line()

    @property
    def resting(self) -> bool:
        """Whether the store is left alone."""
        return self._health.resting(self.clock())

    @property
    def lock_rests(self) -> bool:
        """Whether its lock is: nobody gave it back."""
        return self.clock() < self._lock_rests_until

    def failed(self, call: str, failure: Exception) -> None:
        """Take note of a failure."""
        self._counters.store_failures += 1
        self._health.failed(call, failure, self.clock())

    def succeeded(self, call: str) -> None:
        """Take note of a success."""
        self._health.succeeded(call)

    def waited_in_vain(self, seconds: float) -> None:
        """The lock's holder is stuck, not the store: what the holder saved can still be read."""
        self._counters.store_failures += 1
        self._lock_rests_until = self.clock() + LONGEST_REST
        emit(logging.WARNING, "store.lock_timeout", account=self.account, seconds=seconds)

    def leave_behind(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin *work*, which is bounded and raises nothing; it comes to its end also where nobody waits for it."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work, context=Context(), name=f"exterview_auth {name}")
        self._left_behind.add(task)
        task.add_done_callback(self._left_behind.discard)
        return task


class Visit:
    """One row of calls to the store; see the rules above."""

    def __init__(self, guard: StoreGuard, *, probing: bool) -> None:
        self._guard = guard
        self._store = guard.store
        self._probing = probing
        self.patience = guard.patience
        """Seconds that it still waits for the store."""
        self.age: float | None = None
        """Seconds since what was loaded last was saved, where the store tells."""
        self._turn: Turn | None = None
        self._failed = False

    def failed(self) -> bool:
        """Whether a call failed, or was not made because the store rests."""
        return self._failed

    async def load(self) -> Token | None:
        """What the store holds, or ``None`` also where it is sick or holds something else."""
        found = await self.call("load", self._look)
        token, self.age = (None, None) if found is None else (found.token, found.age)
        return token if isinstance(token, Token) else None

    async def _look(self) -> Found:
        if self._turn is not None:
            return await self._turn.look()
        if isinstance(self._store, TurnStore):
            return await self._store.look(self._guard.account)
        return Found(await self._store.load(self._guard.account), b"")

    async def save(self, token: Token) -> Saved:
        """Keep *token*, unless this process was paused and another saved a newer one."""
        turn, account = self._turn, self._guard.account
        answered = await self.call(
            "save", lambda: _noted(self._store.save(account, token) if turn is None else turn.save(token))
        )
        if answered is None:
            return Saved(kept=False)
        newer = answered[0]
        return Saved(kept=False, newer=newer) if isinstance(newer, Token) else Saved(kept=True)

    async def delete(self) -> bool:
        """Forget the token; whether the store did."""
        return await self.call("delete", lambda: _noted(self._store.delete(self._guard.account))) is not None

    @contextlib.asynccontextmanager
    async def turn(self, seconds: float | None) -> AsyncIterator[Contender]:
        """A contender for the account's lock; after *seconds* in vain it goes without (``None``: it does not wait)."""
        contender = contender_for(self._guard, self, seconds)
        try:
            yield contender
        finally:
            await contender.leave()

    def holds(self, turn: Turn | None) -> None:
        """From now on, load and save under *turn*, which notices that it was overtaken."""
        self._turn = turn

    @property
    def resting(self) -> bool:
        """Whether the store is not to be asked now."""
        return self._guard.resting and not self._probing

    async def call(self, name: str, make: Callable[[], Awaitable[T]]) -> T | None:
        """What the store answers, in time; ``None`` where it does not."""
        async with self._guard.line():
            return await self._call(name, make)

    async def _call(self, name: str, make: Callable[[], Awaitable[T]]) -> T | None:
        if self.resting:
            self._failed = True
            return None
        began = self._guard.clock()
        try:
            result = await bounded(make(), self.patience, finish=True, grace=min(CANCEL_GRACE, self._guard.patience))
        except Exception as failure:  # noqa: BLE001 - a store may raise anything; a request survives it
            self.fail(name, failure)
            self.patience = max(0.0, self.patience - (self._guard.clock() - began))
            return None
        spent = self._guard.clock() - began
        # An answer that took longer than was allowed waited for this process, which stood still.
        self.patience -= spent if spent <= self.patience else 0.0
        if not self._failed and result is not False:  # a lock that is another's says nothing
            self._guard.succeeded(name)
        return result

    def fail(self, name: str, failure: Exception) -> None:
        """The store failed this visit."""
        self._failed = True
        self._guard.failed(name, failure)


async def _noted(call: Awaitable[T]) -> tuple[T]:
    return (await call,)
