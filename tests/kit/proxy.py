"""A forward proxy on this machine, for requests in the absolute form and for CONNECT."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from typing import Self

from yarl import URL

HOST = "127.0.0.1"


class Proxy:
    """
    Leads every name to this machine, and remembers what it was asked for.

    With *user* (``name:password``), it answers 407 to everybody else.
    """

    def __init__(self, user: str | None = None) -> None:
        self._wanted = None if user is None else f"Basic {b64encode(user.encode()).decode()}"
        self.asked: list[tuple[str, str]] = []
        """Method and target of each request."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()
        self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        self.asked.append((method, target))
        headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if self._wanted is not None and headers.get("proxy-authorization") != self._wanted:
            writer.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            return
        if method == "CONNECT":
            there, back = await asyncio.open_connection(HOST, int(target.rpartition(":")[2]))
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            url = URL(target)
            there, back = await asyncio.open_connection(HOST, url.port)
            # One request on a connection, so that each comes through here.
            kept = [field for field in fields if not field.lower().startswith(("proxy-", "connection"))]
            back.write(
                "\r\n".join([f"{method} {url.raw_path_qs} HTTP/1.1", *kept, "Connection: close", "", ""]).encode()
            )
        answers = asyncio.ensure_future(_relayed(there, writer))
        try:
            await _relayed(reader, back)
        finally:
            back.close()
            await asyncio.wait([answers])


async def _relayed(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65536):
            target.write(piece)
            await target.drain()
    with contextlib.suppress(OSError):
        target.close()
