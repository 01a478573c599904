"""The adverse scenes, run in random order, and their two tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..harness.api import Api
from ..harness.report import Spread, Table, in_random_order, plain
from . import scenes
from .contestants import PEERS
from .peer import DEADLINE, Peer
from .scenes import FOR_EVER, SHORT_LIFE, End, Scene, Size

REDIRECT = "arrives off the origin"
FAILING: dict[str, Scene] = {
    "503 once": scenes.failing(503, 1),
    "503 for ever": scenes.failing(503, FOR_EVER),
    "401 for ever": scenes.failing(401, FOR_EVER),
}
OTHERS: dict[str, Scene] = {
    "late 401": scenes.late_refusal,
    "leader cancelled": scenes.cancelled_leader,
    f"token of {SHORT_LIFE} s": scenes.short_life,
    REDIRECT: scenes.redirected,
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
        f"  Logins that arrived, requests that failed, seconds until all had ended. Within its login_timeout, here {size.login_timeout} s,"
        " this library tries a 503 again."
    )
    others = (
        "peers, adverse: a 401 that comes after another request has renewed the token; the request that began the login is cancelled,"
        " 19 others wait;\n"
        f"  {size.short} requests and {size.short} more with a token of {SHORT_LIFE} s; which credentials a redirect takes to another origin."
        f" What has not ended after {DEADLINE} s hangs."
    )
    data: dict[str, dict[str, Any]] = {}
    for (name, scene), ends in found.items():
        data.setdefault(name, {})[scene] = _data(ends)
    return [_table(failing, list(FAILING), found, size), _table(others, list(OTHERS), found, size)], data
