"""Adverse scenes: late refusals, failing logins, leaders that are cancelled, short lifetimes, redirects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..harness.api import Api, Log
from ..harness.machine import note_stalls
from ..harness.report import Spread, Table, in_random_order, plain
from .contestants import PEERS
from .peer import DEADLINE, Client, Outcome, Peer, all_at_once, outcome

SHORT_LIFE = 20
ALWAYS = 10**6


@dataclass(frozen=True)
class Size:
    """How much of each, and how often everything is repeated."""

    waiters: dict[str, int]
    """How many requests wait for a failing login, by HTTP library."""
    login: float
    """Seconds of a login."""
    quick_login: float
    """Seconds of a login that fails, or is repeated often."""
    short: int
    """How many requests are sent at once, twice, with a token of a short lifetime."""
    login_timeout: float
    rounds: int


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
        clocks = time.process_time(), time.perf_counter()
        late = asyncio.ensure_future(client.send("late"))
        await api.held()
        await api.revoke()
        early = await all_at_once(client, 1)
        await api.release()
        ends = await outcome([late], *clocks)
        return _end(await api.log(), early, ends)


def failing(status: int, times: int) -> Scene:
    """Return a scene in which so many logins are answered with *status*, and the others succeed."""

    async def scene(api: Api, peer: Peer, size: Size) -> End:
        async with peer.opened(api) as client:
            await _tokenless(api, client, seconds=size.quick_login, status=status, failures=times)
            ends = await all_at_once(client, size.waiters[peer.library])
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
        others = asyncio.create_task(all_at_once(client, 19))
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
        first, second = await all_at_once(client, size.short), await all_at_once(client, size.short)
        return _end(await api.log(), first, second)


async def redirected(api: Api, peer: Peer, _: Size) -> End:
    """Redirect a request to another origin."""
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

Found = dict[tuple[str, str], list[End]]


def _takes_part(peer: Peer, scene: str) -> bool:
    return peer.logs_in or (scene == REDIRECT and not peer.throughput_only)


async def measured(api: Api, size: Size) -> Found:
    """Open each contestant again for each scene."""
    turns = {(peer.name, scene): peer for peer in PEERS for scene in SCENES if _takes_part(peer, scene)}

    async def measure(turn: tuple[str, str]) -> End:
        return await SCENES[turn[1]](api, turns[turn], size)

    return await in_random_order(turns, size.rounds, measure, "adverse,")


def _counted(number: Spread, what: str) -> str:
    return f"{number.count()} {what}{'' if number.count() == '1' else 's'}"


def _cell(scene: str, ends: Sequence[End] | None, size: Size) -> str:
    if ends is None:
        return "-"
    if scene == REDIRECT:
        names = _arrivals(ends)
        return "not followed" if names is None else ", ".join(names) or "nothing"
    hung, stall = max(end.hung for end in ends), max(end.stall for end in ends)
    parts = [
        _counted(Spread.of(end.logins for end in ends), "login"),
        f"{Spread.of(end.failures for end in ends).count()} failed",
        f"{Spread.of(end.seconds for end in ends).median:.2f} s" if scene in FAILING else "",
        f"{hung} hang" if hung else "",
        "blocks the loop" if stall > size.login * 0.8 else "",
    ]
    return ", ".join(part for part in parts if part)


def _arrivals(ends: Sequence[End]) -> list[str] | None:
    if any(end.arrived is None for end in ends):
        return None
    return sorted({name for end in ends for name in end.arrived or ()})


def _table(sentence: str, names: Sequence[str], found: Found, size: Size) -> Table:
    rows = [[peer.name, *(_cell(scene, found.get((peer.name, scene)), size) for scene in names)] for peer in PEERS]
    return Table(sentence, ("", *names), rows)


def _data(ends: Sequence[End]) -> dict[str, Any]:
    figures = {
        name: Spread.of(getattr(end, name) for end in ends) for name in ("logins", "failures", "hung", "seconds")
    }
    return {**plain(figures), "arrived": _arrivals(ends)}


def tables(found: Found, size: Size) -> tuple[list[Table], dict[str, Any]]:
    """Return the figures as tables, and as JSON."""
    failing = (
        f"peers, failing login: {size.waiters['aiohttp']} requests (httpx: {size.waiters['httpx']}) wait for a login that fails"
        f" after {size.quick_login} s, once or each time; rounds in random order: {size.rounds}.\n"
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
    for (name, scene), ends in found.items():
        data.setdefault(name, {})[scene] = _data(ends)
    return [_table(failing, list(FAILING), found, size), _table(others, list(OTHERS), found, size)], data
