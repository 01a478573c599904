"""What each of many objects costs in memory, measured in a separate process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from .process import CHECKOUT, DEADLINE
from .report import Column, Spread, progress, ratio, within

RESIDENT, TRACED = "resident", "traced"
KINDS = (RESIDENT, TRACED)
"""Pages of the process, and what Python allocates. They are measured separately, because tracing takes pages too."""
COLUMNS: list[Column] = [
    ("resident", RESIDENT, within(".0f")),
    ("ratio", f"{RESIDENT}_ratio", ratio(".3f")),
    ("traced", TRACED, within(".0f")),
    ("ratio", f"{TRACED}_ratio", ratio(".3f")),
]

LANES = 2
"""Processes that run at the same time: no times are compared."""

_STATM = Path("/proc/self/statm")


def _resident() -> int:
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


async def bytes_each(kind: str, count: int, grow: Callable[[int], Awaitable[None]], *, warm_up: int) -> float:
    """Grow by *warm_up* and then by *count*; return by how many bytes memory grew for each of the latter."""
    gauge = _resident if kind == RESIDENT else _traced
    if kind == TRACED:
        tracemalloc.start()
    # The first ones pay for tables, caches and the allocator's first pages, which later ones share.
    await grow(warm_up)
    gc.collect()
    before = gauge()
    await grow(count)
    gc.collect()
    grown = gauge() - before
    tracemalloc.stop()
    return grown / count


async def fresh(module: str, *arguments: object) -> dict[str, Any]:
    """Return the JSON that ``python -m benchmarks.MODULE`` prints."""
    command = (sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments))
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=CHECKOUT, stdout=subprocess.PIPE, check=True, timeout=DEADLINE
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


Measure = Callable[[str, str], Awaitable[dict[str, Any]]]
"""Runs one process for a contestant and a kind, and returns what it finds."""
Found = dict[tuple[str, str], list[dict[str, Any]]]
"""What was found in each round, by contestant and kind."""


async def in_rounds(
    names: Sequence[str], rounds: int, lane: Callable[[], AbstractAsyncContextManager[Measure]]
) -> Found:
    """Measure all *names* in both kinds, each round in random order; as many at a time as there are lanes."""
    pairs = [(name, kind) for name in names for kind in KINDS]
    found: Found = {pair: [{}] * rounds for pair in pairs}
    jobs = enumerate((number, pair) for number in range(rounds) for pair in random.sample(pairs, len(pairs)))

    async def work() -> None:
        async with lane() as measure:
            for done, (number, pair) in jobs:
                if done % len(pairs) == 0:
                    progress(number + 1, rounds, "bytes, round")
                found[pair][number] = await measure(*pair)

    async with asyncio.TaskGroup() as lanes:
        for _ in range(LANES):
            lanes.create_task(work())
    return found


def bytes_and_ratio(found: Found, name: str, base: str) -> dict[str, Spread]:
    """Return *name*'s bytes in both kinds, and their ratios to those of *base* in the same round."""
    figures = {}
    for kind in KINDS:
        sizes, bases = ([one["bytes"] for one in found[contestant, kind]] for contestant in (name, base))
        figures[kind] = Spread.of(sizes)
        figures[f"{kind}_ratio"] = Spread.of_ratios(sizes, bases)
    return figures
