"""``kill -9`` of the process that logs in, in the middle of its login."""

from __future__ import annotations

import asyncio
import random

from ..harness.report import Spread, Table, plain, progress
from .crew import Crew

IN_FLIGHT = 20

Rounds = list[dict[str, float]]


async def measured(crew: Crew, lease: float, rounds: int) -> dict[str, Rounds]:
    """Each round on each store."""
    found: dict[str, Rounds] = {store: [] for store in crew.places}
    for number in range(rounds):
        progress(number + 1, rounds, "kill -9, round")
        for store, told in found.items():
            told.append(await _killed(crew, store, lease))
    return found


async def _killed(crew: Crew, store: str, lease: float) -> dict[str, float]:
    await crew.open(store, lease)
    await crew.warm()
    await crew.api.hold()
    sending = asyncio.create_task(crew.send_refused(IN_FLIGHT))
    victim = await crew.api.held()
    await asyncio.sleep(random.uniform(0, lease / 2))
    moment = crew.kill(victim)
    sent = await sending
    log = await crew.api.log()
    await crew.replace_killed()
    ends = [login.ended for login in log.sessions if login.ended is not None]
    return {
        "begun": log.logins,
        "ended": len(ends),
        "failures": sent.failures,
        "next_login": min(ends) - moment,
        "all_answered": sent.last - moment,
    }


def shown(found: dict[str, Rounds], processes: int, lease: float) -> tuple[Table, dict[str, object]]:
    """As a table, and as JSON."""
    spreads = {
        store: {key: Spread.of(one[key] for one in rounds) for key in rounds[0]} for store, rounds in found.items()
    }
    rows = [
        [
            store,
            *(one[count].count() for count in ("begun", "ended", "failures")),
            *(f"{one[seconds]:.2f}" for seconds in ("next_login", "all_answered")),
            f"{2 * lease:g}",
        ]
        for store, one in spreads.items()
    ]
    repeated = max(len(rounds) for rounds in found.values())
    table = Table(
        f"fleet, kill -9: of {processes} processes x {IN_FLIGHT} requests in flight, the one that logs in is killed at a random moment of its\n"
        f"  login, up to half a lease ({lease:g} s) after it began; {repeated} rounds.\n"
        "  logins begun: with that of the killed one; failures: requests of the others; seconds since the kill.",
        ("", "logins begun", "ended", "failures", "another has logged in", "all answered", "goal"),
        rows,
    )
    return table, {store: plain(one) for store, one in spreads.items()}
