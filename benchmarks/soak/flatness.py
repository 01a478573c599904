"""What must not grow: figures under load, compared by medians, and what is held at rest, compared to the piece."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .course import Found, Point, Rest
from .owners import POOLED

MEBIBYTE = 2**20
LONG_ENOUGH = 300.0
"""Seconds of traffic from which figures under load are judged: only then has the allocator its fill, and disturbances even out."""
_SHARE = 0.05
_MEMORY = 3 * MEBIBYTE
"""How much resident memory may grow under load, where the allocator's pages follow the peaks; blocks are judged at rest."""
_SHARE_OF_TRAFFIC, _TRAFFIC = 0.5, 30
"""How much a figure may grow that follows the traffic and the disturbances; it is judged at rest."""
_ROUGHLY, _SHARE_AT_REST = ("objects", "blocks"), 0.02
"""How much objects and allocated blocks may grow at rest: tables of a fixed size are not all full after the first fifth."""


@dataclass(frozen=True)
class Course:
    """One figure of one process under load: its median in the second fifth of the time, and in the last."""

    measure: str
    process: str
    early: float
    late: float
    judged: bool

    @property
    def flat(self) -> bool:
        """Whether it grew by less than 5 % and 3 MB (memory), or 30 or 50 % (others)."""
        growth = self.late - self.early
        if self.measure == "memory":
            return growth < min(_SHARE * self.early, _MEMORY)
        return growth < max(_TRAFFIC, _SHARE_OF_TRAFFIC * self.early)

    @property
    def verdict(self) -> str:
        """In a word."""
        return ("flat" if self.flat else "GROWS") if self.judged else "(too short)"


def course(measure: str, process: str, points: Sequence[Point], seconds: float) -> Course | None:
    """Return the course of *points* within so many *seconds*; ``None`` if there are too few."""
    fifth = seconds / 5
    early = [value for time, value in points if fifth <= time < 2 * fifth]
    late = [value for time, value in points if time >= seconds - fifth]
    if not early or not late:
        return None
    return Course(measure, process, statistics.median(early), statistics.median(late), judged=seconds >= LONG_ENOUGH)


@dataclass(frozen=True)
class Held:
    """One figure at rest, after the warm-up and at the end."""

    measure: str
    process: str
    first: float | None
    last: float | None

    @property
    def same(self) -> bool:
        """To the piece; objects and blocks within two per cent; owners at most one for the main account and a full pool."""
        if self.first is None or self.last is None:
            return False
        if self.measure in _ROUGHLY:
            return self.last <= self.first * (1 + _SHARE_AT_REST)
        return self.first == self.last or (self.measure == "owners" and self.last <= 1 + POOLED)


def compared(found: Found) -> Iterator[Held]:
    """Compare each figure at the first rest with the last; after closing, with zero."""
    first, last = found.rests[0], found.rests[-1]
    for process, (before, after) in enumerate(zip(first, last, strict=True), 1):
        for measure, value in before["gauges"].items():
            # What the allocator keeps for later does not show what is in use; the blocks do.
            if measure != "memory":
                yield Held(measure, str(process), value, after["gauges"][measure])
    yield Held("Redis' clients", "both", found.redis_clients[0], found.redis_clients[-1])
    for measure, value in sorted(found.left.items()):
        yield Held(f"{measure} after closing", "both", 0, value)


def grown(found: Found, most: int) -> list[tuple[str, int, int]]:
    """Return the types that grew most between the rests: the name, how many before, how many more."""
    first, last = _types(found.rests[0]), _types(found.rests[-1])
    more = {name: count - first[name] for name, count in last.items() if count > first[name]}
    return [(name, first[name], more[name]) for name in sorted(more, key=lambda name: -more[name])[:most]]


def _types(rest: Rest) -> Counter[str]:
    return sum((Counter(one["types"]) for one in rest), Counter[str]())
