"""Processes that take orders from standard input and answer each on standard output, as one line of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

CHECKOUT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0
"""Seconds after which a benchmark that hangs ends in an error."""
ENDING = 5.0
"""Seconds after which a process that does not end is killed."""
# A sample of the soak counts objects by type, in one line: more than the 64 kB that a reader takes by default.
LONGEST_LINE = 2**24


class Worker:
    """The parent's side of one process. It carries out one order after another."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def started(cls, name: str, module: str, *arguments: object) -> Self:
        """Start *module*, which calls `serve_orders`."""
        command = (sys.executable, "-m", module, *map(str, arguments))
        process = await asyncio.create_subprocess_exec(
            *command, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE
        )
        return cls(name, process)

    async def order(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer to an order; an empty one if the process ends meanwhile."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # No drain: an order is short, and a process that has died must not raise here but answer nothing below.
        self._process.stdin.write(f"{json.dumps({'do': do, **arguments})}\n".encode())
        async with asyncio.timeout(DEADLINE):
            line = await self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line or "{}")
        return answer

    def kill(self) -> None:
        """End the process as ``kill -9`` does."""
        self._process.kill()

    async def end(self) -> None:
        """Let the process end, and wait until it has."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(ENDING):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()


async def serve_orders(servant: object) -> None:
    """Answer orders with *servant*'s methods ``do_...`` until standard input ends."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    with contextlib.closing(transport):
        async for line in orders:
            order = json.loads(line)
            do: Callable[..., Any] = getattr(servant, f"do_{order.pop('do')}")
            _write(await do(**order))


def _write(answer: dict[str, Any] | None) -> None:
    # A pipe takes a long line in parts.
    left = memoryview(f"{json.dumps(answer or {})}\n".encode())
    while left:
        left = left[os.write(sys.stdout.fileno(), left) :]
