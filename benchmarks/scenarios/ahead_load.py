"""Requests that are in flight all the time, and the windows of time in which they are looked at."""

from __future__ import annotations

import asyncio
import statistics
import time

from aiohttp import ClientError

from exterview_auth import AuthSession

from ..harness.api import QUERY, ApiProcess


class Window:
    """The requests that begin within a stretch of time, those included that end after it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures = 0
        self._under_way = 0
        self._over = False
        self._all_ended = asyncio.Event()

    async def ask(self, client: AuthSession, api: ApiProcess) -> None:
        """One request, timed; whatever is not a 200 is a failure."""
        self._under_way += 1
        began = time.perf_counter()
        try:
            async with client.post(api.url, json=QUERY) as response:
                await response.read()
                self.failures += response.status != 200
        except (ClientError, TimeoutError):
            self.failures += 1
        self.seconds.append(time.perf_counter() - began)
        self._under_way -= 1
        if self._over and not self._under_way:
            self._all_ended.set()

    async def end(self) -> None:
        """No request begins in it any more; wait for those under way."""
        self._over = True
        if self._under_way:
            await self._all_ended.wait()

    def figures(self) -> dict[str, float]:
        """Milliseconds of the slowest request and of the 99th percentile, the slowest in medians of its window, and counts."""
        return {
            "slowest": max(self.seconds) * 1e3,
            "p99": statistics.quantiles(self.seconds, n=100)[-1] * 1e3,
            "slowest_to_median": max(self.seconds) / statistics.median(self.seconds),
            "requests": len(self.seconds),
            "failures": self.failures,
        }


class Load:
    """So many requests at a time, one after another, through the client and for the window of the moment."""

    def __init__(self, api: ApiProcess, client: AuthSession) -> None:
        self._api = api
        self.client = client
        self.window = Window()

    async def work(self) -> None:
        """One request after another, until cancelled."""
        while True:
            await self.window.ask(self.client, self._api)
