"""A simulated Redis server: it serves one command after another, has its own clock and faults, and counts everything."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Protocol

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from .keyspace import Arguments, Keyspace
from .network import Dice, Link

COMMAND_SECONDS = 10e-6
"""Seconds that one command takes: about 100 000 a second."""
DELIVERY_SECONDS = 2e-6
"""Seconds that one published message takes for each listener."""
WINDOW = 0.01
"""Seconds within which commands are counted together."""
EPOCH = 1_800_000_000.0
"""The right time at the beginning."""


class Listener(Protocol):
    """A connection that has subscribed."""

    link: Link

    def hear(self, message: Any) -> None:
        """Receive a message, or the error that ended the connection."""


class SimulatedRedis:
    """
    Serves, counts and answers what arrives over the network.

    *clock_error*: seconds by which its clock is wrong. Published messages are lost with probability ``loss``; while it is
    ``down``, every command fails.
    """

    def __init__(self, dice: Dice, *, clock_error: float = 0.0, loss: float = 0.0) -> None:
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._epoch = EPOCH + clock_error
        self._busy_until = 0.0
        self._listeners: dict[bytes, dict[Listener, None]] = {}
        self._keyspace = Keyspace(self._clock, self._publish)
        self.loss = loss
        self.down = False
        self.lost = self.failed = self.connections = self.connections_peak = 0
        self.longest_queue = 0.0
        self.begin_counting()

    def begin_counting(self) -> None:
        """Begin to count from zero."""
        self.commands: Counter[str] = Counter()
        self.windows: Counter[int] = Counter()
        self.longest_queue = 0.0

    # -- commands ---------------------------------------------------------------------------------------------------

    def receive(self, name: bytes, arguments: Arguments, link: Link, waiting: asyncio.Future[Any]) -> None:
        """Serve a command that arrives now, after those before it, and send the outcome to *waiting* over *link*."""
        if self.down:
            self.failed += 1
            link.deliver(resolve, waiting, RedisConnectionError("the simulated server is down"))
            return
        self._serve(name)
        try:
            outcome = self._keyspace.execute(name, arguments)
        except RedisError as failure:
            outcome = failure
        link.deliver(resolve, waiting, outcome, after=self._busy_until - self._loop.time())

    def _serve(self, name: bytes) -> None:
        now = self._loop.time()
        self.commands[name.decode()] += 1
        self.windows[int(now / WINDOW)] += 1
        self._busy_until = max(now, self._busy_until) + COMMAND_SECONDS
        self.longest_queue = max(self.longest_queue, self._busy_until - now)

    @property
    def peak(self) -> float:
        """Commands a second in the busiest window."""
        return max(self.windows.values(), default=0) / WINDOW

    def _clock(self) -> int:
        return int((self._epoch + self._busy_until) * 1e6)

    # -- messages ---------------------------------------------------------------------------------------------------

    def subscribe(self, channel: bytes, listener: Listener) -> None:
        """Send the listener what is published from now on."""
        if self.down:
            listener.link.deliver(listener.hear, RedisConnectionError("the simulated server is down"))
            return
        self._serve(b"SUBSCRIBE")
        self._listeners.setdefault(channel, {})[listener] = None
        confirmation = {"type": "subscribe", "channel": channel, "data": 1}
        listener.link.deliver(listener.hear, confirmation, after=self._busy_until - self._loop.time())

    def unsubscribe(self, listener: Listener, channel: bytes | None = None) -> None:
        """Stop sending what is published on *channel*, or on all channels."""
        for name, listeners in self._listeners.items():
            if channel in (None, name):
                listeners.pop(listener, None)

    def _publish(self, channel: bytes, data: bytes) -> int:
        message = {"type": "message", "channel": channel, "data": data}
        listeners = self._listeners.get(channel, {})
        for listener in listeners:
            self._busy_until += DELIVERY_SECONDS
            if self._dice.random() < self.loss:
                self.lost += 1
            else:
                listener.link.deliver(listener.hear, message, after=self._busy_until - self._loop.time())
        return len(listeners)

    # -- connections and faults -------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Count one more connection."""
        self.connections += 1
        self.connections_peak = max(self.connections_peak, self.connections)

    def disconnected(self) -> None:
        """Count one connection less."""
        self.connections -= 1

    def hang_up(self, listener: Listener) -> None:
        """Forget a connection that its client has closed."""
        self.disconnected()
        self.unsubscribe(listener)

    def go_down(self) -> None:
        """Fail every command from now on, and end every subscription."""
        self.down = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.link.deliver(listener.hear, RedisConnectionError("the simulated server went down"))
        self._listeners.clear()

    def come_back(self) -> None:
        """Serve again, with all keys."""
        self.down = False


def resolve(waiting: asyncio.Future[Any], outcome: Any) -> None:
    """Give *outcome* to *waiting*, if it still waits."""
    if waiting.done():
        return
    if isinstance(outcome, Exception):
        waiting.set_exception(outcome)
    else:
        waiting.set_result(outcome)
