"""The middleware's own time, with nothing behind it. The scenario ``overhead`` prints it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, cast

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession
from yarl import URL

from exterview_auth import ExterviewAuth, LoginContext, Token

from ..harness.api import QUERY
from ..harness.baselines import cheapest
from ..harness.report import Report, Spread, in_random_order, within
from ..harness.server import API_KEY
from .steps import steps

ENDPOINT = URL("http://127.0.0.1:9/graphql")
BASE = "two header sets"

Loop = Callable[[int], Awaitable[int]]


class _Response:
    """All that the middleware reads of a response."""

    status = 200


_RESPONSE = cast("ClientResponse", _Response())


async def answer_at_once(_: ClientRequest) -> ClientResponse:
    """Handle a request without sending it."""
    return _RESPONSE


class _CaughtError(Exception):
    """Keeps a request from being sent."""


async def requests_to(*urls: URL) -> list[ClientRequest]:
    """Return requests as aiohttp makes them, all of one session, taken from it before they are sent."""
    requests: list[ClientRequest] = []

    async def catch(request: ClientRequest, _: ClientHandlerType) -> NoReturn:
        requests.append(request)
        raise _CaughtError

    # A request object is aiohttp's own: the middleware reads more of it than a stub would have.
    async with ClientSession(middlewares=(catch,)) as session:
        for url in urls:
            with contextlib.suppress(_CaughtError):
                await session.post(url, json=QUERY)
    return requests


def _calls(
    middleware: Callable[[ClientRequest, ClientHandlerType], Awaitable[ClientResponse]], *requests: ClientRequest
) -> Loop:
    async def loop(count: int) -> int:
        repeated = requests * (count // len(requests))
        began = time.process_time_ns()
        for request in repeated:
            await middleware(request, answer_at_once)
        return time.process_time_ns() - began

    return loop


async def _logged_in(expires_in: float | None) -> ExterviewAuth:
    async def login(_: LoginContext) -> Token:
        return Token("token", expires_in=expires_in)

    auth = ExterviewAuth(login, api_key=API_KEY, endpoint=ENDPOINT)
    await auth.token()
    return auth


async def _no_work(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    return await handler(request)


async def _measured(count: int, rounds: int) -> dict[str, list[float]]:
    request, other = await requests_to(ENDPOINT, ENDPOINT.update_query(page="2"))
    async with await _logged_in(None) as opaque, await _logged_in(3600) as timed:
        loops = {
            "no middleware's work": _calls(_no_work, request),
            BASE: _calls(cheapest, request),
            **{name: _calls(step, request) for name, step in steps(request.url).items()},
            f"{BASE} again": _calls(cheapest, request),
            "ExterviewAuth, opaque token": _calls(opaque, request),
            "ExterviewAuth, token with a lifetime": _calls(timed, request),
            "the same, another URL each time": _calls(timed, request, other),
        }

        async def nanoseconds(name: str) -> float:
            gc.collect()
            return await loops[name](count) / count

        return await in_random_order(loops, rounds, nanoseconds, "middleware alone,", every=5)


def report(*, quick: bool) -> Report:
    """Measure nanoseconds per call, beside the cheapest possible middleware."""
    count, rounds = (1000, 3) if quick else (20_000, 15)
    found = asyncio.run(_measured(count, rounds))
    return Report.of(
        f"middleware alone: CPU time of one call around a handler that answers at once; {rounds} rounds of {count} calls.\n"
        "  Lines with a plus add one step to those above: the minimum that the rules require.",
        [("ns/call", "ns", within(".0f")), ("to two header sets", "ratio", within(".2f"))],
        {
            name: {"ns": Spread.of(times), "ratio": Spread.of_ratios(times, found[BASE])}
            for name, times in found.items()
        },
    )
