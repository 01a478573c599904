"""
Thousands of requests in flight with a revoked token, and thousands without a token.

Requests are counted where they arrive (the server's log), where they are written (aiohttp's trace) and where they begin
(handed to the session), because a request may be signed and queue for a connection before the first refusal arrives.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace

from aiohttp import (
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    TCPConnector,
    TraceConfig,
    TraceRequestHeadersSentParams,
)
from aiohttp.client import _RequestContextManager

from exterview_auth import AuthSession, ExterviewAuth

from ..harness.api import QUERY, STATIC_HEADERS, Api, Log, answered, opened_api
from ..harness.baselines import sends_twice
from ..harness.machine import collector_time
from ..harness.process import DEADLINE
from ..harness.report import Figures, Report, Spread, Table, in_random_order, plain, spreads
from ..harness.server import FIXED_TOKEN, NUMBER

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


@dataclass
class Watch:
    """The innermost middleware, which sees each answer before the library does, and a trace of what is written when."""

    first_answer: asyncio.Event = field(default_factory=asyncio.Event)
    first_refusal: float = math.inf
    written: list[tuple[str, float]] = field(default_factory=list)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request*, and note the time of the first refusal."""
        response = await handler(request)
        if response.status == 401 and self.first_refusal == math.inf:
            self.first_refusal = time.monotonic()
        self.first_answer.set()
        return response

    def trace(self) -> TraceConfig:
        """Return a trace that notes the token and the time of each request when its headers are written."""

        async def note(_: ClientSession, __: SimpleNamespace, sent: TraceRequestHeadersSentParams) -> None:
            self.written.append((str(sent.headers["Authorization"]).removeprefix("Bearer "), time.monotonic()))

        config = TraceConfig()
        config.on_request_headers_sent.append(note)
        return config


@dataclass(frozen=True)
class Run:
    """One storm, as the client saw it."""

    figures: dict[str, float]
    begun: Sequence[float]
    watch: Watch

    def refused(self, log: Log, token: str) -> dict[str, int]:
        """Count requests with the dead *token*: all, and those that arrived, were written or began after the first refusal."""
        refusal = self.watch.first_refusal
        arrivals = [arrival for arrival in log.arrivals if arrival.token == token]
        return {
            "refused": len(arrivals),
            "arrived_late": sum(arrival.time > refusal for arrival in arrivals),
            "written_late": sum(sent == token and when > refusal for sent, when in self.watch.written),
            "begun_late": sum(self.begun[int(arrival.number)] > refusal for arrival in arrivals),
        }


Post = Callable[..., _RequestContextManager]


async def _requests(post: Post, api: Api, watch: Watch, size: Size) -> Run:
    begun = [0.0] * (size.at_once + size.later)

    async def ask(number: int) -> int:
        begun[number] = time.monotonic()
        return await answered(post(api.url, json=QUERY, headers={NUMBER: str(number)}))

    with collector_time() as collector:
        async with asyncio.timeout(DEADLINE):
            began = time.perf_counter()
            tasks = [asyncio.create_task(ask(number)) for number in range(size.at_once)]
            # More requests begin exactly when the first refusal may be known: they must not be sent with the dead token.
            answer = asyncio.create_task(watch.first_answer.wait())
            await asyncio.wait([answer, *tasks], return_when=asyncio.FIRST_COMPLETED)
            answer.cancel()
            tasks += [asyncio.create_task(ask(size.at_once + number)) for number in range(size.later)]
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            seconds = time.perf_counter() - began
    failures = sum(answer != 200 for answer in answers)
    return Run({"failures": failures, "seconds": seconds, "collector": collector.seconds}, begun, watch)


async def _storm(
    api: Api, size: Size, *middlewares: ClientMiddlewareType, static: bool = False, watched: bool = False
) -> Run:
    watch = Watch()
    async with ClientSession(
        connector=TCPConnector(limit=size.limit),
        middlewares=(*middlewares, watch) if watched else middlewares,
        headers=STATIC_HEADERS if static else None,
        trace_configs=[watch.trace()] if watched else [],
    ) as session:
        return await _requests(session.post, api, watch, size)


async def _through(api: Api, size: Size, auth: ExterviewAuth, *, wrapped: bool, watched: bool = False) -> Run:
    if not wrapped:
        return await _storm(api, size, auth, watched=watched)
    async with ClientSession(connector=TCPConnector(limit=size.limit)) as session:
        return await _requests(AuthSession(session, auth).post, api, Watch(), size)


