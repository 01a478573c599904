"""All processes of the fleet as one: how they start and end, and what they are ordered to do."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

from exterview_auth._cli.demo.redis_server import LocalRedis, redis_server_path
from exterview_auth.stores._shared import LEASE, POLL_INTERVAL

from ..harness.api import Api, opened_api
from ..harness.process import Worker

FILES, REDIS = "FileStore", "RedisStore"


@dataclass(frozen=True)
class Sent:
    """How many requests failed or were never answered, and when the last answer arrived."""

    failures: int
    last: float


class Crew:
    """The processes, which use one API and share one account in one of two stores at a time."""

    def __init__(self, api: Api, workers: list[Worker], places: dict[str, str], redis_port: int | None) -> None:
        self.api = api
        self.workers = workers
        self.places = places
        self.redis_port = redis_port
        self._accounts = itertools.count(1)
        self._killed = ""

    async def open(
        self, store: str, lease: float = LEASE, *, poll_interval: float = POLL_INTERVAL, warm: bool = False
    ) -> None:
        """Make owners of a new account in *store*, which holds no token; if *warm*, log in and use the token in every process."""
        # A new account needs no clean-up: neither store has ever seen it.
        account = f"account-{next(self._accounts)}"
        orders = {"store": self.places[store], "account": account, "lease": lease, "poll_interval": poll_interval}
        await self._order_all("open", **orders)
        await self.api.revoke()
        if warm:
            assert (await self.send(1)).failures == 0
        await self.api.log()

    async def send(self, requests: int, *, at_once: int | None = None) -> Sent:
        """Send *requests* from each process; those of a process that is killed meanwhile do not count."""
        answers = await self._order_all("send", requests=requests, at_once=at_once or requests)
        answers = [answer for answer in answers if answer]
        counts = sum((Counter(answer["answers"]) for answer in answers), Counter[str]())
        failures = requests * sum(worker.name != self._killed for worker in self.workers) - counts["200"]
        if failures:
            print(f"  {failures} failures: {dict(counts)}", file=sys.stderr, flush=True)
        return Sent(failures, max(answer["last"] for answer in answers))

    async def send_refused(self, requests: int) -> Sent:
        """Send *requests* from each process, and revoke the token when all of them are in flight."""
        await self.api.revoke(arrivals=requests * len(self.workers))
        return await self.send(requests)

    async def send_plain(self) -> None:
        """Send a request from each process, answered when all have arrived, and then another, without the library."""
        await self.api.revoke(arrivals=len(self.workers))
        await self._order_all("send_plain")

    async def counted(self) -> list[dict[str, Any]]:
        """Return what each process has counted since the last time, once it is at rest."""
        return await self._order_all("count")

    def kill(self, name: str) -> float:
        """Kill the process of that *name*, and return the time."""
        moment, self._killed = time.monotonic(), name
        next(worker for worker in self.workers if worker.name == name).kill()
        return moment

    async def replace_killed(self) -> None:
        """Start a new process in place of the killed one."""
        for place, worker in enumerate(self.workers):
            if worker.name == self._killed:
                await worker.end()
                self.workers[place] = await _started(worker.name, self.api)
        self._killed = ""

    async def _order_all(self, do: str, **orders: Any) -> list[dict[str, Any]]:
        return await asyncio.gather(*(worker.order(do, **orders) for worker in self.workers))


async def _started(name: str, api: Api) -> Worker:
    return await Worker.started(name, "benchmarks.fleet.worker", name, api.root.port)


@asynccontextmanager
async def opened_crew(processes: int) -> AsyncIterator[Crew]:
    """Start the API, both stores (only files if there is no redis-server), and so many processes."""
    async with AsyncExitStack() as stack:
        places = {FILES: stack.enter_context(TemporaryDirectory(prefix="exterview-auth-benchmark-"))}
        redis = await stack.enter_async_context(LocalRedis()) if redis_server_path() else None
        if redis is not None:
            places[REDIS] = redis.url
        api = await stack.enter_async_context(opened_api())
        workers = [await _started(f"process-{number}", api) for number in range(processes)]
        crew = Crew(api, workers, places, None if redis is None else redis.port)
        try:
            yield crew
        finally:
            await asyncio.gather(*(worker.end() for worker in crew.workers))
