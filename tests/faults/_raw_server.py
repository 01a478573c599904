"""An API with its login on a bare loopback socket, which may do to a request whatever a row wants."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Self

from tests.kit.api import KEY

Act = Callable[["Call"], Awaitable[None]]

QUERY_ANSWER = {"data": {"__typename": "Query"}}
EARLY = "/early"
"""Where bodies of those who may not come in are not read to their end."""
REFUSAL = {"error": "Missing or invalid token"}


class Call(NamedTuple):
    """One request, read to its end, that waits for what is done to it."""

    head: str
    body: bytes
    writer: asyncio.StreamWriter

    def header(self, name: str) -> str:
        """Its value, or nothing."""
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return next((value.strip() for key, _, value in lines if key.lower() == name), "")

    @property
    def token(self) -> str:
        """What it was signed with."""
        return self.header("authorization").removeprefix("Bearer ")

    async def write(self, data: bytes) -> None:
        """Send as it is."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, payload: Any, *headers: str) -> None:
        """Send JSON, or bytes as they are."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        kind = (
            () if any(header.startswith("Content-Type") for header in headers) else ("Content-Type: application/json",)
        )
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *kind, *headers]
        await self.write("\r\n".join([*lines, "", ""]).encode() + body)

    def reset(self) -> None:
        """Cut the connection with a reset, as a crash does."""
        on, at_once = 1, 0
        self.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, at_once)
        )
        self.writer.transport.abort()


class RawServer:
    """``login`` is what becomes of logins, ``api`` of everything else; both are fine at first."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, host: str = "127.0.0.1") -> None:
        self.login: Act = self.issue
        self.api: Act = self.serve
        self.tokens: set[str] = set()
        self.seen: list[str] = []
        """The tokens of all requests to the API, in order."""
        self.expires_in: float | None = 3600
        self.port = 0
        self._tls = tls
        self._host = host
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.hang_up()

    async def listen(self) -> None:
        """Take connections, on the same port as before."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=2**24, backlog=1024, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.origin = f"{'http' if self._tls is None else 'https'}://{self._host}:{self.port}"
        self.endpoint = f"{self.origin}/graphql"

    async def hang_up(self) -> None:
        """Refuse connections, and cut those there are."""
        self._server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def issue(self, call: Call) -> None:
        """A new good token."""
        token = f"token-{next(self._numbers)}"
        self.tokens.add(token)
        members = {"token": token, "refreshToken": token.replace("token", "refresh"), "expiresIn": self.expires_in}
        await call.answer(200, {"data": {"login": members}})

    async def serve(self, call: Call) -> None:
        """The smoke test's answer where key and token are good."""
        good = self.knows(call)
        await call.answer(200 if good else 401, QUERY_ANSWER if good else REFUSAL)

    def knows(self, call: Call) -> bool:
        """Whether it may come in."""
        return call.token in self.tokens and call.header("x-api-key") == KEY

    def refusing(self, act: Act) -> Act:
        """*act* for those who may not come in."""

        async def either(call: Call) -> None:
            await (self.serve if self.knows(call) else act)(call)

        return either

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._take(await self._read(reader, writer))
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _take(self, call: Call) -> None:
        is_login = b"mutation Login" in call.body
        if not is_login:
            self.seen.append(call.token)
        await (self.login if is_login else self.api)(call)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Call:
        call = Call((await reader.readuntil(b"\r\n\r\n")).decode(), b"", writer)
        length = int(call.header("content-length") or 0)
        if call.head.startswith(f"POST {EARLY} ") and not self.knows(call):
            await reader.readexactly(length // 10)
            await call.answer(401, REFUSAL, "Connection: close")
            await reader.read()
            raise asyncio.IncompleteReadError(b"", None)
        return call._replace(body=await reader.readexactly(length))


def once(act: Act, after: Act) -> Act:
    """*act* the first time, *after* from then on."""
    acts = itertools.chain([act], itertools.repeat(after))

    async def run(call: Call) -> None:
        await next(acts)(call)

    return run


def status(number: int, payload: Any, *headers: str) -> Act:
    """An answer of that *number*."""
    return lambda call: call.answer(number, payload, *headers)


async def silence(_call: Call) -> None:
    """Taken, and never answered."""
    await asyncio.Event().wait()


async def garbage(call: Call) -> None:
    """No HTTP."""
    await call.write(b"\x00\xff\x16\x03 what is this\r\n\r\n")
    call.writer.close()


def held(gate: asyncio.Event, act: Act) -> Act:
    """*act*, but not before the gate opens."""

    async def wait(call: Call) -> None:
        await gate.wait()
        await act(call)

    return wait
