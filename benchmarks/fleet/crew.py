"""The processes of the fleet that is measured, as one: their life, and what all of them are told."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Self

from exterview_auth._cli.demo.redis_server import LocalRedis, redis_server_path
from exterview_auth.stores._lock import LEASE

from ..harness.api import CHECKOUT, DEADLINE, ApiProcess, api_process

FILES, REDIS = "FileStore", "RedisStore"
ENDING = 5.0
"""Seconds after which a process that does not end by itself is killed."""


class Worker:
    """One process; it does one thing after another."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process

    @classmethod
    async def started(cls, name: str, api: ApiProcess) -> Self:
        """A process that is ready for orders."""
        program = ("-m", "benchmarks.fleet.worker", name, str(api.root.port))
        process = await asyncio.create_subprocess_exec(sys.executable, *program, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE)
        worker = cls(name, process)
        await worker._answer()
        return worker

    async def tell(self, do: str, **orders: Any) -> dict[str, Any]:
        """What it answers; nothing if it ends meanwhile."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps({'do': do, **orders})}\n".encode())
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line or "{}")
        return answer

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()

    async def end(self) -> None:
        """Let it end, and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(ENDING):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()


@dataclass(frozen=True)
class Sent:
    """How requests went: how many failed or were never answered, and when the last answer came."""

    failures: int
    last: float


class Crew:
    """All processes, at one API, with one account in one of two stores at a time."""

    def __init__(self, api: ApiProcess, workers: list[Worker], places: dict[str, str], redis_port: int | None) -> None:
        self.api = api
        self.workers = workers
        self.places = places
        self.redis_port = redis_port
        self._accounts = itertools.count(1)
        self._killed = ""

    async def open(self, store: str, lease: float = LEASE) -> None:
        """New owners of a new account, in *store*, of which nobody has a token."""
        account = f"account-{next(self._accounts)}"
        await self._tell_all("open", store=self.places[store], account=account, lease=lease)
        await self.api.revoke()
        await self.api.log()

    async def warm(self) -> None:
        """One login, and its token in use in every process."""
        assert (await self.send(1)).failures == 0
        await self.api.log()

    async def send(self, requests: int, *, at_once: int | None = None) -> Sent:
        """So many *requests* by each process; those of one that is killed meanwhile are left out."""
        told = await self._tell_all("send", requests=requests, at_once=at_once or requests)
        answered = [answer for answer in told if answer]
        answers = sum((Counter(answer["answers"]) for answer in answered), Counter[str]())
        failures = requests * sum(worker.name != self._killed for worker in self.workers) - answers["200"]
        if failures:
            print(f"  {failures} failures: {dict(answers)}", file=sys.stderr, flush=True)
        return Sent(failures, max(answer["last"] for answer in answered))

    async def send_refused(self, requests: int) -> Sent:
        """The same, and all of them are in flight when the token is revoked."""
        await self.api.revoke(arrivals=requests * len(self.workers))
        return await self.send(requests)

    async def send_plain(self) -> None:
        """A request by each process, answered when all have arrived, then another, with nothing of the library."""
        await self.api.revoke(arrivals=len(self.workers))
        await self._tell_all("send_plain")

    async def counted(self) -> list[dict[str, Any]]:
        """What each process has counted since the last time, once it is at rest."""
        return await self._tell_all("count")

    def kill(self, name: str) -> float:
        """End the process of that *name* at once; when that was."""
        moment, self._killed = time.monotonic(), name
        next(worker for worker in self.workers if worker.name == name).kill()
        return moment

    async def replace_killed(self) -> None:
        """A new process in the place of the one that was killed."""
        for place, worker in enumerate(self.workers):
            if worker.name == self._killed:
                await worker.end()
                self.workers[place] = await Worker.started(worker.name, self.api)
        self._killed = ""

    async def _tell_all(self, do: str, **orders: Any) -> list[dict[str, Any]]:
        return await asyncio.gather(*(worker.tell(do, **orders) for worker in self.workers))


@asynccontextmanager
async def opened_crew(processes: int) -> AsyncIterator[Crew]:
    """The API, both stores (files alone where there is no redis-server), and so many processes."""
    async with AsyncExitStack() as stack:
        places = {FILES: stack.enter_context(TemporaryDirectory(prefix="exterview-auth-benchmark-"))}
        redis = await stack.enter_async_context(LocalRedis()) if redis_server_path() else None
        if redis is not None:
            places[REDIS] = redis.url
        api = await stack.enter_async_context(api_process())
        starting = (Worker.started(f"process-{number}", api) for number in range(processes))
        crew = Crew(api, list(await asyncio.gather(*starting)), places, None if redis is None else redis.port)
        try:
            yield crew
        finally:
            await asyncio.gather(*(worker.end() for worker in crew.workers))
