"""Adverse scenes: late refusals, failing logins, leaders that are cancelled, short lifetimes, redirects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

from ..harness.api import Api, Log
from ..harness.machine import note_stalls
from ..harness.report import Report, Table, in_random_order
from .contestants import PEERS
from .peer import DEADLINE, Client, Outcome, Peer, ended

SHORT_LIFE = 20
ALWAYS = 10**6


@dataclass(frozen=True)
class Size:
    """How much of each."""

    waiters: dict[str, int]
    """How many requests wait for a failing login, by HTTP library."""
    login: float
    """Seconds of a login."""
    quick_login: float
    """Seconds of a login that fails, or is repeated often."""
    short: int
    """How many requests are sent at once, twice, with a token of a short lifetime."""
    login_timeout: float


@dataclass(frozen=True)
class End:
    """How a scene ended for the callers, and what the server saw."""

    logins: int
    failures: int
    hung: int
    seconds: float
    stall: float = 0.0
    """The longest time in which the event loop did nothing else while the login ran."""
    arrived: tuple[str, ...] | None = None
    """Names of the credentials that left the origin; ``None`` if a request did not follow the redirect."""


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
    """Begin without a token; for a peer that must have had one, with a token that it considers expired."""
    if client.sign_in is not None:
        await api.begin(expires_in=SHORT_LIFE)
        await client.sign_in()
    await api.begin(**settings)


async def late_refusal(api: Api, peer: Peer, _: Size) -> End:
    """Refuse a request after another one, refused too, has logged in."""
    await api.begin()
    async with peer.opened(api) as client:
        await client.warm()
        await api.log()
        late = asyncio.ensure_future(client.send("late"))
        await api.held()
        await api.revoke()
        early = await ended(client.queries(1))
        await api.release()
        ends = await ended([late])
        return _end(await api.log(), early, ends)


def failing(status: int, times: int) -> Scene:
    """Return a scene in which so many logins are answered with *status*, and the others succeed."""

    async def scene(api: Api, peer: Peer, size: Size) -> End:
        async with peer.opened(api) as client:
            await _tokenless(api, client, seconds=size.quick_login, status=status, failures=times)
            ends = await ended(client.queries(size.waiters[peer.library]))
            return _end(await api.log(), ends)

    return scene


async def cancelled_leader(api: Api, peer: Peer, size: Size) -> End:
    """Cancel the request that began the login while it runs and others wait for it."""
    async with peer.opened(api) as client:
        await _tokenless(api, client, seconds=size.login)
        stalls = [0.0]
        ticker = asyncio.create_task(note_stalls(stalls))
        leader, began = asyncio.ensure_future(client.send("graphql")), asyncio.ensure_future(api.login_began())
        await asyncio.wait([leader, began], return_when=asyncio.FIRST_COMPLETED)
        others = asyncio.create_task(ended(client.queries(19)))
        # The others must wait for the leader's login before it is cancelled.
        for _ in range(20):
            await asyncio.sleep(0)
        ticker.cancel()
        leader.cancel()
        began.cancel()
        ends = await others
        await asyncio.gather(leader, began, ticker, return_exceptions=True)
        return _end(await api.log(), ends, stall=max(stalls))


async def short_life(api: Api, peer: Peer, size: Size) -> End:
    """Send some requests at once, and as many more, with a token of twenty seconds."""
    async with peer.opened(api) as client:
        await api.begin(seconds=size.quick_login, expires_in=SHORT_LIFE)
        if client.sign_in is not None:
            await client.sign_in()
        first, second = await ended(client.queries(size.short)), await ended(client.queries(size.short))
        return _end(await api.log(), first, second)


async def redirected(api: Api, peer: Peer, _: Size) -> End:
    """Redirect a request to another origin."""
    names: set[str] = set()
    reached = True
    # One way of setting a peer up that gives a credential away is enough.
    for opened in (peer.opened, *peer.also_redirected):
        await api.begin()
        async with opened(api) as client:
            if peer.logs_in:
                await client.warm()
            ends = await ended([client.send("redirect")])
        log = await api.log()
        reached = reached and log.elsewhere is not None
        names.update(log.elsewhere or ())
    return _end(log, ends, arrived=tuple(sorted(names)) if reached else None)


REDIRECT = "arrives off the origin"
FAILING: dict[str, Scene] = {
    "503 once": failing(503, 1),
    "503 for ever": failing(503, ALWAYS),
    "401 for ever": failing(401, ALWAYS),
}
OTHERS: dict[str, Scene] = {
    "late 401": late_refusal,
    "leader cancelled": cancelled_leader,
    f"token of {SHORT_LIFE} s": short_life,
    REDIRECT: redirected,
}
SCENES = {**FAILING, **OTHERS}

Found = dict[tuple[str, str], End]


async def measured(api: Api, size: Size) -> Found:
    """Open each contestant again for each scene."""
    turns = {
        (peer.name, scene): peer
        for peer in PEERS
        for scene in SCENES
        if peer.logs_in or (scene == REDIRECT and not peer.throughput_only)
    }

    async def measure(turn: tuple[str, str]) -> End:
        return await SCENES[turn[1]](api, turns[turn], size)

    ends = await in_random_order(turns, 1, measure, "adverse,")
    return {turn: end for turn, (end,) in ends.items()}


def _cell(scene: str, end: End | None, size: Size) -> str:
    if end is None:
        return "-"
    if scene == REDIRECT:
        return "not followed" if end.arrived is None else ", ".join(end.arrived) or "nothing"
    parts = [
        f"{end.logins} login{'' if end.logins == 1 else 's'}",
        f"{end.failures} failed",
        f"{end.seconds:.2f} s" if scene in FAILING else "",
        f"{end.hung} hang" if end.hung else "",
        "blocks the loop" if end.stall > size.login * 0.8 else "",
    ]
    return ", ".join(part for part in parts if part)


def _table(sentence: str, scenes: Collection[str], found: Found, size: Size) -> Table:
    rows = [[peer.name, *(_cell(scene, found.get((peer.name, scene)), size) for scene in scenes)] for peer in PEERS]
    return Table(sentence, ("", *scenes), rows)


def report(found: Found, size: Size) -> Report:
    """Return a table of failing logins, and one of the other scenes."""
    failing = (
        f"peers, failing login: {size.waiters['aiohttp']} requests (httpx: {size.waiters['httpx']}) wait for a login that fails"
        f" after {size.quick_login} s, once or each time.\n"
        f"  Logins that arrived, requests that failed, seconds until all had ended. This library repeats a 503 within its login_timeout,"
        f" here {size.login_timeout} s."
    )
    others = (
        "peers, adverse: a 401 that arrives after another request has renewed the token; the request that began the login is cancelled,"
        " 19 others wait;\n"
        f"  {size.short} requests and {size.short} more with a token of {SHORT_LIFE} s; which credentials a redirect takes to another origin."
        f" A request that has not ended after {DEADLINE} s hangs."
    )
    data: dict[str, dict[str, Any]] = {}
    for (name, scene), end in found.items():
        data.setdefault(name, {})[scene] = asdict(end)
    return Report([_table(failing, FAILING, found, size), _table(others, OTHERS, found, size)], data)
