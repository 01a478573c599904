"""
Single flight: one piece of work, any number of waiters.

1. A flight exists from the moment `SingleFlight.begin` is called, before its task has run: nobody begins a second one.
2. It belongs to nobody: cancelling a waiter, the first one too, changes nothing for the others.
3. Every flight finishes, however its work ends, and wakes all its waiters: at once with an error, else in batches.
4. A flight that was dropped (logout, close, another event loop) still finishes for its own waiters, but is not current.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from itertools import islice
from types import NoneType
from typing import Any

from .._calls import CANCEL_GRACE, cancel_and_wait
from .._records import Feed
from ..errors import ExterviewAuthError, LoginError

# The flights whose work the running code is part of, outermost first.
_inside: ContextVar[tuple[Flight, ...]] = ContextVar("exterview_auth_inside")

MAX_CANCELLING = 3 * CANCEL_GRACE
"""Seconds; cancelled work first finishes its command to a store, then releases its lock."""

WAKE_BATCH = 8
"""Waiters that resume in one turn of the loop. If all did, thousands would be sent before the first answer is read."""

CANCELLED = LoginError("the login was cancelled; the next request logs in again")
"""The error of a flight whose task was cancelled, as its event loop does with every task that is left when it ends."""


class _DeadlineGroup:
    """The waiters of a flight that share a deadline, and its one timer."""

    __slots__ = ("_timer", "deadline", "waiters")

    def __init__(self, deadline: float | None, loop: asyncio.AbstractEventLoop) -> None:
        self.deadline = deadline
        self.waiters: dict[asyncio.Future[bool], None] = {}
        self._timer = None if deadline is None else loop.call_at(deadline, self._expire, context=Context())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(False)


class Waiter:
    """
    A waiter on *flight*: ``with waiter as done: await done``.

    A context manager around a future rather than a coroutine, because thousands may wait. On exit it raises the caller's
    separate copy of the flight's error, or ``TimeoutError`` if its deadline came first.
    """

    __slots__ = ("_began", "_done", "consumed", "deadline", "flight", "is_late")

    def __init__(self, flight: Flight, deadline: float | None) -> None:
        self.flight = flight
        # The very float that others with this deadline hold: thousands of equal ones would be memory.
        self.deadline = flight.shared_deadline(deadline)
        self.consumed = False
        """Whether the outcome that it waited for has been looked at."""
        self.is_late: Callable[[], bool] | None = None
        """Whether a cancellation means that the caller's own time is up; set where somebody listens to the feed."""

    def __enter__(self) -> asyncio.Future[bool]:
        self._done = self.flight.join(self.deadline)
        feed = self.flight.feed
        self._began = feed.wait_begins(self.flight) if feed.listeners else None
        return self._done

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self.flight.leave(self._done, self.deadline)
        error = self._error() if failed is None else None
        if self._began is not None:
            self.flight.feed.wait_ended(self._began, self._named(type(error) if failed is None else failed))
        if error is not None:
            raise error

    def _error(self) -> Exception | None:
        if not self._done.result():
            return TimeoutError()
        # One shared instance would collect every waiter's traceback.
        return None if self.flight.error is None else self.flight.error.copy_for_waiter()

    def _named(self, kind: type[BaseException | None]) -> str | None:
        """Return the name of the error that ends the wait; a caller whose time is up sees aiohttp's cancellation first."""
        if issubclass(kind, asyncio.CancelledError) and self.is_late is not None and self.is_late():
            kind = TimeoutError
        return None if kind is NoneType else kind.__name__


