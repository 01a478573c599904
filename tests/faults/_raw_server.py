"""An API with its login on a bare loopback socket, which does to a request whatever a row wants."""

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
"""Here the bodies of refused requests are not read to their end."""
REFUSAL = {"error": "Missing or invalid token"}


class Call(NamedTuple):
    """One request, read to its end, and the connection that its answer goes to."""

    head: str
    body: bytes
    writer: asyncio.StreamWriter

    def header(self, name: str) -> str:
        """Return its value, or an empty string."""
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return next((value.strip() for key, _, value in lines if key.lower() == name), "")

    @property
    def token(self) -> str:
        """The token that it was signed with."""
        return self.header("authorization").removeprefix("Bearer ")

    async def write(self, data: bytes) -> None:
        """Send *data* as it is."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, payload: Any, *headers: str) -> None:
        """Send JSON, or bytes as they are."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
        if not any(header.startswith("Content-Type") for header in headers):
            lines.append("Content-Type: application/json")
        await self.write("\r\n".join([*lines, "", ""]).encode() + body)

    def reset(self) -> None:
        """Reset the connection, as a crash does."""
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
        """Accept connections, on the same port as before."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=2**24, backlog=1024, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.origin = f"{'http' if self._tls is None else 'https'}://{self._host}:{self.port}"
        self.endpoint = f"{self.origin}/graphql"

    async def hang_up(self) -> None:
        """Refuse new connections, and cut the open ones."""
        self._server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def issue(self, call: Call) -> None:
        """Answer with a new good token."""
        token = f"token-{next(self._numbers)}"
        self.tokens.add(token)
        members = {"token": token, "refreshToken": token.replace("token", "refresh"), "expiresIn": self.expires_in}
        await call.answer(200, {"data": {"login": members}})

    async def serve(self, call: Call) -> None:
        """Answer the smoke test if key and token are good, else with 401."""
        good = self.knows(call)
        await call.answer(200 if good else 401, QUERY_ANSWER if good else REFUSAL)

    def knows(self, call: Call) -> bool:
        """Return whether key and token are good."""
        return call.token in self.tokens and call.header("x-api-key") == KEY

    def refusing(self, act: Act) -> Act:
        """Return *act* for refused requests, and `serve` for the others."""

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
    """Return *act* for the first request, and *after* from then on."""
    acts = itertools.chain([act], itertools.repeat(after))

    async def run(call: Call) -> None:
        await next(acts)(call)

    return run


def status(number: int, payload: Any, *headers: str) -> Act:
    """Return an answer of that *number*."""
    return lambda call: call.answer(number, payload, *headers)


async def silence(_call: Call) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def garbage(call: Call) -> None:
    """Answer with something that is not HTTP."""
    await call.write(b"\x00\xff\x16\x03 what is this\r\n\r\n")
    call.writer.close()


def held(gate: asyncio.Event, act: Act) -> Act:
    """Return *act* after *gate* is set."""

    async def wait(call: Call) -> None:
        await gate.wait()
        await act(call)

    return wait
