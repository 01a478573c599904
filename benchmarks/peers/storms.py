"""Many requests in flight when every token is revoked, and many before there is a token."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from ..harness.api import Api, Log
from ..harness.report import Column, Report, Spread, in_random_order, median, ratio, within
from .contestants import BASES, PEERS
from .peer import Outcome, Peer, ended

DEADLINE = 20.0
COLUMNS: list[Column] = [
    ("requests", "requests", Spread.count),
    ("logins", "logins", Spread.count),
    ("on the wire", "wire", Spread.count),
    ("failed", "failures", Spread.count),
    ("seconds", "seconds", within(".2f")),
    ("to static + login", "wall_ratio", ratio(".2f")),
    ("CPU s", "cpu", median(".3f")),
    ("to static", "cpu_ratio", ratio(".2f")),
]


@dataclass(frozen=True)
class Size:
    """How many requests at once on each HTTP library, how long a login takes, and how often all is repeated."""

    at_once: dict[str, int]
    login: float
    rounds: int


Ends = list[tuple[Outcome, Log]]
Found = dict[str, Ends]
"""How each storm of each contestant ended, for its callers and at the server."""


async def _storm(api: Api, peer: Peer, size: Size, *, revoked: bool) -> tuple[Outcome, Log]:
    await api.begin(seconds=size.login)
    async with peer.opened(api) as client:
        if revoked:
            await client.warm()
            await api.revoke()
        # Warming up and opening do not count, and no contestant pays for the garbage of another.
        await api.log()
        gc.collect()
        outcome = await ended(client.queries(size.at_once[peer.library]), DEADLINE)
        return outcome, await api.log()


async def measured(api: Api, size: Size) -> dict[str, Found]:
    """Open each contestant again for each storm."""
    turns = [(scene, peer) for scene in SENTENCES for peer in PEERS if not peer.throughput_only]

    async def measure(turn: tuple[str, Peer]) -> tuple[Outcome, Log]:
        scene, peer = turn
        return await _storm(api, peer, size, revoked=scene == "storm")

    found: dict[str, Found] = {scene: {} for scene in SENTENCES}
    for (scene, peer), ends in (await in_random_order(turns, size.rounds, measure, "storms,")).items():
        found[scene][peer.name] = ends
    return found


def _figures(found: Found, peer: Peer, size: Size) -> dict[str, Spread]:
    ends, bases = found[peer.name], found[BASES[peer.library]]
    delay = size.login if peer.logs_in else 0.0
    return {
        "requests": Spread.of([size.at_once[peer.library]]),
        "logins": Spread.of(log.logins for _, log in ends),
        "wire": Spread.of(len(log.arrivals) for _, log in ends),
        "failures": Spread.of(outcome.failures for outcome, _ in ends),
        "seconds": Spread.of(outcome.seconds for outcome, _ in ends),
        "cpu": Spread.of(outcome.cpu for outcome, _ in ends),
        "wall_ratio": Spread.of_ratios((one.seconds for one, _ in ends), (base.seconds + delay for base, _ in bases)),
        "cpu_ratio": Spread.of_ratios((one.cpu for one, _ in ends), (base.cpu for base, _ in bases)),
    }


SENTENCES = {
    "storm": "every token is revoked, then all requests are in flight at once",
    "cold start": "all requests at once, and no token yet",
}


def report(scene: str, found: Found, size: Size) -> Report:
    """Compare all peers in one scene; those that only take part in throughput get a row of dashes."""
    compared = {peer.name: _figures(found, peer, size) if peer.name in found else {} for peer in PEERS}
    sentence = (
        f"peers, {scene}: {SENTENCES[scene]}; a login takes {size.login} s; {size.rounds} rounds in random order.\n"
        "  Static headers carry a token that is never revoked. Times compare with theirs on the same HTTP library in the"
        " same round, plus a login (CPU: without one);"
        " a peer whose requests fail takes less."
    )
    return Report.of(sentence, COLUMNS, compared)
