"""The simulated Redis with more troubles, and links that know their processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError

from ._loop import WORLD, SimulatedLoop
from ._schedule import Party
from .fleet.keyspace import Arguments, Keyspace
from .fleet.network import Dice, Link
from .fleet.redis import SimulatedRedis, resolve

SLOW = 2.0
"""Seconds that a slow store needs for each answer."""
_WRITES = (b"SET", b"EVAL", b"EVALSHA")

Kept = Callable[[bytes, bytes], None]


class PartyLink(Link):
    """A link to Redis. Bytes that a process has sent arrive also while it is frozen; none reach it then."""

    __slots__ = ("party",)

    def __init__(self, dice: Dice, party: Party) -> None:
        super().__init__(dice)
        self.party = party

    def deliver_in(self, seconds: float, receive: Callable[..., object], *what: Any) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        whose = WORLD if isinstance(getattr(receive, "__self__", None), SimulatedRedis) else self.party
        with loop.acting(whose):
            super().deliver_in(seconds, receive, *what)


class _WatchedKeyspace(Keyspace):
    """Calls ``kept`` with each entry."""

    kept: Kept

    def put(self, key: bytes, value: bytes, milliseconds: int | None = None) -> None:
        before = self.get(key)
        super().put(key, value, milliseconds)
        self.kept(value, before or b"")


class TroubledRedis(SimulatedRedis):
    """A Redis that can be slow, silent, full and damaged too."""

    def __init__(self, dice: Dice, kept: Kept) -> None:
        super().__init__(dice)
        self.keyspace = self._keyspace = _WatchedKeyspace(self._clock, self._publish)
        self.keyspace.kept = kept
        self.how = ""

    def receive(self, name: bytes, arguments: Arguments, link: Link, waiting: asyncio.Future[Any]) -> None:
        if self.how == "silent":
            return
        if self.how == "full" and name in _WRITES:
            link.deliver(resolve, waiting, ResponseError("OOM command not allowed when used memory > 'maxmemory'."))
        elif self.how == "slow":
            self._loop.call_later(SLOW, super().receive, name, arguments, link, waiting)
        else:
            super().receive(name, arguments, link, waiting)
