"""When the renewal ahead of expiry begins: a timer, not a task, and none for an owner that nobody asks."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import Any

from .._clock import Clock
from .grant import Grant

SHORTEST_PAUSE = 1.0
"""Seconds between two attempts."""


class RenewalTimer:
    """Calls *due* with the weakly held *owner* when a grant is due; the loop keeps none alive that was dropped."""

    __slots__ = ("__weakref__", "_clock", "_due", "_handle", "_owner", "_ticket")

    def __init__(self, owner: object, due: Callable[[Any], None], clock: Clock) -> None:
        self._owner, self._due = weakref.ref(owner), due
        self._clock = clock
        self._handle: asyncio.TimerHandle | None = None
        self._ticket: object = None

    @property
    def armed(self) -> bool:
        """Whether it will go off."""
        return self._handle is not None and not self._handle.cancelled()

    def arm(self, grant: Grant) -> None:
        """Go off when *grant*'s renewal is to begin."""
        self.disarm()
        if grant.renew_at < math.inf:
            self._after(grant.renew_at - self._clock())

    def arm_again(self, grant: Grant) -> None:
        """After a failed renewal: go off in the middle of what is left of *grant*'s life, if anything is."""
        left = grant.expires - self._clock()
        if left > SHORTEST_PAUSE:
            self._after(max(SHORTEST_PAUSE, left / 2))

    def disarm(self) -> None:
        """Not go off; the next `arm` is on the loop that runs then."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None

    def release(self) -> None:
        """Let go of a handle that belongs to another loop, without touching it."""
        self._handle = self._ticket = None

    def _after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        ticket = self._ticket = object()
        self._handle = loop.call_later(max(0.0, seconds), _go_off, weakref.ref(self), ticket, context=Context())

    def _expired(self, ticket: object) -> None:
        if ticket is not self._ticket:
            return  # of a loop that was left
        self._handle = None
        owner = self._owner()
        if owner is not None:
            self._due(owner)


def _go_off(timer: weakref.ref[RenewalTimer], ticket: object) -> None:
    target = timer()
    if target is not None:
        target._expired(ticket)  # noqa: SLF001 - the other half of `_after`
