"""
The process that is counted: ``python -m benchmarks.instructions.client LOOP LIBRARY PORT ROUNDS REQUESTS`` under valgrind.

It prints one line of JSON: the contestants and their bases. Valgrind writes the counts, under the names that `noted` returns.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

from aiohttp import ClientSession

from ..harness.api import Api
from ..harness.cost import Ask
from ..harness.machine import collector_off
from . import contestants
from .callgrind import Counter

WARM_UP = 40
"""Requests that each contestant sends first: the interpreter adapts code that runs often."""
AGAIN = 5
"""Requests before those that are counted in a round: the connection may have been closed meanwhile."""


def noted(number: int, request: int, name: str) -> str:
    """Return the name under which a request of a contestant is counted in round *number*."""
    return f"{number} {request} {name}"


async def _send(ask: Ask, requests: int) -> None:
    for _ in range(requests):
        assert await ask() == 200


async def _count(asks: dict[str, Ask], counter: Counter, number: int, requests: int) -> None:
    # An order that is the same in each round would give each contestant always the same predecessor.
    for name in random.sample(list(asks), len(asks)):
        gc.collect()
        ask = asks[name]
        await _send(ask, AGAIN)
        for request in range(requests):
            with counter.counting(noted(number, request, name)):
                status = await ask()
            assert status == 200


async def _main(library: Path, port: int, rounds: int, requests: int) -> None:
    async with (
        ClientSession() as controls,
        contestants.opened(Api(port, controls)) as found,
    ):
        print(json.dumps({name: contestant.base for name, contestant in found.items()}))
        asks = {name: contestant.ask for name, contestant in found.items()}
        for ask in asks.values():
            await _send(ask, WARM_UP)
        counter = Counter(library)
        with collector_off():
            for number in range(rounds):
                await _count(asks, counter, number, requests)


def _runner(loop: str) -> asyncio.Runner:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if loop == "uvloop":
        import uvloop  # noqa: PLC0415 - may not be installed

        factory = uvloop.new_event_loop
    return asyncio.Runner(loop_factory=factory)


if __name__ == "__main__":
    with _runner(sys.argv[1]) as runner:
        runner.run(_main(Path(sys.argv[2]), *map(int, sys.argv[3:])))
