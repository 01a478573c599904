"""Callers that leave: wherever they are on their way, the login continues for the others, and they leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp

from exterview_auth import AuthSession, MemoryStore, Token
from tests.kit.api import KEY, until

from ._raw_server import Call, RawServer, held
from ._row import Outcome, Row
from ._site import Site, site
from ._stage import Met, Stage, one

PLACE = "caller"
FAR = 400
"""Turns of the loop; a request takes far fewer."""


# -- cancelled ----------------------------------------------------------------------------------------------------------


async def cancelled(stage: Stage) -> Outcome:
    """Cancel a request after each number of turns, with no token yet and with a refused one, beside a request that stays."""
    server = await stage.open(RawServer())
    met, logins = Met([], 0.0), set[int]()
    for revoked in (False, True):
        for turns in range(FAR):
            async with Stage(stage.directory, stage.caplog) as inner:
                at = await joined(inner, server, revoked=revoked)
                was_cancelled, others = await cancelled_after(at, turns)
            stage.left += inner.left
            met = Met(met.got + others.got, max(met.seconds, others.seconds))
            logins.add(at.login.count)
            if not was_cancelled:
                break
        stage.left += [f"it took {turns} turns"] * (not 15 < turns < FAR - 1)
    stage.left += [f"logins: {logins}"] * (len(logins) > 1)
    return Outcome(met.got, met.seconds, logins.pop(), met.got[-1])


async def cancelled_after(at: Site, turns: int) -> tuple[bool, Met]:
    """Return whether a request was cancelled before its answer came, and what the others got."""
    first, other = asyncio.ensure_future(at.post()), asyncio.ensure_future(at.met_by(1))
    for _ in range(turns):
        await asyncio.sleep(0)
    first.cancel()
    stayed, gone = await other, await one(first)
    at.stage.left += [f"the cancelled request got {gone!r}"] * (gone != 200 and not first.cancelled())
    return first.cancelled(), stayed._replace(got=[*stayed.got, await one(at.post())])


async def joined(stage: Stage, server: RawServer, *, revoked: bool) -> Site:
    """Return a new owner and session at a running server, with no token or with a refused one."""

    async def three_turns(*_: object) -> None:
        for _turn in range(3):
            await asyncio.sleep(0)

    at = await site(stage, contextlib.nullcontext(server), store=MemoryStore(), on_token=three_turns)
    if revoked:
        await at.warm()
        server.tokens.clear()
    return at


# -- out of time --------------------------------------------------------------------------------------------------------

IMPATIENT = aiohttp.ClientTimeout(total=0.15)
Gate = asyncio.Event
"""Until it is set, a phase holds every request up."""
patient_site = partial(site, login_timeout=10.0)
"""A site whose login outlasts the callers."""


async def in_store(stage: Stage, gate: Gate) -> Site:
    class HeldStore(MemoryStore):
        async def load(self, account: str) -> Token | None:
            await gate.wait()
            return await super().load(account)

    return await patient_site(stage, store=HeldStore())


async def in_api_key(stage: Stage, gate: Gate) -> Site:
    async def read() -> str:
        await gate.wait()
        return KEY

    return await patient_site(stage, api_key=read)


async def in_login(stage: Stage, gate: Gate, *, refused: bool = False) -> Site:
    at = await patient_site(stage)
    if refused:
        await at.warm()
        at.server.tokens.clear()
    at.server.login = held(gate, at.server.issue)
    return at


async def in_on_token(stage: Stage, gate: Gate) -> Site:
    return await patient_site(stage, on_token=lambda *_: gate.wait())


async def in_queue(stage: Stage, gate: Gate) -> Site:
    """Another request has the only connection."""
    at = await in_headers(stage, gate, connector=aiohttp.TCPConnector(limit=1))
    at.others.append(asyncio.ensure_future(at.post()))
    await until(lambda: len(at.server.seen) == 2)
    return at


async def in_headers(stage: Stage, gate: Gate, **options: Any) -> Site:
    at = await patient_site(stage, **options)
    await at.warm()
    at.server.api = held(gate, at.server.serve)
    return at


async def in_body(stage: Stage, gate: Gate) -> Site:
    async def half(call: Call) -> None:
        await call.write(b"HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\n{ ")
        await gate.wait()
        await call.write(b" }")

    at = await in_headers(stage, gate)
    at.server.api = half
    return at


async def in_replay(stage: Stage, gate: Gate) -> Site:
    at = await in_headers(stage, gate)
    late = at.server.api

    async def late_if_good(call: Call) -> None:
        await (late if at.server.knows(call) else at.server.serve)(call)

    at.server.tokens.clear()
    at.server.api = late_if_good
    return at


PHASES: tuple[Callable[[Stage, Gate], Awaitable[Site]], ...] = (
    in_store,
    in_api_key,
    in_login,
    in_on_token,
    in_queue,
    in_headers,
    in_body,
    partial(in_login, refused=True),
    in_replay,
)
LOGINS = 6
"""In the other phases, there is a token that serves."""


async def out_of_time(stage: Stage) -> Outcome:
    """An impatient caller times out in each phase of its request, beside a patient one."""
    played = await asyncio.gather(*(timed_out_in(stage, phase) for phase in PHASES))
    got = [got for outcome in played for got in outcome.got]
    logins = sum(outcome.logins for outcome in played)
    then = next((outcome.then for outcome in played if outcome.then != 200), played[0].then)
    return Outcome(got, max(outcome.seconds for outcome in played), logins, then)


async def timed_out_in(stage: Stage, phase: Callable[[Stage, Gate], Awaitable[Site]]) -> Outcome:
    """Return what both callers get in *phase*, and how long the impatient one waits."""
    gate = Gate()
    at = await phase(stage, gate)
    patient = asyncio.ensure_future(at.met_by(1))
    impatient = await at.met_by(1, timeout=IMPATIENT)
    gate.set()
    met = Met(impatient.got + (await patient).got, impatient.seconds)
    at.server.login, at.server.api = at.server.issue, at.server.serve
    return await at.outcome(met)


# -- others -------------------------------------------------------------------------------------------------------------


async def unread(stage: Stage) -> Outcome:
    """One answer is never read: a login and twenty requests do not wait for it."""

    async def long(call: Call) -> None:
        await call.write(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")
        while True:
            await call.write(b" " * 100_000)

    at = await site(stage)
    await at.warm()
    at.server.api = long
    answer = await at.client.get("/graphql")
    at.server.api = at.server.serve
    at.server.tokens.clear()
    met = await at.met_by(20)
    answer.close()
    return await at.outcome(met)


async def session_closed(stage: Stage) -> Outcome:
    """The session is closed while its callers wait; the login serves the next session."""
    gate = asyncio.Event()
    at = await site(stage)
    at.server.login = held(gate, at.server.issue)
    waiting = asyncio.ensure_future(at.met_by())
    await until(lambda: at.auth.stats().waiting == 5 and at.login.count == 1)
    await at.http.close()
    gate.set()
    met = await waiting
    http = stage.session()
    return await at._replace(http=http, client=AuthSession(http, at.auth)).outcome(met)


async def ten_thousand(stage: Stage) -> Outcome:
    """All of them wait for one login, and are served over a hundred connections."""
    gate = asyncio.Event()
    at = await site(stage, login_timeout=120.0)
    at.server.login = held(gate, at.server.issue)
    waiting = asyncio.ensure_future(at.met_by(10_000, longest=150, timeout=aiohttp.ClientTimeout(total=200)))
    await until(lambda: at.auth.stats().waiting == 10_000, 100)
    gate.set()
    return await at.outcome(await waiting)


ROWS = (
    Row(PLACE, "cancelled at each await of the way", cancelled),
    Row(PLACE, "own timeout at each", out_of_time, (TimeoutError, 200) * len(PHASES), within=4.0, logins=LOGINS),
    Row(PLACE, "response never read", unread),
    Row(PLACE, "session closed while its requests wait", session_closed, aiohttp.ClientConnectionError),
    Row(PLACE, "10 000 waiting at once", ten_thousand, within=150.0),
)
