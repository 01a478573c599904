"""How often the fleet uses its store: for a revocation, and for a request while the token is good."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from ..harness.report import Report, Spread, Table, plain, progress
from .crew import FILES, REDIS, Crew
from .monitor import Monitor, monitor

IN_FLIGHT = 20
AT_ONCE = 50
"""Requests at a time while the token is good."""
RARE_POLLS = 60.0
"""Seconds between two polls: what is counted does not depend on how long a login takes on this machine."""
KINDS = {
    REDIS: ("commands", "RedisStore, commands", "at most 6, 0"),
    FILES: ("calls", "FileStore, calls in a thread", "-"),
}
"""For each store the name in the data, the name in the table, and the goal."""


@dataclass
class Traffic:
    """What each process did for each revocation, and what all did for the requests of the steady state."""

    revocations: list[int] = field(default_factory=list)
    steady: int = 0

    @property
    def mean(self) -> float:
        """Per revocation and process."""
        return sum(self.revocations) / len(self.revocations)


async def _measured(crew: Crew, store: str, revocations: int, steady: int) -> Traffic:
    found = Traffic()
    async with AsyncExitStack() as stack:
        watch = None
        if store == REDIS:
            assert crew.redis_port is not None
            watch = await stack.enter_async_context(monitor(crew.redis_port))
        await crew.open(store, poll_interval=RARE_POLLS, warm=True)
        # What opening and the first login cost is not counted.
        await _counted(crew, watch)
        for number in range(revocations):
            progress(number + 1, revocations, f"traffic of {store}, revocation")
            assert (await crew.send_refused(IN_FLIGHT)).failures == 0
            found.revocations += await _counted(crew, watch)
        assert (await crew.send(steady, at_once=AT_ONCE)).failures == 0
        found.steady = sum(await _counted(crew, watch))
    return found


async def _counted(crew: Crew, watch: Monitor | None) -> list[int]:
    """Return what each process did since the last time."""
    processes = await crew.counted()
    if watch is None:
        return [process["calls"] for process in processes]
    by_port = await watch.commands()
    commands = [sum(by_port[port] for port in process["ports"]) for process in processes]
    assert by_port.total() == sum(commands), "Redis got commands from others than these processes"
    return commands


async def measured(crew: Crew, revocations: int, steady: int) -> Report:
    """Count on each store for so many revocations, then for as many *steady* requests in each process."""
    requests = steady * len(crew.workers)
    rows, data = [], {}
    for store in crew.places:
        key, name, goals = KINDS[store]
        one = await _measured(crew, store, revocations, steady)
        rows.append([name, f"{one.mean:.2f}", str(max(one.revocations)), f"{one.steady / requests:g}", goals])
        data[key] = {**plain({"per_revocation": Spread.of(one.revocations)}), "mean": one.mean, "steady": one.steady}
    table = Table(
        f"fleet, traffic at the store: {len(crew.workers)} processes x {IN_FLIGHT} requests in flight when the token is revoked,"
        f" and {requests} requests in\n"
        "  the steady state. RedisStore: commands of clients, as its MONITOR shows them; FileStore: calls to the file system,"
        " which run in threads.",
        ("", "mean per revocation and process", "most", "per steady request", "goals"),
        rows,
    )
    return Report([table], data)
