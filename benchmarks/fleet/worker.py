"""
One process of the fleet that is measured: ``python -m benchmarks.fleet.worker NAME PORT``, with the API on that port.

It takes orders from standard input and answers each on standard output, one line of JSON at a time, and ends when its
input does. Times are ``time.monotonic``, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession, TCPConnector

from exterview_auth import AuthSession, RedisStore

from ..harness.api import QUERY, STATIC_HEADERS, ApiProcess
from ..harness.server import NUMBER
from .counting import CountedFileStore, Watch

LOGIN_SECONDS = 0.2


class Worker:
    """The owner of the account in this process, and what it is told to do."""

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self._port = port
        self._opened = AsyncExitStack()
        self._http: ClientSession
        self._client: AuthSession
        self._url: str
        self._watch = Watch()

    async def do_open(self, orders: dict[str, Any]) -> dict[str, Any]:
        """A new owner of the *account*, with a *store* of its own and no token."""
        await self.do_close({})
        self._watch.ports.clear()
        self._http = http = await self._opened.enter_async_context(ClientSession(connector=TCPConnector(limit=0)))
        api = ApiProcess(self._port, http)
        place, lease = orders["store"], orders["lease"]
        store = (
            RedisStore(place, lease=lease)
            if urlsplit(place).scheme == "redis"
            else CountedFileStore(place, lease, self._watch.counts)
        )
        await self._opened.enter_async_context(store)
        auth = api.auth(login_seconds=LOGIN_SECONDS, process=self._name, store=store, account=orders["account"])
        self._client = AuthSession(http, await self._opened.enter_async_context(auth))
        self._url = str(api.url)
        return {}

    async def do_send(self, orders: dict[str, Any]) -> dict[str, Any]:
        """So many *requests*, so many *at_once*; how each went, and when the last one was answered."""
        left, answers = iter(range(orders["requests"])), Counter[str]()

        async def work() -> None:
            for _ in left:
                answers[await self._ask()] += 1

        await asyncio.gather(*(work() for _ in range(orders["at_once"])))
        return {"answers": answers, "last": time.monotonic()}

    async def _ask(self) -> str:
        try:
            async with self._client.post(self._url, json=QUERY, headers={NUMBER: self._name}) as response:
                await response.read()
                return str(response.status)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is one of the failures that are counted
            return type(failure).__name__

    async def do_send_plain(self, _: dict[str, Any]) -> dict[str, Any]:
        """Two requests, one after the other, with static headers and nothing of the library."""
        for _number in range(2):
            async with self._http.post(
                self._url, json=QUERY, headers={**STATIC_HEADERS, NUMBER: self._name}
            ) as response:
                await response.read()
        return {}

    async def do_count(self, _: dict[str, Any]) -> dict[str, Any]:
        """What the store did since the last count, once it is at rest; and the ports from which it has called Redis."""
        while any(task.get_name().startswith("exterview_auth") for task in asyncio.all_tasks()):  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(0.005)
        counts = dict(self._watch.counts)
        self._watch.counts.clear()
        return {"counts": counts, "ports": self._watch.ports}

    async def do_close(self, _: dict[str, Any]) -> dict[str, Any]:
        """End what was opened."""
        await self._opened.aclose()
        return {}

    async def serve(self) -> None:
        """Obey until there are no more orders."""
        loop = asyncio.get_running_loop()
        self._watch.begin(loop)
        orders = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        with contextlib.closing(transport):
            async for line in orders:
                order = json.loads(line)
                do: Callable[..., Any] = getattr(self, f"do_{order['do']}")
                _tell(await do(order))
        await self.do_close({})


def _tell(answer: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), f"{json.dumps(answer)}\n".encode())


async def _main() -> None:
    worker = Worker(sys.argv[1], int(sys.argv[2]))
    _tell({})
    await worker.serve()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
