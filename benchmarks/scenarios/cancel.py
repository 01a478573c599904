"""Many requests that wait for a login are cancelled at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

from aiohttp import ClientMiddlewareType, ClientSession

from exterview_auth import AuthSession, ExterviewAuth

from ..harness.api import QUERY, Api, answered, opened_api
from ..harness.baselines import Parked, Shielded
from ..harness.cost import Ask
from ..harness.machine import collector_time, note_stalls
from ..harness.process import DEADLINE
from ..harness.report import Column, Figures, Report, Spread, in_random_order, spreads, within


class Scene(NamedTuple):
    """How requests are made, what they wait for, and the owner that logs in, if there is one."""

    ask: Ask
    gate: asyncio.Event
    auth: ExterviewAuth | None = None


@asynccontextmanager
async def _plain(api: Api, middleware: ClientMiddlewareType, gate: asyncio.Event) -> AsyncIterator[Scene]:
    async with ClientSession(middlewares=(middleware,)) as session:
        yield Scene(lambda: answered(session.post(api.url, json=QUERY)), gate)


@asynccontextmanager
async def _parked(api: Api) -> AsyncIterator[Scene]:
    gate = asyncio.Event()
    async with _plain(api, Parked(gate), gate) as scene:
        yield scene


@asynccontextmanager
async def _shielded(api: Api) -> AsyncIterator[Scene]:
    gate = asyncio.Event()
    task = asyncio.create_task(gate.wait())
    async with _plain(api, Shielded(task), gate) as scene:
        yield scene
    await task


@asynccontextmanager
async def _middleware(api: Api) -> AsyncIterator[Scene]:
    gate = asyncio.Event()
    async with api.auth(gate=gate) as auth, _plain(api, auth, gate) as scene:
        yield scene._replace(auth=auth)


@asynccontextmanager
async def _auth_session(api: Api) -> AsyncIterator[Scene]:
    gate = asyncio.Event()
    async with api.auth(gate=gate) as auth, ClientSession() as session:
        client = AuthSession(session, auth)
        yield Scene(lambda: answered(client.post(api.url, json=QUERY)), gate, auth)


SCENES: dict[str, Callable[[Api], AbstractAsyncContextManager[Scene]]] = {
    "parked in one asyncio.Event": _parked,
    "parked behind asyncio.shield": _shielded,
    "ExterviewAuth": _middleware,
    "AuthSession": _auth_session,
}


async def _cancelled(scene: Scene, count: int) -> Figures:
    tasks = [asyncio.ensure_future(scene.ask()) for _ in range(count)]
    for _ in range(20):
        await asyncio.sleep(0)
    waiting = scene.auth.stats().waiting if scene.auth else count
    stalls: list[float] = []
    # After twenty turns of the loop every request waits for the login, none is still on its way to it.
    with collector_time() as collector:
        ticker = asyncio.create_task(note_stalls(stalls))
        await asyncio.sleep(0)
        began, cpu = time.perf_counter(), time.process_time()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        blocked, cpu = time.perf_counter() - began, time.process_time() - cpu
        ticker.cancel()
    return {
        "waiting": waiting,
        "cancelled": sum(task.cancelled() for task in tasks),
        "blocked": blocked,
        "cpu": cpu,
        "collector": collector.seconds,
        "stall": max(stalls, default=blocked),
    }


async def _one_round(api: Api, name: str, count: int) -> Figures:
    await api.log()
    async with asyncio.timeout(DEADLINE), SCENES[name](api) as scene:
        found = await _cancelled(scene, count)
        if scene.auth is None:
            scene.gate.set()
            return found
        left = scene.auth.stats().waiting
        scene.gate.set()
        status = await scene.ask()
    log = await api.log()
    return {**found, "left": left, "logins": log.logins, "next_status": status}


async def _measured(count: int, rounds: int) -> dict[str, list[Figures]]:
    async with opened_api() as api:
        return await in_random_order(SCENES, rounds, lambda name: _one_round(api, name, count))


COLUMNS: list[Column] = [
    ("blocked", "blocked", within(".2f")),
    ("longest stall", "stall", within(".2f")),
    ("CPU", "cpu", within(".2f")),
    ("of it gc", "collector", within(".2f")),
    *((count, count, Spread.count) for count in ("waiting", "cancelled", "left", "logins")),
    ("next status", "next_status", Spread.count),
]


def report(*, quick: bool) -> Report:
    """Measure how long the event loop does nothing else, and check that the login continues."""
    count, rounds = (200, 2) if quick else (20_000, 3)
    return Report.of(
        f"cancel: {count} requests that wait for a login are cancelled at once; {rounds} rounds in random order.\n"
        "  blocked: seconds until all have ended; longest stall: the longest time in which nothing else ran."
        " Then the login ends, and one more request is sent with its token.",
        COLUMNS,
        {name: spreads(found) for name, found in asyncio.run(_measured(count, rounds)).items()},
    )
