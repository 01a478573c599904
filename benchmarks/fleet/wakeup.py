"""How soon the other processes of the fleet send again after one has logged in."""

from __future__ import annotations

from dataclasses import dataclass

from ..harness.api import Log
from ..harness.report import Column, Report, Spread, in_random_order, median, sure, within
from .crew import FILES, REDIS, Crew
from .worker import LOGIN_SECONDS

GOALS = {FILES: 50, REDIS: 20}
"""Milliseconds, for the median."""
PLAIN = "no library, no login"


@dataclass(frozen=True)
class Round:
    """One revocation: the milliseconds of each process that did not log in, and what should be 1 and 0."""

    delays: list[float]
    logins: int
    failures: int


async def _round(crew: Crew, store: str) -> Round:
    await crew.open(store, warm=True)
    sent = await crew.send_refused(1)
    log = await crew.api.log()
    return Round(_delays(log), log.logins, sent.failures)


async def _plain(crew: Crew) -> Round:
    """Measure the machine: all processes get an answer at one moment, and each sends another request."""
    await crew.open(FILES)
    await crew.send_plain()
    log = await crew.api.log()
    delays = [(arrival.time - log.revoked) * 1e3 for arrival in log.arrivals[len(crew.workers) :]]
    return Round(delays, log.logins, log.refused)


def _delays(log: Log) -> list[float]:
    """Return the times from the login's answer to the first request of each other process with its token."""
    # All processes share one machine, so the server's clock is the only one that counts.
    login = log.sessions[-1]
    assert login.ended is not None
    first: dict[str, float] = {}
    for arrival in log.arrivals:
        if arrival.token == login.token:
            first.setdefault(arrival.number, arrival.time)
    return [(at - login.ended) * 1e3 for process, at in first.items() if process != login.process]


async def measured(crew: Crew, rounds: int) -> Report:
    """Measure each store and plain requests."""

    async def measure(name: str) -> Round:
        return await (_plain(crew) if name == PLAIN else _round(crew, name))

    found = await in_random_order([*crew.places, PLAIN], rounds, measure, "wake-up,")
    return Report.of(
        f"fleet, wake-up: milliseconds from the end of the login (the server has written its answer; it took {LOGIN_SECONDS} s) to the\n"
        f"  first replay of each other process; {rounds} rounds x {len(crew.workers) - 1} processes, in random order. One request per"
        " process is in flight, so that the\n  machine's load is not what is measured; the median lies in the range to its right with"
        f" 95 %.\n  {PLAIN}: from an answer to all processes at once to the next request of each.",
        COLUMNS,
        {name: _spreads(name, one) for name, one in found.items()},
    )


def _spreads(name: str, rounds: list[Round]) -> dict[str, Spread]:
    goal = {"goal": Spread.of([GOALS[name]])} if name in GOALS else {}
    return {
        "ms": Spread.of(delay for one in rounds for delay in one.delays),
        "last_ms": Spread.of(max(one.delays) for one in rounds),
        "woken": Spread.of(len(one.delays) for one in rounds),
        "logins": Spread.of(one.logins for one in rounds),
        "failures": Spread.of(one.failures for one in rounds),
        **goal,
    }


COLUMNS: list[Column] = [
    ("each process", "ms", within(".1f")),
    ("95 %", "ms", sure(".1f")),
    ("last process", "last_ms", within(".1f")),
    ("goal, median", "goal", median("g")),
    *((count, count, Spread.count) for count in ("woken", "logins", "failures")),
]
