"""What a request costs in memory while it waits for a login, beside one that waits for a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..harness.api import api_process
from ..harness.growth import COLUMNS, RESIDENT, TRACED, Found, Measure, bytes_and_ratio, cells, fresh, in_rounds
from ..harness.report import Report, Spread, Table, plain
from .memory_worker import BASE, SCENES

COUNTS = ("waiting", "answered", "cancelled")


def _lanes(counts: dict[str, int]) -> Any:
    @asynccontextmanager
    async def lane() -> AsyncIterator[Measure]:
        # An API for each lane: a login there ends the life of the token before it.
        async with api_process() as api:
            yield lambda name, kind: fresh("scenarios.memory_worker", name, kind, counts[kind], api.root.port)

    return lane


def _figures(found: Found, name: str) -> dict[str, Spread]:
    resident, both = found[name, RESIDENT], [*found[name, RESIDENT], *found[name, TRACED]]
    return {
        **bytes_and_ratio(found, name, BASE),
        "waiting_traced": Spread.of(one["waiting"] for one in found[name, TRACED]),
        **{count: Spread.of(one[count] for one in resident) for count in COUNTS},
        "unanswered": Spread.of(one["to_answer"] - one["answered"] for one in both),
        "failures": Spread.of(one["failures"] for one in both),
    }


def _row(name: str, figures: dict[str, Spread]) -> list[str]:
    counts = [figures[count].count() for count in ("waiting", "answered", "unanswered", "failures")]
    return [name, *cells(figures, base=name == BASE), *counts]


def report(*, quick: bool) -> Report:
    """Bytes per waiting request, resident and traced."""
    counts, rounds = ({RESIDENT: 500, TRACED: 200}, 1) if quick else ({RESIDENT: 10_000, TRACED: 2000}, 3)
    found = asyncio.run(in_rounds(list(SCENES), rounds, _lanes(counts)))
    figures = {name: _figures(found, name) for name in SCENES}
    table = Table(
        f"memory: bytes per request, while {counts[RESIDENT]} wait in a task each; fresh processes, {rounds} rounds in random order.\n"
        f"  resident: the process's memory; traced: what Python allocates (with {counts[TRACED]}, since tracing is slow);"
        f" ratios are to requests that queue in a pool of one connection.\n"
        "  Then a part is cancelled and the gate of the login opens: answered with 200, unanswered of those left, failures.",
        ("", *COLUMNS, "waiting", "answered", "unanswered", "failures"),
        [_row(name, one) for name, one in figures.items()],
    )
    return Report([table], {name: plain(one) for name, one in figures.items()})
