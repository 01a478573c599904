"""All processes send at once, with a token that is revoked and without a token."""

from __future__ import annotations

import time

from ..harness.report import Figures, Report, Table, in_random_order, plain, spreads
from .crew import Crew
from .worker import LOGIN_SECONDS


async def _revoked(crew: Crew, store: str, requests: int) -> Figures:
    await crew.open(store, warm=True)
    sent = await crew.send_refused(requests)
    log = await crew.api.log()
    seconds = sent.last - log.revoked
    return {"logins": log.logins, "failures": sent.failures, "refused": log.refused, "seconds": seconds}


async def _cold(crew: Crew, store: str, requests: int) -> Figures:
    await crew.open(store)
    began = time.monotonic()
    sent = await crew.send(requests)
    log = await crew.api.log()
    seconds = sent.last - began
    return {"logins": log.logins, "failures": sent.failures, "refused": log.refused, "seconds": seconds}


SCENES = {"token revoked": _revoked, "cold": _cold}


async def measured(crew: Crew, requests: int, rounds: int) -> Report:
    """Measure each scene on each store."""
    scenes = {f"{store}, {name}": (store, scene) for store in crew.places for name, scene in SCENES.items()}

    async def measure(name: str) -> Figures:
        store, scene = scenes[name]
        return await scene(crew, store, requests)

    found = await in_random_order(scenes, rounds, measure, "storm,")
    figures = {name: spreads(one) for name, one in found.items()}
    table = Table(
        f"fleet: {len(crew.workers)} processes x {requests} requests in flight, one account; the login takes {LOGIN_SECONDS} s;"
        f" {rounds} rounds in random order.\n"
        "  token revoked: when all requests have arrived with it; seconds: from then to the last answer of all processes.\n"
        "  cold: neither a process nor the store has a token; seconds: from the order to send to the last answer.",
        ("", "logins", "failures", "refused", "seconds"),
        [
            [name, *(one[count].count() for count in ("logins", "failures", "refused")), f"{one['seconds']:.2f}"]
            for name, one in figures.items()
        ],
    )
    return Report([table], {name: plain(one) for name, one in figures.items()})
