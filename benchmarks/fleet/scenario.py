"""Real processes that share one account and one store: one login, how soon all serve again, and what the store is asked."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis  # noqa: F401 - for the processes, which would miss it too late

from exterview_auth.stores._lock import LEASE

from ..harness.report import Report, Table
from . import kill, storm, traffic, wakeup
from .crew import REDIS, Crew, opened_crew


@dataclass(frozen=True)
class Size:
    """How many processes there are, and how often each scene is repeated."""

    processes: int
    storm_requests: int
    storms: int
    wakeups: int
    kills: int
    lease: float
    revocations: int
    steady_requests: int


FULL = Size(8, 200, 6, 10, 2, LEASE, 6, 1000)
QUICK = Size(3, 20, 2, 1, 1, 0.5, 1, 100)


def report(*, quick: bool) -> Report:
    """Four tables, over files and over Redis where there is a redis-server."""
    tables, data = asyncio.run(_measured(QUICK if quick else FULL))
    return Report(tables, data)


async def _measured(size: Size) -> tuple[Sequence[Table], dict[str, Any]]:
    async with opened_crew(size.processes) as crew:
        if REDIS not in crew.places:
            print(f"  no {REDIS}: redis-server is not on this machine", file=sys.stderr, flush=True)
        shown = await _scenes(crew, size)
    return [table for table, _ in shown.values()], {name: data for name, (_, data) in shown.items()}


async def _scenes(crew: Crew, size: Size) -> dict[str, tuple[Table, dict[str, object]]]:
    storms = await storm.measured(crew, size.storm_requests, size.storms)
    delays = await wakeup.measured(crew, size.wakeups)
    counts = await traffic.measured(crew, size.revocations, size.steady_requests)
    kills = await kill.measured(crew, size.lease, size.kills)
    return {
        "storm": storm.shown(storms, size.processes, size.storm_requests),
        "wake-up": wakeup.shown(delays, size.processes),
        "kill": kill.shown(kills, size.processes, size.lease),
        "traffic": traffic.shown(counts, size.processes),
    }
