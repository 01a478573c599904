"""Many requests in flight when every token is revoked, and many that come before there is one."""

from __future__ import annotations

import gc
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..harness.report import Spread, Table, plain, progress
from .api import Api, Log
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


@dataclass
class Storms:
    """What one contestant did in each round."""

    ends: list[tuple[Outcome, Log]] = field(default_factory=list)

    def seconds(self) -> list[float]:
        """How long each took."""
        return [outcome.seconds for outcome, _ in self.ends]

    def cpu(self) -> list[float]:
        """Seconds of this process's CPU."""
        return [outcome.cpu for outcome, _ in self.ends]

    def errors(self) -> Counter[str]:
        """What the callers got, of all rounds."""
        return sum((outcome.errors for outcome, _ in self.ends), Counter())

    def figures(self) -> dict[str, Spread]:
        """Counts of the server's, and what the callers saw."""
        return {
            "logins": Spread.of(log.logins for _, log in self.ends),
            "wire": Spread.of(log.wire for _, log in self.ends),
            "failures": Spread.of(outcome.failures for outcome, _ in self.ends),
            "seconds": Spread.of(self.seconds()),
            "cpu": Spread.of(self.cpu()),
        }


Found = dict[str, Storms]


async def _one(api: Api, peer: Peer, client: Client, size: Size) -> tuple[Outcome, Log]:
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
    """Each contestant is opened anew for each storm."""
    peers = [peer for peer in PEERS if not peer.throughput_only]
    found: dict[str, Found] = {scene: {peer.name: Storms() for peer in peers} for scene in SCENES}
    for number in range(size.rounds):
        progress(number + 1, size.rounds, "storms, round")
        turns = [(scene, peer) for scene in SCENES for peer in peers]
        for scene, peer in random.sample(turns, len(turns)):
            found[scene][peer.name].ends.append(await SCENES[scene](api, peer, size))
    return found


def _figures(found: Found, peer: Peer, size: Size) -> dict[str, Spread]:
    one, base = found[peer.name], found[BASES[peer.library]]
    delay = size.login if peer.logs_in else 0.0
    wall, cpu = zip(one.seconds(), base.seconds(), strict=True), zip(one.cpu(), base.cpu(), strict=True)
    return {
        **one.figures(),
        "wall_ratio": Spread.of(own / (other + delay) for own, other in wall),
        "cpu_ratio": Spread.of(own / other for own, other in cpu),
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
    """For people, and as JSON."""
    rows, data = [], {}
    for peer in PEERS:
        if peer.throughput_only:
            rows.append([peer.name, *("-" for _ in COLUMNS[1:])])
            continue
        errors, at_once = found[peer.name].errors(), size.at_once[peer.library]
        figures = _figures(found, peer, size)
        rows.append(_row(peer, figures, errors, at_once))
        data[peer.name] = {"requests": at_once, **plain(figures), "errors": dict(errors)}
    sentence = (
        f"peers, {scene}: {SENTENCES[scene]}; a login takes {size.login} s; {size.rounds} rounds in random order.\n"
        "  Static headers carry a token that is never revoked. Times are relative to theirs on the same HTTP library in the"
        " same round, plus a login (CPU: without one);"
        " who fails is done sooner."
    )
    return Table(sentence, COLUMNS, rows), data
