"""What the scenes know of a peer, and how they send many requests through one at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from ..harness.api import Api

Send = Callable[[str], Awaitable[int]]
"""Posts the query to a path of the API, reads the answer, and returns its status."""

DEADLINE = 5.0
"""Seconds after which a request counts as hanging."""


@dataclass(frozen=True)
class Client:
    """One peer, opened."""

    send: Send
    sign_in: Callable[[], Awaitable[object]] | None = None
    """The first login, for a peer that does not log in by itself."""

    def queries(self, count: int) -> Iterator[Awaitable[int]]:
        """Return so many requests, each of which is made when it is sent."""
        return (self.send("graphql") for _ in range(count))

    async def warm(self) -> None:
        """Get a token."""
        await (self.sign_in() if self.sign_in is not None else self.send("graphql"))


Opened = Callable[[Api], AbstractAsyncContextManager[Client]]


@dataclass(frozen=True)
class Peer:
    """A contestant, and what it can take part in."""

    name: str
    library: str
    opened: Opened
    logs_in: bool = True
    throughput_only: bool = False
    also_redirected: tuple[Opened, ...] = ()
    """Other ways to set it up, from which no credential may leave the origin either."""


@dataclass(frozen=True)
class Outcome:
    """How requests sent at once ended for their callers."""

    failures: int
    hung: int
    seconds: float
    cpu: float
    """Seconds of CPU of this process."""


async def ended(requests: Iterable[Awaitable[int]], deadline: float = DEADLINE) -> Outcome:
    """Send *requests* at once; those without an answer of status 200 by the deadline have failed."""
    cpu, wall = time.process_time(), time.perf_counter()
    tasks = [asyncio.ensure_future(request) for request in requests]
    _, hanging = await asyncio.wait(tasks, timeout=deadline)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    for task in hanging:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    return Outcome(sum(answer != 200 for answer in answers), len(hanging), wall, cpu)
