"""
One process of the fleet: ``python -m exterview_auth._cli.demo._worker``.

Its parent writes an assignment to standard input, and a second line when all are to begin. Standard output gets a tally,
as a line of JSON, when it is ready, and then many a second. It ends with its work, or when its parent has gone.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ._assignment import Assignment
from ._recorder import INTERVAL
from ._sender import Sender
from ._shared_store import opened_store

_REPORTERS_AT_FULL_PACE = 8
"""More processes report less often each: reading must not become the parent's work."""


class _Reporter:
    """Tells the parent what *sender* has counted: again and again, and of a login at once."""

    def __init__(self, sender: Sender, reporters: int) -> None:
        self._sender = sender
        self._interval = INTERVAL * max(1.0, reporters / _REPORTERS_AT_FULL_PACE)

    def report(self) -> None:
        print(self._sender.tally().to_json(), flush=True)

    def login_made(self) -> None:
        self.report()

    def answers_came(self) -> None:
        """The next report tells."""

    async def run(self) -> None:
        while True:
            self.report()
            await asyncio.sleep(self._interval)


async def _work() -> None:
    async with _orders() as orders:
        assignment = Assignment.from_json(await orders.readline())
        assert assignment.store is not None
        async with opened_store(assignment.store) as store:
            sender = Sender(assignment, store)
            reporter = _Reporter(sender, assignment.senders)
            reporter.report()
            if await orders.readline():
                await _send(sender, reporter, orders)


async def _send(sender: Sender, reporter: _Reporter, orders: asyncio.StreamReader) -> None:
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(reporter.run()), group.create_task(_fail_once_closed(orders))]
        await sender.send(reporter)
        for task in beside:
            task.cancel()
    reporter.report()


async def _fail_once_closed(orders: asyncio.StreamReader) -> None:
    await orders.read()
    raise EOFError("the parent has gone")


@asynccontextmanager
async def _orders() -> AsyncIterator[asyncio.StreamReader]:
    """Standard input, whose end is seen while the work goes on."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        yield reader
    finally:
        transport.close()


if __name__ == "__main__":
    asyncio.run(_work())
