"""A server that speaks bytes of a test's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]

HOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[int]:
    """Yield the port of a server whose connections are *talk*. They end with it, because the loop's end would leave them open."""
    talking: set[asyncio.Task[object]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        # Cancelled below. asyncio of Python 3.11 reports a connection whose task ends as cancelled.
        with contextlib.closing(writer), contextlib.suppress(asyncio.CancelledError):
            await talk(reader, writer)

    server = await asyncio.start_server(accept, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        await server.wait_closed()  # from Python 3.12 on for the connections too
