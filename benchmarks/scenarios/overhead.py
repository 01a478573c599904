"""What a request costs with the library, beside the same request with static headers."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientSession, TCPConnector
from aiohttp.client import _RequestContextManager

from exterview_auth import AuthSession

from ..harness.api import QUERY, STATIC_HEADERS, ApiProcess, api_process
from ..harness.baselines import cheapest
from ..harness.report import Report, Spread, Table, plain, progress
from . import middleware_alone

Ask = Callable[[], _RequestContextManager]

BASE = "static headers"


@dataclass(frozen=True)
class Block:
    """So many requests, so many at a time, repeated in so many rounds."""

    concurrency: int
    requests: int
    rounds: int


@dataclass(frozen=True)
class Cost:
    """What one block took: seconds of this process's CPU, and of the clock."""

    cpu: float
    wall: float


async def _block(ask: Ask, block: Block) -> Cost:
    left = iter(range(block.requests))

    async def work() -> None:
        for _ in left:
            async with ask() as response:
                await response.read()
                assert response.status == 200

    gc.collect()
    gc.disable()
    try:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(block.concurrency)))
        return Cost(time.process_time() - cpu, time.perf_counter() - wall)
    finally:
        gc.enable()


@asynccontextmanager
async def _contestants(api: ApiProcess) -> AsyncIterator[dict[str, Ask]]:
    """All on the same connections; the second one with static headers shows what is noise."""
    async with AsyncExitStack() as stack:
        connector = await stack.enter_async_context(TCPConnector(limit=0))
        auth = await stack.enter_async_context(api.auth())

        def session(**options: object) -> ClientSession:
            return ClientSession(connector=connector, connector_owner=False, **options)  # type: ignore[arg-type]

        static = await stack.enter_async_context(session(headers=STATIC_HEADERS))
        control = await stack.enter_async_context(session(headers=STATIC_HEADERS))
        two_sets = await stack.enter_async_context(session(middlewares=(cheapest,)))
        guarded = await stack.enter_async_context(session(middlewares=(auth,)))
        wrapped = AuthSession(await stack.enter_async_context(session()), auth)
        yield {
            BASE: lambda: static.post(api.url, json=QUERY),
            "static headers again": lambda: control.post(api.url, json=QUERY),
            "middleware of two lines": lambda: two_sets.post(api.url, json=QUERY),
            "ExterviewAuth": lambda: guarded.post(api.url, json=QUERY),
            "AuthSession": lambda: wrapped.post(api.url, json=QUERY),
        }


async def _measured(api: ApiProcess, block: Block) -> dict[str, list[Cost]]:
    async with _contestants(api) as contestants:
        found: dict[str, list[Cost]] = {name: [] for name in contestants}
        for ask in contestants.values():
            await _block(ask, block)
        for number in range(block.rounds):
            if number % 50 == 0:
                progress(number, block.rounds, f"{block.concurrency} at a time, round")
            for name in random.sample(list(contestants), len(contestants)):
                found[name].append(await _block(contestants[name], block))
        await api.log()
    return found


def _figures(found: dict[str, list[Cost]], name: str, block: Block) -> dict[str, Spread]:
    costs, base = found[name], found[BASE]
    pairs = list(zip(costs, base, strict=True))
    return {
        "cpu_us": Spread.of(cost.cpu / block.requests * 1e6 for cost in costs),
        "per_second": Spread.of(block.requests / cost.wall for cost in costs),
        "cpu_ratio": Spread.of(other.cpu / cost.cpu for cost, other in pairs),
        "throughput_ratio": Spread.of(other.wall / cost.wall for cost, other in pairs),
    }


def _row(name: str, one: dict[str, Spread]) -> list[str]:
    cpu, rate = one["cpu_ratio"], one["throughput_ratio"]
    ratios = [f"{cpu:.3f}", cpu.surely(".3f"), f"{rate:.3f}", rate.surely(".3f")]
    return [
        name,
        f"{one['cpu_us'].median:.0f}",
        f"{one['per_second'].median:.0f}",
        *(["-"] * 4 if name == BASE else ratios),
    ]


def _table(block: Block, figures: dict[str, dict[str, Spread]]) -> Table:
    return Table(
        f"overhead: {block.concurrency} at a time; {block.rounds} rounds of blocks of {block.requests} requests, in random order.\n"
        "  Ratios are to the block with static headers of the same round: 1 is as fast, less is slower;"
        " the median lies in the range to its right with 95 %.",
        ("", "CPU us/request", "requests/s", "by CPU time", "95 %", "by throughput", "95 %"),
        [_row(name, one) for name, one in figures.items()],
    )


async def _through_sessions(blocks: list[Block]) -> dict[Block, dict[str, dict[str, Spread]]]:
    results = {}
    async with api_process() as api:
        for block in blocks:
            found = await _measured(api, block)
            results[block] = {name: _figures(found, name, block) for name in found}
    return results


def report(*, quick: bool) -> Report:
    """Throughput and CPU time through a session at several concurrencies, then the middleware alone."""
    blocks = (
        [Block(1, 20, 2), Block(64, 128, 2)]
        if quick
        else [Block(1, 50, 200), Block(64, 192, 120), Block(512, 1024, 20)]
    )
    results = asyncio.run(_through_sessions(blocks))
    alone = middleware_alone.report(quick=quick)
    data = {
        f"{block.concurrency} at a time": {name: plain(one) for name, one in figures.items()}
        for block, figures in results.items()
    }
    tables = [_table(block, figures) for block, figures in results.items()]
    return Report([*tables, *alone.tables], {**data, **alone.data})
