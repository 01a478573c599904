"""Many requests in flight when every token is revoked, and many before there is a token."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..harness.api import Api, Log
from ..harness.report import Spread, Table, in_random_order, plain
from .contestants import BASES, PEERS
from .peer import Client, Outcome, Peer, all_at_once

DEADLINE = 20.0
COLUMNS = (
    "",
    "requests",
    "logins",
    "on the wire",
    "failed",
    "seconds",
    "to static + login",
    "CPU s",
    "to static",
    "callers got",
)


@dataclass(frozen=True)
class Size:
    """How many requests at once on each HTTP library, how long a login takes, and how often all is repeated."""

    at_once: dict[str, int]
    login: float
    rounds: int


Ends = list[tuple[Outcome, Log]]
Found = dict[str, Ends]
"""How each storm of each contestant ended, for its callers and at the server."""


async def _one(api: Api, peer: Peer, client: Client, size: Size) -> tuple[Outcome, Log]:
    # Warming up and opening do not count, and no contestant pays for the garbage of another.
    await api.log()
    gc.collect()
    outcome = await all_at_once(client, size.at_once[peer.library], deadline=DEADLINE)
    return outcome, await api.log()


async def _revoked(api: Api, peer: Peer, size: Size) -> tuple[Outcome, Log]:
    await api.begin(seconds=size.login)
    async with peer.opened(api) as client:
        await client.warm()
        await api.revoke()
        return await _one(api, peer, client, size)


async def _cold(api: Api, peer: Peer, size: Size) -> tuple[Outcome, Log]:
    await api.begin(seconds=size.login)
    async with peer.opened(api) as client:
        return await _one(api, peer, client, size)


SCENES = {"storm": _revoked, "cold start": _cold}


async def measured(api: Api, size: Size) -> dict[str, Found]:
    """Open each contestant again for each storm."""
    turns = [(scene, peer) for scene in SCENES for peer in PEERS if not peer.throughput_only]

    async def measure(turn: tuple[str, Peer]) -> tuple[Outcome, Log]:
        scene, peer = turn
        return await SCENES[scene](api, peer, size)

    found: dict[str, Found] = {scene: {} for scene in SCENES}
    for (scene, peer), ends in (await in_random_order(turns, size.rounds, measure, "storms,")).items():
        found[scene][peer.name] = ends
    return found


def _figures(found: Found, peer: Peer, size: Size) -> dict[str, Spread]:
    ends, bases = found[peer.name], found[BASES[peer.library]]
    delay = size.login if peer.logs_in else 0.0
    return {
        "logins": Spread.of(log.logins for _, log in ends),
        "wire": Spread.of(len(log.arrivals) for _, log in ends),
        "failures": Spread.of(outcome.failures for outcome, _ in ends),
        "seconds": Spread.of(outcome.seconds for outcome, _ in ends),
        "cpu": Spread.of(outcome.cpu for outcome, _ in ends),
        "wall_ratio": Spread.of_ratios((one.seconds for one, _ in ends), (base.seconds + delay for base, _ in bases)),
        "cpu_ratio": Spread.of_ratios((one.cpu for one, _ in ends), (base.cpu for base, _ in bases)),
    }


def _row(peer: Peer, one: dict[str, Spread], errors: Counter[str], at_once: int) -> list[str]:
    counts = [one[name].count() for name in ("logins", "wire", "failures")]
    wall, cpu = ("-" if peer.name in BASES.values() else f"{one[name]:.2f}" for name in ("wall_ratio", "cpu_ratio"))
    times = [f"{one['seconds']:.2f}", wall, f"{one['cpu'].median:.3f}", cpu]
    return [peer.name, str(at_once), *counts, *times, ", ".join(sorted(errors)) or "-"]


SENTENCES = {
    "storm": "every token is revoked, then all requests are in flight at once",
    "cold start": "all requests at once, and no token yet",
}


def table(scene: str, found: Found, size: Size) -> tuple[Table, dict[str, Any]]:
    """Return the figures as a table, and as JSON."""
    rows, data = [], {}
    for peer in PEERS:
        if peer.throughput_only:
            rows.append([peer.name, *("-" for _ in COLUMNS[1:])])
            continue
        at_once = size.at_once[peer.library]
        errors = sum((outcome.errors for outcome, _ in found[peer.name]), Counter[str]())
        figures = _figures(found, peer, size)
        rows.append(_row(peer, figures, errors, at_once))
        data[peer.name] = {"requests": at_once, **plain(figures), "errors": dict(errors)}
    sentence = (
        f"peers, {scene}: {SENTENCES[scene]}; a login takes {size.login} s; {size.rounds} rounds in random order.\n"
        "  Static headers carry a token that is never revoked. Times compare with theirs on the same HTTP library in the"
        " same round, plus a login (CPU: without one);"
        " a peer whose requests fail takes less."
    )
    return Table(sentence, COLUMNS, rows), data
