"""The requests of the soak, one kind each, and what an answer must contain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from random import Random
from typing import Any

from aiohttp import ClientResponse, ClientTimeout, FormData, WSServerHandshakeError

from exterview_auth import AuthSession, UnauthorizedError

from .server import ACCOUNT, BIG, NUMBER, REFUSALS

LONGEST_REQUEST = 25.0
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


async def _json(ask: Ask) -> None:
    text = ask.body.decode()
    await _echoed(ask, json.dumps({"text": text}).encode(), json={"text": text})


async def _bytes(ask: Ask) -> None:
    await _echoed(ask, ask.body, data=ask.body)


async def _multipart(ask: Ask) -> None:
    form = FormData()
    form.add_field("jobId", ask.number)
    form.add_field("file", BytesIO(ask.body), filename="resume.pdf", content_type="application/pdf")
    await _echoed(ask, ask.body, data=form)


async def _factory(ask: Ask) -> None:
    await _echoed(ask, ask.body, data=lambda: _chunks(ask.body))


async def _once(ask: Ask) -> None:
    await _echoed(ask, ask.body, data=_chunks(ask.body))


async def _echoed(ask: Ask, body: bytes, **options: Any) -> None:
    async with ask.client.post("/echo", **options, **ask.options) as response:
        await _require_own(ask, response, body)


async def _unread(ask: Ask) -> None:
    async with ask.client.post("/echo", data=ask.body, **ask.options) as response:
        _require_ok(response, await response.text() if response.status != 200 else "")


async def _big(ask: Ask) -> None:
    """Leave the response after its first bytes."""
    async with ask.client.get("/big", **ask.options) as response:
        _require_ok(response, await response.text() if response.status != 200 else "")
        begins = await response.content.readexactly(len(ask.number))
        if begins != ask.number.encode():
            raise WrongAnswerError(f"a body of {begins!r}")


async def _big_whole(ask: Ask) -> None:
    async with ask.client.get("/big", **ask.options) as response:
        _require_ok(response, await response.text() if response.status != 200 else "")
        if await response.read() != ask.number.encode() + BIG:
            raise WrongAnswerError("another body")


async def _graphql(ask: Ask) -> None:
    async with asyncio.timeout(ask.seconds):
        _require_echo(ask, await ask.client.graphql(QUERY, _variables(ask)), b"")


async def _graphql_file(ask: Ask) -> None:
    variables = {**_variables(ask), "file": None}
    async with asyncio.timeout(ask.seconds):
        _require_echo(
            ask, await ask.client.graphql(QUERY, variables, files={"variables.file": BytesIO(ask.body)}), ask.body
        )


async def _websocket(ask: Ask) -> None:
    async with asyncio.timeout(ask.seconds), ask.client.ws_connect("/ws", headers=ask.options["headers"]) as socket:
        await socket.send_bytes(b"") if len(ask.body) > 4_000 else None
        await socket.send_str(ask.number)
        _require_echo(ask, await socket.receive_json(), ask.number.encode())


KINDS: dict[str, tuple[int, Callable[[Ask], Awaitable[None]]]] = {
    "json": (20, _json),
    "bytes": (12, _bytes),
    "multipart": (12, _multipart),
    "graphql": (20, _graphql),
    "graphql, file": (8, _graphql_file),
    "factory": (10, _factory),
    "once": (4, _once),
    "unread": (6, _unread),
    "left early": (4, _big),
    "large answer": (2, _big_whole),
    "websocket": (2, _websocket),
}
"""How often each kind is sent, and how."""


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn every way in which a caller gets a 401 into one."""
    try:
        yield
    except UnauthorizedError as refusal:
        raise RefusedError(refusal.message) from None
    except WSServerHandshakeError as refusal:
        if refusal.status != 401 or refusal.headers is None:
            raise
        raise RefusedError(refusal.headers[REFUSALS]) from None


async def send(kind: str, ask: Ask) -> None:
    """Send a request; raise `RefusedError`, `WrongAnswerError`, or what the session raises."""
    with refusals():
        await KINDS[kind][1](ask)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), 16_384):
        yield body[begin : begin + 16_384]


def _variables(ask: Ask) -> dict[str, Any]:
    return {"number": ask.number, "account": ask.account}


async def _require_own(ask: Ask, response: ClientResponse, body: bytes) -> None:
    text = await response.text()
    _require_ok(response, text)
    _require_echo(ask, json.loads(text)["data"], body)


def _require_ok(response: ClientResponse, text: str) -> None:
    if response.status == 401:
        raise RefusedError(json.loads(text)["error"])
    if response.status != 200:
        raise WrongAnswerError(f"status {response.status}: {text[:200]}")


def _require_echo(ask: Ask, echo: Any, body: bytes) -> None:
    expected = {"number": ask.number, "account": ask.account, "digest": zlib.crc32(body)}
    if echo != expected:
        raise WrongAnswerError(f"{echo} for {expected}")
