"""The stores that owners share, each the library's own on something simulated, and their failures."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from exterview_auth import FileStore, MemoryStore, RedisStore, Token, TokenStore

from ._loop import WORLD, SimulatedLoop
from ._schedule import Party
from ._troubled_redis import SLOW, PartyLink, TroubledRedis
from .fleet.client import SimulatedClient
from .fleet.network import Dice

ENVELOPE = "enveloped."
"""What a subclass of a store puts before a token's text."""
KEPT = re.compile(rb"(enveloped\.)?(token-\d+-of-[a-z]+)")
"""A token's text in a store's entry, perhaps in its envelope."""
Clock = Callable[[], float]
Kept = Callable[[bytes, bytes], None]
"""Is called with each new entry, and the one before."""


def wrapped(token: Token) -> Token:
    """Return *token* in the envelope of a subclass."""
    return Token(ENVELOPE + token.value, refresh_token=token.refresh_token).with_remaining(token.expires_in)


def unwrapped(token: Token | None) -> Token | None:
    """Return *token* without its envelope, or None for a token that has none."""
    if token is None or not token.value.startswith(ENVELOPE):
        return None
    text = token.value.removeprefix(ENVELOPE)
    return Token(text, refresh_token=token.refresh_token).with_remaining(token.expires_in)


class _Enveloping:
    """Overrides what an application's subclass of a store may: each token is kept in an envelope of its own."""

    async def load(self, account: str) -> Token | None:
        return unwrapped(await super().load(account))  # type: ignore[misc]  # of the store that it is mixed into

    async def save(self, account: str, token: Token) -> Token | None:
        return unwrapped(await super().save(account, wrapped(token)))  # type: ignore[misc]  # as above


class NoStore:
    """No store; the other kinds derive from it."""

    def store_for(self, party: Party) -> TokenStore | None:
        del party
        return None

    def trouble(self, how: str, seconds: float) -> None:
        """Fail in one of the planned ways for so many seconds."""

    def texts(self, account: str) -> list[str]:
        """Return the texts of the tokens that are kept for *account*."""
        mark = f"-of-{account}".encode()
        found = (KEPT.search(entry) for entry in self.entries() if mark in entry)
        return [match[2].decode() for match in found if match is not None]

    def entries(self) -> list[bytes]:
        """Return all that is kept."""
        return []

    def sleep(self, seconds: float) -> None:
        """Note that the machine slept."""

    def kill(self, party: Party) -> None:
        """End the connections of a killed process."""

    def leftovers(self) -> list[str]:
        """Return what is still held or subscribed to at the end."""
        return []


class WatchedMemory(MemoryStore):
    """Calls ``kept`` with each entry."""

    kept: Kept

    async def save(self, account: str, token: Token) -> None:
        before = self._entries.get(account)
        self.kept(token.value.encode(), b"" if before is None else before.token.value.encode())
        await super().save(account, token)


class EnvelopingMemory(_Enveloping, WatchedMemory):  # type: ignore[misc]  # saves return nothing there
    """A subclass."""


class EnvelopingFiles(_Enveloping, FileStore):
    """A subclass."""


class EnvelopingRedis(_Enveloping, RedisStore):
    """A subclass."""


class InMemory(NoStore):
    """One process's `MemoryStore`."""

    def __init__(self, clock: Clock, kept: Kept, *, subclassed: bool) -> None:
        self._store = (EnvelopingMemory if subclassed else WatchedMemory)(timer=clock)
        self._store.kept = kept

    def store_for(self, party: Party) -> TokenStore | None:
        del party
        return self._store

    def entries(self) -> list[bytes]:
        return [entry.token.value.encode() for entry in self._store._entries.values()]

    def leftovers(self) -> list[str]:
        return [f"the lock of {account}" for account, queue in self._store._locks.items() if queue.holder is not None]


