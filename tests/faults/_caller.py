"""Callers that leave: at whichever await they go, the login stays everybody's, and nothing of theirs is left behind."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp

from exterview_auth import AuthSession, MemoryStore
from tests.kit.api import until

from ._raw_server import Call, RawServer, held
from ._row import Outcome, Row
from ._site import Site, site
from ._stage import Met, Stage, one

PLACE = "caller"
FAR = 400
"""Turns of the loop; a request takes far fewer."""


# -- cancelled ----------------------------------------------------------------------------------------------------------


async def cancelled(stage: Stage) -> Outcome:
    """After each number of the loop's turns, with no token yet and with a refused one, beside another that stays."""
    server = await stage.open(RawServer())
    met, logins = Met([], 0.0), set[int]()
    for revoked in (False, True):
        for turns in range(FAR):
            async with Stage(stage.directory, stage.caplog) as inner:
                at = await joined(inner, server, revoked=revoked)
                cancelled, others = await cancelled_after(at, turns)
            stage.left += inner.left
            met = Met(met.got + others.got, max(met.seconds, others.seconds))
            logins.add(at.login.count)
            if not cancelled:
                break
        stage.left += [f"it took {turns} turns"] * (not 15 < turns < FAR - 1)
    stage.left += [f"logins: {logins}"] * (len(logins) > 1)
    return Outcome(met.got, met.seconds, logins.pop(), met.got[-1])


async def cancelled_after(at: Site, turns: int) -> tuple[bool, Met]:
    """Whether a request was cancelled, and did not come to its end before; and what the others got."""
    first, other = asyncio.ensure_future(at.post()), asyncio.ensure_future(at.met_by(1))
    for _ in range(turns):
        await asyncio.sleep(0)
    first.cancel()
    stayed, gone = await other, await one(first)
    at.stage.left += [f"the cancelled one got {gone!r}"] * (gone != 200 and not first.cancelled())
    return first.cancelled(), stayed._replace(got=[*stayed.got, await one(at.post())])


async def joined(stage: Stage, server: RawServer, *, revoked: bool) -> Site:
    """A new owner and session at a server that runs, which has no token or a refused one."""
    at = await site(stage, contextlib.nullcontext(server), store=MemoryStore(), on_token=paced)
    if revoked:
        await at.warm()
        server.tokens.clear()
    return at


async def paced(*_: object) -> None:
    """A hook that takes a few turns of the loop."""
    for _turn in range(3):
        await asyncio.sleep(0)


# -- others -------------------------------------------------------------------------------------------------------------


async def unread(stage: Stage) -> Outcome:
    """One answer is never read: a login and twenty requests do not wait for it."""
    at = await site(stage)
    await at.warm()

    async def long(call: Call) -> None:
        await call.write(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n")
        while True:
            await call.write(b" " * 100_000)

    at.server.api = long
    answer = await at.client.get("/graphql")
    at.server.api = at.server.serve
    at.server.tokens.clear()
    met = await at.met_by(20)
    answer.close()
    return await at.outcome(met)


async def session_closed(stage: Stage) -> Outcome:
    """Under callers who wait for a login, which comes to its end for the next session."""
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
    at = await site(stage, login_timeout=30.0)
    at.server.login = held(gate, at.server.issue)
    waiting = asyncio.ensure_future(at.met_by(10_000, longest=50, timeout=aiohttp.ClientTimeout(total=60)))
    await until(lambda: at.auth.stats().waiting == 10_000, 30)
    gate.set()
    met = await waiting
    return await at.outcome(met)


ROWS = (
    Row(PLACE, "cancelled at each await of the way", cancelled),
    Row(PLACE, "response never read", unread),
    Row(PLACE, "session closed under way", session_closed, aiohttp.ClientConnectionError),
    Row(PLACE, "10 000 waiting at once", ten_thousand, within=50.0),
)
