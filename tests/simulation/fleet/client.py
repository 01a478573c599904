"""A client of the simulated Redis: what `RedisStore`, redis-py's lock and subscriptions use of `redis.asyncio.Redis`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partialmethod
from types import SimpleNamespace
from typing import Any

from redis._parsers.encoders import Encoder
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError

from .network import Link
from .redis import SimulatedRedis

_ENCODER: Any = Encoder("utf-8", "strict", decode_responses=False)  # type: ignore[no-untyped-call]  # redis-py annotates little


class SimulatedClient:
    """One process's connections: a new one takes a round trip to open, and one whose answer nobody awaits is closed."""

    # As far as redis-py's lock looks into it.
    connection_pool = SimpleNamespace(get_encoder=lambda: _ENCODER)

    def __init__(self, server: SimulatedRedis, link: Link) -> None:
        self._server = server
        self._link = link
        # Invariant: how many connections are open and in no use.
        self._idle = 0

    async def execute_command(self, name: str, *arguments: Any) -> Any:
        """Send a command and return the answer."""
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        raw = [_ENCODER.encode(argument) for argument in arguments]
        opening = self._take_connection()
        self._link.deliver(self._server.receive, name.encode(), raw, self._link, waiting, after=opening)
        try:
            answer = await waiting
        except (asyncio.CancelledError, RedisConnectionError) as failure:
            self._close(1 if isinstance(failure, asyncio.CancelledError) else 1 + self._idle)
            raise
        except BaseException:
            self._idle += 1
            raise
        self._idle += 1
        return answer

    def _take_connection(self) -> float:
        if self._idle:
            self._idle -= 1
            return 0.0
        self._server.connected()
        return self._link.round_trip()

    def _close(self, count: int) -> None:
        self._idle -= count - 1
        for _ in range(count):
            self._server.disconnected()

    async def set(self, name: Any, value: Any, *, nx: bool = False, px: int | None = None) -> Any:
        """SET with the options that a lock needs."""
        options = [*(["PX", px] if px is not None else []), *(["NX"] if nx else [])]
        return await self.execute_command("SET", name, value, *options)

    delete = partialmethod(execute_command, "DEL")
    publish = partialmethod(execute_command, "PUBLISH")
    eval = partialmethod(execute_command, "EVAL")
    evalsha = partialmethod(execute_command, "EVALSHA")
    script_load = partialmethod(execute_command, "SCRIPT LOAD")

    def register_script(self, script: str) -> AsyncScript:
        """Return redis-py's own script: EVALSHA, and SCRIPT LOAD if the server does not know it."""
        return AsyncScript(self, script)  # type: ignore[arg-type]  # it uses no more of a client than this one has

    def pubsub(self) -> SimulatedPubSub:
        """Return a connection for subscriptions."""
        return SimulatedPubSub(self._server, self._link)


class SimulatedPubSub:
    """One connection for subscriptions, opened with the first of them. What is sent over it arrives in its order."""

    def __init__(self, server: SimulatedRedis, link: Link) -> None:
        self.link = link
        self._server = server
        self._open = False
        # Invariant: the time at which all that was sent has arrived.
        self._arrived = 0.0
        self._heard: deque[Any] = deque()
        self._waiting: asyncio.Future[None] | None = None

    async def subscribe(self, channel: str) -> None:
        """Subscribe; the confirmation is the first message."""
        opening = 0.0 if self._open else self.link.round_trip()
        if not self._open:
            self._open = True
            self._server.connected()
        self._send(self._server.subscribe, channel.encode(), self, after=opening + self.link.one_way())

    async def unsubscribe(self, channel: str) -> None:
        """Unsubscribe."""
        self._send(self._server.unsubscribe, self, channel.encode(), after=self.link.one_way())

    async def get_message(self, timeout: float) -> Any:  # noqa: ASYNC109 - redis-py's own signature
        """Return the next message, or ``None`` after *timeout* seconds. Raises what ended the connection."""
        if not self._heard:
            self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._waiting], timeout=timeout)
        message = self._heard.popleft() if self._heard else None
        if isinstance(message, Exception):
            raise message
        return message

    def hear(self, message: Any) -> None:
        """Receive a message."""
        self._heard.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._open:
            self._open = False
            self._send(self._server.hang_up, self, after=0.0)

    def _send(self, receive: Callable[..., object], *what: Any, after: float) -> None:
        now = asyncio.get_running_loop().time()
        self._arrived = max(self._arrived + 1e-6, now + after)
        self.link.deliver_in(self._arrived - now, receive, *what)
