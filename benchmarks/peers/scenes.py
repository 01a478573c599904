"""What else happens to tokens: late refusals, logins that fail, leaders that leave, short lives, redirects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..harness.api import Api, Log
from ..harness.machine import note_stalls
from .peer import Client, Outcome, Peer, all_at_once, outcome

SHORT_LIFE = 20
FOR_EVER = 10**6


@dataclass(frozen=True)
class Size:
    """How much of each, and how often all is repeated."""

    waiters: dict[str, int]
    """How many wait for a login that fails, by HTTP library."""
    login: float
    """Seconds of a login."""
    quick_login: float
    """Those of one that fails, or is made again and again."""
    short: int
    """How many requests at once, twice, with a token of a short life."""
    login_timeout: float
    rounds: int


@dataclass(frozen=True)
class End:
    """How a scene ended for the callers, and what the server saw of it."""

    logins: int
    failures: int
    hung: int
    seconds: float
    stall: float = 0.0
    """The longest time in which the event loop did nothing else while the login ran."""
    arrived: tuple[str, ...] | None = None
    """Names of the credentials that arrived off the origin; ``None`` if a request did not."""


def _end(log: Log, *outcomes: Outcome, **further: Any) -> End:
    return End(
        log.logins,
        sum(one.failures for one in outcomes),
        sum(one.hung for one in outcomes),
        max(one.seconds for one in outcomes),
        **further,
    )


Scene = Callable[[Api, Peer, Size], Awaitable[End]]


async def _tokenless(api: Api, client: Client, **settings: Any) -> None:
    """Begin with no token; for a peer that must have had one, with one that it takes for expired."""
    if client.sign_in is not None:
        await api.begin(expires_in=SHORT_LIFE)
        await client.sign_in()
    await api.begin(**settings)


async def late_refusal(api: Api, peer: Peer, _: Size) -> End:
    """A request is refused after another one, refused as well, has made the login."""
    await api.begin()
    async with peer.opened(api) as client:
        await client.warm()
        await api.log()
        clocks = time.process_time(), time.perf_counter()
        late = asyncio.ensure_future(client.send("late"))
        await api.held()
        await api.revoke()
        early = await all_at_once(client, 1)
        await api.release()
        ends = await outcome([late], *clocks)
        return _end(await api.log(), early, ends)


def failing(status: int, times: int) -> Scene:
    """So many logins are answered with *status*, the others succeed."""

    async def scene(api: Api, peer: Peer, size: Size) -> End:
        async with peer.opened(api) as client:
            await _tokenless(api, client, seconds=size.quick_login, status=status, failures=times)
            ends = await all_at_once(client, size.waiters[peer.library])
            return _end(await api.log(), ends)

    return scene


async def cancelled_leader(api: Api, peer: Peer, size: Size) -> End:
    """The request that began the login is cancelled while it runs; others wait for it."""
    async with peer.opened(api) as client:
        await _tokenless(api, client, seconds=size.login)
        stalls = [0.0]
        ticker = asyncio.create_task(note_stalls(stalls))
        leader, began = asyncio.ensure_future(client.send("graphql")), asyncio.ensure_future(api.login_began())
        await asyncio.wait([leader, began], return_when=asyncio.FIRST_COMPLETED)
        others = asyncio.create_task(all_at_once(client, 19))
        for _ in range(20):
            await asyncio.sleep(0)
        ticker.cancel()
        leader.cancel()
        began.cancel()
        ends = await others
        await asyncio.gather(leader, began, ticker, return_exceptions=True)
        return _end(await api.log(), ends, stall=max(stalls))


async def short_life(api: Api, peer: Peer, size: Size) -> End:
    """Some requests at once and as many more, with a token of twenty seconds."""
    async with peer.opened(api) as client:
        await api.begin(seconds=size.quick_login, expires_in=SHORT_LIFE)
        if client.sign_in is not None:
            await client.sign_in()
        first, second = await all_at_once(client, size.short), await all_at_once(client, size.short)
        return _end(await api.log(), first, second)


async def redirected(api: Api, peer: Peer, _: Size) -> End:
    """The API sends a request on to another origin."""
    names: set[str] = set()
    reached = True
    for opened in (peer.opened, *peer.also_redirected):
        await api.begin()
        async with opened(api) as client:
            if peer.logs_in:
                await client.warm()
            clocks = time.process_time(), time.perf_counter()
            ends = await outcome([asyncio.ensure_future(client.send("redirect"))], *clocks)
        log = await api.log()
        reached = reached and log.elsewhere is not None
        names.update(log.elsewhere or ())
    return _end(log, ends, arrived=tuple(sorted(names)) if reached else None)
