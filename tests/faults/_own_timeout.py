"""A caller's own timeout at each of the waits on its way, while the server, the store or a hook holds it up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from exterview_auth import MemoryStore, Token
from tests.kit.api import KEY, until

from ._raw_server import Act, Call, held
from ._row import Outcome, Row
from ._site import Site, site
from ._stage import Met, Stage

HASTY = 0.15
"""Seconds that a hasty caller waits."""


def held_in_body(gate: asyncio.Event) -> Act:
    """An answer of which half comes before the gate opens."""

    async def half(call: Call) -> None:
        await call.write(b"HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\n{ ")
        await gate.wait()
        await call.write(b" }")

    return half


async def in_login(at: Site, gate: asyncio.Event) -> None:
    at.server.login = held(gate, at.server.issue)


async def in_headers(at: Site, gate: asyncio.Event) -> None:
    await at.warm()
    at.server.api = held(gate, at.server.serve)


async def in_body(at: Site, gate: asyncio.Event) -> None:
    await at.warm()
    at.server.api = held_in_body(gate)


async def in_login_after_refusal(at: Site, gate: asyncio.Event) -> None:
    await at.warm()
    at.server.tokens.clear()
    at.server.login = held(gate, at.server.issue)


async def in_replay(at: Site, gate: asyncio.Event) -> None:
    await at.warm()
    at.server.tokens.clear()
    serve = at.server.serve

    async def late_if_good(call: Call) -> None:
        await (held(gate, serve) if at.server.knows(call) else serve)(call)

    at.server.api = late_if_good


async def in_queue(at: Site, gate: asyncio.Event) -> None:
    """The only connection is another's."""
    await in_headers(at, gate)
    at.others.append(asyncio.ensure_future(at.post()))
    await until(lambda: len(at.server.seen) == 2)


async def in_options(_at: Site, _gate: asyncio.Event) -> None:
    """What holds it up was given to the owner."""


class HeldStore(MemoryStore):
    """A store whose answers wait."""

    def __init__(self, gate: asyncio.Event) -> None:
        super().__init__()
        self._gate = gate

    async def load(self, account: str) -> Token | None:
        await self._gate.wait()
        return await super().load(account)


def nothing(_gate: asyncio.Event) -> dict[str, Any]:
    return {}


def one_connection(_gate: asyncio.Event) -> dict[str, Any]:
    return {"connector": aiohttp.TCPConnector(limit=1)}


def held_store(gate: asyncio.Event) -> dict[str, Any]:
    return {"store": HeldStore(gate)}


def held_hook(gate: asyncio.Event) -> dict[str, Any]:
    return {"on_token": lambda *_: gate.wait()}


def held_key(gate: asyncio.Event) -> dict[str, Any]:
    async def read() -> str:
        await gate.wait()
        return KEY

    return {"api_key": read}


Hold = Callable[[Site, asyncio.Event], Awaitable[None]]
PHASES: tuple[tuple[Hold, Callable[[asyncio.Event], dict[str, Any]]], ...] = (
    (in_options, held_store),
    (in_options, held_key),
    (in_login, nothing),
    (in_options, held_hook),
    (in_queue, one_connection),
    (in_headers, nothing),
    (in_body, nothing),
    (in_login_after_refusal, nothing),
    (in_replay, nothing),
)
LOGINS = 6
"""The others have a token that serves."""


async def out_of_time(stage: Stage) -> Outcome:
    """A hasty caller's own timeout at each of the waits on its way, beside one with patience."""
    played = await asyncio.gather(*(phase(stage, *one_phase) for one_phase in PHASES))
    got = [got for outcome in played for got in outcome.got]
    logins = sum(outcome.logins for outcome in played)
    then = next((outcome.then for outcome in played if outcome.then != 200), played[0].then)
    return Outcome(got, max(outcome.seconds for outcome in played), logins, then)


async def phase(stage: Stage, hold: Hold, options: Callable[[asyncio.Event], dict[str, Any]]) -> Outcome:
    """What both get where the server holds one of the waits up, and how long the hasty one waits."""
    gate = asyncio.Event()
    at = await site(stage, login_timeout=10.0, **options(gate))
    await hold(at, gate)
    patient = asyncio.ensure_future(at.met_by(1))
    hasty = await at.met_by(1, timeout=aiohttp.ClientTimeout(total=HASTY))
    gate.set()
    met = Met(hasty.got + (await patient).got, hasty.seconds)
    at.server.login, at.server.api = at.server.issue, at.server.serve
    return await at.outcome(met)


ROWS = (
    Row("caller", "own timeout at each", out_of_time, (TimeoutError, 200) * len(PHASES), within=2.0, logins=LOGINS),
)
