"""Four scenes of a fleet, on files and on Redis if there is a redis-server."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

import redis  # noqa: F401 - the processes need it, and would fail later

from exterview_auth.stores._shared import LEASE

from ..harness.report import Report
from . import kill, storm, traffic, wakeup
from .crew import REDIS, opened_crew


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
QUICK = Size(3, 20, 2, 1, 1, 1.5, 1, 100)


def report(*, quick: bool) -> Report:
    """Measure storms, wake-ups, killed logins, and the traffic at the store."""
    return asyncio.run(_measured(QUICK if quick else FULL))


async def _measured(size: Size) -> Report:
    async with opened_crew(size.processes) as crew:
        if REDIS not in crew.places:
            print(f"  no {REDIS}: redis-server is not on this machine", file=sys.stderr, flush=True)
        scenes = {
            "storm": await storm.measured(crew, size.storm_requests, size.storms),
            "wake-up": await wakeup.measured(crew, size.wakeups),
            "kill": await kill.measured(crew, size.lease, size.kills),
            "traffic": await traffic.measured(crew, size.revocations, size.steady_requests),
        }
    return Report.joined(scenes)
