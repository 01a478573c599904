"""Waiting that the emulator's end, or a control, can cut short."""

from __future__ import annotations

import asyncio


class StoppingError(Exception):
    """The emulator stops while a request waits: it gets no answer."""


class Pauses:
    """A set of waiting requests, woken together."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._stopping = False

    def open(self) -> None:
        """Let requests wait, as long as they have to."""
        self._stopping = False

    def stop(self) -> None:
        """End every wait, now and later, with `StoppingError`."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        """End every wait that has begun."""
        for waiter in self._waiting:
            _finish(waiter)

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds* or at `wake`; raise `StoppingError` once the emulator stops."""
        if seconds <= 0:
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _finish, waiter)
        self._waiting.add(waiter)
        try:
            if not self._stopping:
                await waiter
        finally:
            timer.cancel()
            self._waiting.discard(waiter)
        if self._stopping:
            raise StoppingError


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
