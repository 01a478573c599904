"""
One process of the fleet: ``python -m benchmarks.fleet.worker NAME PORT``, with the API on that port.

It takes orders (see `harness.process`). Times are ``time.monotonic``, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession

from exterview_auth import AuthSession, FileStore, RedisStore
from exterview_auth.stores import _shared

from ..harness.api import QUERY, STATIC_HEADERS, Api, answered, unlimited
from ..harness.process import serve_orders
from ..harness.server import NUMBER

LOGIN_SECONDS = 0.2


class FleetWorker:
    """The owner of the account in this process, and what the parent orders it to do."""

    def __init__(self, name: str, port: int) -> None:
        self._headers = {NUMBER: name}
        self._name, self._port = name, port
        self.opened = AsyncExitStack()
        self._http: ClientSession
        self._client: AuthSession
        self._url: str
        self._calls = 0
        self._redis_ports: list[int] = []

    async def do_open(self, store: str, account: str, lease: float, poll_interval: float) -> None:
        """Make a new owner of the *account*, with its own *store* and without a token."""
        _shared.POLL_INTERVAL = poll_interval
        await self.opened.aclose()
        self._redis_ports.clear()
        self._http = http = await self.opened.enter_async_context(ClientSession(connector=unlimited()))
        api = Api(self._port, http)
        on_redis = urlsplit(store).scheme == "redis"
        opened = RedisStore(store, lease=lease) if on_redis else FileStore(store, lease=lease)
        await self.opened.enter_async_context(opened)
        auth = api.auth(login_seconds=LOGIN_SECONDS, process=self._name, store=opened, account=account)
        self._client = AuthSession(http, await self.opened.enter_async_context(auth))
        self._url = str(api.url)

    async def do_send(self, requests: int, at_once: int) -> dict[str, Any]:
        """Send *requests*, *at_once* at a time; return how each ended, and when the last one was answered."""
        left, answers = iter(range(requests)), Counter[str]()

        async def work() -> None:
            for _ in left:
                try:
                    status = await answered(self._client.post(self._url, json=QUERY, headers=self._headers))
                except Exception as failure:  # noqa: BLE001 - failures of any kind are counted
                    answers[type(failure).__name__] += 1
                else:
                    answers[str(status)] += 1

        await asyncio.gather(*(work() for _ in range(at_once)))
        return {"answers": answers, "last": time.monotonic()}

    async def do_send_plain(self) -> None:
        """Send two requests, one after the other, with static headers and without the library."""
        for _ in range(2):
            await answered(self._http.post(self._url, json=QUERY, headers=STATIC_HEADERS | self._headers))

    async def do_count(self) -> dict[str, Any]:
        """Wait until the store is at rest; return how often it used a thread since the last count, and its ports to Redis."""
        # A save may still run after the last answer; its commands belong to this count.
        while any(task.get_name().startswith("exterview_auth") for task in asyncio.all_tasks()):  # noqa: ASYNC110 - other tasks set no event
            await asyncio.sleep(0.005)
        calls, self._calls = self._calls, 0
        return {"calls": calls, "ports": self._redis_ports}

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count calls in threads, as every access to a file is one, and note the ports from which Redis is called."""
        run_in_executor: Callable[..., Any] = loop.run_in_executor
        open_connection: Callable[..., Any] = asyncio.open_connection

        def counted(*arguments: Any) -> Any:
            self._calls += 1
            return run_in_executor(*arguments)

        async def noted(*arguments: Any, **options: Any) -> Any:
            reader, writer = await open_connection(*arguments, **options)
            self._redis_ports.append(writer.get_extra_info("sockname")[1])
            return reader, writer

        loop.run_in_executor = counted  # type: ignore[method-assign, assignment]  # it forwards all arguments
        asyncio.open_connection = noted  # only redis-py calls it here


async def _main(name: str, port: int) -> None:
    worker = FleetWorker(name, port)
    worker.watch(asyncio.get_running_loop())
    try:
        await serve_orders(worker)
    finally:
        await worker.opened.aclose()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
