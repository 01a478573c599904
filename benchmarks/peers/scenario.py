"""Runs all scenes, one after the other, against one server."""

from __future__ import annotations

import asyncio
import gc

from ..harness.api import opened_api
from ..harness.report import Report
from . import adverse, steady, storms

Sizes = tuple[steady.Size, storms.Size, adverse.Size]
"""How often each is repeated, and with how many requests."""

QUICK: Sizes = (
    steady.Size({"aiohttp": 64, "httpx": 32}, {"aiohttp": 2, "httpx": 1}),
    storms.Size({"aiohttp": 40, "httpx": 10}, 0.02, 1),
    adverse.Size({"aiohttp": 10, "httpx": 5}, 0.5, 0.002, 5, 1.5),
)
FULL: Sizes = (
    steady.Size({"aiohttp": 192, "httpx": 64}, {"aiohttp": 40, "httpx": 8}),
    storms.Size({"aiohttp": 1000, "httpx": 50}, 0.1, 3),
    adverse.Size({"aiohttp": 100, "httpx": 50}, 0.1, 0.005, 20, 2.0),
)


async def _measured(sizes: Sizes) -> Report:
    for_steady, for_storms, for_adverse = sizes
    async with opened_api(for_adverse.login_timeout) as api:
        costs = await steady.measured(api, for_steady)
        in_storms = await storms.measured(api, for_storms)
        ends = await adverse.measured(api, for_adverse)
    return Report.joined(
        {
            "steady": steady.report(costs, for_steady),
            **{scene: storms.report(scene, found, for_storms) for scene, found in in_storms.items()},
            "adverse": adverse.report(ends, for_adverse),
        }
    )


def report(*, quick: bool) -> Report:
    """Measure steady requests, storms, cold starts and adverse scenes."""
    gc.collect()
    gc.freeze()  # otherwise each collection before a block visits all that the peers have imported
    try:
        return asyncio.run(_measured(QUICK if quick else FULL))
    finally:
        gc.unfreeze()
