"""
One contestant of the scenario ``memory``, in a separate process.

``python -m benchmarks.scenarios.memory_worker NAME KIND COUNT PORT`` prints one line of JSON: bytes per waiting request, how
many waited, and how they ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, TCPConnector

from ..harness.api import QUERY, STATIC_HEADERS, Api, answered
from ..harness.growth import bytes_each
from ..harness.process import DEADLINE
from . import cancel
from .cancel import Scene

BASE = "queueing for a connection"

WARM_UP = 100
"""Requests that wait already when the others begin."""
ANSWERED = 1000
"""Of the requests that wait for a login, at most this many are answered in the end; the others are cancelled."""
TURNS = 20
"""Turns of the event loop after which every request waits."""


@asynccontextmanager
async def _one_connection(api: Api) -> AsyncIterator[Scene]:
    async with ClientSession(headers=STATIC_HEADERS, connector=TCPConnector(limit=1)) as session:
        # The only connection is taken by a login that is never answered: every other request queues for it.
        await api.hold()
        never_answered = asyncio.create_task(answered(session.post(api.login_url)))
        await api.held()
        yield Scene(lambda: answered(session.post(api.url, json=QUERY)), asyncio.Event())
        never_answered.cancel()
        await asyncio.wait([never_answered])


SCENES = {
    BASE: _one_connection,
    f"{BASE} again": _one_connection,
    **{name: cancel.SCENES[name] for name in ("parked in one asyncio.Event", "ExterviewAuth", "AuthSession")},
}


async def _measured(name: str, kind: str, count: int, api: Api) -> dict[str, float]:
    async with asyncio.timeout(DEADLINE), SCENES[name](api) as scene:
        tasks: list[asyncio.Future[int]] = []

        async def begin(more: int) -> None:
            tasks.extend([asyncio.ensure_future(scene.ask()) for _ in range(more)])
            for _ in range(TURNS):
                await asyncio.sleep(0)

        size = await bytes_each(kind, count, begin, warm_up=WARM_UP)
        waiting = scene.auth.stats().waiting if scene.auth else sum(not task.done() for task in tasks)
        return {"bytes": size, "waiting": waiting - WARM_UP, **await _ended(scene, tasks)}


async def _ended(scene: Scene, tasks: list[asyncio.Future[int]]) -> dict[str, int]:
    to_answer = min(ANSWERED, len(tasks)) if scene.auth else 0
    for task in tasks[to_answer:]:
        task.cancel()
    scene.gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    answers, cancelled = ends.count(200), sum(isinstance(end, asyncio.CancelledError) for end in ends)
    return {
        "answered": answers,
        "cancelled": cancelled,
        "unanswered": to_answer - answers,
        "failures": len(tasks) - answers - cancelled,
    }


async def _main(name: str, kind: str, count: str, port: str) -> None:
    async with ClientSession() as controls:
        print(json.dumps(await _measured(name, kind, int(count), Api(int(port), controls))))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
