"""An asyncio event loop of virtual time for several simulated processes, whose order of running is drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

from ._schedule import Party, Policy, Ready
from .fleet.network import Dice

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WORLD = Party("world")
LONGEST_RUN = 400_000
"""Steps after which a run counts as one that does not end."""
QUICKEST_THREAD, SLOWEST_THREAD = 0.0001, 0.003
"""Seconds that a call in another thread takes."""


class StandstillError(Exception):
    """Nothing is ready and no timer is set although the run has not ended, or the run does not end."""


class _Call(asyncio.Handle):
    """A callback that knows its party; *number* is its task's, if it is a step of one."""

    __slots__ = ("number", "party")

    def __init__(self, party: Party, number: int | None, *rest: Any) -> None:
        super().__init__(*rest)
        self.party, self.number = party, number


class _Timer(asyncio.TimerHandle):
    __slots__ = ("number", "party")

    def __init__(self, party: Party, *rest: Any) -> None:
        super().__init__(*rest)
        self.party, self.number = party, None


class SimulatedTask(asyncio.Task[Any]):
    """A task that knows its party and its number, in the order of creation."""

    def __init__(self, work: Coroutine[Any, Any, Any], *, loop: SimulatedLoop, **options: Any) -> None:
        self.party, self.number = loop.party, next(loop.numbers)
        super().__init__(work, loop=loop, **options)


def _make_task(loop: SimulatedLoop, work: Coroutine[Any, Any, Any], **options: Any) -> SimulatedTask:
    return SimulatedTask(work, loop=loop, **options)


class SimulatedLoop(asyncio.BaseEventLoop):
    """
    ``now`` is its time, in seconds from zero. A callback takes up to *turn* seconds. It has no sockets and no threads.

    What a party's code begins belongs to that party too, and does not run while it is frozen; its timers fire late then.
    ``after_step`` is called after each callback, ``after_thread`` after each call in another thread.
    """

    _stopping: bool

    def __init__(self, policy: Policy, dice: Dice, turn: float = 0.0) -> None:
        super().__init__()
        self.now = 0.0
        self._turn = turn
        self.steps = 0
        self.party = WORLD
        self.numbers = itertools.count()
        self.after_step: Callable[[], None] = _nothing
        self.after_thread: Callable[[], None] = _nothing
        self._dice = dice
        self._queue: Ready[_Call | _Timer] = Ready(policy, dice)
        self._timers: list[tuple[float, int, _Timer]] = []
        self._frozen: dict[Party, list[_Call | _Timer]] = {}
        self.set_task_factory(_make_task)  # type: ignore[arg-type]  # it makes tasks only for this kind of loop

    def time(self) -> float:
        """Virtual seconds."""
        return self.now

    # -- parties ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def acting(self, party: Party) -> Iterator[None]:
        """Let what is begun inside belong to *party*."""
        before, self.party = self.party, party
        try:
            yield
        finally:
            self.party = before

    def call_for(
        self, party: Party, seconds: float, callback: Callable[..., object], *args: Any
    ) -> asyncio.TimerHandle:
        """Have *party* run *callback* so many *seconds* from now."""
        with self.acting(party):
            return self.call_at(self.now + seconds, callback, *args)

    def freeze(self, party: Party) -> None:
        """Stop running *party*'s callbacks."""
        party.frozen = True

    def thaw(self, party: Party) -> None:
        """Run them again, and all that became ready meanwhile."""
        party.frozen = False
        for handle in self._frozen.pop(party, ()):
            self._enqueue(handle)

    # -- what asyncio asks of a loop --------------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run *callback* in a later step."""
        task = getattr(callback, "__self__", None)
        party, number = (task.party, task.number) if isinstance(task, SimulatedTask) else (self.party, None)
        handle = _Call(party, number, callback, args, self, context)
        self._enqueue(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Do the same: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* after *delay* seconds."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run *callback* at *when*."""
        handle = _Timer(self.party, when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self.numbers), handle))
        return handle

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # asyncio's own is a coroutine in the stubs alone
        """Return a future of *func*'s result; as in a thread, the call happens also if its caller is gone."""
        future: asyncio.Future[T] = self.create_future()
        seconds = self._dice.between(QUICKEST_THREAD, SLOWEST_THREAD)
        self.call_later(seconds, self._carry_out, future, func, args)
        return future

    def _carry_out(self, future: asyncio.Future[T], func: Callable[..., T], args: tuple[Any, ...]) -> None:
        try:
            result = func(*args)
        except Exception as failure:  # noqa: BLE001 - as a thread's future does
            if not future.done():
                future.set_exception(failure)
        else:
            if not future.done():
                future.set_result(result)
        self.after_thread()

    def close(self) -> None:
        """Let go of what was to run, as asyncio's own loop does."""
        super().close()
        self._timers.clear()
        self._frozen.clear()
        self._queue = Ready(self._queue.policy, self._dice)
        self.after_step = self.after_thread = _nothing

    def pending(self, party: Party) -> list[asyncio.TimerHandle]:
        """Return the timers of *party* that would still fire."""
        return [handle for _, _, handle in self._timers if handle.party is party and not handle.cancelled()]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: it is skipped when its time comes."""

    def _enqueue(self, handle: _Call | _Timer) -> None:
        if handle.party.frozen:
            self._frozen.setdefault(handle.party, []).append(handle)
        else:
            self._queue.add(handle.party, handle.number, handle)

    def _run_once(self) -> None:
        while not self._queue:
            self._pass_time()
        if self._turn:
            self._take_a_moment()
        handle = self._queue.take()
        if handle.cancelled():
            return
        if handle.party.frozen:
            self._enqueue(handle)
            return
        self.party = handle.party
        handle._run()
        self.party = WORLD
        self.steps += 1
        if self.steps > LONGEST_RUN:
            raise StandstillError(f"the run does not end: {self.steps} steps in {self.now:.1f} s")
        self.after_step()

    def _pass_time(self) -> None:
        if not self._timers:
            raise StandstillError("nothing is ready and no timer is set")
        self.now = max(self.now, self._timers[0][0])
        self._fire()

    def _take_a_moment(self) -> None:
        self.now += self._turn * self._dice.random()
        self._fire()

    def _fire(self) -> None:
        while self._timers and self._timers[0][0] <= self.now:
            handle = heapq.heappop(self._timers)[2]
            if not handle.cancelled():
                self._enqueue(handle)


def _nothing() -> None:
    """Do nothing."""
