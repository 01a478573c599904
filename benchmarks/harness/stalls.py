"""How long the event loop was away."""

from __future__ import annotations

import asyncio
import itertools
import time


async def note_stalls(stalls: list[float]) -> None:
    """Notes how long the loop was away, each time that it comes round."""
    last = time.perf_counter()
    for _ in itertools.count():
        await asyncio.sleep(0)
        now = time.perf_counter()
        stalls.append(now - last)
        last = now
