"""A process that takes orders from standard input and answers each on standard output, one line of JSON at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any


async def serve_orders(servant: object) -> None:
    """Let *servant*'s methods ``do_...`` answer, until there are no more orders."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    with contextlib.closing(transport):
        async for line in orders:
            order = json.loads(line)
            do: Callable[..., Any] = getattr(servant, f"do_{order['do']}")
            _tell(await do(order))


def _tell(answer: dict[str, Any]) -> None:
    left = memoryview(f"{json.dumps(answer)}\n".encode())
    while left:
        left = left[os.write(sys.stdout.fileno(), left) :]
