"""How an owner waits for its turn to log in: at a store that tells news, or at one that has a lock alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from .._calls import LATE, CancelledItselfError, is_being_cancelled
from .._clock import Clock
from ..errors import StoreError
from . import TokenStore
from ._lock import Turn, TurnStore

T = TypeVar("T")

LONGEST_LATE_WAIT = 2.0
"""Seconds that are waited on after this process stood still."""


class Guard(Protocol):
    """What is known of the store and its lock."""

    store: TokenStore
    account: str
    clock: Clock

    @property
    def lock_rests(self) -> bool:
        """Whether the lock is left alone."""

    def waited_in_vain(self, seconds: float) -> None:
        """Nobody gave the lock back."""

    def failed(self, call: str, failure: Exception) -> None:
        """The store failed."""

    def leave_behind(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin *work*, which comes to its end also where nobody waits for it."""


class Visit(Protocol):
    """The row of calls that the turn belongs to."""

    patience: float
    """Seconds that it still waits for the store."""

    def failed(self) -> bool:
        """Whether the store did."""

    @property
    def resting(self) -> bool:
        """Whether the store is not to be asked."""

    async def call(self, name: str, make: Callable[[], Awaitable[T]]) -> T | None:
        """A bounded call."""

    def fail(self, name: str, failure: Exception) -> None:
        """The store failed."""

    def holds(self, turn: Turn | None) -> None:
        """Load and save under *turn*."""


class Contender(Protocol):
    """One owner's way to the account's lock. No method raises what the store raises."""

    async def take(self) -> bool:
        """Whether to log in now: it is this owner's turn, or the store has no lock to give."""

    async def news(self) -> bool:
        """Return when it is worth trying again, or looking at the store; whether it is worth looking."""

    async def leave(self) -> None:
        """Give back what was taken."""


def contender_for(guard: Guard, visit: Visit, seconds: float | None) -> Contender:
    """The best that the store can do: one whose lock is a turn tells news, and is not waited for at its lock."""
    if isinstance(guard.store, TurnStore):
        return _AtNews(guard, visit, seconds, guard.store.turn(guard.account))
    return _AtLock(guard, visit, seconds)


class _AtNews:
    """Waits for what others save, and for the lock, whichever comes first."""

    def __init__(self, guard: Guard, visit: Visit, seconds: float | None, turn: Turn) -> None:
        self._guard = guard
        self._visit = visit
        self._turn = turn
        self._seconds = seconds or 0.0
        self._until = guard.clock() + self._seconds
        self._taken = False

    async def take(self) -> bool:
        if self._visit.resting or self._guard.lock_rests:
            return True
        taken = await self._visit.call("lock", self._turn.take)
        if taken:
            self._taken = True
            self._visit.holds(self._turn)
        return taken is not False

    async def news(self) -> bool:
        try:
            async with asyncio.timeout(self._until - self._guard.clock()):
                return await self._turn.news()
        except TimeoutError:
            self._too_late()
        except Exception as failure:  # noqa: BLE001 - a store may raise anything; a login needs no news
            self._visit.fail("lock", failure)
        return True

    def _too_late(self) -> None:
        late = self._guard.clock() - self._until
        if late > LATE:  # this process stood still, perhaps not the lock's holder
            self._until += late + LONGEST_LATE_WAIT
        else:
            self._guard.waited_in_vain(self._seconds)

    async def leave(self) -> None:
        """Whoever comes next in this process finds the lock free; but the lease ends by itself: a sick store is not waited for."""
        self._visit.holds(None)
        leaving = self._guard.leave_behind(self._give_back(), "unlock")
        if self._taken and not self._visit.failed() and not is_being_cancelled():
            await asyncio.wait([leaving], timeout=self._visit.patience)

    async def _give_back(self) -> None:
        try:
            await self._turn.leave()
        except (StoreError, TimeoutError) as failure:
            self._guard.failed("unlock", failure)


class _AtLock:
    """
    Waits in the lock itself, which is entered and left in one task: it may belong to whoever has entered it.

    A lock that is entered too late, or although it was cancelled, is left at once.
    """

    def __init__(self, guard: Guard, visit: Visit, seconds: float | None) -> None:
        self._guard = guard
        self._visit = visit
        self._seconds = seconds
        self._holding: asyncio.Task[None] | None = None
        self._entered = asyncio.Event()
        self._over = asyncio.Event()

    async def take(self) -> bool:
        if self._seconds is None or self._visit.resting or self._guard.lock_rests:
            return True
        self._holding = holding = self._guard.leave_behind(self._hold(), "lock")
        entered = asyncio.ensure_future(self._entered.wait())
        try:
            await asyncio.wait([holding, entered], timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            entered.cancel()
        if not self._entered.is_set() and not holding.done():
            self._give_up()
            self._guard.waited_in_vain(self._seconds)
        return True

    async def news(self) -> bool:
        """There is nothing to wait for."""
        return True

    async def leave(self) -> None:
        holding = self._holding
        if holding is None:
            return
        self._give_up()
        if not is_being_cancelled():
            done, _ = await asyncio.wait([holding], timeout=self._visit.patience)
            if not done:
                holding.cancel()
                self._visit.fail("unlock", TimeoutError())

    def _give_up(self) -> None:
        self._over.set()
        if not self._entered.is_set() and self._holding is not None:
            self._holding.cancel()

    async def _hold(self) -> None:
        try:
            async with self._guard.store.lock(self._guard.account):
                self._entered.set()
                await self._over.wait()
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            self._fail(CancelledItselfError())
        except Exception as failure:  # noqa: BLE001 - a store may raise anything; a login needs no lock
            self._fail(failure)

    def _fail(self, failure: Exception) -> None:
        self._visit.fail("unlock" if self._entered.is_set() else "lock", failure)
