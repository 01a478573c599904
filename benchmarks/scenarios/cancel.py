"""Many requests that wait for a login are cancelled at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from aiohttp import ClientMiddlewareType, ClientSession
from aiohttp.client import _RequestContextManager

from exterview_auth import AuthSession, ExterviewAuth

from ..harness.api import DEADLINE, QUERY, ApiProcess, api_process
from ..harness.baselines import Parked, Shielded
from ..harness.collector import collections
from ..harness.report import Report, Spread, Table, plain, progress
from ..harness.stalls import note_stalls

Ask = Callable[[], _RequestContextManager]


class Scene(NamedTuple):
    """How requests are made, what they wait for, and the owner of the login if there is one."""

    ask: Ask
    gate: asyncio.Event
    auth: ExterviewAuth | None


@asynccontextmanager
async def _plain(api: ApiProcess, middleware: ClientMiddlewareType, gate: asyncio.Event) -> AsyncIterator[Scene]:
    async with ClientSession(middlewares=(middleware,)) as session:
        yield Scene(lambda: session.post(api.url, json=QUERY), gate, None)


@asynccontextmanager
async def _an_event_each(api: ApiProcess) -> AsyncIterator[Scene]:
    gate = asyncio.Event()
    async with _plain(api, Parked(gate), gate) as scene:
        yield scene


@asynccontextmanager
async def _a_shield_each(api: ApiProcess) -> AsyncIterator[Scene]:
    gate = asyncio.Event()
    task = asyncio.create_task(gate.wait())
    async with _plain(api, Shielded(task), gate) as scene:
        yield scene
    await task


@asynccontextmanager
async def _middleware(api: ApiProcess) -> AsyncIterator[Scene]:
    gate = asyncio.Event()
    async with api.auth(gate=gate) as auth, ClientSession(middlewares=(auth,)) as session:
        yield Scene(lambda: session.post(api.url, json=QUERY), gate, auth)


@asynccontextmanager
async def _auth_session(api: ApiProcess) -> AsyncIterator[Scene]:
    gate = asyncio.Event()
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(api.auth(gate=gate))
        wrapped = AuthSession(await stack.enter_async_context(ClientSession()), auth)
        yield Scene(lambda: wrapped.post(api.url, json=QUERY), gate, auth)


SCENES = {
    "parked in one asyncio.Event": _an_event_each,
    "parked behind asyncio.shield": _a_shield_each,
    "ExterviewAuth": _middleware,
    "AuthSession": _auth_session,
}


async def _answered(ask: Ask) -> int:
    async with ask() as response:
        await response.read()
        return response.status


async def _cancelled(scene: Scene, count: int) -> dict[str, float]:
    tasks = [asyncio.create_task(_answered(scene.ask)) for _ in range(count)]
    for _ in range(20):
        await asyncio.sleep(0)
    waiting = scene.auth.stats().waiting if scene.auth else count
    stalls: list[float] = []
    with collections() as collected:
        ticker = asyncio.create_task(note_stalls(stalls))
        await asyncio.sleep(0)
        began, cpu = time.perf_counter(), time.process_time()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        blocked, cpu = time.perf_counter() - began, time.process_time() - cpu
        ticker.cancel()
    cancelled = sum(task.cancelled() for task in tasks)
    return {
        "waiting": waiting,
        "cancelled": cancelled,
        "blocked": blocked,
        "cpu": cpu,
        "collector": collected.seconds,
        "stall": max(stalls, default=blocked),
    }


async def _one_round(api: ApiProcess, name: str, count: int) -> dict[str, float]:
    await api.log()
    async with asyncio.timeout(DEADLINE), SCENES[name](api) as scene:
        found = await _cancelled(scene, count)
        if scene.auth is None:
            scene.gate.set()
            return found
        still = scene.auth.stats()
        scene.gate.set()
        status = await _answered(scene.ask)
    log = await api.log()
    return {**found, "left": still.waiting, "logins": log.logins, "next_status": status, "requests": len(log.arrivals)}


async def _measured(count: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SCENES}
    async with api_process() as api:
        for number in range(rounds):
            progress(number + 1, rounds, "round")
            for name in random.sample(list(SCENES), len(SCENES)):
                found[name].append(await _one_round(api, name, count))
    return found


def _row(name: str, figures: dict[str, Spread]) -> list[str]:
    counts = ("waiting", "cancelled", "left", "logins", "next_status")
    times = [
        f"{figures['blocked']:.2f}",
        f"{figures['stall']:.2f}",
        f"{figures['cpu']:.2f}",
        f"{figures['collector']:.2f}",
    ]
    return [name, *times, *(figures[count].count() if count in figures else "-" for count in counts)]


def report(*, quick: bool) -> Report:
    """How long the event loop does nothing else, and whether the login goes on."""
    count, rounds = (200, 2) if quick else (20_000, 3)
    found = asyncio.run(_measured(count, rounds))
    figures = {name: {key: Spread.of(one[key] for one in all_) for key in all_[0]} for name, all_ in found.items()}
    table = Table(
        f"cancel: {count} requests that wait for a login are cancelled at once; {rounds} rounds in random order.\n"
        "  blocked: until all have ended, longest stall: of these the longest in which nothing else ran (seconds);"
        " then the login ends, and one more request is sent with its token.",
        ("", "blocked", "longest stall", "CPU", "of it gc", "waiting", "cancelled", "left", "logins", "next status"),
        [_row(name, one) for name, one in figures.items()],
    )
    return Report([table], {name: plain(one) for name, one in figures.items()})
