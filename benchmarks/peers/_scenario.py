"""All of it, one after the other, against one server."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass

from .._report import Report
from . import _adverse, _scenes, _steady, _storms
from ._api import api_process


@dataclass(frozen=True)
class Size:
    """How much of each."""

    steady: _steady.Size
    storms: _storms.Size
    scenes: _scenes.Size


QUICK = Size(
    _steady.Size({"aiohttp": 64, "httpx": 32}, {"aiohttp": 2, "httpx": 1}),
    _storms.Size({"aiohttp": 40, "httpx": 10}, 0.02, 1),
    _scenes.Size({"aiohttp": 10, "httpx": 5}, 0.05, 0.002, 5, 0.6, 1),
)
FULL = Size(
    _steady.Size({"aiohttp": 192, "httpx": 64}, {"aiohttp": 40, "httpx": 8}),
    _storms.Size({"aiohttp": 1000, "httpx": 50}, 0.1, 3),
    _scenes.Size({"aiohttp": 100, "httpx": 50}, 0.1, 0.005, 20, 2.0, 1),
)


async def _measured(size: Size) -> Report:
    async with api_process(login_timeout=size.scenes.login_timeout) as api:
        steady = await _steady.measured(api, size.steady)
        storms = await _storms.measured(api, size.storms)
        adverse = await _adverse.measured(api, size.scenes)
    first, data = _steady.table(steady, size.steady)
    tables, all_data = [first], {"steady": data}
    for scene, found in storms.items():
        table, all_data[scene] = _storms.table(scene, found, size.storms)
        tables.append(table)
    further, all_data["adverse"] = _adverse.tables(adverse, size.scenes)
    return Report([*tables, *further], all_data)


def report(*, quick: bool) -> Report:
    """Steady requests, storms, cold starts, and what else can happen."""
    gc.collect()
    gc.freeze()  # a collection in front of each block is not to look through all that the peers have imported
    try:
        return asyncio.run(_measured(QUICK if quick else FULL))
    finally:
        gc.unfreeze()
