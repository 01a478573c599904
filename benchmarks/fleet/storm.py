"""The fleet's storm: all processes at once, with a token that is revoked and with none."""

from __future__ import annotations

import random
import time

from ..harness.report import Spread, Table, plain, progress
from .crew import Crew
from .worker import LOGIN_SECONDS

Rounds = list[dict[str, float]]


async def measured(crew: Crew, requests: int, rounds: int) -> dict[str, Rounds]:
    """Each scene on each store, in random order."""
    scenes = {f"{store}, {name}": (store, scene) for store in crew.places for name, scene in SCENES.items()}
    found: dict[str, Rounds] = {name: [] for name in scenes}
    for number in range(rounds):
        progress(number + 1, rounds, "storm, round")
        for name in random.sample(list(scenes), len(scenes)):
            store, scene = scenes[name]
            found[name].append(await scene(crew, store, requests))
    return found


async def _revoked(crew: Crew, store: str, requests: int) -> dict[str, float]:
    await crew.open(store)
    await crew.warm()
    sent = await crew.send_refused(requests)
    log = await crew.api.log()
    seconds = sent.last - log.revoked
    return {"logins": log.logins, "failures": sent.failures, "refused": log.refused, "seconds": seconds}


async def _cold(crew: Crew, store: str, requests: int) -> dict[str, float]:
    await crew.open(store)
    began = time.monotonic()
    sent = await crew.send(requests)
    log = await crew.api.log()
    seconds = sent.last - began
    return {"logins": log.logins, "failures": sent.failures, "refused": log.refused, "seconds": seconds}


SCENES = {"token revoked": _revoked, "cold": _cold}


def shown(found: dict[str, Rounds], processes: int, requests: int) -> tuple[Table, dict[str, object]]:
    """As a table, and as JSON."""
    spreads = {
        name: {key: Spread.of(one[key] for one in rounds) for key in rounds[0]} for name, rounds in found.items()
    }
    rows = [
        [name, *(one[count].count() for count in ("logins", "failures", "refused")), f"{one['seconds']:.2f}"]
        for name, one in spreads.items()
    ]
    repeated = max(len(rounds) for rounds in found.values())
    table = Table(
        f"fleet: {processes} processes x {requests} requests in flight, one account; the login takes {LOGIN_SECONDS} s;"
        f" {repeated} rounds in random order.\n"
        "  token revoked: when all requests have arrived with it; seconds: from then to the last answer of all processes.\n"
        "  cold: no process has a token, nor has the store; seconds: from the order to send to the last answer.",
        ("", "logins", "failures", "refused", "seconds"),
        rows,
    )
    return table, {name: plain(one) for name, one in spreads.items()}
