"""Notifications by publish/subscribe: one connection for all waiters of a loop, and none while nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import Context
from typing import Any

from ..._calls import cancel_and_wait
from .errors import execute

READ_TIMEOUT = 60.0
"""Seconds that one read of the connection waits; the next one follows."""


class Subscription:
    """One waiter's subscription to a channel."""

    __slots__ = ("_message", "channel")

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._message = asyncio.Event()

    def notify(self) -> None:
        """Wake the waiter."""
        self._message.set()

    async def wait(self) -> None:
        """Wait for a message that came after the last wait."""
        await self._message.wait()
        self._message.clear()


class PubSubConnection:
    """A connection that receives messages. It ends with its last subscription, or when Redis does, and is not opened again."""

    def __init__(self, client: Any) -> None:
        self._pubsub = client.pubsub()
        # Invariant: a subscription is in here from before its channel is subscribed to until it has ended.
        self._subscriptions: dict[str, set[Subscription]] = {}
        # Set when Redis has confirmed the channel's subscription, or the connection has ended.
        self._confirmed: dict[str, asyncio.Event] = {}
        self._one_command = asyncio.Lock()
        """redis-py's object takes one command at a time."""
        self._reading: asyncio.Task[None] | None = None
        self.ended = False

    async def subscribe(self, channel: str) -> Subscription:
        """Return a subscription that misses nothing from now on. Raises `StoreError`."""
        subscription = Subscription(channel)
        self._subscriptions.setdefault(channel, set()).add(subscription)
        try:
            await execute(self._subscribe(channel))
        except BaseException:
            await self.unsubscribe(subscription)
            raise
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End *subscription*; the last one closes the connection."""
        channel = subscription.channel
        others = self._subscriptions.get(channel, set())
        others.discard(subscription)
        if others:
            return
        self._subscriptions.pop(channel, None)
        self._confirmed.pop(channel, None)
        if not self._subscriptions:
            await self._close()
        elif not self.ended:
            async with self._one_command:
                await execute(self._pubsub.unsubscribe(channel))

    async def _subscribe(self, channel: str) -> None:
        confirmed = self._confirmed.get(channel)
        if confirmed is None:
            confirmed = self._confirmed[channel] = asyncio.Event()
            async with self._one_command:
                await self._pubsub.subscribe(channel)
        # The first command opens the connection; reading starts after it.
        if self._reading is None:
            loop = asyncio.get_running_loop()
            self._reading = loop.create_task(self._read(), context=Context(), name="exterview_auth news")
        await confirmed.wait()

    async def _read(self) -> None:
        try:
            # Whatever ends it, a message that is none too: notifications save time, nothing else.
            with contextlib.suppress(Exception):
                while True:
                    self._dispatch(await self._pubsub.get_message(timeout=READ_TIMEOUT))
        finally:
            # The waiters go on, and find out for themselves whether Redis still answers.
            self.ended = True
            for confirmed in self._confirmed.values():
                confirmed.set()
            for channel in list(self._subscriptions):
                self._notify(channel)

    def _dispatch(self, message: Any) -> None:
        if message is None or message["type"] not in ("subscribe", "message"):
            return
        channel = message["channel"]
        name = channel.decode() if isinstance(channel, bytes) else str(channel)
        if message["type"] == "message":
            self._notify(name)
        elif name in self._confirmed:
            self._confirmed[name].set()

    def _notify(self, channel: str) -> None:
        for subscription in self._subscriptions.get(channel, ()):
            subscription.notify()

    async def _close(self) -> None:
        self.ended = True
        if self._reading is not None:
            await cancel_and_wait(self._reading)
        with contextlib.suppress(Exception):
            await self._pubsub.aclose()


class ChangeFeed:
    """The connection of one client that receives messages at the time, if any."""

    __slots__ = ("_client", "_connection")

    def __init__(self, client: Any) -> None:
        self._client = client
        self._connection: PubSubConnection | None = None

    def connection(self) -> PubSubConnection:
        """Return the connection in use, or a new one, which opens with its first subscription."""
        if self._connection is None or self._connection.ended:
            self._connection = PubSubConnection(self._client)
        return self._connection
