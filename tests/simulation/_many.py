"""Many seeds, on all cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ._plan import plan_of
from ._run import Result, run

WAKE_BATCH = 20
"""Seeds that a worker process takes at a time."""


class Tally(NamedTuple):
    """What some seeds came to; ``broken`` has the first rule that each failing seed broke."""

    seeds: int
    steps: int
    seconds: float
    happened: Counter[str]
    broken: dict[int, str]

    def __add__(self, other: object) -> Tally:
        assert isinstance(other, Tally)
        return Tally(
            self.seeds + other.seeds,
            self.steps + other.steps,
            self.seconds + other.seconds,
            self.happened + other.happened,
            self.broken | other.broken,
        )


NOTHING = Tally(0, 0, 0.0, Counter(), {})


def tally(seeds: Iterable[int]) -> Tally:
    """Run *seeds* in this process."""
    total = NOTHING
    for seed in seeds:
        result = run(plan_of(seed))
        broken = {seed: result.found[0].rule} if result.found else {}
        total += Tally(1, result.steps, result.seconds, _happened(result), broken)
    return total


def _happened(result: Result) -> Counter[str]:
    happened: Counter[str] = Counter(result.counts)
    for call in result.calls:
        happened[call.outcome] += 1
    return happened


def run_many(
    seeds: Sequence[int], workers: int, progress: Callable[[Tally], None], *, stop_at_first: bool = False
) -> Tally:
    """Run *seeds* in that many processes."""
    total = NOTHING
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _get_ready, maxtasksperchild=200) as pool:
        for part in pool.imap_unordered(tally, _portions(seeds)):
            total += part
            progress(total)
            if stop_at_first and total.broken:
                break
    return total


def _portions(seeds: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(seeds)
    while portion := list(islice(rest, WAKE_BATCH)):
        yield portion


def _get_ready() -> None:
    """Garbage is collected after each run; what is loaded for all of them is not looked through again and again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who runs them ends them
    tally([0])
    gc.collect()
    gc.freeze()
    gc.disable()


class Progress:
    """Tells, now and then, how far it is."""

    def __init__(self, wanted: int, tell: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._tell = tell
        self._began = self._told = time.monotonic()

    def __call__(self, total: Tally) -> None:
        """Some more seeds have been run."""
        now = time.monotonic()
        if now - self._told < 1.0 and total.seeds < self._wanted:
            return
        self._told = now
        rate = total.seeds / max(now - self._began, 1e-9)
        left = (self._wanted - total.seeds) / rate
        self._tell(
            f"{total.seeds} of {self._wanted} seeds, {rate:.0f} a second, {left:.0f} s left, {len(total.broken)} failed"
        )


def cores() -> int:
    """How many processes can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def first_failure(seeds: Iterable[int]) -> None:
    """Run *seeds* one after the other up to the first that fails; print how many there were, and the rule it broke."""
    _get_ready()
    count = 0
    for count, seed in enumerate(seeds, 1):
        found = run(plan_of(seed)).found
        if found:
            print(f"{count}\t{found[0].rule}")
            return
    print(f"{count}\t")
