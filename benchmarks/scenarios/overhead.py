"""What a request costs with the library, beside the same request with static headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import ClientSession

from exterview_auth import AuthSession

from ..harness.api import QUERY, STATIC_HEADERS, Api, answered, opened_api, unlimited
from ..harness.baselines import cheapest
from ..harness.cost import COLUMNS, Ask, Cost, cost_of, figures
from ..harness.report import Report, in_random_order
from . import middleware_alone
from .observed import observed, refusals

BASE = "static headers"


class Block(NamedTuple):
    """How many requests are sent, how many of them at a time, and in how many rounds."""

    concurrency: int
    requests: int
    rounds: int


@asynccontextmanager
async def _contestants(api: Api) -> AsyncIterator[dict[str, Ask]]:
    """Open all contestants on the same connections; the second one with static headers shows what is noise."""
    async with AsyncExitStack() as stack:
        # Connections that are older or warmer would make their contestant look cheaper.
        connector = await stack.enter_async_context(unlimited())
        auth = await stack.enter_async_context(api.auth())
        watched = await stack.enter_async_context(observed(api.auth()))

        async def session(**options: Any) -> ClientSession:
            return await stack.enter_async_context(ClientSession(connector=connector, connector_owner=False, **options))

        clients: dict[str, ClientSession | AuthSession] = {
            BASE: await session(headers=STATIC_HEADERS),
            "static headers again": await session(headers=STATIC_HEADERS),
            "middleware of two lines": await session(middlewares=(cheapest,)),
            "ExterviewAuth": await session(middlewares=(auth,)),
            "AuthSession": AuthSession(await session(), auth),
            "ExterviewAuth, observed": await session(middlewares=(watched,)),
        }
        yield {name: _asking(client, api) for name, client in clients.items()}


def _asking(client: ClientSession | AuthSession, api: Api) -> Ask:
    return lambda: answered(client.post(api.url, json=QUERY))


async def _measured(api: Api, block: Block) -> Report:
    await api.begin(one_session=False)  # two owners log in
    async with _contestants(api) as contestants:

        async def cost(name: str) -> Cost:
            return await cost_of(contestants[name], block.requests, block.concurrency)

        # The first block opens the connections, and is not counted.
        for name in contestants:
            await cost(name)
        what = f"{block.concurrency} at a time,"
        found = await in_random_order(contestants, block.rounds, cost, what, every=50)
        await api.log()
    return Report.of(
        f"overhead: {block.concurrency} at a time; {block.rounds} rounds of blocks of {block.requests} requests, in random order.\n"
        "  Ratios compare with static headers in the same round: 1 is as fast, less is slower. The median lies in the range to"
        " its right with 95 %.",
        COLUMNS,
        {name: figures(costs, found[BASE], block.requests) for name, costs in found.items()},
    )


async def _through_sessions(blocks: list[Block], *, quick: bool) -> dict[str, Report]:
    async with opened_api() as api:
        reports = {f"{block.concurrency} at a time": await _measured(api, block) for block in blocks}
        return {**reports, "observed": await refusals(api, quick=quick)}


def report(*, quick: bool) -> Report:
    """Measure throughput and CPU time through a session at several concurrencies, with telemetry, then the middleware alone."""
    blocks = (
        [Block(1, 20, 2), Block(64, 128, 2)]
        if quick
        else [Block(1, 50, 200), Block(64, 192, 120), Block(512, 1024, 20)]
    )
    sessions = asyncio.run(_through_sessions(blocks, quick=quick))
    return Report.joined({**sessions, "middleware alone": middleware_alone.report(quick=quick)})
