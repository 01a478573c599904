"""
When something of an owner is due: the renewal ahead of expiry, and latches that open. It keeps no owner alive. And pauses.

All owners on an event loop share one timer of it, for the earliest of their alarms: ten thousand accounts need not have a handle
each. The time of a renewal comes from `state`: `IssuedToken.timed` draws it once per token, `IssuedToken.renew_later` moves it
after a renewal that brought nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from abc import ABC, abstractmethod
from contextvars import Context
from heapq import heapify, heappop, heappush
from typing import Self
from weakref import WeakValueDictionary

from .._clock import Clock
from .account import Account

FEWEST_SORTED_OUT = 64
"""Alarms on a loop, cancelled ones among them, before these are removed for the first time."""


class Scheduled(ABC):
    """
    A part of an owner, whose `due` is called at a time of the account's clock.

    While it is armed, the event loop refers to it. It must not refer to its owner, which disarms it when it is dropped.
    """

    __slots__ = ("_account", "alarm", "schedule")

    def __init__(self, account: Account) -> None:
        self._account = account
        # Invariant: the newest alarm, until it rings; any other one, perhaps of a loop that was left, has no target.
        self.alarm: Alarm | None = None
        self.schedule: Schedule | None = None
        """Where the alarm is counted, until its time has come."""

    @abstractmethod
    def due(self) -> None:
        """Do what is due."""

    @property
    def armed(self) -> bool:
        """Whether `due` will be called."""
        return self.alarm is not None

    def arm(self, at: float) -> None:
        """Call `due` at that time and not before, at once if it has passed, and never at infinity."""
        loop = asyncio.get_running_loop()
        self.disarm()
        if at != math.inf:
            self.alarm = Alarm(at, self)
            self.schedule = _schedule_of(loop, self._account.clock)
            self.schedule.add(self.alarm)

    def disarm(self) -> None:
        """Do not call `due`; the next `arm` is on the loop that runs then."""
        schedule = self.schedule
        self.leave_loop()
        if schedule is not None:
            schedule.end_if_idle()

    def leave_loop(self) -> None:
        """Let go of an alarm that belongs to another loop, without touching that."""
        if self.schedule is not None:
            self.schedule.waiting -= 1
        if self.alarm is not None:
            self.alarm.target = None
        self.alarm = self.schedule = None


class Alarm(float):
    """
    A time of a clock, and whom it is for.

    A float, so that a heap of alarms compares them in C: there, neither another thread nor the garbage collector, which may drop
    an owner, comes in between.
    """

    __slots__ = ("target",)

    target: Scheduled | None
    """Whom it is for, unless it was cancelled or has rung."""

    def __new__(cls, at: float, target: Scheduled) -> Self:
        alarm = super().__new__(cls, at)
        alarm.target = target
        return alarm

    def ring(self) -> None:
        """Have its target do what is due."""
        target = self.target
        if target is not None:
            target.leave_loop()
            target.due()


class Schedule:
    """The alarms on one event loop by one clock, and a timer of the loop for the earliest."""

    __slots__ = ("__weakref__", "_alarms", "_clock", "_handle", "_loop", "_most", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        # Invariant: a heap with each alarm whose time has not come, and cancelled ones, which are removed when there are `_most`.
        self._alarms: list[Alarm] = []
        self._most = FEWEST_SORTED_OUT
        # Invariant: how many have a target.
        self.waiting = 0
        self._handle: asyncio.TimerHandle | None = None
        # Only a clock that tests advance has this: no other one gets ahead of the loop's timers.
        notify = getattr(clock, "notify", None)
        if notify is not None:
            notify(self)

    def add(self, alarm: Alarm) -> None:
        """Have *alarm* ring in time."""
        if len(self._alarms) >= self._most:
            self._alarms = [other for other in self._alarms if other.target is not None]
            heapify(self._alarms)
            self._most = max(FEWEST_SORTED_OUT, 2 * len(self._alarms))
        heappush(self._alarms, alarm)
        self.waiting += 1
        if self._handle is None or alarm is self._alarms[0]:
            self._set_timer()

    def end_if_idle(self) -> None:
        """Leave no timer behind if no alarm is left. An owner may be dropped in any thread, so nothing is removed here."""
        if self._is_idle():
            self._cancel_timer()
            if not self._is_idle():  # the loop's thread has added one in between
                self._loop.call_soon_threadsafe(self._set_timer)

    def _is_idle(self) -> bool:
        # The count alone would do, unless two threads change it at once.
        return self.waiting <= 0 and not any(alarm.target for alarm in tuple(self._alarms))

    def look_again(self) -> None:
        """Ring what is due by now, on the loop: the clock was advanced."""
        if self._handle is None:
            return
        running = None
        with contextlib.suppress(RuntimeError):
            running = asyncio.get_running_loop()
        if running is self._loop:
            # Not a turn later: the loop may run no other before it cancels its tasks, and a login that began after that would
            # be torn off when it closes.
            Context().run(self._ring, -math.inf)
            return
        with contextlib.suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._ring, -math.inf, context=Context())

    def _ring(self, at: float) -> None:
        """Ring all alarms that are due by the clock, and those until *at*, for which the loop's own time has come."""
        now = max(at, self._clock())
        while self._alarms and self._alarms[0] <= now:
            alarm = heappop(self._alarms)
            target = alarm.target
            if target is not None:
                target.schedule = None
                self.waiting -= 1
                # One by one: an error of one is not the others', and what it arms for now comes after them.
                self._loop.call_soon(alarm.ring)
        self._set_timer()

    def _set_timer(self) -> None:
        self._cancel_timer()
        if self._alarms and not self._is_idle():
            first = self._alarms[0]
            seconds = max(0.0, first - self._clock())
            # An empty context: nothing of the request that armed it is kept, or visible to what it rings.
            self._handle = self._loop.call_later(seconds, self._ring, first, context=Context())

    def _cancel_timer(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None


# Weakly: the loop's timer keeps a schedule, and a schedule its loop, so that an ended loop has neither.
_schedules: WeakValueDictionary[tuple[int, int], Schedule] = WeakValueDictionary()


def _schedule_of(loop: asyncio.AbstractEventLoop, clock: Clock) -> Schedule:
    key = id(loop), id(clock)  # of objects that exist as long as the schedule
    schedule = _schedules.get(key)
    if schedule is None:
        schedule = _schedules[key] = Schedule(loop, clock)
    return schedule


async def sleep(seconds: float, account: Account) -> None:
    """Return after so many *seconds*, or as soon as *account*'s clock, if tests advance it, has moved on by them."""
    if hasattr(account.clock, "notify"):
        await _Pause(account).until(account.clock() + seconds)
    else:
        await asyncio.sleep(seconds)


class _Pause(Scheduled):
    """A pause on a clock that may be advanced."""

    __slots__ = ("_over",)

    async def until(self, at: float) -> None:
        self._over = asyncio.Event()
        self.arm(at)
        try:
            await self._over.wait()
        finally:
            self.disarm()

    def due(self) -> None:
        self._over.set()
