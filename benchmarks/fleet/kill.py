"""``kill -9`` of the process that logs in, during its login."""

from __future__ import annotations

import asyncio
import random

from ..harness.report import Figures, Report, Spread, in_random_order, median, spreads, within
from .crew import Crew

IN_FLIGHT = 20


async def _killed(crew: Crew, store: str, lease: float) -> Figures:
    await crew.open(store, lease, warm=True)
    # The login is never answered, so that the process dies while it holds the account's lock.
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
        "goal": 2 * lease,
    }


async def measured(crew: Crew, lease: float, rounds: int) -> Report:
    """Kill a process in each round on each store."""
    found = await in_random_order(crew.places, rounds, lambda store: _killed(crew, store, lease), "kill -9,")
    return Report.of(
        f"fleet, kill -9: {len(crew.workers)} processes x {IN_FLIGHT} requests in flight; the process that logs in is killed at a"
        f" random moment of its login,\n  up to half a lease ({lease:g} s) after it began; {rounds} rounds."
        " logins begun: including that of the killed process; failures: requests of the others; seconds since the kill.",
        [
            ("logins begun", "begun", Spread.count),
            ("ended", "ended", Spread.count),
            ("failures", "failures", Spread.count),
            ("another has logged in", "next_login", within(".2f")),
            ("all answered", "all_answered", within(".2f")),
            ("goal", "goal", median("g")),
        ],
        {store: spreads(one) for store, one in found.items()},
    )
