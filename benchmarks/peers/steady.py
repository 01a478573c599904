"""What a request costs while the token is good, beside the same HTTP library without authentication."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from ..harness.report import Spread, Table, plain, progress
from .api import Api
from .contestants import BASES, PEERS
from .peer import Client, Peer

CONCURRENCY = 64
COLUMNS = ("", "CPU us/request", "requests/s", "by CPU time", "95 %", "by throughput", "95 %")


@dataclass(frozen=True)
class Cost:
    """What one block took: seconds of this process's CPU, and of the clock."""

    cpu: float
    wall: float


Found = dict[str, list[Cost]]


@dataclass(frozen=True)
class Size:
    """How many requests a block has on each HTTP library, and in how many rounds each takes part."""

    requests: dict[str, int]
    rounds: dict[str, int]

    def taking_part(self, number: int) -> list[Peer]:
        """Who is measured in this round: what takes ten times as long, in fewer of them."""
        return [peer for peer in PEERS if number % (self.most // self.rounds[peer.library]) == 0]

    @property
    def most(self) -> int:
        """All rounds."""
        return max(self.rounds.values())


async def _block(client: Client, requests: int) -> Cost:
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            assert await client.send("graphql") == 200

    gc.collect()
    gc.disable()
    try:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        return Cost(time.process_time() - cpu, time.perf_counter() - wall)
    finally:
        gc.enable()


async def measured(api: Api, size: Size) -> Found:
    """All contestants are open all the time, on connections of their own; the first block of each does not count."""
    found: Found = {peer.name: [] for peer in PEERS}
    async with AsyncExitStack() as stack:
        await api.begin()
        clients = {peer.name: await stack.enter_async_context(peer.opened(api)) for peer in PEERS}
        for peer in PEERS:
            await clients[peer.name].warm()
            await _block(clients[peer.name], size.requests[peer.library])
        for number in range(size.most):
            if number % 10 == 0:
                progress(number, size.most, "steady, round")
            peers = size.taking_part(number)
            for peer in random.sample(peers, len(peers)):
                found[peer.name].append(await _block(clients[peer.name], size.requests[peer.library]))
    return found


def _figures(found: Found, name: str, library: str, requests: int) -> dict[str, Spread]:
    costs = found[name]
    pairs = list(zip(costs, found[BASES[library]], strict=True))
    return {
        "cpu_us": Spread.of(cost.cpu / requests * 1e6 for cost in costs),
        "per_second": Spread.of(requests / cost.wall for cost in costs),
        "cpu_ratio": Spread.of(base.cpu / cost.cpu for cost, base in pairs),
        "throughput_ratio": Spread.of(base.wall / cost.wall for cost, base in pairs),
    }


def _row(name: str, one: dict[str, Spread]) -> list[str]:
    cpu, rate = one["cpu_ratio"], one["throughput_ratio"]
    ratios = [f"{cpu.median:.3f}", cpu.surely(".3f"), f"{rate.median:.3f}", rate.surely(".3f")]
    costs = [f"{one['cpu_us'].median:.0f}", f"{one['per_second'].median:.0f}"]
    return [name, *costs, *(["-"] * 4 if name in BASES.values() else ratios)]


def table(found: Found, size: Size) -> tuple[Table, dict[str, Any]]:
    """For people, and as JSON."""
    figures = {peer.name: _figures(found, peer.name, peer.library, size.requests[peer.library]) for peer in PEERS}
    blocks = " and ".join(f"{size.rounds[name]} of {size.requests[name]} on {name}" for name in BASES)
    sentence = (
        f"peers, steady: the token is good; {CONCURRENCY} at a time, in blocks in random order ({blocks}).\n"
        "  Ratios are to static headers on the same HTTP library in the same round: 1 is as fast, less is slower;"
        " the median lies in the range to its right with 95 %."
    )
    rows = [_row(name, one) for name, one in figures.items()]
    return Table(sentence, COLUMNS, rows), {name: plain(one) for name, one in figures.items()}
