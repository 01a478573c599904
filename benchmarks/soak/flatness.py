"""What must not grow: figures under load, compared by medians, and what is held at rest, compared to the piece."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .course import Found, Point
from .owners import POOLED

MEBIBYTE = 2**20
LONG_ENOUGH = 300.0
"""Seconds of traffic from which figures under load are judged: only then has the allocator its fill, and disturbances even out."""
_SHARE = 0.05
_MEMORY = 3 * MEBIBYTE
"""How much resident memory may grow under load, where the allocator's pages follow the peaks; blocks are judged at rest."""
_SHARE_OF_TRAFFIC, _TRAFFIC = 0.5, 30
"""How much a figure may grow that follows the traffic and the disturbances; it is judged at rest."""
_ROUGHLY, _SHARE_AT_REST = ("objects", "blocks", "owners"), 0.02
"""What may grow at rest, and how much of it: tables of a fixed size are not all full after the first fifth."""


@dataclass(frozen=True)
class Figure:
    """One figure of one process (or of both), early and late: medians under load, or what is held at rest."""

    measure: str
    process: str
    early: float | None
    late: float | None
    flat: bool
    judged: bool = True

    @property
    def verdict(self) -> str:
        """In a word."""
        return ("flat" if self.flat else "NOT FLAT") if self.judged else "(too short)"


def under_load(found: Found) -> list[Figure]:
    """Compare each figure in the second fifth of the time with the last fifth, if there are enough of both."""
    figures = (course(*name, points, found.seconds) for name, points in found.points.items())
    return sorted((one for one in figures if one is not None), key=lambda one: (one.measure, one.process))


def course(measure: str, process: str, points: Sequence[Point], seconds: float) -> Figure | None:
    """Return the medians of *points* within so many *seconds*; ``None`` if there are too few."""
    fifth = seconds / 5
    first = [value for time, value in points if fifth <= time < 2 * fifth]
    last = [value for time, value in points if time >= seconds - fifth]
    if not first or not last:
        return None
    early, late = statistics.median(first), statistics.median(last)
    most = min(_SHARE * early, _MEMORY) if measure == "memory" else max(_TRAFFIC, _SHARE_OF_TRAFFIC * early)
    return Figure(measure, process, early, late, flat=late - early < most, judged=seconds >= LONG_ENOUGH)


def at_rest(found: Found) -> Iterator[Figure]:
    """Compare each figure at the first rest with the last; after closing, with zero."""
    first, last = found.rests[0], found.rests[-1]
    for process, (before, after) in enumerate(zip(first, last, strict=True), 1):
        for measure, value in before["gauges"].items():
            # What the allocator keeps for later does not show what is in use; the blocks do.
            if measure != "memory":
                yield _held(measure, str(process), value, after["gauges"][measure])
    yield _held("Redis' clients", "both", found.redis_clients[0], found.redis_clients[-1])
    for measure, value in sorted(found.left.items()):
        yield _held(f"{measure} after closing", "both", 0, value)


def _held(measure: str, process: str, early: float | None, late: float | None) -> Figure:
    if early is None or late is None:
        return Figure(measure, process, early, late, flat=False)
    # The pool and some tables are not full after the first fifth; all else must be the same to the piece.
    most = 1 + POOLED if measure == "owners" else early * (1 + _SHARE_AT_REST)
    return Figure(measure, process, early, late, flat=early == late or (measure in _ROUGHLY and late <= most))


def grown(found: Found, most: int) -> list[str]:
    """Return the types that grew most between the rests: the name, how many before, how many more."""
    first, last = (
        sum((Counter(one["types"]) for one in rest), Counter[str]()) for rest in (found.rests[0], found.rests[-1])
    )
    return [f"{name} {first[name]} + {more}" for name, more in (last - first).most_common(most)]
