"""What each of many costs in memory, measured in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import sys
import tracemalloc
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from .api import CHECKOUT, DEADLINE
from .report import Spread, progress

RESIDENT, TRACED = "resident", "traced"
KINDS = (RESIDENT, TRACED)
"""Pages of the process, and what Python allocates; apart, since tracing takes pages of its own."""
COLUMNS = ("resident", "ratio", "traced", "ratio")

LANES = 2
"""Processes that are measured at the same time: no time is compared."""

_STATM = Path("/proc/self/statm")


def _resident() -> int:
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


async def bytes_each(kind: str, count: int, grow: Callable[[int], Awaitable[None]], *, warm_up: int) -> float:
    """By how much memory grows, divided by *count*, when *grow* is awaited for so many, after it was for *warm_up*."""
    gauge = _resident if kind == RESIDENT else _traced
    if kind == TRACED:
        tracemalloc.start()
    await grow(warm_up)
    gc.collect()
    before = gauge()
    await grow(count)
    gc.collect()
    grown = gauge() - before
    tracemalloc.stop()
    return grown / count


async def fresh(module: str, *arguments: object) -> dict[str, Any]:
    """The JSON that ``python -m benchmarks.module`` prints."""
    command = (sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments))
    process = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT, stdout=PIPE)
    try:
        async with asyncio.timeout(DEADLINE):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(map(str, arguments))} ended with exit code {process.returncode}")
    found: dict[str, Any] = json.loads(printed)
    return found


Measure = Callable[[str, str], Awaitable[dict[str, Any]]]
"""What one process finds, by contestant and kind."""
Found = dict[tuple[str, str], list[dict[str, Any]]]
"""What each round found, by contestant and kind."""


async def in_rounds(
    names: Sequence[str], rounds: int, lane: Callable[[], AbstractAsyncContextManager[Measure]]
) -> Found:
    """All *names* in both kinds, in each round in random order; some at the same time, each in a *lane*."""
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
    """*name*'s bytes in both kinds, and their ratios to those of *base* in the same round."""
    figures = {}
    for kind in KINDS:
        pairs = list(zip(found[name, kind], found[base, kind], strict=True))
        figures[kind] = Spread.of(one["bytes"] for one, _ in pairs)
        figures[f"{kind}_ratio"] = Spread.of(one["bytes"] / other["bytes"] for one, other in pairs)
    return figures


def cells(figures: dict[str, Spread], *, base: bool) -> list[str]:
    """These figures as cells of a table under `COLUMNS`."""
    shown = []
    for kind in KINDS:
        shown += [f"{figures[kind]:.0f}", "-" if base else f"{figures[f'{kind}_ratio']:.3f}"]
    return shown
