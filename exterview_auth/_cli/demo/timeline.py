"""What happens in the demo, as numbers: counted, sampled over time, and as a whole."""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise

from .plan import Plan

INTERVAL = 0.02
"""Seconds between two samples."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters of one sender so far, or of several together."""

    answered: int = 0
    """Requests whose caller has an answer, or an error."""
    waiting: int = 0
    """Requests that wait for a token now."""
    waiting_peak: int = 0
    """The most requests that one process ever had waiting."""
    replays: int = 0
    logins: int = 0
    adopted: int = 0
    """Tokens from another process's login, taken from the store."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """The errors among the answered, by name."""

    def to_json(self) -> str:
        """Return one line for `from_json` in another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Counts:
        """Return what `to_json` wrote; raises `ValueError` for anything else."""
        # A process that died may have left half a line, or a traceback.
        values = json.loads(line)
        if not isinstance(values, dict) or values.keys() != {item.name for item in fields(cls)}:
            raise ValueError("the line does not hold these counters")
        failures = values.pop("failures")
        if not isinstance(failures, dict) or not _are_counters([*values.values(), *failures.values()]):
            raise ValueError("a counter must be a whole number")
        return cls(**values, failures=failures)


def _are_counters(values: Iterable[object]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def total(counts: Iterable[Counts]) -> Counts:
    """Return the sum of *counts*; peaks are not added, as they were not reached at the same time."""
    summed: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    peak = 0
    for one in counts:
        peak = max(peak, one.waiting_peak)
        failures.update(one.failures)
        summed.update({name: getattr(one, name) for name in _SUMMED})
    return Counts(waiting_peak=peak, failures=failures, **summed)


_SUMMED = tuple(item.name for item in fields(Counts) if item.name not in {"waiting_peak", "failures"})


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters of clients and server at one moment. All but ``waiting`` only ever grow."""

    sent: int = 0
    """Attempts that reached the server."""
    refused: int = 0
    """Attempts that the server answered with 401."""
    waiting: int = 0
    """Requests that wait for a token now."""
    replayed: int = 0
    """Requests sent again after a refusal."""
    answered: int = 0
    """Requests whose caller has the answer."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An event; a *guided* one gets a line through the whole picture."""

    at: float
    label: str
    guided: bool = False


@dataclass(slots=True)
class Timeline:
    """Samples and marks in the order of time, in seconds since the start."""

    times: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Seconds from the start to the last sample."""
        return self.times[-1] if self.times else 0.0

    @property
    def last(self) -> Sample:
        """The last sample."""
        return self.samples[-1] if self.samples else Sample()

    def growth(self, read: Callable[[Sample], int], columns: int) -> list[float]:
        """Return how much a counter grew in each of *columns* equal parts of the time."""
        # Between two samples a counter grows evenly: a loop that was busy for a while leaves no gap and no spike.
        values = [read(sample) for sample in self.samples]
        edges = [self._interpolated(values, self.duration * edge / columns) for edge in range(columns + 1)]
        return [after - before for before, after in pairwise(edges)]

    def level(self, read: Callable[[Sample], int], columns: int) -> list[float]:
        """Return the highest value that was seen in each of *columns* equal parts of the time."""
        values = [read(sample) for sample in self.samples]
        width = self.duration / columns
        # A column without a sample has the value at its middle; a peak between two middles is not lost.
        levels = [self._interpolated(values, width * (column + 0.5)) for column in range(columns)]
        for at, value in zip(self.times, values, strict=True):
            column = column_of(at, self.duration, columns)
            levels[column] = max(levels[column], value)
        return levels

    def _interpolated(self, values: Sequence[int], at: float) -> float:
        """Return the value at *at*, on a straight line between the two samples around it."""
        after = bisect_left(self.times, at)
        if after == 0 or after == len(values):
            return float(values[min(after, len(values) - 1)]) if values else 0.0
        before = after - 1
        share = (at - self.times[before]) / (self.times[after] - self.times[before])
        return values[before] + share * (values[after] - values[before])


def column_of(at: float, duration: float, columns: int) -> int:
    """Return the column, of *columns*, in which the instant *at* lies."""
    return 0 if duration <= 0 else min(columns - 1, max(0, int(at / duration * columns)))


class Recorder:
    """
    Fills a `Timeline` with what *observe* returns.

    *clock* counts seconds; *on_sample* is called after each sample, for a live display.
    """

    def __init__(
        self,
        observe: Callable[[], Sample],
        clock: Callable[[], float],
        *,
        on_sample: Callable[[Timeline], None] = lambda _timeline: None,
    ) -> None:
        self.timeline = Timeline()
        self._observe = observe
        self._clock = clock
        self._on_sample = on_sample
        self._started = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the recorder was made."""
        return self._clock() - self._started

    def take(self) -> None:
        """Add a sample."""
        self.timeline.times.append(self.elapsed)
        self.timeline.samples.append(self._observe())
        self._on_sample(self.timeline)

    def mark(self, label: str, *, guided: bool = False) -> None:
        """Add a mark."""
        self.timeline.marks.append(Mark(self.elapsed, label, guided))

    async def run(self, interval: float = INTERVAL) -> None:
        """Add samples until cancelled, and one more then: it holds what has happened since."""
        try:
            while True:
                self.take()
                await asyncio.sleep(interval)
        finally:
            self.take()


@dataclass(frozen=True, slots=True)
class ServerCounts:
    """The server's counters at the end."""

    logins: int = 0
    logins_peak: int = 0
    """The most logins that ever ran at once."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    """Answers by status, without those to logins."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What happened, as clients and server counted it."""

    plan: Plan
    timeline: Timeline
    seconds: float
    client: Counts
    server: ServerCounts
    logins_before: int
    """Logins until the tokens were revoked."""

    @property
    def failed(self) -> int:
        """Requests whose caller did not get a good answer."""
        return sum(self.client.failures.values())

    @property
    def waiting_peak(self) -> int:
        """The most requests that were seen to wait at once, in all processes together."""
        return max(self.client.waiting_peak, *(sample.waiting for sample in self.timeline.samples), 0)
