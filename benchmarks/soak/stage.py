"""What the soak runs on: a Redis, an API that can be restarted, and the worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from exterview_auth._cli.demo.redis_server import HOST, LocalRedis

from ..harness.process import Worker
from .server import ALL

PROCESSES = 2
_TRIES = 10
_PROBE_SECONDS = 0.5
_CLIENTS = re.compile(rb"connected_clients:(\d+)")


class SoakApi:
    """The API across restarts, with the tokens and keys that stay good."""

    def __init__(self, key_file: Path, lifetime: float) -> None:
        self.port = 0
        self.counts = Counter[str]()
        self._key_file, self._lifetime = key_file, lifetime
        self._revoked_since: dict[str, float] = {}
        self._ordering = asyncio.Lock()
        self._process: Worker
        self._keys = [self._new_key()]

    async def start(self) -> None:
        """Start the API, on the same port as before."""
        for _ in range(_TRIES):
            self._process = await Worker.started("api", "benchmarks.soak.server", self.port, self._lifetime)
            # The process may die at once if its port is taken; then it answers nothing.
            answer = await self._admit()
            if answer:
                self.port = answer["port"]
                return
            await self._process.end()
        raise OSError("the soak's API does not start")

    async def end(self, *, killed: bool = False) -> None:
        """Stop the API."""
        await self.count()
        if killed:
            self._process.kill()
        await self._process.end()

    async def revoke(self, account: str = ALL) -> None:
        """Revoke the tokens of *account* issued so far."""
        self.lose(account)
        await self._admit()

    def lose(self, account: str = ALL) -> None:
        """Revoke them when the API starts next."""
        self._revoked_since[account] = time.monotonic()

    async def rotate_key(self, overlap: float) -> None:
        """Replace the API key in the workers' file; the old key stays good for *overlap* seconds."""
        new = self._new_key()
        self._keys.append(new)
        await self._admit()
        self._key_file.with_suffix(".new").write_text(new)
        self._key_file.with_suffix(".new").replace(self._key_file)
        await asyncio.sleep(overlap)
        self._keys = [new]
        await self._admit()

    async def refuse_logins(self, retry_after: int | None) -> None:
        """Answer logins with a 503 that asks for so many seconds (0: for none); ``None``: serve them again."""
        await self._order("logins", retry_after=retry_after)

    async def count(self) -> None:
        """Add to `counts` what was counted since the last time."""
        counts = Counter(await self._order("count"))
        self.counts["most logins at once"] = max(self.counts["most logins at once"], counts.pop("logins at once", 0))
        self.counts += counts

    def _new_key(self) -> str:
        key = f"key-{secrets.token_hex(8)}"
        if not self._key_file.exists():
            self._key_file.write_text(key)
        return key

    async def _admit(self) -> dict[str, Any]:
        return await self._order("admit", keys=self._keys, revoked_since=self._revoked_since)

    async def _order(self, do: str, **orders: Any) -> dict[str, Any]:
        """Return the API's answer; an empty one if it is down."""
        async with self._ordering:
            try:
                return await self._process.order(do, **orders)
            except ConnectionError:
                return {}


class Stage:
    """Redis, API and workers."""

    def __init__(self, redis: LocalRedis, api: SoakApi, workers: list[Worker]) -> None:
        self.redis, self.api, self.workers = redis, api, workers

    async def order_all(self, do: str, **orders: Any) -> list[dict[str, Any]]:
        """Return the answer of each worker."""
        return await asyncio.gather(*(worker.order(do, **orders) for worker in self.workers))

    async def redis_clients(self) -> int | None:
        """Return how many other connections Redis has; ``None`` if it does not answer."""
        found = _CLIENTS.search(await self._redis_answer(b"INFO clients\r\n", b"\r\n\r\n"))
        return int(found[1]) - 1 if found else None

    async def flush_redis(self) -> None:
        """Remove all keys."""
        await self._redis_answer(b"FLUSHALL\r\n", b"OK\r\n")

    async def _redis_answer(self, command: bytes, until: bytes) -> bytes:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, self.redis.port)
                with contextlib.closing(writer):
                    writer.write(command)
                    return await reader.readuntil(until)
        return b""


@asynccontextmanager
async def opened_stage(*, lifetime: float, seed: int, pace: float) -> AsyncIterator[Stage]:
    """Start Redis, the API and workers, which have their owners and wait for the order to go."""
    async with AsyncExitStack() as stack:
        key_file = Path(stack.enter_context(TemporaryDirectory(prefix="exterview-auth-soak-"))) / "key"
        redis = await stack.enter_async_context(LocalRedis())
        api = SoakApi(key_file, lifetime)
        await api.start()
        stack.push_async_callback(api.end)
        workers = []
        for number in range(PROCESSES):
            name = f"process-{number}"
            arguments = (name, api.port, redis.port, key_file, seed, pace)
            worker = await Worker.started(name, "benchmarks.soak.worker", *arguments)
            stack.push_async_callback(worker.end)
            workers.append(worker)
        stage = Stage(redis, api, workers)
        await stage.order_all("open")
        yield stage
