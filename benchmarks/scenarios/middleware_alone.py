"""The middleware's own time, with nothing behind it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, cast

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession
from yarl import URL

from exterview_auth import ExterviewAuth, LoginContext, Token

from ..harness.api import QUERY
from ..harness.baselines import cheapest
from ..harness.report import Report, Spread, Table, plain
from ..harness.server import API_KEY
from .steps import steps

ENDPOINT = URL("http://127.0.0.1:9/graphql")
BASE = "two header sets"

Loop = Callable[[int], Awaitable[int]]


class _Answer:
    """All that the middleware looks at."""

    status = 200


_ANSWER = cast("ClientResponse", _Answer())


async def _handler(_: ClientRequest) -> ClientResponse:
    return _ANSWER


class _CaughtError(Exception):
    """Nothing is sent."""


async def _caught(*urls: URL) -> list[ClientRequest]:
    """Requests of one session as aiohttp makes them, taken from it before they are sent."""
    requests: list[ClientRequest] = []

    async def catch(request: ClientRequest, _: ClientHandlerType) -> NoReturn:
        requests.append(request)
        raise _CaughtError

    async with ClientSession(middlewares=(catch,)) as session:
        for url in urls:
            with contextlib.suppress(_CaughtError):
                await session.post(url, json=QUERY)
    return requests


def _calls(
    middleware: Callable[[ClientRequest, ClientHandlerType], Awaitable[ClientResponse]], *requests: ClientRequest
) -> Loop:
    async def loop(count: int) -> int:
        again = requests * (count // len(requests))
        began = time.process_time_ns()
        for request in again:
            await middleware(request, _handler)
        return time.process_time_ns() - began

    return loop


async def _signed_in(expires_in: float | None) -> ExterviewAuth:
    async def login(_: LoginContext) -> Token:
        return Token("token", expires_in=expires_in)

    auth = ExterviewAuth(login, api_key=API_KEY, endpoint=ENDPOINT)
    await auth.token()
    return auth


async def _straight(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    return await handler(request)


async def _measured(count: int, rounds: int) -> dict[str, list[float]]:
    request, other = await _caught(ENDPOINT, ENDPOINT.update_query(page="2"))
    async with await _signed_in(None) as opaque, await _signed_in(3600) as timed:
        loops = {
            "no middleware's work": _calls(_straight, request),
            BASE: _calls(cheapest, request),
            **{name: _calls(step, request) for name, step in steps(request.url).items()},
            f"{BASE} again": _calls(cheapest, request),
            "ExterviewAuth, opaque token": _calls(opaque, request),
            "ExterviewAuth, token with a lifetime": _calls(timed, request),
            "the same, another URL each time": _calls(timed, request, other),
        }
        found: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(rounds):
            for name in random.sample(list(loops), len(loops)):
                gc.collect()
                found[name].append(await loops[name](count) / count)
    return found


def report(*, quick: bool) -> Report:
    """Nanoseconds per call, beside the cheapest middleware that there can be."""
    count, rounds = (1000, 3) if quick else (20_000, 15)
    found = asyncio.run(_measured(count, rounds))
    figures = {
        name: {
            "ns": Spread.of(times),
            "ratio": Spread.of(time / base for time, base in zip(times, found[BASE], strict=True)),
        }
        for name, times in found.items()
    }
    table = Table(
        f"middleware alone: CPU time of one call around a handler that answers at once; {rounds} rounds of {count} calls.\n"
        "  Lines with a plus add one step to those above: the least that the rules take.",
        ("", "ns/call", "to two header sets"),
        [[name, f"{one['ns']:.0f}", f"{one['ratio']:.2f}"] for name, one in figures.items()],
    )
    return Report([table], {"middleware alone": {name: plain(one) for name, one in figures.items()}})
