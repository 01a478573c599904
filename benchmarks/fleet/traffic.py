"""What the fleet asks of its store: for a revocation, and for a request while the token serves."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from ..harness.report import Spread, Table, plain, progress
from .crew import FILES, REDIS, Crew
from .monitor import Monitor, monitor

IN_FLIGHT = 20
AT_ONCE = 50
"""Requests at a time, of those that are sent while the token serves."""
KINDS = {REDIS: ("commands", "lua"), FILES: ("loads", "saves", "calls")}
NAMES = {
    "commands": "RedisStore, commands",
    "lua": "RedisStore, calls by scripts, all processes",
    "loads": "FileStore, loads",
    "saves": "FileStore, saves",
    "calls": "FileStore, calls in a thread, looks included",
}


@dataclass
class Traffic:
    """Of one kind: for each revocation and process, and for all requests of the steady state together."""

    revocations: list[int] = field(default_factory=list)
    steady: int = 0
    requests: int = 0


async def measured(crew: Crew, revocations: int, steady: int) -> dict[str, Traffic]:
    """On each store, so many revocations, then as many *steady* requests in each process."""
    found: dict[str, Traffic] = {}
    for store in crew.places:
        async with AsyncExitStack() as stack:
            watch = None
            if store == REDIS:
                assert crew.redis_port is not None
                watch = await stack.enter_async_context(monitor(crew.redis_port))
            found |= await _on(crew, store, watch, revocations, steady)
    return found


async def _on(crew: Crew, store: str, watch: Monitor | None, revocations: int, steady: int) -> dict[str, Traffic]:
    found = {kind: Traffic() for kind in KINDS[store]}
    await crew.open(store)
    await crew.warm()
    await _counted(crew, watch)
    for number in range(revocations):
        progress(number + 1, revocations, f"traffic of {store}, revocation")
        assert (await crew.send_refused(IN_FLIGHT)).failures == 0
        for kind, numbers in (await _counted(crew, watch)).items():
            found[kind].revocations += numbers
    assert (await crew.send(steady, at_once=AT_ONCE)).failures == 0
    for kind, numbers in (await _counted(crew, watch)).items():
        found[kind].steady = sum(numbers)
        found[kind].requests = steady * len(crew.workers)
    return found


async def _counted(crew: Crew, watch: Monitor | None) -> dict[str, list[int]]:
    """Of each kind, what each process did since the last time."""
    processes = await crew.counted()
    if watch is None:
        return {kind: [process["counts"].get(kind, 0) for process in processes] for kind in KINDS[FILES]}
    told = await watch.commands()
    commands = [sum(told.by_port[port] for port in process["ports"]) for process in processes]
    assert told.by_port.total() == sum(commands), "Redis was sent commands by others than these processes"
    return {"commands": commands, "lua": [told.by_scripts]}


def shown(found: dict[str, Traffic], processes: int) -> tuple[Table, dict[str, object]]:
    """As a table, and as JSON."""
    some = next(iter(found.values()))
    table = Table(
        f"fleet, traffic at the store: {processes} processes x {IN_FLIGHT} requests in flight when the token is revoked,"
        f" and {some.requests} requests in\n"
        "  the steady state. RedisStore: commands of clients, as its MONITOR tells them, by the connection's process;"
        " what scripts call apart.\n"
        "  FileStore: loads and saves of tokens; all calls to the file system, which run in threads; these look at a file that is waited for.",
        ("", "mean per revocation and process", "most", "per steady request", "goals"),
        [_row(kind, one) for kind, one in found.items()],
    )
    return table, {
        kind: {**plain(_spread(one)), "mean": _mean(one), "steady": one.steady} for kind, one in found.items()
    }


def _row(kind: str, one: Traffic) -> list[str]:
    goals = "at most 6, 0" if kind == "commands" else "-"
    return [NAMES[kind], f"{_mean(one):.2f}", str(max(one.revocations)), f"{one.steady / one.requests:g}", goals]


def _spread(one: Traffic) -> dict[str, Spread]:
    return {"per_revocation": Spread.of(one.revocations)}


def _mean(one: Traffic) -> float:
    return sum(one.revocations) / len(one.revocations)
