"""How soon the other processes of the fleet send again once one has logged in."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..harness.api import ServerLog
from ..harness.report import Spread, Table, plain, progress
from .crew import FILES, REDIS, Crew
from .worker import LOGIN_SECONDS

IN_FLIGHT = 1
"""Request of each process: with more, the machine's own load would be what is measured."""
GOALS = {FILES: "50", REDIS: "20"}
"""Milliseconds, for the median."""
PLAIN = "no library, no login"


@dataclass(frozen=True)
class Round:
    """One revocation: the milliseconds of each process that did not log in, and what should be 1 and 0."""

    delays: list[float]
    logins: int
    failures: int


async def measured(crew: Crew, rounds: int) -> dict[str, list[Round]]:
    """Each round on each store and with plain requests, in random order."""
    found: dict[str, list[Round]] = {name: [] for name in (*crew.places, PLAIN)}
    for number in range(rounds):
        progress(number + 1, rounds, "wake-up, round")
        for name in random.sample(list(found), len(found)):
            found[name].append(await (_plain(crew) if name == PLAIN else _round(crew, name)))
    return found


async def _round(crew: Crew, store: str) -> Round:
    await crew.open(store)
    await crew.warm()
    sent = await crew.send_refused(IN_FLIGHT)
    log = await crew.api.log()
    return Round(_delays(log), log.logins, sent.failures)


async def _plain(crew: Crew) -> Round:
    """What the machine takes: all processes get an answer at one moment, and each sends another request."""
    await crew.open(FILES)
    await crew.send_plain()
    log = await crew.api.log()
    delays = [(arrival.time - log.revoked) * 1e3 for arrival in log.arrivals[len(crew.workers) :]]
    return Round(delays, log.logins, log.refused)


def _delays(log: ServerLog) -> list[float]:
    """From the moment the login's answer was written to each other process' first request with its token."""
    login = log.sessions[-1]
    assert login.ended is not None
    first: dict[str, float] = {}
    for arrival in log.arrivals:
        if arrival.token == login.token:
            first.setdefault(arrival.number, arrival.time)
    return [(at - login.ended) * 1e3 for process, at in first.items() if process != login.process]


def shown(found: dict[str, list[Round]], processes: int) -> tuple[Table, dict[str, object]]:
    """As a table, and as JSON."""
    spreads = {name: _spreads(rounds) for name, rounds in found.items()}
    rows = [
        [
            name,
            f"{one['ms']:.1f}",
            one["ms"].surely(".1f"),
            f"{one['last_ms']:.1f}",
            GOALS.get(name, "-"),
            *(one[count].count() for count in ("woken", "logins", "failures")),
        ]
        for name, one in spreads.items()
    ]
    repeated = max(len(rounds) for rounds in found.values())
    table = Table(
        f"fleet, wake-up: milliseconds from the end of the login (the server has written its answer; it took {LOGIN_SECONDS} s) to the\n"
        f"  arrival of the first replay of each other process; {repeated} rounds x {processes - 1} processes, in random order.\n"
        f"  {IN_FLIGHT} request in flight per process, so that the machine's load is not what is measured; the median lies in the\n"
        f"  range to its right with 95 %. {PLAIN}: from an answer to all processes at once to each one's next request.",
        ("", "each process", "95 %", "last process", "goal, median", "woken", "logins", "failures"),
        rows,
    )
    return table, {name: plain(one) for name, one in spreads.items()}


def _spreads(rounds: list[Round]) -> dict[str, Spread]:
    return {
        "ms": Spread.of(delay for one in rounds for delay in one.delays),
        "last_ms": Spread.of(max(one.delays) for one in rounds),
        "woken": Spread.of(len(one.delays) for one in rounds),
        "logins": Spread.of(one.logins for one in rounds),
        "failures": Spread.of(one.failures for one in rounds),
    }
