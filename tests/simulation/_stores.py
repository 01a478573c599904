"""The stores that owners share, each the library's own on something simulated, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

from exterview_auth import FileStore, MemoryStore, RedisStore, Token, TokenStore

from ._loop import WORLD, SimulatedLoop
from ._schedule import Party
from ._troubled_redis import SLOW, Kept, PartyLink, TroubledRedis
from .fleet.client import SimulatedClient
from .fleet.network import Dice

KEPT = re.compile(rb"token-(\d+)-of-([a-z]+)")
"""A token's text in whatever a store keeps."""
Clock = Callable[[], float]


class Nothing:
    """No store, and what all kinds of it have."""

    def store_for(self, party: Party) -> TokenStore | None:
        """None."""
        del party
        return None

    def trouble(self, how: str, seconds: float) -> None:
        """There is nothing to go wrong."""

    def sleep(self, seconds: float) -> None:
        """Its clock is the machine's."""

    def holds(self, text: bytes) -> bool:
        """It keeps nothing."""
        return False

    def kill(self, party: Party) -> None:
        """Nothing is lost."""

    def leftovers(self) -> list[str]:
        """Nothing."""
        return []


class InMemory(Nothing):
    """One process's `MemoryStore`."""

    def __init__(self, clock: Clock) -> None:
        self._store = MemoryStore(timer=clock)

    def store_for(self, party: Party) -> TokenStore | None:
        """The same for all."""
        del party
        return self._store

    def holds(self, text: bytes) -> bool:
        """Whether an account's entry is this token."""
        return any(entry.token.value == text.decode() for entry in self._store._entries.values())

    def leftovers(self) -> list[str]:
        """Locks that are held."""
        locks: Mapping[str, asyncio.Lock] = self._store._locks.get(asyncio.get_running_loop(), {})
        return [f"the lock of {account}" for account, lock in locks.items() if lock.locked()]


class Plain(Nothing):
    """A store as an application may write one: the protocol's four methods, with latencies, and any failure."""

    def __init__(self, clock: Clock, dice: Dice) -> None:
        self._clock = clock
        self._dice = dice
        self._tokens: dict[str, tuple[Token, float]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._how, self._until = "", -math.inf

    def store_for(self, party: Party) -> TokenStore | None:
        """The same for all."""
        del party
        return self

    def holds(self, text: bytes) -> bool:
        """Whether an account's entry is this token."""
        return any(token.value == text.decode() for token, _ in self._tokens.values())

    def trouble(self, how: str, seconds: float) -> None:
        """It fails, hangs, is slow, forgets, or gives what is no token."""
        self._how, self._until = how, self._clock() + seconds
        if how == "flushed":
            self._tokens.clear()

    def leftovers(self) -> list[str]:
        """Locks that are held."""
        return [f"the lock of {account}" for account, lock in self._locks.items() if lock.locked()]

    async def load(self, account: str) -> Token | None:
        """What is kept, its life counting from now."""
        await self._answer()
        if self._now("damaged"):
            return "no token"  # type: ignore[return-value]  # as a store in trouble may
        token, end = self._tokens.get(account, (None, math.inf))
        return None if token is None else token.with_remaining(None if end == math.inf else end - self._clock())

    async def save(self, account: str, token: Token) -> None:
        """Keep it."""
        await self._answer()
        if self._now("full"):
            raise OSError("no space left")
        life = math.inf if token.expires_in is None else token.expires_in
        self._tokens[account] = token, self._clock() + life

    async def delete(self, account: str) -> None:
        """Forget it."""
        await self._answer()
        self._tokens.pop(account, None)

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        """One holder at a time."""
        await self._answer()
        async with self._locks[account]:
            yield

    async def _answer(self) -> None:
        await asyncio.sleep(self._dice.between(0.0, 0.005))
        if self._now("down"):
            raise RuntimeError("the simulated store is down")
        if self._now("silent"):
            await asyncio.sleep(self._until - self._clock())
        if self._now("slow"):
            await asyncio.sleep(SLOW)

    def _now(self, how: str) -> bool:
        return self._how == how and self._clock() < self._until


class VirtualTime:
    """What the stores on files ask of the module ``time``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch = time.time()

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._epoch + self._clock()

    def monotonic(self) -> float:
        """Seconds."""
        return self._clock()

    def sleep(self, seconds: float) -> None:
        """Nobody holds a file's lock from one callback to the next."""
        raise AssertionError(f"a thread that would wait {seconds} s for another has to wait for ever here")


class InFiles(Nothing):
    """A `FileStore` for each process, in one directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._stores: dict[Party, FileStore] = {}

    def store_for(self, party: Party) -> TokenStore | None:
        """One for each process."""
        return self._stores.setdefault(party, FileStore(self._directory))


class _Member(NamedTuple):
    """One process's way to Redis."""

    link: PartyLink
    client: SimulatedClient
    store: RedisStore


class InRedis(Nothing):
    """A `RedisStore` for each process, on one simulated server."""

    def __init__(self, loop: SimulatedLoop, dice: Dice, kept: Kept) -> None:
        self._loop = loop
        self._dice = dice
        self.redis = TroubledRedis(Dice(dice.number()), kept)
        self._members: dict[Party, _Member] = {}
        self._disturbed = False

    def store_for(self, party: Party) -> TokenStore | None:
        """One for each process."""
        if party not in self._members:
            link = PartyLink(Dice(self._dice.number()), party)
            client = SimulatedClient(self.redis, link)
            self._members[party] = _Member(link, client, RedisStore(client))
        return self._members[party].store

    def trouble(self, how: str, seconds: float) -> None:
        """Something goes wrong, and heals after so long."""
        self._disturbed = True
        kept = self.redis.keyspace._kept
        if how == "down":
            self.redis.go_down()
        elif how == "flushed":
            kept.clear()
        elif how == "damaged":
            entries = [key for key in kept if key.endswith(b":token")]
            kept.update({key: (b"exterview_auth/1 nonsense", kept[key][1]) for key in entries})
        elif how == "deaf":
            self.redis.loss = 1.0
        else:
            self.redis.how = how
        self._loop.call_for(WORLD, seconds, self._heal)

    def holds(self, text: bytes) -> bool:
        """Whether an entry has this token in it."""
        keyspace = self.redis.keyspace
        return any(text in (keyspace.get(key) or b"") for key in list(keyspace._kept))

    def sleep(self, seconds: float) -> None:
        """Its own machine did not."""
        self.redis._epoch += seconds

    def _heal(self) -> None:
        self.redis.come_back()
        self.redis.loss = 0.0
        self.redis.how = ""

    def kill(self, party: Party) -> None:
        """A process has died: its connections end."""
        self._disturbed = True
        self._members[party].link.cut = True

    def leftovers(self) -> list[str]:
        """Locks that are held (those that nobody could give back end by themselves), and who listens."""
        kept, now = self.redis.keyspace._kept, self.redis.keyspace._milliseconds()
        held = [
            f"the lock {key!r}"
            for key, (value, end) in kept.items()
            if key.endswith(b":lock") and (end or now) > now and not self._disturbed
        ]
        listening = [f"a listener to {channel!r}" for channel, who in self.redis._listeners.items() if who]
        return held + ([] if self._disturbed else listening)