class Plain(NoStore):
    """An application's own store: the protocol's four methods, with latencies and any failure."""

    def __init__(self, clock: Clock, kept: Kept, dice: Dice, latency: float) -> None:
        self._latency = latency
        self._clock = clock
        self._kept = kept
        self._dice = dice
        self._tokens: dict[str, tuple[Token, float]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._how, self._until = "", -math.inf

    def store_for(self, party: Party) -> TokenStore | None:
        del party
        return self

    def entries(self) -> list[bytes]:
        return [token.value.encode() for token, _ in self._tokens.values()]

    def trouble(self, how: str, seconds: float) -> None:
        self._how, self._until = how, self._clock() + seconds
        if how == "flushed":
            self._tokens.clear()

    def leftovers(self) -> list[str]:
        return [f"the lock of {account}" for account, lock in self._locks.items() if lock.locked()]

    async def load(self, account: str) -> Token | None:
        await self._answer()
        if self._now("damaged"):
            return "no token"  # type: ignore[return-value]  # as a damaged store may
        token, end = self._tokens.get(account, (None, math.inf))
        return None if token is None else token.with_remaining(None if end == math.inf else end - self._clock())

    async def save(self, account: str, token: Token) -> None:
        await self._answer()
        if self._now("full"):
            raise OSError("no space left")
        life = math.inf if token.expires_in is None else token.expires_in
        before = None if self._now("damaged") else self._tokens.get(account)  # what nobody can read may be replaced
        self._kept(token.value.encode(), b"" if before is None else before[0].value.encode())
        self._tokens[account] = token, self._clock() + life

    async def delete(self, account: str) -> None:
        await self._answer()
        self._tokens.pop(account, None)

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        await self._answer()
        async with self._locks[account]:
            yield

    async def _answer(self) -> None:
        await asyncio.sleep(self._dice.between(0.0, self._latency))
        if self._now("down"):
            raise RuntimeError("the simulated store is down")
        if self._now("silent"):
            await asyncio.sleep(self._until - self._clock())
        if self._now("slow"):
            await asyncio.sleep(SLOW)

    def _now(self, how: str) -> bool:
        return self._how == how and self._clock() < self._until


class VirtualTime:
    """The module ``time`` as the stores on files use it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Whole seconds, so that sums are rounded alike in every run.
        self._epoch = float(int(time.time()))

    def time(self) -> float:
        return self._epoch + self._clock()

    def monotonic(self) -> float:
        return self._clock()

    def sleep(self, seconds: float) -> None:
        # No file's lock is held from one callback to the next.
        raise AssertionError(f"a thread that waits {seconds} s for another waits for ever here")


class InFiles(NoStore):
    """A `FileStore` for each process, in one directory."""

    def __init__(self, loop: SimulatedLoop, directory: str, kept: Kept, *, subclassed: bool) -> None:
        self._directory = directory
        self._kept = kept
        self._kind = EnvelopingFiles if subclassed else FileStore
        self._stores: dict[Party, FileStore] = {}
        self._seen: dict[str, tuple[tuple[int, int, int], bytes]] = {}
        loop.after_thread = self._look

    def store_for(self, party: Party) -> TokenStore | None:
        if party not in self._stores:
            self._stores[party] = self._kind(self._directory)
        return self._stores[party]

    def entries(self) -> list[bytes]:
        return [Path(entry).read_bytes() for entry in self._files()]

    def _files(self) -> list[os.DirEntry[str]]:
        with os.scandir(self._directory) as entries:
            return [entry for entry in entries if entry.name.endswith(".token")]

    def _look(self) -> None:
        """See what the call of a thread has changed."""
        present = self._files()
        for entry in present:
            of = entry.stat()
            state, content = (of.st_ino, of.st_mtime_ns, of.st_size), b""
            before = self._seen.get(entry.name)
            if before is None or before[0] != state:
                content = Path(entry).read_bytes()
                self._kept(content, b"" if before is None else before[1])
                self._seen[entry.name] = state, content
        for gone in self._seen.keys() - {entry.name for entry in present}:
            del self._seen[gone]


class _Member(NamedTuple):
    """One process's connection to Redis."""

    link: PartyLink
    client: SimulatedClient
    store: RedisStore


class InRedis(NoStore):
    """A `RedisStore` for each process, on one simulated server."""

    def __init__(self, loop: SimulatedLoop, dice: Dice, kept: Kept, *, subclassed: bool) -> None:
        self._kind = EnvelopingRedis if subclassed else RedisStore
        self._loop = loop
        self._dice = dice
        self.redis = TroubledRedis(Dice(dice.number()), kept)
        self._members: dict[Party, _Member] = {}
        self._disturbed = False

    def store_for(self, party: Party) -> TokenStore | None:
        if party not in self._members:
            link = PartyLink(Dice(self._dice.number()), party)
            client = SimulatedClient(self.redis, link)
            self._members[party] = _Member(link, client, self._kind(client))
        return self._members[party].store

    def trouble(self, how: str, seconds: float) -> None:
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

    def entries(self) -> list[bytes]:
        keyspace = self.redis.keyspace
        return [keyspace.get(key) or b"" for key in list(keyspace._kept) if key.endswith(b":token")]

    def sleep(self, seconds: float) -> None:
        # Only its clients' machine slept.
        self.redis._epoch += seconds

    def _heal(self) -> None:
        self.redis.come_back()
        self.redis.loss = 0.0
        self.redis.how = ""

    def kill(self, party: Party) -> None:
        self._disturbed = True
        self._members[party].link.cut = True

    def leftovers(self) -> list[str]:
        # Locks that their owners could not release end by themselves.
        kept, now = self.redis.keyspace._kept, self.redis.keyspace._milliseconds()
        locks = [
            f"the lock {key!r}"
            for key, (value, end) in kept.items()
            if key.endswith(b":lock") and (end or now) > now and not self._disturbed
        ]
        subscribed = [f"a subscription to {channel!r}" for channel, links in self.redis._listeners.items() if links]
        return locks + ([] if self._disturbed else subscribed)
