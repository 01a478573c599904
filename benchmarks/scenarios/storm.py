"""
Thousands of requests in flight with a token that is dead, and thousands with none.

Requests are counted where they arrive (the server's log), where they are written (aiohttp's trace) and where they begin
(handed to the session): a request may be signed and queue for a connection before the first refusal comes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from aiohttp import (
    ClientMiddlewareType,
    ClientSession,
    TCPConnector,
)
from aiohttp.client import _RequestContextManager

from exterview_auth import AuthSession, ExterviewAuth

from ..harness.api import DEADLINE, QUERY, STATIC_HEADERS, ApiProcess, api_process
from ..harness.baselines import sends_twice
from ..harness.collector import collections
from ..harness.report import Report, Spread, Table, plain, progress
from ..harness.server import FIXED_TOKEN, NUMBER
from .storm_watch import Run, Watch

LOGIN_SECONDS = 0.1


@dataclass(frozen=True)
class Size:
    """How many requests are in flight at once, how many begin at the first answer, on how many connections, and how often."""

    at_once: int
    later: int
    limit: int
    rounds: int

    def __str__(self) -> str:
        return f"{self.at_once} at once, {f'{self.limit} connections' if self.limit else 'any number of connections'}"


Ask = Callable[..., _RequestContextManager]


async def _requests(post: Ask, api: ApiProcess, watch: Watch, size: Size) -> Run:
    begun = [0.0] * (size.at_once + size.later)

    async def ask(number: int) -> int:
        begun[number] = time.monotonic()
        async with post(api.url, json=QUERY, headers={NUMBER: str(number)}) as response:
            await response.read()
            return response.status

    with collections() as collected:
        async with asyncio.timeout(DEADLINE):
            began = time.perf_counter()
            tasks = [asyncio.create_task(ask(number)) for number in range(size.at_once)]
            answer = asyncio.create_task(watch.first_answer.wait())
            await asyncio.wait([answer, *tasks], return_when=asyncio.FIRST_COMPLETED)
            answer.cancel()
            tasks += [asyncio.create_task(ask(size.at_once + number)) for number in range(size.later)]
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            seconds = time.perf_counter() - began
    failures = sum(answer != 200 for answer in answers)
    return Run({"failures": failures, "seconds": seconds, "collector": collected.seconds}, begun, watch)


async def _storm(
    api: ApiProcess, size: Size, *middlewares: ClientMiddlewareType, static: bool = False, watched: bool = False
) -> Run:
    watch = Watch()
    async with ClientSession(
        connector=TCPConnector(limit=size.limit),
        middlewares=(*middlewares, watch) if watched else middlewares,
        headers=STATIC_HEADERS if static else None,
        trace_configs=[watch.trace()] if watched else [],
    ) as session:
        return await _requests(session.post, api, watch, size)


async def _wrapped(api: ApiProcess, size: Size, auth: ExterviewAuth) -> Run:
    async with ClientSession(connector=TCPConnector(limit=size.limit)) as session:
        return await _requests(AuthSession(session, auth).post, api, Watch(), size)


async def _dead(api: ApiProcess, size: Size, *, wrapped: bool = False, watched: bool = False) -> dict[str, float]:
    async with api.auth(login_seconds=LOGIN_SECONDS) as auth:
        token = (await auth.token()).value
        await api.revoke()
        await api.log()
        run = await (_wrapped(api, size, auth) if wrapped else _storm(api, size, auth, watched=watched))
        log = await api.log()
    late = run.dead(log, token) if watched else {"refused": log.refused}
    return {"logins": log.logins, **run.figures, **late}


async def _cold(api: ApiProcess, size: Size, *, wrapped: bool = False) -> dict[str, float]:
    await api.revoke()
    await api.log()
    async with api.auth(login_seconds=LOGIN_SECONDS) as auth:
        run = await (_wrapped(api, size, auth) if wrapped else _storm(api, size, auth))
        log = await api.log()
        fresh = log.by_token[(await auth.token()).value]
    refused = len(log.arrivals) - fresh
    return {"logins": log.logins, **run.figures, "refused": refused}


async def _static(api: ApiProcess, size: Size) -> dict[str, float]:
    run = await _storm(api, size, static=True)
    log = await api.log()
    assert log.by_token[FIXED_TOKEN] == size.at_once + size.later
    return {"logins": log.logins, **run.figures}


async def _static_twice(api: ApiProcess, size: Size) -> dict[str, float]:
    run = await _storm(api, size, sends_twice, static=True)
    return {"logins": (await api.log()).logins, **run.figures}


STATIC, TWICE, WATCHED = "static headers", "static, sent twice", "dead token, watched"
SCENES: dict[str, Callable[[ApiProcess, Size], Awaitable[dict[str, float]]]] = {
    STATIC: _static,
    f"{STATIC} again": _static,
    TWICE: _static_twice,
    "dead token, ExterviewAuth": _dead,
    "dead token, AuthSession": partial(_dead, wrapped=True),
    WATCHED: partial(_dead, watched=True),
    "cold start, ExterviewAuth": _cold,
    "cold start, AuthSession": partial(_cold, wrapped=True),
}

Rounds = list[dict[str, float]]


async def _measured(api: ApiProcess, size: Size) -> dict[str, Rounds]:
    found: dict[str, Rounds] = {scene: [] for scene in SCENES}
    await _static(api, size)
    for number in range(size.rounds):
        progress(number + 1, size.rounds, f"{size}, round")
        for scene in random.sample(list(found), len(found)):
            found[scene].append(await SCENES[scene](api, size))
    return found


def _figures(found: dict[str, Rounds], scene: str) -> dict[str, Spread]:
    rounds = found[scene]
    figures = {name: Spread.of(one[name] for one in rounds) for name in rounds[0]}
    for name, base in (("to_static", STATIC), ("to_static_twice", TWICE)):
        pairs = zip(rounds, found[base], strict=True)
        delay = LOGIN_SECONDS if "refused" in rounds[0] else 0
        figures[name] = Spread.of(one["seconds"] / (other["seconds"] + delay) for one, other in pairs)
    return figures


COUNTS = ("logins", "failures", "refused", "arrived_late", "written_late", "begun_late")
COLUMNS = (
    "",
    *(count.replace("_", " ") for count in COUNTS),
    "seconds",
    "of it gc",
    "to static + login",
    "to sent twice + login",
)


def _row(name: str, figures: dict[str, Spread]) -> list[str]:
    counts = [figures[count].count() if count in figures else "-" for count in COUNTS]
    ratios = [f"{figures['to_static']:.2f}", f"{figures['to_static_twice']:.2f}" if "refused" in figures else "-"]
    return [
        name,
        *counts,
        f"{figures['seconds']:.2f}",
        f"{figures['collector'].median:.2f}",
        *(ratios if name != STATIC else ("-", "-")),
    ]


def _table(size: Size, figures: dict[str, dict[str, Spread]]) -> Table:
    return Table(
        f"storm: {size}, {size.later} more requests at the first answer; the login takes {LOGIN_SECONDS} s;"
        f" {size.rounds} rounds in random order.\n"
        "  refused: arrived with the dead token; of these arrived, written, begun (handed to the session) late:"
        " after the client saw the first refusal (noted in a scene of its own, since looking takes time).\n"
        "  Times relative to the same requests with static headers, and to these sent twice, each plus the login.",
        COLUMNS,
        [_row(name, one) for name, one in figures.items()],
    )


async def _all(sizes: list[Size]) -> dict[Size, dict[str, dict[str, Spread]]]:
    async with api_process() as api:
        found = {size: await _measured(api, size) for size in sizes}
    return {size: {scene: _figures(rounds, scene) for scene in rounds} for size, rounds in found.items()}


def report(*, quick: bool) -> Report:
    """One login, nothing lost, and how long it takes."""
    sizes = (
        [Size(60, 10, 0, 2), Size(60, 10, 5, 2)]
        if quick
        else [Size(1000, 100, 0, 5), Size(1000, 100, 100, 5), Size(3000, 0, 100, 7), Size(5000, 0, 100, 3)]
    )
    found = asyncio.run(_all(sizes))
    data = {str(size): {scene: plain(one) for scene, one in scenes.items()} for size, scenes in found.items()}
    return Report([_table(size, scenes) for size, scenes in found.items()], data)
