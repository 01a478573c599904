"""Many seeds, on all cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from ._plan import plan_of
from ._run import run

BATCH = 20
"""Seeds that a worker process runs at a time."""


class Tally(NamedTuple):
    """The results of some seeds; ``broken`` has the first rule that each failing seed broke."""

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
        happened = Counter(result.counts) + Counter(call.outcome for call in result.calls)
        broken = {seed: result.found[0].rule} if result.found else {}
        total += Tally(1, result.steps, result.seconds, happened, broken)
    return total


def run_many(seeds: Sequence[int], workers: int) -> Tally:
    """Run *seeds* in *workers* processes, and show the progress on a terminal."""
    total = NOTHING
    context = multiprocessing.get_context("spawn")
    progress = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True))
    with context.Pool(workers, _prepare_worker, maxtasksperchild=200) as pool, progress:
        task = progress.add_task("seeds", total=len(seeds))
        for part in pool.imap_unordered(tally, _batches(seeds)):
            total += part
            progress.update(task, advance=part.seeds, description=f"{len(total.broken)} failed")
    return total


def _batches(seeds: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(seeds)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _prepare_worker() -> None:
    """Collect garbage only after each run, and never what is loaded for all of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers
    tally([0])
    gc.collect()
    gc.freeze()
    gc.disable()


def cores() -> int:
    """Return how many processes can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def first_failure(seeds: Iterable[int]) -> None:
    """Run *seeds* one after the other until one fails; print how many were run, and the rule that it broke."""
    _prepare_worker()
    count = 0
    for count, seed in enumerate(seeds, 1):
        found = run(plan_of(seed)).found
        if found:
            print(f"{count}\t{found[0].rule}")
            return
    print(f"{count}\t")
