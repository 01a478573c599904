"""All processes send at once, with a token that is revoked and without a token."""

from __future__ import annotations

import time
from functools import partial

from ..harness.report import Figures, Report, Spread, in_random_order, spreads, within
from .crew import Crew
from .worker import LOGIN_SECONDS


async def _storm(crew: Crew, store: str, requests: int, *, revoked: bool) -> Figures:
    await crew.open(store, warm=revoked)
    began = time.monotonic()
    sent = await (crew.send_refused(requests) if revoked else crew.send(requests))
    log = await crew.api.log()
    seconds = sent.last - (log.revoked if revoked else began)
    return {"logins": log.logins, "failures": sent.failures, "refused": log.refused, "seconds": seconds}


async def measured(crew: Crew, requests: int, rounds: int) -> Report:
    """Measure each scene on each store."""
    scenes = {
        f"{store}, {name}": partial(_storm, crew, store, requests, revoked=revoked)
        for store in crew.places
        for name, revoked in (("token revoked", True), ("cold", False))
    }
    found = await in_random_order(scenes, rounds, lambda name: scenes[name](), "storm,")
    return Report.of(
        f"fleet: {len(crew.workers)} processes x {requests} requests in flight, one account; the login takes {LOGIN_SECONDS} s;"
        f" {rounds} rounds in random order.\n"
        "  token revoked: when all requests have arrived with it; seconds: from then to the last answer of all processes.\n"
        "  cold: neither a process nor the store has a token; seconds: from the order to send to the last answer.",
        [
            *((count, count, Spread.count) for count in ("logins", "failures", "refused")),
            ("seconds", "seconds", within(".2f")),
        ],
        {name: spreads(one) for name, one in found.items()},
    )
