"""Requests that are in flight all the time, and the windows of time in which they are measured."""

from __future__ import annotations

import asyncio
import statistics
import time

from aiohttp import ClientError

from exterview_auth import AuthSession

from ..harness.api import QUERY, Api, answered
from ..harness.report import Figures


class Window:
    """The requests that begin within a stretch of time, including those that end after it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures = 0
        self._in_flight = 0
        self._over = False
        self._all_ended = asyncio.Event()

    async def ask(self, client: AuthSession, api: Api) -> None:
        """Send one request and time it; anything but a 200 is a failure."""
        self._in_flight += 1
        began = time.perf_counter()
        try:
            self.failures += await answered(client.post(api.url, json=QUERY)) != 200
        except (ClientError, TimeoutError):
            self.failures += 1
        self.seconds.append(time.perf_counter() - began)
        self._in_flight -= 1
        if self._over and not self._in_flight:
            self._all_ended.set()

    async def end(self) -> None:
        """Wait for the requests in flight; no other request begins in this window."""
        self._over = True
        if self._in_flight:
            await self._all_ended.wait()

    def figures(self) -> Figures:
        """Return milliseconds of the slowest request and of the 99th percentile, the slowest in medians, and counts."""
        return {
            "slowest": max(self.seconds) * 1e3,
            "p99": statistics.quantiles(self.seconds, n=100)[-1] * 1e3,
            "slowest_to_median": max(self.seconds) / statistics.median(self.seconds),
            "requests": len(self.seconds),
            "failures": self.failures,
        }


class Load:
    """Sends one request after another with the current client, and times each in the current window."""

    def __init__(self, api: Api, client: AuthSession) -> None:
        self._api = api
        self.client = client
        self.window = Window()

    async def work(self) -> None:
        """Send requests until cancelled."""
        while True:
            await self.window.ask(self.client, self._api)