async def _revoked(api: Api, size: Size, *, wrapped: bool = False, watched: bool = False) -> Figures:
    async with api.auth(login_seconds=LOGIN_SECONDS) as auth:
        token = (await auth.token()).value
        await api.revoke()
        await api.log()
        run = await _through(api, size, auth, wrapped=wrapped, watched=watched)
        log = await api.log()
    late = run.refused(log, token) if watched else {"refused": log.refused}
    return {"logins": log.logins, **run.figures, **late}


async def _cold(api: Api, size: Size, *, wrapped: bool = False) -> Figures:
    await api.revoke()
    await api.log()
    async with api.auth(login_seconds=LOGIN_SECONDS) as auth:
        run = await _through(api, size, auth, wrapped=wrapped)
        log = await api.log()
        with_the_token = log.by_token[(await auth.token()).value]
    return {"logins": log.logins, **run.figures, "refused": len(log.arrivals) - with_the_token}


async def _static(api: Api, size: Size) -> Figures:
    run = await _storm(api, size, static=True)
    log = await api.log()
    assert log.by_token[FIXED_TOKEN] == size.at_once + size.later
    return {"logins": log.logins, **run.figures}


async def _static_twice(api: Api, size: Size) -> Figures:
    run = await _storm(api, size, sends_twice, static=True)
    return {"logins": (await api.log()).logins, **run.figures}


STATIC, TWICE, WATCHED = "static headers", "static, sent twice", "dead token, watched"
SCENES: dict[str, Callable[[Api, Size], Awaitable[Figures]]] = {
    STATIC: _static,
    f"{STATIC} again": _static,
    TWICE: _static_twice,
    "dead token, ExterviewAuth": _revoked,
    "dead token, AuthSession": partial(_revoked, wrapped=True),
    WATCHED: partial(_revoked, watched=True),
    "cold start, ExterviewAuth": _cold,
    "cold start, AuthSession": partial(_cold, wrapped=True),
}


async def _measured(api: Api, size: Size) -> dict[str, dict[str, Spread]]:
    await _static(api, size)
    found = await in_random_order(SCENES, size.rounds, lambda scene: SCENES[scene](api, size), f"{size},")
    return {scene: _figures(found, scene) for scene in found}


def _figures(found: dict[str, list[Figures]], scene: str) -> dict[str, Spread]:
    rounds = found[scene]
    delay = LOGIN_SECONDS if "refused" in rounds[0] else 0
    ratios = {
        name: Spread.of_ratios((one["seconds"] for one in rounds), (one["seconds"] + delay for one in found[base]))
        for name, base in (("to_static", STATIC), ("to_static_twice", TWICE))
    }
    return spreads(rounds) | ratios


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
    times = [f"{figures['seconds']:.2f}", f"{figures['collector'].median:.2f}"]
    return [name, *counts, *times, *(ratios if name != STATIC else ("-", "-"))]


def _table(size: Size, figures: dict[str, dict[str, Spread]]) -> Table:
    return Table(
        f"storm: {size}, {size.later} more requests at the first answer; the login takes {LOGIN_SECONDS} s;"
        f" {size.rounds} rounds in random order.\n"
        "  refused: arrived with the revoked token. Of these arrived, written, begun (handed to the session) late: after the"
        " client saw the first refusal,\n  noted in a separate scene, because noting takes time."
        " Times compare with the same requests with static headers, sent once and twice, each plus the login.",
        COLUMNS,
        [_row(name, one) for name, one in figures.items()],
    )


async def _all(sizes: list[Size]) -> dict[Size, dict[str, dict[str, Spread]]]:
    async with opened_api() as api:
        return {size: await _measured(api, size) for size in sizes}


def report(*, quick: bool) -> Report:
    """Count logins and lost requests, and measure how long it takes."""
    sizes = (
        [Size(60, 10, 0, 2), Size(60, 10, 5, 2)]
        if quick
        else [Size(1000, 100, 0, 5), Size(1000, 100, 100, 5), Size(3000, 0, 100, 7), Size(5000, 0, 100, 3)]
    )
    found = asyncio.run(_all(sizes))
    data = {str(size): {scene: plain(one) for scene, one in scenes.items()} for size, scenes in found.items()}
    return Report([_table(size, scenes) for size, scenes in found.items()], data)