class Flight:
    """One run of the work, and its waiters."""

    __slots__ = (
        "__weakref__", "_groups", "_loop", "_task", "closing", "error", "feed", "finished", "joined", "unchanged", "waiting",
        "waits_for",
    )  # fmt: skip

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        # Invariant: a future is in a group exactly while its waiter is suspended, and counted in `waiting`; an empty group
        # is removed. Only `finish` and the group's timer resolve a future, and `join` once the flight has finished.
        self._groups: dict[float | None, _DeadlineGroup] = {}
        self.waiting = self.joined = 0
        """How many wait now, and how many have begun to wait."""
        self._loop = asyncio.get_running_loop()
        # Invariant: the flights that code inside this one waits for now, each as often as it does.
        self.waits_for: list[Flight] = []
        self._task: asyncio.Task[None] | None = None
        self.finished = False
        self.error: ExterviewAuthError | None = None
        self.unchanged = False
        """Whether the login had nothing newer than the token it was to replace."""
        self.closing = False
        """Whether it was dropped by a close that waits for its token to be saved."""

    @property
    def is_caller_inside(self) -> bool:
        """Whether the calling code is part of this flight's unfinished work; a task that outlives the work is not."""
        return not self.finished and self in _inside.get(())

    @property
    def waits_for_caller(self) -> bool:
        """Whether the calling code is part of this flight's unfinished work, or of other flights that it waits for."""
        return self.is_caller_inside or any(other.waits_for_caller for other in self.waits_for if not self.finished)

    def shared_deadline(self, deadline: float | None) -> float | None:
        """Return *deadline*, as the object that the waiters with an equal deadline share."""
        group = self._groups.get(deadline)
        return deadline if group is None else group.deadline

    def join(self, deadline: float | None) -> asyncio.Future[bool]:
        """Return a future that becomes true when the flight finishes, false if the loop's time *deadline* comes first."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        if self.finished:
            waiter.set_result(True)
        group = self._groups.get(deadline)
        if group is None:
            group = self._groups[deadline] = _DeadlineGroup(deadline, self._loop)
        group.waiters[waiter] = None
        self.waiting += 1
        self.joined += 1
        for flight in _inside.get(()):
            flight.waits_for.append(self)
        return waiter

    def leave(self, waiter: asyncio.Future[bool], deadline: float | None) -> None:
        """Remove *waiter*, which no longer waits."""
        group = self._groups[deadline]
        del group.waiters[waiter]
        self.waiting -= 1
        for flight in _inside.get(()):
            if self in flight.waits_for:  # a coroutine that nobody awaits any more is closed in any context
                flight.waits_for.remove(self)
        if not group.waiters:
            group.close()
            del self._groups[deadline]

    def finish(self, error: ExterviewAuthError | None) -> None:
        """Wake all waiters; finishing twice changes nothing."""
        if self.finished:
            return
        self.finished, self.error = True, error
        if self._loop.is_closed():
            return  # no waiter can wake any more
        waiters = [waiter for group in self._groups.values() for waiter in group.waiters]
        # An error wakes all at once (they send nothing); after a login, answers are read between the batches.
        self._wake(iter(waiters), WAKE_BATCH if error is None else len(waiters))

    def _wake(self, waiters: Iterator[asyncio.Future[bool]], number: int) -> None:
        batch = list(islice(waiters, number))
        for waiter in batch:
            if not waiter.done():
                waiter.set_result(True)
        if batch:
            self._loop.call_soon(self._wake, waiters, number)

    async def cancel(self) -> None:
        """Cancel the work and give it a moment to clean up. Called from inside the work, do not wait for it."""
        task = self._task
        if task is None or task.done():
            return
        if self in _inside.get(()):
            task.cancel()
        else:
            await cancel_and_wait(task, MAX_CANCELLING)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work* in a separate context, in which nothing of the first caller (trace span, variables) is visible."""
        context = Context()
        outer = (flight for flight in _inside.get(()) if not flight.finished)
        context.run(_inside.set, (*outer, self))
        self._task = task = self._loop.create_task(work, context=context, name="exterview_auth login")
        return task


class SingleFlight:
    """At most one current flight. *feed* is notified of who waits."""

    __slots__ = ("_feed", "current")

    def __init__(self, feed: Feed | None = None) -> None:
        self._feed = Feed() if feed is None else feed
        # Invariant: set before the work's first step, cleared before its waiters wake.
        self.current: Flight | None = None

    def begin(
        self, work: Callable[[Flight], Coroutine[Any, Any, None]], landed: Callable[[Flight], None] = lambda _: None
    ) -> Flight:
        """Make a flight current and start its *work*. Call *landed* when it ends, unless it was dropped until then."""
        # Current before its task exists: a second caller in this turn of the loop must find it.
        flight = self.current = Flight(self._feed)
        task = flight.start(self._run(flight, work, landed))
        # A task that is cancelled before its first step runs nothing of `_run`.
        task.add_done_callback(lambda _: self._end(flight, CANCELLED, landed))
        return flight

    def drop(self, error: ExterviewAuthError | None) -> Flight | None:
        """Remove and return the current flight, and end its waiters with *error*; its work goes on for nobody."""
        flight, self.current = self.current, None
        if flight is not None and error is not None:
            flight.finish(error)
        return flight

    async def _run(
        self, flight: Flight, work: Callable[[Flight], Coroutine[Any, Any, None]], landed: Callable[[Flight], None]
    ) -> None:
        error: ExterviewAuthError | None = CANCELLED
        try:
            await work(flight)
            error = None
        except ExterviewAuthError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - whatever it is, the waiters must get it
            error = LoginError(f"the login ended in {type(failure).__name__}; see the error that is chained to it")
            error.__cause__ = failure
        finally:
            self._end(flight, error, landed)

    def _end(self, flight: Flight, error: ExterviewAuthError | None, landed: Callable[[Flight], None]) -> None:
        current = self.current is flight
        if current:
            self.current = None
        flight.finish(error)
        if current:
            landed(flight)
