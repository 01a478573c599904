"""
An owner's timers, for the renewal ahead of expiry and for latches that open; they keep no dropped owner alive. And pauses.

The time of a renewal comes from `state`: `IssuedToken.timed` draws it once per token, `IssuedToken.renew_later` moves it after a
renewal that brought nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import Any

from .._clock import Clock


class WeakTimer:
    """Calls *due* with the weakly held *target* at a time of *clock*."""

    __slots__ = ("__weakref__", "_clock", "_due", "_handle", "_target", "_ticket")

    def __init__(self, target: object, due: Callable[[Any], None], clock: Clock) -> None:
        self._target, self._due = weakref.ref(target), due
        self._clock = clock
        self._handle: asyncio.TimerHandle | None = None
        # Invariant: the identity of the newest timer, with its loop; one with another ticket belongs to a loop that was left.
        self._ticket: tuple[asyncio.AbstractEventLoop] | None = None
        # Only a clock that tests advance has this: no other one gets ahead of the loop's timers.
        notify = getattr(clock, "notify", None)
        if notify is not None:
            notify(self)

    @property
    def armed(self) -> bool:
        """Whether it will fire."""
        return self._handle is not None and not self._handle.cancelled()

    def arm(self, at: float) -> None:
        """Fire at that time, or at once if it has passed, and never at infinity."""
        loop = asyncio.get_running_loop()
        self.cancel()
        if at == math.inf:
            return
        ticket = self._ticket = (loop,)
        seconds = max(0.0, at - self._clock())
        # The loop holds a plain function and weak references: a timer an hour ahead must not keep its owner alive.
        self._handle = loop.call_later(seconds, _fire, weakref.ref(self), ticket, context=Context())

    def cancel(self) -> None:
        """Do not fire; the next `arm` is on the loop that runs then."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None

    def leave_loop(self) -> None:
        """Let go of a handle that belongs to another loop, without touching it."""
        self._handle = self._ticket = None

    def look_again(self) -> None:
        """Fire soon on the timer's loop, if it is armed: its clock was advanced. *due* looks at the time itself."""
        ticket = self._ticket
        if ticket is not None and self.armed:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                ticket[0].call_soon_threadsafe(_fire, weakref.ref(self), ticket, context=Context())

    def _expire(self, ticket: object) -> None:
        if ticket is not self._ticket or not self.armed:
            return
        self.cancel()
        target = self._target()
        if target is not None:
            self._due(target)


async def sleep(seconds: float, clock: Clock) -> None:
    """Return after so many *seconds*, or as soon as *clock*, one that tests advance, has moved on by them."""
    if hasattr(clock, "notify"):
        await _Pause(clock() + seconds, clock).wait()
    else:
        await asyncio.sleep(seconds)


class _Pause:
    """The time until *over* on a clock that may be advanced."""

    __slots__ = ("__weakref__", "_clock", "_ended", "_over", "_timer")

    def __init__(self, over: float, clock: Clock) -> None:
        self._over, self._clock = over, clock
        self._ended = asyncio.Event()
        self._timer = WeakTimer(self, _Pause._look, clock)

    async def wait(self) -> None:
        self._timer.arm(self._over)
        try:
            await self._ended.wait()
        finally:
            self._timer.cancel()

    def _look(self) -> None:
        if self._clock() < self._over:
            self._timer.arm(self._over)
        else:
            self._ended.set()


def _fire(timer: weakref.ref[WeakTimer], ticket: object) -> None:
    target = timer()
    if target is not None:
        target._expire(ticket)  # noqa: SLF001 - the other half of `WeakTimer.arm`
