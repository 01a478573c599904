"""News from Redis by publish/subscribe: one connection for all who wait, and none while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from typing import Any

from redis.exceptions import RedisError

from ..._calls import cancel_and_wait
from .failures import answer

LONGEST_SILENCE = 60.0
"""Seconds for which one reading waits; the next goes on."""


class Ear:
    """One who waits for news of a channel."""

    __slots__ = ("_news", "channel")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._news = asyncio.Event()

    def tell(self) -> None:
        """There is news."""
        self._news.set()

    async def heard(self) -> None:
        """Return when there was news since the last time."""
        await self._news.wait()
        self._news.clear()


class Subscriber:
    """One connection that listens; it ends with its last ear, or when Redis does."""

    def __init__(self, client: Any) -> None:
        self._pubsub = client.pubsub()
        # Invariant: an ear is in here from before its channel is subscribed to until it has left.
        self._ears: dict[str, set[Ear]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._order = asyncio.Lock()
        """redis-py's object takes one command at a time."""
        self._reading: asyncio.Task[None] | None = None
        self.ended = False

    async def listen(self, channel: str) -> Ear:
        """An ear that misses nothing from when this returns. Raises `StoreError`."""
        ear = Ear(channel)
        self._ears.setdefault(channel, set()).add(ear)
        try:
            await answer(self._subscribe(channel))
        except BaseException:
            await self.leave(ear)
            raise
        return ear

    async def leave(self, ear: Ear) -> None:
        """Listen no more; the last one to leave closes the connection."""
        ears = self._ears.get(ear.channel, set())
        ears.discard(ear)
        if ears:
            return
        self._ears.pop(ear.channel, None)
        self._confirmed.pop(ear.channel, None)
        if not self._ears:
            await self._close()
        elif not self.ended:
            async with self._order:
                await answer(self._pubsub.unsubscribe(ear.channel))

    async def _subscribe(self, channel: str) -> None:
        confirmed = self._confirmed.get(channel)
        if confirmed is None:
            confirmed = self._confirmed[channel] = asyncio.Event()
            async with self._order:
                await self._pubsub.subscribe(channel)
        if self._reading is None:
            loop = asyncio.get_running_loop()
            self._reading = loop.create_task(self._read(), context=Context(), name="exterview_auth news")
        await confirmed.wait()

    async def _read(self) -> None:
        try:
            with contextlib.suppress(RedisError, OSError):
                while True:
                    self._take_in(await self._pubsub.get_message(timeout=LONGEST_SILENCE))
        finally:
            self.ended = True
            for confirmed in self._confirmed.values():
                confirmed.set()
            for channel in list(self._ears):
                self._tell(channel)

    def _take_in(self, message: Any) -> None:
        if message is None or message["type"] not in ("subscribe", "message"):
            return
        channel = message["channel"]
        name = channel.decode() if isinstance(channel, bytes) else str(channel)
        if message["type"] == "message":
            self._tell(name)
        elif name in self._confirmed:
            self._confirmed[name].set()

    def _tell(self, channel: str) -> None:
        for ear in self._ears.get(channel, ()):
            ear.tell()

    async def _close(self) -> None:
        self.ended = True
        if self._reading is not None:
            await cancel_and_wait(self._reading)
        with contextlib.suppress(RedisError, OSError):
            await self._pubsub.aclose()


class News:
    """The subscriber of *client* that is in use."""

    __slots__ = ("_client", "_subscriber")

    def __init__(self, client: Any) -> None:
        self._client = client
        self._subscriber: Subscriber | None = None

    def subscriber(self) -> Subscriber:
        """One that listens, or will with its first ear."""
        if self._subscriber is None or self._subscriber.ended:
            self._subscriber = Subscriber(self._client)
        return self._subscriber
