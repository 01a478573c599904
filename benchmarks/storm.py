"""
A thousand requests in flight with a token that is dead, and a thousand with none.

Requests are counted where they arrive (the server's log), where they are written (aiohttp's trace) and where they begin
(handed to the session): a request may be signed and queue for a connection before the first refusal comes.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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

from ._api_process import DEADLINE, QUERY, STATIC_HEADERS, ApiProcess, ServerLog, api_process
from ._baselines import sends_twice
from ._report import Report, Spread, Table, plain, progress
from ._server import FIXED_TOKEN, NUMBER

LOGIN_SECONDS = 0.2


@dataclass(frozen=True)
class Size:
    """How many requests are in flight at once, how many begin at the first answer, and how often all is repeated."""

    at_once: int
    later: int
    limit: int
    rounds: int


@dataclass
class Watch:
    """The innermost middleware: it sees each answer before the library does; and a trace of what is written when."""

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
        """Notes each request's credentials and time as its headers are written."""

        async def note(_: ClientSession, __: SimpleNamespace, sent: TraceRequestHeadersSentParams) -> None:
            self.written.append((str(sent.headers["Authorization"]).removeprefix("Bearer "), time.monotonic()))

        config = TraceConfig()
        config.on_request_headers_sent.append(note)
        return config


@dataclass(frozen=True)
class Run:
    """One storm: the client's notes of it."""

    seconds: float
    failures: int
    begun: Sequence[float]
    watch: Watch

    def dead(self, log: ServerLog, token: str) -> dict[str, int]:
        """Requests with the dead *token*: all, and those that arrived, were written, began after the first refusal."""
        refusal = self.watch.first_refusal
        arrivals = [arrival for arrival in log.arrivals if arrival.token == token]
        return {
            "refused": len(arrivals),
            "arrived_late": sum(arrival.time > refusal for arrival in arrivals),
            "written_late": sum(sent == token and when > refusal for sent, when in self.watch.written),
            "begun_late": sum(self.begun[int(arrival.number)] > refusal for arrival in arrivals),
        }


async def _requests(session: ClientSession, api: ApiProcess, watch: Watch, size: Size) -> Run:
    begun = [0.0] * (size.at_once + size.later)

    async def ask(number: int) -> int:
        begun[number] = time.monotonic()
        async with session.post(api.url, json=QUERY, headers={NUMBER: str(number)}) as response:
            await response.read()
            return response.status

    began = time.perf_counter()
    async with asyncio.timeout(DEADLINE):
        tasks = [asyncio.create_task(ask(number)) for number in range(size.at_once)]
        answer = asyncio.create_task(watch.first_answer.wait())
        await asyncio.wait([answer, *tasks], return_when=asyncio.FIRST_COMPLETED)
        answer.cancel()
        tasks += [asyncio.create_task(ask(size.at_once + number)) for number in range(size.later)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    failures = sum(answer != 200 for answer in answers)
    return Run(time.perf_counter() - began, failures, begun, watch)


async def _storm(api: ApiProcess, size: Size, limit: int, *middlewares: ClientMiddlewareType) -> Run:
    watch = Watch()
    headers = None if middlewares and middlewares[0] is not sends_twice else STATIC_HEADERS
    async with ClientSession(
        connector=TCPConnector(limit=limit),
        middlewares=(*middlewares, watch),
        headers=headers,
        trace_configs=[watch.trace()],
    ) as session:
        return await _requests(session, api, watch, size)


async def _dead_token(api: ApiProcess, size: Size, limit: int) -> dict[str, float]:
    async with api.auth(login_seconds=LOGIN_SECONDS) as auth:
        token = (await auth.token()).value
        await api.revoke()
        await api.log()
        run = await _storm(api, size, limit, auth)
        log = await api.log()
    return {"logins": log.logins, "failures": run.failures, **run.dead(log, token), "seconds": run.seconds}


async def _cold(api: ApiProcess, size: Size, limit: int) -> dict[str, float]:
    await api.revoke()
    await api.log()
    async with api.auth(login_seconds=LOGIN_SECONDS) as auth:
        run = await _storm(api, size, limit, auth)
        log = await api.log()
        fresh = log.by_token[(await auth.token()).value]
    refused = len(log.arrivals) - fresh
    return {"logins": log.logins, "failures": run.failures, "refused": refused, "seconds": run.seconds}


async def _static(api: ApiProcess, size: Size, limit: int) -> dict[str, float]:
    run = await _storm(api, size, limit)
    log = await api.log()
    assert log.by_token[FIXED_TOKEN] == size.at_once + size.later
    return {"logins": log.logins, "failures": run.failures, "seconds": run.seconds}


async def _static_twice(api: ApiProcess, size: Size, limit: int) -> dict[str, float]:
    run = await _storm(api, size, limit, sends_twice)
    return {"logins": (await api.log()).logins, "failures": run.failures, "seconds": run.seconds}


SCENES = {
    "dead token": _dead_token,
    "cold start": _cold,
    "static headers": _static,
    "static, sent twice": _static_twice,
}

Rounds = list[dict[str, float]]


async def _measured(size: Size) -> dict[tuple[str, int], Rounds]:
    found: dict[tuple[str, int], Rounds] = {(scene, limit): [] for scene in SCENES for limit in (0, size.limit)}
    async with api_process() as api:
        await _static(api, size, 0)
        for number in range(size.rounds):
            progress(number + 1, size.rounds, "round")
            for scene, limit in random.sample(list(found), len(found)):
                found[scene, limit].append(await SCENES[scene](api, size, limit))
    return found


def _figures(found: dict[tuple[str, int], Rounds], scene: str, limit: int) -> dict[str, Spread]:
    rounds = found[scene, limit]
    figures = {name: Spread.of(one[name] for one in rounds) for name in rounds[0]}
    for name, base in (("to_static", "static headers"), ("to_static_twice", "static, sent twice")):
        pairs = zip(rounds, found[base, limit], strict=True)
        delay = LOGIN_SECONDS if "refused" in rounds[0] else 0
        figures[name] = Spread.of(one["seconds"] / (other["seconds"] + delay) for one, other in pairs)
    return figures


def _row(name: str, limit: int, figures: dict[str, Spread]) -> list[str]:
    counts = [figures[count].count() if count in figures else "-" for count in COUNTS]
    ratios = [f"{figures[ratio]:.2f}" if "refused" in figures else "-" for ratio in ("to_static", "to_static_twice")]
    return [f"{name}, limit {limit}", *counts, f"{figures['seconds']:.2f}", *ratios]


COUNTS = ("logins", "failures", "refused", "arrived_late", "written_late", "begun_late")
COLUMNS = ("", *(count.replace("_", " ") for count in COUNTS), "seconds", "to static + login", "to sent twice + login")


def report(*, quick: bool) -> Report:
    """One login, nothing lost, and how long it takes."""
    size = Size(60, 10, 5, 2) if quick else Size(1000, 100, 100, 10)
    found = asyncio.run(_measured(size))
    figures = {key: _figures(found, *key) for key in found}
    table = Table(
        f"storm: {size.at_once} requests at once, {size.later} more at the first answer; the login takes {LOGIN_SECONDS} s;"
        f" {size.rounds} rounds in random order.\n"
        "  refused: arrived with the dead token; of these arrived, written, begun (handed to the session) late:"
        " after the client saw the first refusal.\n"
        "  Times relative to the same requests with static headers, and to these sent twice, each plus the login.",
        COLUMNS,
        [_row(*key, figures[key]) for key in figures],
    )
    return Report([table], {f"{scene}, limit {limit}": plain(figures[scene, limit]) for scene, limit in figures})
