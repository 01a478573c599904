"""Whether a figure stays where it is: medians of two fifths of the time, and the slope by Theil and Sen."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

MEBIBYTE = 2**20
LONG_ENOUGH = 300.0
"""Seconds of traffic from which on it is judged: an allocator has its fill, and the disturbances even out, only by then."""
_SHARE = 0.05
_MEMORY = 3 * MEBIBYTE
"""What resident memory may grow by under load, where the allocator's pages follow the peaks; blocks in use are judged at rest."""
_SHARE_OF_TRAFFIC, _TRAFFIC = 0.5, 30
"""What a figure may grow by that follows the traffic, the disturbances and what else the machine does; it is judged at rest."""
_MOST = 300

Point = tuple[float, float]


@dataclass(frozen=True)
class Course:
    """One figure of one process: in the second fifth of the time, in the last, and how it went in between."""

    measure: str
    process: str
    early: float
    late: float
    per_hour: float
    judged: bool

    @property
    def growth(self) -> float:
        """From the second fifth to the last."""
        return self.late - self.early

    @property
    def flat(self) -> bool:
        """Grown by less than 5 % and 3 MB (memory), 30 or 50 % (the rest)."""
        if self.measure == "memory":
            return self.growth < min(_SHARE * self.early, _MEMORY)
        return self.growth < max(_TRAFFIC, _SHARE_OF_TRAFFIC * self.early)

    @property
    def verdict(self) -> str:
        """In a word."""
        return ("flat" if self.flat else "GROWS") if self.judged else "(too short)"


def course(measure: str, process: str, points: Sequence[Point], began: float, ended: float) -> Course | None:
    """How *points* went between *began*, when the traffic did, and *ended*; ``None`` where there are too few."""
    fifth = (ended - began) / 5
    after = [point for point in points if point[0] >= began + fifth]
    early = [value for time, value in after if time < began + 2 * fifth]
    late = [value for time, value in after if time >= ended - fifth]
    if not early or not late:
        return None
    medians = statistics.median(early), statistics.median(late)
    return Course(measure, process, *medians, 3600 * slope(after), judged=ended - began >= LONG_ENOUGH)


def slope(points: Sequence[Point]) -> float:
    """The median of the slopes between all pairs: no outlier moves it."""
    some = points if len(points) <= _MOST else sorted(Random(1).sample(points, _MOST))
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in itertools.combinations(some, 2) if x1 != x2]
    return statistics.median(slopes) if slopes else 0.0
