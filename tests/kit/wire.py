"""A relay between a store and a `redis-server`, which is slow or lets something happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self

from exterview_auth._cli.demo.redis_server import HOST, LocalRedis

Happening = Callable[[], Awaitable[object]]


class Wire:
    """
    A relay in front of *server*: holds answers up for ``delay`` seconds, and lets something happen before a command.

    ``before[part]`` is awaited once, before the first piece that holds *part* is handed on.
    """

    def __init__(self, server: LocalRedis) -> None:
        self.delay = 0.0
        self.before: dict[bytes, Happening] = {}
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, HOST, 0)
        self.url = f"redis://{HOST}:{self._listener.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(HOST, self._server.port)
            answers = asyncio.ensure_future(self._answers(there, writer))
            try:
                while piece := await reader.read(65536):
                    await self._happen(piece)
                    back.write(piece)
            finally:
                back.close()
                await asyncio.wait([answers])
        writer.close()
        self._tasks.discard(task)

    async def _happen(self, piece: bytes) -> None:
        for part in [part for part in self.before if part in piece]:
            await self.before.pop(part)()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                await asyncio.sleep(self.delay)
                writer.write(piece)
        writer.close()


LOAD, SAVE, LOCK = b"return {get(KEYS[1]), now}", b"'saved'", b"\r\nSET\r\n"
"""What the commands look like on the wire."""
