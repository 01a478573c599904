"""What the scenes know of a peer, and how they send many requests through one at once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
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
    errors: Counter[str]


async def all_at_once(client: Client, count: int, *, deadline: float = DEADLINE) -> Outcome:
    """Send *count* requests; those without an answer of status 200 by the deadline have failed."""
    cpu, wall = time.process_time(), time.perf_counter()
    return await outcome([asyncio.ensure_future(client.send("graphql")) for _ in range(count)], cpu, wall, deadline)


async def outcome(tasks: Sequence[asyncio.Future[int]], cpu: float, wall: float, deadline: float = DEADLINE) -> Outcome:
    """Return how *tasks* end, which began at these readings of the clocks."""
    _, hanging = await asyncio.wait(tasks, timeout=deadline)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    for task in hanging:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [answer for answer in answers if answer != 200]
    return Outcome(len(failures), len(hanging), wall, cpu, Counter(_name(failure) for failure in failures))


def _name(failure: int | BaseException) -> str:
    return str(failure) if isinstance(failure, int) else type(failure).__name__
