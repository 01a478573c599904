"""
Single flight: one piece of work, any number that wait for it.

1. A flight exists from the moment `SingleFlight.begin` is called, before its task has run: nobody begins a second.
2. It belongs to nobody: cancelling a waiter, the first one too, changes nothing for the others.
3. Every flight lands, however its work ends, and landing wakes all who wait: at once with an error, else a few at a time.
4. A flight that was dropped (logout, close, another event loop) still lands for its own waiters, but is not current.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from itertools import islice
from typing import Any

from .._calls import CANCEL_GRACE, cancel_and_wait
from ..errors import ExterviewAuthError, LoginError

# The flights whose work the running code is part of, outermost first.
_inside: ContextVar[tuple[Flight, ...]] = ContextVar("exterview_auth_inside")

LONGEST_CANCELLING = 3 * CANCEL_GRACE
"""Seconds; cancelled work first finishes its command to a store, then gives back its lock."""

PORTION = 8
"""How many go on in one turn of the loop. Were it all, thousands would be sent before the first answer is read."""

_CANCELLED = LoginError("the login was cancelled; the next request makes another")


class _Row:
    """Those who wait for a flight until the same time: they share its timer."""

    __slots__ = ("_timer", "seats", "until")

    def __init__(self, until: float | None, loop: asyncio.AbstractEventLoop) -> None:
        self.until = until
        self.seats: dict[asyncio.Future[bool], None] = {}
        self._timer = None if until is None else loop.call_at(until, self._time_is_over, context=Context())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _time_is_over(self) -> None:
        for seat in self.seats:
            if not seat.done():
                seat.set_result(False)


class Seat:
    """
    One who waits for *flight*: ``with seat as landing: await landing``, which costs thousands who wait no coroutine more.

    At its end it raises the caller's own copy of the flight's error, or ``TimeoutError`` if its time came first.
    """

    __slots__ = ("_landing", "flight", "spent", "until")

    def __init__(self, flight: Flight, until: float | None) -> None:
        self.flight = flight
        self.until = flight.same_time(until)
        self.spent = False
        """Whether what its waiter found has been looked at."""

    def __enter__(self) -> asyncio.Future[bool]:
        self._landing = self.flight.take(self.until)
        return self._landing

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        self.flight.leave(self._landing, self.until)
        if failed is not None:
            return
        if not self._landing.result():
            raise TimeoutError
        if self.flight.error is not None:
            raise self.flight.error.copy_for_waiter()


class Flight:
    """One run of the work, and those who wait for it."""

    __slots__ = ("_loop", "_rows", "_task", "error", "landed", "unchanged", "waiting")

    def __init__(self) -> None:
        # Invariant: a future is in a row exactly while its waiter is suspended, and counted in `waiting`; a row with none is
        # taken away. Only the landing and the row's time resolve one.
        self._rows: dict[float | None, _Row] = {}
        self.waiting = 0
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self.landed = False
        self.error: ExterviewAuthError | None = None
        self.unchanged = False

    @property
    def contains_caller(self) -> bool:
        """Whether the calling code is part of this flight's unfinished work (a task that outlives it is not)."""
        return not self.landed and self in _inside.get(())

    def same_time(self, until: float | None) -> float | None:
        """*until*, as the number that those share who wait until then."""
        row = self._rows.get(until)
        return until if row is None else row.until

    def take(self, until: float | None) -> asyncio.Future[bool]:
        """A future that becomes true at the landing, and false where the loop's time *until* comes first."""
        seat: asyncio.Future[bool] = self._loop.create_future()
        if self.landed:
            seat.set_result(True)
        row = self._rows.get(until)
        if row is None:
            row = self._rows[until] = _Row(until, self._loop)
        row.seats[seat] = None
        self.waiting += 1
        return seat

    def leave(self, seat: asyncio.Future[bool], until: float | None) -> None:
        """Whoever took *seat* waits no longer."""
        row = self._rows[until]
        del row.seats[seat]
        self.waiting -= 1
        if not row.seats:
            row.close()
            del self._rows[until]

    def land(self, error: ExterviewAuthError | None) -> None:
        """End the wait of all; a second landing changes nothing."""
        if self.landed:
            return
        self.landed, self.error = True, error
        if self._loop.is_closed():
            return  # nobody wakes any more
        seats = [seat for row in self._rows.values() for seat in row.seats]
        self._wake(iter(seats), PORTION if error is None else len(seats))

    def _wake(self, seats: Iterator[asyncio.Future[bool]], number: int) -> None:
        portion = list(islice(seats, number))
        for seat in portion:
            if not seat.done():
                seat.set_result(True)
        if portion:
            self._loop.call_soon(self._wake, seats, number)

    async def cancel(self) -> None:
        """Cancel the work and give it a moment to clean up; called from inside the work, it is not waited for."""
        task = self._task
        if task is None or task.done():
            return
        if self in _inside.get(()):
            task.cancel()
        else:
            await cancel_and_wait(task, LONGEST_CANCELLING)

    def launch(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work* in a context of its own: nothing of the first caller's (trace span, variables) shows in it."""
        context = Context()
        outer = (flight for flight in _inside.get(()) if not flight.landed)
        context.run(_inside.set, (*outer, self))
        self._task = task = self._loop.create_task(work, context=context, name="exterview_auth login")
        return task


class SingleFlight:
    """At most one current flight."""

    __slots__ = ("current",)

    def __init__(self) -> None:
        # Invariant: set before the work's first step, cleared before its waiters wake.
        self.current: Flight | None = None

    def begin(self, work: Callable[[Flight], Coroutine[Any, Any, None]]) -> Flight:
        """Make a flight current and start its *work*."""
        flight = self.current = Flight()
        task = flight.launch(self._run(flight, work))
        # A task that is cancelled before its first step runs nothing of `_run`.
        task.add_done_callback(lambda _: self._end(flight, _CANCELLED))
        return flight

    def drop(self, error: ExterviewAuthError | None) -> Flight | None:
        """Take the current flight out, and end its waiters with *error*; its work goes on for nobody."""
        flight, self.current = self.current, None
        if flight is not None and error is not None:
            flight.land(error)
        return flight

    async def _run(self, flight: Flight, work: Callable[[Flight], Coroutine[Any, Any, None]]) -> None:
        error: ExterviewAuthError | None = _CANCELLED
        try:
            await work(flight)
            error = None
        except ExterviewAuthError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - whatever it is, the waiters have to know
            error = LoginError(f"the login ended in {type(failure).__name__}")
            error.__cause__ = failure
        finally:
            self._end(flight, error)

    def _end(self, flight: Flight, error: ExterviewAuthError | None) -> None:
        if self.current is flight:
            self.current = None
        flight.land(error)
