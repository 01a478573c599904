"""Many seeds, on all cores."""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import signal
import time
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
LONGEST_RUN = 120.0
"""Seconds of real time after which a run counts as one that does not end; others take less than one."""


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


def first_failure(seeds: Iterable[int], seconds: float) -> None:
    """
    Run *seeds* one after the other until one fails, or for so many *seconds*; print how many were run, and the broken rule.

    A run that does not end, since it never returns to its loop, ends this process with the traceback of all threads.
    """
    _prepare_worker()
    until = time.monotonic() + seconds
    count, rule = 0, ""
    for seed in seeds:
        faulthandler.dump_traceback_later(LONGEST_RUN, exit=True)
        found = run(plan_of(seed)).found
        count, rule = count + 1, found[0].rule if found else ""
        if rule or time.monotonic() > until:
            break
    faulthandler.cancel_dump_traceback_later()
    print(f"{count}\t{rule}")
