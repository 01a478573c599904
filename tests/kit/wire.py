"""A relay between a store and a `redis-server`, which is slow or lets something happen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple, Self

from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from tests.kit.raw_server import raw_server

Happening = Callable[[], Awaitable[object]]


class Wire:
    """
    A relay in front of *server*: holds answers up for ``delay`` seconds, and lets something happen before a command.

    ``before[part]`` is awaited once, before the first piece that holds *part* is handed on. Connections lead to the ``server``
    of the moment at which they are opened, as those of an address that moves in a failover.
    """

    def __init__(self, server: LocalRedis | Imitation) -> None:
        self.delay = 0.0
        self.opened = 0
        """Connections that were accepted."""
        self.before: dict[bytes, Happening] = {}
        self.server = server
        self._relays = raw_server(self._relay)

    async def __aenter__(self) -> Self:
        self.url = f"redis://{HOST}:{await self._relays.__aenter__()}/0"
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._relays.__aexit__(None, None, None)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(HOST, self.server.port)
            answers = asyncio.ensure_future(self._answers(there, writer))
            try:
                while piece := await reader.read(65536):
                    await self._happen(piece)
                    back.write(piece)
            finally:
                back.close()
                await asyncio.wait([answers])

    async def _happen(self, piece: bytes) -> None:
        for part in [part for part in self.before if part in piece]:
            await self.before.pop(part)()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                await asyncio.sleep(self.delay)
                writer.write(piece)
        writer.close()


class Imitation(NamedTuple):
    """Where something listens that is not a Redis, or not as it should be."""

    port: int

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://{HOST}:{self.port}"


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Imitation]:
    """A server that gives every command the same answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ValueError, OSError, EOFError):
            while parts := int((await reader.readline())[1:]):
                for _ in range(parts):
                    await reader.readexactly(int((await reader.readline())[1:]) + 2)
                writer.write(answer)
                await writer.drain()
                if not answer:
                    break

    async with raw_server(serve) as port:
        yield Imitation(port)


LOAD, SAVE, LOCK = b"return {get(KEYS[1]), now}", b"'saved'", b"\r\nSET\r\n"
"""What the commands look like on the wire."""
