"""What happened over time, as numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Counts:
    """One look at the demo: all but ``waiting`` only ever grow."""

    sent: int = 0
    """Attempts that reached the server."""
    refused: int = 0
    """Of these, the ones that it answered with 401."""
    waiting: int = 0
    """Requests that wait for a token now."""
    replayed: int = 0
    """Requests sent again after a refusal."""
    answered: int = 0
    """Requests whose caller has the answer."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at once; *guided* ones are worth a line through the whole picture."""

    at: float
    label: str
    guided: bool = False


@dataclass(slots=True)
class Timeline:
    """Looks and marks in the order of time, which is in seconds since the start."""

    times: list[float] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Seconds from the start to the last look."""
        return self.times[-1] if self.times else 0.0

    @property
    def last(self) -> Counts:
        """The last look."""
        return self.counts[-1] if self.counts else Counts()

    def add(self, at: float, counts: Counts) -> None:
        """Append one look."""
        self.times.append(at)
        self.counts.append(counts)

    def grown(self, read: Callable[[Counts], int], columns: int) -> list[float]:
        """How much a counter grew in each of *columns* equal parts of the time."""
        values = [read(counts) for counts in self.counts]
        edges = [self._interpolated(values, self.duration * edge / columns) for edge in range(columns + 1)]
        return [after - before for before, after in pairwise(edges)]

    def level(self, read: Callable[[Counts], int], columns: int) -> list[float]:
        """The highest value that was seen in each of *columns* equal parts of the time."""
        values = [read(counts) for counts in self.counts]
        width = self.duration / columns
        levels = [self._interpolated(values, width * (column + 0.5)) for column in range(columns)]
        for at, value in zip(self.times, values, strict=True):
            column = column_of(at, self.duration, columns)
            levels[column] = max(levels[column], value)
        return levels

    def _interpolated(self, values: Sequence[int], at: float) -> float:
        """The value at *at*, on a straight line between the two looks around it."""
        after = bisect_left(self.times, at)
        if after == 0 or after == len(values):
            return float(values[min(after, len(values) - 1)]) if values else 0.0
        before = after - 1
        share = (at - self.times[before]) / (self.times[after] - self.times[before])
        return values[before] + share * (values[after] - values[before])


def column_of(at: float, duration: float, columns: int) -> int:
    """The column, of *columns*, in which the instant *at* lies."""
    return 0 if duration <= 0 else min(columns - 1, max(0, int(at / duration * columns)))
