"""
One process of the fleet: ``python -m exterview_auth._cli.demo.worker``.

Its parent writes a configuration to standard input, and a second line when all processes are ready. The worker writes
its counters to standard output, as a line of JSON, when it is ready and then many times a second. It ends when its
requests are answered, or when its parent has gone.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .plan import WorkerConfig
from .sender import Sender
from .store import opened_store
from .timeline import INTERVAL

_REPORTERS_AT_FULL_PACE = 8
"""If there are more processes, each reports less often: their parent has other work than reading."""


class _Reporter:
    """Writes the counters of *sender* to standard output: at intervals, and at once after a login."""

    def __init__(self, sender: Sender, workers: int) -> None:
        self._sender = sender
        self.interval = INTERVAL * max(1.0, workers / _REPORTERS_AT_FULL_PACE)

    def report(self) -> None:
        print(self._sender.counts().to_json(), flush=True)

    def on_login(self) -> None:
        self.report()  # at once: the parent marks the login when it reads of it

    def on_answers(self) -> None:
        """Leave the answers to the next report."""

    async def run(self) -> None:
        while True:
            self.report()
            await asyncio.sleep(self.interval)


async def _work() -> None:
    async with _standard_input() as lines:
        config = WorkerConfig.from_json(await lines.readline())
        assert config.store is not None
        async with opened_store(config.store) as store:
            sender = Sender(config, store)
            reporter = _Reporter(sender, config.workers)
            reporter.report()  # ready
            if not await lines.readline():
                return  # the parent has gone before it could begin
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(reporter.run()), group.create_task(_fail_at_the_end_of(lines))]
                await sender.send(reporter)
                for task in beside:
                    task.cancel()
            reporter.report()


async def _fail_at_the_end_of(lines: asyncio.StreamReader) -> None:
    await lines.read()
    raise EOFError("the parent has gone")  # which cancels the sending


@asynccontextmanager
async def _standard_input() -> AsyncIterator[asyncio.StreamReader]:
    """Open standard input as a stream, so that its end is seen while requests are sent."""
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
