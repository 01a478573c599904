"""The requests of the soak, one kind each, and what an answer must contain."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from random import Random
from typing import Any

from aiohttp import ClientResponse, ClientTimeout, FormData, WSServerHandshakeError

from exterview_auth import AuthSession, UnauthorizedError

from .server import ACCOUNT, BIG, NUMBER, REFUSALS

LONGEST_REQUEST = 60.0
"""Seconds after which a request hangs: more than a login may take."""
QUERY = "query Soak($number: String!, $account: String!) { soak(number: $number, account: $account) }"


class WrongAnswerError(Exception):
    """The answer belongs to another request, or is not one that the server gives."""


class RefusedError(Exception):
    """A 401, with what the server says about it."""


@dataclass(frozen=True)
class Ask:
    """One request: its number, its account, its body, and how long its caller waits."""

    client: AuthSession
    number: str
    account: str
    body: bytes
    seconds: float

    @property
    def options(self) -> dict[str, Any]:
        """Options of every request."""
        return {"headers": {NUMBER: self.number, ACCOUNT: self.account}, "timeout": ClientTimeout(total=self.seconds)}


def ask_for(client: AuthSession, number: str, account: str, draw: Random, seconds: float) -> Ask:
    """Return a request with its own body, which is seldom a large one."""
    size = draw.choice((40, 400, 4_000, 4_000, 40_000, 150_000))
    return Ask(client, number, account, f"{number} {account} ".encode().ljust(size, b"."), seconds)


def _echoed(options: Callable[[Ask], dict[str, Any]]) -> Callable[[Ask], Awaitable[None]]:
    """Return a kind whose body is the ask's own, sent with these options, and whose answer holds a digest of it."""

    async def sent(ask: Ask) -> None:
        async with ask.client.post("/echo", **options(ask), **ask.options) as response:
            await _require_ok(response)
            _require_echo(ask, (await response.json())["data"], ask.body)

    return sent


def _form(ask: Ask) -> FormData:
    form = FormData()
    form.add_field("jobId", ask.number)
    form.add_field("file", BytesIO(ask.body), filename="resume.pdf", content_type="application/pdf")
    return form


async def _json(ask: Ask) -> None:
    content = {"text": ask.body.decode()}
    async with ask.client.post("/echo", json=content, **ask.options) as response:
        await _require_ok(response)
        _require_echo(ask, (await response.json())["data"], json.dumps(content).encode())


async def _unread(ask: Ask) -> None:
    async with ask.client.post("/echo", data=ask.body, **ask.options) as response:
        await _require_ok(response)


async def _big(ask: Ask, *, whole: bool) -> None:
    """Read the response, or leave it after its first bytes."""
    async with ask.client.get("/big", **ask.options) as response:
        await _require_ok(response)
        number = ask.number.encode()
        expected = number + BIG if whole else number
        read = await (response.read() if whole else response.content.readexactly(len(number)))
        if read != expected:
            raise WrongAnswerError(f"a body of {len(read)} bytes, which begins {read[:50]!r}")


async def _graphql(ask: Ask) -> None:
    async with asyncio.timeout(ask.seconds):
        _require_echo(ask, await ask.client.graphql(QUERY, _variables(ask)), b"")


async def _graphql_file(ask: Ask) -> None:
    variables = {**_variables(ask), "file": None}
    async with asyncio.timeout(ask.seconds):
        answer = await ask.client.graphql(QUERY, variables, files={"variables.file": BytesIO(ask.body)})
        _require_echo(ask, answer, ask.body)


async def _websocket(ask: Ask) -> None:
    async with asyncio.timeout(ask.seconds), ask.client.ws_connect("/ws", headers=ask.options["headers"]) as socket:
        await socket.send_bytes(b"") if len(ask.body) > 4_000 else None
        await socket.send_str(ask.number)
        _require_echo(ask, await socket.receive_json(), ask.number.encode())


KINDS: dict[str, tuple[int, Callable[[Ask], Awaitable[None]]]] = {
    "json": (20, _json),
    "bytes": (12, _echoed(lambda ask: {"data": ask.body})),
    "multipart": (12, _echoed(lambda ask: {"data": _form(ask)})),
    "graphql": (20, _graphql),
    "graphql, file": (8, _graphql_file),
    "factory": (10, _echoed(lambda ask: {"data": lambda: _chunks(ask.body)})),
    "once": (4, _echoed(lambda ask: {"data": _chunks(ask.body)})),
    "unread": (6, _unread),
    "left early": (4, partial(_big, whole=False)),
    "large answer": (2, partial(_big, whole=True)),
    "websocket": (2, _websocket),
}
"""How often each kind is sent, and how."""


async def send(kind: str, ask: Ask) -> None:
    """Send a request; raise `RefusedError` for every way to get a 401, `WrongAnswerError`, or what the session raises."""
    try:
        await KINDS[kind][1](ask)
    except UnauthorizedError as refusal:
        raise RefusedError(refusal.message) from None
    except WSServerHandshakeError as refusal:
        if refusal.status != 401 or refusal.headers is None:
            raise
        raise RefusedError(refusal.headers[REFUSALS]) from None


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), 16_384):
        yield body[begin : begin + 16_384]


def _variables(ask: Ask) -> dict[str, Any]:
    return {"number": ask.number, "account": ask.account}


async def _require_ok(response: ClientResponse) -> None:
    if response.status == 401:
        raise RefusedError((await response.json())["error"])
    if response.status != 200:
        raise WrongAnswerError(f"status {response.status}: {(await response.text())[:200]}")


def _require_echo(ask: Ask, echo: Any, body: bytes) -> None:
    expected = {"number": ask.number, "account": ask.account, "digest": zlib.crc32(body)}
    if echo != expected:
        raise WrongAnswerError(f"{echo} for {expected}")
