"""Randomness and delays of a simulated fleet, from seeds; each party has its own, so that the order of running changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, TypeVar

T = TypeVar("T")

_WORD = (1 << 64) - 1

MEDIAN, SPREAD = 0.6e-3, 0.6
NEAREST, FARTHEST = 0.3e-3, 5e-3
SLOW_ONES = (0.05, 0.08, 0.12, 0.2)
"""Seconds that about one command in a thousand takes: a lost packet, a pause of a garbage collector."""
_STEPS = 4096


class Dice:
    """A small generator (splitmix64): a hundred thousand of them fit into memory."""

    __slots__ = ("_state",)

    def __init__(self, *seeds: int) -> None:
        self._state = 0
        for seed in seeds:
            self._state = (self._state ^ seed) & _WORD
            self._state = self.number()

    def number(self) -> int:
        """Return any number of 64 bits."""
        self._state = mixed = (self._state + 0x9E3779B97F4A7C15) & _WORD
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
        return mixed ^ (mixed >> 31)

    def random(self) -> float:
        """Return a number from 0 to 1, without 1."""
        return (self.number() >> 11) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """Return a number between both, evenly spread."""
        return low + (high - low) * self.random()

    async def pause(self, low: float, high: float) -> None:
        """Sleep for so many seconds."""
        await asyncio.sleep(self.between(low, high))

    def of(self, values: Sequence[T]) -> T:
        """Return one of *values*."""
        return values[self.number() % len(values)]


def _round_trips() -> tuple[float, ...]:
    normal = NormalDist()
    shares = ((step + 0.5) / _STEPS for step in range(_STEPS - len(SLOW_ONES)))
    usual = (MEDIAN * 2.718281828459045 ** (SPREAD * normal.inv_cdf(share)) for share in shares)
    return (*(min(FARTHEST, max(NEAREST, seconds)) for seconds in usual), *SLOW_ONES)


ROUND_TRIPS = _round_trips()
"""Seconds to Redis and back, without the work of Redis: lognormal, clipped, with a tail."""


class Link:
    """The connection of one process to Redis. While it is *cut*, everything sent or about to arrive is lost."""

    __slots__ = ("_dice", "_loop", "cut")

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self.cut = False

    def deliver(self, receive: Callable[..., object], *what: Any, after: float = 0.0) -> None:
        """Call *receive* with *what*, one way and *after* seconds from now."""
        if not self.cut:
            self.deliver_in(after + self.one_way(), receive, *what)

    def deliver_in(self, seconds: float, receive: Callable[..., object], *what: Any) -> None:
        """Call *receive* with *what* so many *seconds* from now."""
        if not self.cut:
            self._loop.call_later(seconds, self._arrive, receive, what)

    def round_trip(self) -> float:
        """Return the seconds that opening a connection takes."""
        return 2 * self.one_way()

    def one_way(self) -> float:
        """Draw the seconds that a message takes to the other side."""
        return self._dice.of(ROUND_TRIPS) / 2

    def _arrive(self, receive: Callable[..., object], what: tuple[Any, ...]) -> None:
        if not self.cut:
            receive(*what)
