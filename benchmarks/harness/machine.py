"""Describes the machine, and what it does while a scenario is measured."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import platform
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version


def machine() -> dict[str, str]:
    """Return versions and cores, as printed above the tables."""
    return {
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "yarl": version("yarl"),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
    }


_OLDEST = 2


class CollectorTime:
    """Adds up the seconds that the garbage collector takes, and its full collections; a callback for ``gc.callbacks``."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.full = 0
        """Collections of the oldest generation, which visit all that exists."""
        self._began = 0.0

    def __call__(self, phase: str, info: Mapping[str, int]) -> None:
        """Note the beginning or the end of a collection."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began
            self.full += info["generation"] == _OLDEST


@contextlib.contextmanager
def collector_time() -> Iterator[CollectorTime]:
    """Measure the garbage collector inside the block, which begins with nothing to collect."""
    gc.collect()
    noted = CollectorTime()
    gc.callbacks.append(noted)
    try:
        yield noted
    finally:
        gc.callbacks.remove(noted)


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """Collect garbage only where the block says so, and only what is made inside."""
    gc.collect()
    gc.freeze()  # otherwise each collection visits all that exists already, which takes longer than what is measured
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


async def note_stalls(stalls: list[float]) -> None:
    """Append to *stalls*, in each turn of the event loop, the seconds since the turn before."""
    # Each turn of the loop that takes long is a stall: nothing else could run meanwhile.
    last = time.perf_counter()
    for _ in itertools.count():
        await asyncio.sleep(0)
        now = time.perf_counter()
        stalls.append(now - last)
        last = now
