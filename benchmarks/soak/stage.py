"""What the soak plays on: a Redis, an API that can be started again, and the worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from exterview_auth._cli.demo.redis_server import HOST, LocalRedis

from ..fleet.crew import Worker
from ..harness.api import CHECKOUT
from .server import ALL

PROCESSES = 2
LONGEST_LINE = 2**24
_TRIES = 10
_PROBE_SECONDS = 0.5
_CLIENTS = re.compile(rb"connected_clients:(\d+)")


async def started(program: str, *arguments: str) -> Worker:
    """A process of *program* that takes orders."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", program, *arguments, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE
    )
    return Worker(program, process)


class SoakApi:
    """The API over all its lives: which tokens and keys are good outlives it."""

    def __init__(self, key_file: Path, lifetime: float) -> None:
        self.port = 0
        self.counts = Counter[str]()
        self._key_file, self._lifetime = key_file, lifetime
        self._dead_since: dict[str, float] = {}
        self._turn = asyncio.Lock()
        self._process: Worker
        self._keys = [self._new_key()]

    async def start(self) -> None:
        """A new life, on the same port."""
        for _ in range(_TRIES):
            self._process = await started("benchmarks.soak.server", str(self.port), str(self._lifetime))
            answer = await self._admit()
            if answer:
                self.port = answer["port"]
                return
            await self._process.end()
        raise OSError("the soak's API does not come up")

    async def end(self, *, killed: bool = False) -> None:
        """Nobody listens any more."""
        await self.count()
        if killed:
            self._process.kill()
        await self._process.end()

    async def revoke(self, account: str = ALL) -> None:
        """No token of *account* that was issued before is good any more."""
        self.lose(account)
        await self._admit()

    def lose(self, account: str = ALL) -> None:
        """The same, as far as the next life is concerned."""
        self._dead_since[account] = time.monotonic()

    async def rotate_key(self, overlap: float) -> None:
        """A new API key is where the workers read it; the old one is good for *overlap* seconds more."""
        new = self._new_key()
        self._keys.append(new)
        await self._admit()
        self._key_file.with_suffix(".new").write_text(new)
        self._key_file.with_suffix(".new").replace(self._key_file)
        await asyncio.sleep(overlap)
        self._keys = [new]
        await self._admit()

    async def refuse_logins(self, retry_after: int | None) -> None:
        """Logins get a 503 that asks for so many seconds (0: for none), or with ``None`` are served."""
        await self._tell("logins", retry_after=retry_after)

    async def count(self) -> None:
        """Add to `counts` what was counted since the last time."""
        told = Counter(await self._tell("count"))
        self.counts["most logins at once"] = max(self.counts["most logins at once"], told.pop("logins at once", 0))
        self.counts += told

    def _new_key(self) -> str:
        key = f"key-{secrets.token_hex(8)}"
        if not self._key_file.exists():
            self._key_file.write_text(key)
        return key

    async def _admit(self) -> dict[str, Any]:
        return await self._tell("admit", keys=self._keys, dead_since=self._dead_since)

    async def _tell(self, do: str, **orders: Any) -> dict[str, Any]:
        """What the API answers; nothing where it is down."""
        async with self._turn:
            try:
                return await self._process.tell(do, **orders)
            except ConnectionError:
                return {}


class Stage:
    """All of it."""

    def __init__(self, redis: LocalRedis, api: SoakApi, workers: list[Worker]) -> None:
        self.redis, self.api, self.workers = redis, api, workers

    async def tell_all(self, do: str, **orders: Any) -> list[dict[str, Any]]:
        """What each worker answers."""
        return await asyncio.gather(*(worker.tell(do, **orders) for worker in self.workers))

    async def redis_clients(self) -> int | None:
        """How many connections Redis has, this one left out; ``None`` where it does not answer."""
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_PROBE_SECONDS):
                return await _clients(self.redis.port)
        return None

    async def flush_redis(self) -> None:
        """It forgets everything."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PROBE_SECONDS):
                await _ask(self.redis.port, b"FLUSHALL\r\n", b"OK\r\n")


async def _clients(port: int) -> int:
    found = _CLIENTS.search(await _ask(port, b"INFO clients\r\n", b"\r\n\r\n"))
    return int(found[1]) - 1 if found else 0


async def _ask(port: int, command: bytes, until: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(command)
        await writer.drain()
        return await reader.readuntil(until)
    finally:
        writer.close()


@asynccontextmanager
async def opened_stage(*, lifetime: float, seed: int, pace: float) -> AsyncIterator[Stage]:
    """Redis, API and workers that have their owners, and wait to be told to go."""
    async with AsyncExitStack() as stack:
        key_file = Path(stack.enter_context(TemporaryDirectory(prefix="exterview-auth-soak-"))) / "key"
        redis = await stack.enter_async_context(LocalRedis())
        api = SoakApi(key_file, lifetime)
        await api.start()
        stack.push_async_callback(api.end)
        workers = []
        for number in range(PROCESSES):
            orders = (f"process-{number}", api.port, redis.port, key_file, seed, pace)
            worker = await started("benchmarks.soak.worker", *map(str, orders))
            stack.push_async_callback(worker.end)
            workers.append(worker)
        stage = Stage(redis, api, workers)
        await stage.tell_all("open")
        yield stage
