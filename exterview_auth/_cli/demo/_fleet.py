"""Many processes that share one account and one store, as one sender."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from ._assignment import Assignment
from ._member import Member
from ._plan import Plan
from ._sender import Audience
from ._shared_store import StoreKind, opened_place
from ._tally import Tally, total


class Fleet:
    """*members* that are ready to begin, all at once."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    @property
    def answered(self) -> int:
        """Requests that have an answer, in all processes together."""
        return sum(member.tally.answered for member in self._members)

    def tally(self) -> Tally:
        """What all have counted, by their last reports."""
        return total(member.tally for member in self._members)

    async def send(self, audience: Audience) -> None:
        """Let all begin, and wait for every answer; what a process that ends leaves unanswered has failed."""
        async with asyncio.TaskGroup() as group:
            for member in self._members:
                group.create_task(member.send(audience))


@asynccontextmanager
async def opened_fleet(plan: Plan, kind: StoreKind, whole: Assignment) -> AsyncIterator[Fleet]:
    """The processes of *plan*, each with its share of the *whole*; they and their store are gone afterwards."""
    with _ended_by_signals():
        async with opened_place(kind) as address:
            assignments = list(_shares(plan, replace(whole, store=address)))
            async with _started(assignments) as members:
                await asyncio.gather(*(member.get_ready() for member in members))
                yield Fleet(members)


@asynccontextmanager
async def _started(assignments: Sequence[Assignment]) -> AsyncIterator[Sequence[Member]]:
    members: list[Member] = []
    try:
        for assignment in assignments:
            members.append(await Member.started(assignment))  # noqa: PERF401 - these end, also where the next does not start
        yield members
    finally:
        await asyncio.gather(*(member.end() for member in members))


def _shares(plan: Plan, whole: Assignment) -> Iterator[Assignment]:
    """One for each process, with its part of the connections."""
    each, left = divmod(plan.connections, plan.processes)
    for number in range(plan.processes):
        yield replace(whole, sender=number, senders=plan.processes, connections=each + (number < left))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM, and a terminal that goes away, end the block as Ctrl-C does: no process is left behind."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    numbers = (signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
