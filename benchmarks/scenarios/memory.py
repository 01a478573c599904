"""What a request costs in memory while it waits for a login, beside one that waits for a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..harness.api import opened_api
from ..harness.growth import COLUMNS, RESIDENT, TRACED, Found, Measure, bytes_and_ratio, fresh, in_rounds
from ..harness.report import Report, Spread
from .memory_worker import BASE, SCENES


def _lanes(counts: dict[str, int]) -> Any:
    @asynccontextmanager
    async def lane() -> AsyncIterator[Measure]:
        # Each lane has its own API, because a login ends the tokens before it.
        async with opened_api() as api:
            yield lambda name, kind: fresh("scenarios.memory_worker", name, kind, counts[kind], api.root.port)

    return lane


def _figures(found: Found, name: str) -> dict[str, Spread]:
    resident, traced = found[name, RESIDENT], found[name, TRACED]
    return {
        **bytes_and_ratio(found, name, BASE),
        "waiting_traced": Spread.of(one["waiting"] for one in traced),
        **{count: Spread.of(one[count] for one in resident) for count in ("waiting", "answered", "cancelled")},
        **{count: Spread.of(one[count] for one in [*resident, *traced]) for count in ("unanswered", "failures")},
    }


def report(*, quick: bool) -> Report:
    """Measure bytes per waiting request, resident and traced."""
    counts, rounds = ({RESIDENT: 500, TRACED: 200}, 1) if quick else ({RESIDENT: 10_000, TRACED: 2000}, 3)
    found = asyncio.run(in_rounds(list(SCENES), rounds, _lanes(counts)))
    return Report.of(
        f"memory: bytes per request, while {counts[RESIDENT]} wait in a task each; fresh processes, {rounds} rounds in random order.\n"
        f"  resident: the memory of the process; traced: what Python allocates (with {counts[TRACED]}, because tracing is slow);"
        " ratios compare with requests that queue for one connection.\n"
        "  Then some are cancelled and the login ends: answered with 200, unanswered of the rest, failures.",
        [*COLUMNS, *((count, count, Spread.count) for count in ("waiting", "answered", "unanswered", "failures"))],
        {name: _figures(found, name) for name in SCENES},
    )
