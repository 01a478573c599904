"""
One contestant of the scenario memory, in a process of its own: ``python -m benchmarks.scenarios.memory_worker NAME KIND COUNT PORT``.

It prints one line of JSON: bytes per waiting request, how many waited, and how they ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aiohttp import ClientSession, TCPConnector

from ..harness.api import DEADLINE, QUERY, STATIC_HEADERS, ApiProcess
from ..harness.growth import bytes_each
from . import cancel
from .cancel import Ask, Scene

BASE = "queueing for a connection"
CONTROL = f"{BASE} again"

WARM_UP = 100
"""Requests that wait already when the others begin."""
ANSWERED = 1000
"""Of the requests that wait for a login, so many are answered in the end, or all; the others are cancelled."""
TURNS = 20
"""Turns of the loop after which every request waits."""


@asynccontextmanager
async def _one_connection(api: ApiProcess) -> AsyncIterator[Scene]:
    async with ClientSession(headers=STATIC_HEADERS, connector=TCPConnector(limit=1)) as session:
        await api.hold()
        never_answered = asyncio.create_task(_status(lambda: session.post(api.root / "login")))
        await api.held()
        yield Scene(lambda: session.post(api.url, json=QUERY), asyncio.Event(), None)
        never_answered.cancel()
        await asyncio.wait([never_answered])


SCENES: dict[str, Callable[[ApiProcess], AbstractAsyncContextManager[Scene]]] = {
    BASE: _one_connection,
    CONTROL: _one_connection,
    **{name: cancel.SCENES[name] for name in ("parked in one asyncio.Event", "ExterviewAuth", "AuthSession")},
}


async def _status(ask: Ask) -> int:
    async with ask() as response:
        await response.read()
        return response.status


async def _measured(name: str, kind: str, count: int, api: ApiProcess) -> dict[str, float]:
    async with asyncio.timeout(DEADLINE), SCENES[name](api) as scene:
        tasks: list[asyncio.Task[int]] = []

        async def begin(more: int) -> None:
            tasks.extend([asyncio.create_task(_status(scene.ask)) for _ in range(more)])
            for _ in range(TURNS):
                await asyncio.sleep(0)

        size = await bytes_each(kind, count, begin, warm_up=WARM_UP)
        waiting = scene.auth.stats().waiting if scene.auth else sum(not task.done() for task in tasks)
        return {"bytes": size, "waiting": waiting - WARM_UP, **await _ended(scene, tasks)}


async def _ended(scene: Scene, tasks: list[asyncio.Task[int]]) -> dict[str, int]:
    to_answer = min(ANSWERED, len(tasks)) if scene.auth else 0
    for task in tasks[to_answer:]:
        task.cancel()
    scene.gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    answered, cancelled = ends.count(200), sum(isinstance(end, asyncio.CancelledError) for end in ends)
    return {
        "to_answer": to_answer,
        "answered": answered,
        "cancelled": cancelled,
        "failures": len(tasks) - answered - cancelled,
    }


async def _main(name: str, kind: str, count: int, port: int) -> None:
    async with ClientSession() as controls:
        print(json.dumps(await _measured(name, kind, count, ApiProcess(port, controls))))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
