"""Thousands of requests in flight with a revoked token, and thousands without a token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import ClientSession, TCPConnector

from exterview_auth import AuthSession

from ..harness.api import QUERY, STATIC_HEADERS, Api, answered, opened_api
from ..harness.baselines import cheapest, sends_twice
from ..harness.machine import collector_time
from ..harness.process import DEADLINE
from ..harness.report import Column, Figures, Report, Spread, in_random_order, median, ratio, spreads, within
from ..harness.server import FIXED_TOKEN

LOGIN_SECONDS = 0.1


@dataclass(frozen=True)
class Size:
    """How many requests begin at once, how many at the first answer, over how many connections, and in how many rounds."""

    at_once: int
    later: int
    limit: int
    rounds: int

    def __str__(self) -> str:
        return f"{self.at_once} at once, {f'{self.limit} connections' if self.limit else 'any number of connections'}"


async def _requests(session: ClientSession | AuthSession, api: Api, size: Size) -> Figures:
    def ask() -> Coroutine[Any, Any, int]:
        return answered(session.post(api.url, json=QUERY))

    with collector_time() as collector:
        async with asyncio.timeout(DEADLINE):
            began = time.perf_counter()
            tasks = [asyncio.create_task(ask()) for _ in range(size.at_once)]
            # Those that begin at the first answer find a good token, while most of the others still wait.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            tasks += [asyncio.create_task(ask()) for _ in range(size.later)]
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            seconds = time.perf_counter() - began
    failures = sum(answer != 200 for answer in answers)
    return {"failures": failures, "seconds": seconds, "collector": collector.seconds, "full": collector.full}


async def _with_token(api: Api, size: Size, *, revoked: bool, wrapped: bool) -> Figures:
    """Send all with a token that is revoked, or without one, through an `AuthSession` or the middleware."""
    async with api.auth(login_seconds=LOGIN_SECONDS) as auth:
        dead = (await auth.token()).value if revoked else ""
        await api.revoke()
        await api.log()
        options: dict[str, Any] = {} if wrapped else {"middlewares": (auth,)}
        async with ClientSession(connector=TCPConnector(limit=size.limit), **options) as session:
            found = await _requests(AuthSession(session, auth) if wrapped else session, api, size)
        log = await api.log()
        good = (await auth.token()).value
    refused = log.by_token[dead] if revoked else len(log.arrivals) - log.by_token[good]
    return {"logins": log.logins, **found, "refused": refused}


async def _static(api: Api, size: Size, **options: Any) -> Figures:
    async with ClientSession(connector=TCPConnector(limit=size.limit), headers=STATIC_HEADERS, **options) as session:
        found = await _requests(session, api, size)
    log = await api.log()
    assert log.by_token[FIXED_TOKEN] >= size.at_once + size.later
    return {"logins": log.logins, **found}


STATIC, TWICE = "static headers", "static, sent twice"
IN_MIDDLEWARE = "static, in a middleware"
"""What aiohttp's way through any middleware costs: seven more objects a request that the garbage collector counts."""
SCENES: dict[str, Callable[[Api, Size], Awaitable[Figures]]] = {
    STATIC: _static,
    f"{STATIC} again": _static,
    IN_MIDDLEWARE: partial(_static, middlewares=(cheapest,)),
    TWICE: partial(_static, middlewares=(sends_twice,)),
    "dead token, ExterviewAuth": partial(_with_token, revoked=True, wrapped=False),
    "dead token, AuthSession": partial(_with_token, revoked=True, wrapped=True),
    "cold start, ExterviewAuth": partial(_with_token, revoked=False, wrapped=False),
    "cold start, AuthSession": partial(_with_token, revoked=False, wrapped=True),
}


COLUMNS: list[Column] = [
    *((count, count, Spread.count) for count in ("logins", "failures", "refused")),
    ("seconds", "seconds", within(".2f")),
    ("of it gc", "collector", median(".2f")),
    ("rounds with more full gc", "further", Spread.count),
    ("to static + login", "to_static", ratio(".2f")),
    ("to sent twice + login", "to_static_twice", ratio(".2f")),
]


async def _measured(api: Api, size: Size) -> Report:
    # The first storm makes the server allocate what all later ones use again; it is not counted. One request comes before it, as
    # in any process: if thousands are created before the first is sent, CPython gives each a dictionary.
    for first in (Size(1, 0, 0, 1), size):
        await _static(api, first)
    found = await in_random_order(SCENES, size.rounds, lambda scene: SCENES[scene](api, size), f"{size},")
    return Report.of(
        f"storm: {size}, {size.later} more requests at the first answer; the login takes {LOGIN_SECONDS} s;"
        f" {size.rounds} rounds in random order.\n"
        "  refused: arrived with the revoked token, or without one. More full gc: full garbage collections than with static headers in"
        " the same round. Times compare with the same requests with static headers, sent once"
        " and twice, each plus the login.",
        COLUMNS,
        {scene: _figures(found, scene) for scene in found},
    )


def _figures(found: dict[str, list[Figures]], scene: str) -> dict[str, Spread]:
    rounds = found[scene]
    logs_in = "refused" in rounds[0]
    bases = {"to_static": STATIC, "to_static_twice": TWICE} if logs_in else {"to_static": STATIC}
    delay = LOGIN_SECONDS if logs_in else 0
    ratios = {
        name: Spread.of_ratios((one["seconds"] for one in rounds), (one["seconds"] + delay for one in found[base]))
        for name, base in bases.items()
    }
    further = sum(one["full"] > other["full"] for one, other in zip(rounds, found[STATIC], strict=True))
    return spreads(rounds) | ratios | {"further": Spread.of([further])}


async def _all(sizes: list[Size]) -> Report:
    async with opened_api() as api:
        return Report.joined({str(size): await _measured(api, size) for size in sizes})


def report(*, quick: bool) -> Report:
    """Count logins and lost requests, and measure how long it takes."""
    sizes = (
        [Size(60, 10, 0, 2), Size(60, 10, 5, 2)]
        if quick
        else [Size(1000, 100, 0, 5), Size(1000, 100, 100, 5), Size(3000, 0, 100, 7), Size(5000, 0, 100, 3)]
    )
    return asyncio.run(_all(sizes))
