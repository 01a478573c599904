"""
Starts the API and the clients that are counted, and makes a table of their counts for each event loop.

Each request is counted alone, and the median is taken of all: once in some hundred requests the event loop tidies up its
timers, or a dictionary grows, which takes a fifth of a request and happens to all contestants alike.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ..harness.api import Api, opened_api
from ..harness.process import CHECKOUT
from ..harness.report import Column, Report, Spread, median, progress, sure
from . import callgrind
from .client import noted

ANSWER_AFTER = 0.005
"""
Seconds after which the API answers.

A client under valgrind is slower than a server is: without them, some answers are there before the client waits for them, which
saves it a turn of its event loop. No client that runs by itself is that slow.
"""
DEADLINE = 600.0
"""Seconds after which a client that hangs ends in an error."""


class Size(NamedTuple):
    """How many processes are counted on each event loop, in how many rounds each, and how many requests in a round."""

    processes: int
    rounds: int
    requests: int


Counts = dict[str, list[int]]
"""Instructions of each request, by contestant."""

COLUMNS: list[Column] = [
    ("instructions", "instructions", median(",.0f")),
    ("more than static", "more", median("+,.0f")),
    ("95 %", "more", sure("+,.0f")),
    ("static / this", "ratio", median(".3f")),
]


def _loops() -> list[str]:
    return ["asyncio", *(["uvloop"] if find_spec("uvloop") is not None else [])]


async def _client(api: Api, library: Path, loop: str, size: Size, seed: int) -> tuple[dict[str, str], dict[str, int]]:
    """Count in a new process; return its contestants with their bases, and the counts of all requests."""
    with tempfile.TemporaryDirectory() as directory:
        program = (sys.executable, "-m", f"{__package__}.client", loop, str(library), str(api.root.port))
        command = callgrind.command(Path(directory), *program, str(size.rounds), str(size.requests))
        printed = await _printed(command, seed)
        return json.loads(printed), callgrind.counts(Path(directory))


async def _printed(command: Sequence[str], seed: int) -> bytes:
    # The seed decides which names collide in a dictionary: a run has the same ones as the run before.
    environ = {**os.environ, "PYTHONHASHSEED": str(seed)}
    process = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT, env=environ, stdout=PIPE)
    try:
        async with asyncio.timeout(DEADLINE):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"a client under valgrind has ended with exit code {process.returncode}")
    return printed


async def _counted(api: Api, library: Path, loop: str, size: Size) -> Report:
    found: Counts = defaultdict(list)
    bases: dict[str, str] = {}
    for seed in range(1, size.processes + 1):
        progress(seed, size.processes, f"{loop}, process")
        await api.begin(one_session=False, answer_after=ANSWER_AFTER)  # several contestants log in
        bases, counts = await _client(api, library, loop, size, seed)
        for name in bases:
            found[name] += [counts[noted(*each, name)] for each in product(range(size.rounds), range(size.requests))]
    return _report(loop, size, found, bases)


def _report(loop: str, size: Size, found: Counts, bases: dict[str, str]) -> Report:
    return Report.of(
        f"instructions: {loop}; those of the client for a request, one at a time over loopback, under valgrind's callgrind.\n"
        f"  Medians of {size.processes * size.rounds * size.requests} requests: {size.processes} processes, {size.rounds} rounds in"
        f" random order, {size.requests} requests in a round, without garbage collections.\n"
        "  Each is compared with static headers in the same round and the same form: `json=` to a `URL` where no other is named.\n"
        "  The median lies in the range to its right with 95 %.",
        COLUMNS,
        {
            name: {
                "instructions": Spread.of(found[name]),
                **(compared(found[name], found[base]) if name != base else {}),
            }
            for name, base in bases.items()
        },
    )


def compared(counts: list[int], bases: list[int]) -> dict[str, Spread]:
    """Return by how much each count is more than its base, and their ratio."""
    return {
        "more": Spread.of(count - base for count, base in zip(counts, bases, strict=True)),
        "ratio": Spread.of_ratios(bases, counts),
    }


async def _on_all_loops(size: Size) -> Report:
    with tempfile.TemporaryDirectory() as directory:
        library = callgrind.compiled(Path(directory))
        async with opened_api() as api:
            return Report.joined({loop: await _counted(api, library, loop, size) for loop in _loops()})


def report(*, quick: bool) -> Report:
    """Count on each event loop that is installed."""
    return asyncio.run(_on_all_loops(Size(1, 1, 3) if quick else Size(3, 4, 8)))
