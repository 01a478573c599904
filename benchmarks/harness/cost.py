"""What a block of requests costs, in CPU time of this process and in time of the clock."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from .report import Column, Spread, median, ratio, sure

Ask = Callable[[], Awaitable[int]]
"""Sends a request, reads its answer, and returns the status."""

COLUMNS: list[Column] = [
    ("CPU us/request", "cpu_us", median(".0f")),
    ("requests/s", "per_second", median(".0f")),
    ("by CPU time", "cpu_ratio", ratio(".3f")),
    ("95 %", "cpu_ratio", sure(".3f")),
    ("by throughput", "throughput_ratio", ratio(".3f")),
    ("95 %", "throughput_ratio", sure(".3f")),
]


@dataclass(frozen=True)
class Cost:
    """What one block took, in seconds."""

    cpu: float
    wall: float


async def cost_of(ask: Ask, requests: int, concurrency: int) -> Cost:
    """Send a block of *requests*, *concurrency* at a time, with the garbage collector turned off."""
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            assert await ask() == 200

    # A collection in one block and not in another would be most of the difference between them.
    gc.collect()
    gc.disable()
    try:
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return Cost(time.process_time() - cpu, time.perf_counter() - wall)
    finally:
        gc.enable()


def figures(costs: Sequence[Cost], bases: Sequence[Cost], requests: int) -> dict[str, Spread]:
    """Compare *costs* with those of the *bases* in the same round."""
    return {
        "cpu_us": Spread.of(cost.cpu / requests * 1e6 for cost in costs),
        "per_second": Spread.of(requests / cost.wall for cost in costs),
        "cpu_ratio": Spread.of_ratios((base.cpu for base in bases), (cost.cpu for cost in costs)),
        "throughput_ratio": Spread.of_ratios((base.wall for base in bases), (cost.wall for cost in costs)),
    }
