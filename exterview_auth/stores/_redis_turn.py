"""A contender for an account's lock on Redis: redis-py's own lock, its lease kept, and news instead of polling."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from typing import Any

from redis.asyncio.lock import Lock
from redis.exceptions import LockError

from .._token import Token
from ._redis_entries import Keys, RedisEntries
from ._redis_failure import answer
from ._redis_news import Ear, Subscriber

FREE = b"free"
"""Told to who waits when a lock is given back and nothing was saved."""


class RedisTurn:
    """The `SharedLock` of one contender for the account of *keys*."""

    def __init__(self, entries: RedisEntries, keys: Keys, lease: float) -> None:
        self.lease = lease
        self._entries = entries
        self._keys = keys
        self._mark = uuid.uuid4().hex
        self._made: Lock | None = None
        self._seen = b""
        self._saved = False
        self._listening: tuple[Subscriber, Ear] | None = None

    async def take(self) -> bool:
        """Try once."""
        return bool(await answer(self._lock().acquire(token=self._mark)))

    async def keep(self) -> bool:
        """Begin the lease anew."""
        return await answer(_still_owned(self._lock().reacquire()))

    async def give_back(self) -> None:
        """Let it go if it is still this contender's, and wake who waits, unless a save has."""
        released = await answer(_still_owned(self._lock().do_release(self._mark.encode())))
        if released and not self._saved:
            await answer(self._entries.clients.here().client.publish(self._keys.news, FREE))

    async def load(self) -> Token | None:
        """The token, its entry remembered."""
        token, self._seen = await self._entries.read(self._keys)
        return token

    async def save(self, token: Token) -> Token | None:
        """Keep *token*, and wake who waits; or the newer one that stays."""
        kept, found = await self._entries.replace(self._keys, token, mark=self._mark, seen=self._seen)
        if not kept:
            return found.token
        self._saved, self._seen = True, found.digest
        return None

    async def listen(self) -> None:
        """Subscribe to the account's news; without them (a cluster's client before redis-py 8) there is only the tick."""
        connected = self._entries.clients.here()
        if hasattr(connected.client, "pubsub"):
            subscriber = connected.news.subscriber()
            self._listening = subscriber, await subscriber.listen(self._keys.news)

    async def changed(self) -> None:
        """Return when there is news."""
        await (asyncio.Event().wait() if self._listening is None else self._listening[1].heard())

    async def hang_up(self) -> None:
        """Listen no more."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening[0].leave(listening[1])

    def _lock(self) -> Lock:
        """redis-py's, on the running loop's client; made when it is first needed, as a client may not be had."""
        if self._made is None:
            client = self._entries.clients.here().client
            self._made = _Lock(client, self._keys.lock, timeout=self.lease, blocking=False, thread_local=False)
        return self._made


class _Lock(Lock):
    """redis-py's lock, but its scripts belong to its own client: the class would keep the first one for ever."""

    def register_scripts(self) -> None:
        """One script each, of this lock's client."""
        scripts: dict[str, Any] = vars(self)
        scripts["lua_release"] = self.redis.register_script(self.LUA_RELEASE_SCRIPT)
        scripts["lua_reacquire"] = self.redis.register_script(self.LUA_REACQUIRE_SCRIPT)


async def _still_owned(call: Awaitable[Any]) -> bool:
    try:
        await call
    except LockError:
        return False
    return True
