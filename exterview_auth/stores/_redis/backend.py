"""A contender for an account's lock on Redis: redis-py's own lock, its lease kept, and news instead of polling."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio.lock import Lock
from redis.exceptions import LockError

from ..._events import emit
from ..._token import Token
from ...errors import StoreError
from .._entry import StoredToken
from .entries import RedisEntries
from .failures import answer, answer_again
from .keys import Keys
from .news import Ear, Subscriber

FREE = b"free"
"""Told to who waits when a lock is given back and nothing was saved."""


class RedisLockBackend:
    """The `LockBackend` of one owner for the account of *keys*."""

    def __init__(self, entries: RedisEntries, keys: Keys, lease: float) -> None:
        self.lease = lease
        self._entries = entries
        self._keys = keys
        self._mark = uuid.uuid4().hex
        self._seen = b""
        self._saved = False
        self._listening: tuple[Subscriber, Ear] | None = None

    async def try_acquire(self) -> bool:
        """Try once."""
        return bool(await answer(self._lock().acquire(token=self._mark)))

    async def renew_lease(self) -> bool:
        """Begin the lease anew."""
        return await answer(_still_owned(self._lock().reacquire()))

    async def release(self) -> None:
        """Let it go if it is still this contender's, and wake who waits, unless a save has."""
        released = await answer_again(lambda: _still_owned(self._lock().do_release(self._mark.encode())))
        if released and not self._saved:
            await answer(self._entries.clients.here().client.publish(self._keys.news, FREE))

    async def read(self) -> StoredToken:
        """The token, its entry remembered."""
        found = await self._entries.read(self._keys)
        self._seen = found.fingerprint
        return found

    async def save(self, token: Token) -> Token | None:
        """Keep *token*, and wake who waits; or the newer one that stays."""
        kept, found = await self._entries.replace(self._keys, token, mark=self._mark, seen=self._seen)
        if not kept:
            return found.token
        self._saved, self._seen = True, found.fingerprint
        return None

    async def subscribe(self) -> None:
        """Subscribe to the account's news; without them (an old cluster's client, no connection left) there is only the tick."""
        connected = self._entries.clients.here()
        if hasattr(connected.client, "pubsub"):
            subscriber = connected.news.subscriber()
            try:
                self._listening = subscriber, await subscriber.listen(self._keys.news)
            except StoreError as failure:
                emit(logging.INFO, "store.no_news", problem=str(failure))

    async def wait_for_change(self) -> None:
        """Return when there is news."""
        await (asyncio.Event().wait() if self._listening is None else self._listening[1].heard())

    async def unsubscribe(self) -> None:
        """Listen no more."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening[0].leave(listening[1])

    def _lock(self) -> Lock:
        """redis-py's, on the client of now: the store may have been closed and used again meanwhile."""
        client = self._entries.clients.here().client
        lock = _Lock(client, self._keys.lock, timeout=self.lease, blocking=False, thread_local=False)
        lock.local.token = self._mark.encode()
        return lock


class _Lock(Lock):
    """
    redis-py's lock, its scripts sent as they are.

    No right to load them is needed, nor a second command where Redis has forgotten them, and the class does not keep the
    first client for ever.
    """

    def register_scripts(self) -> None:
        """One script each, of this lock's client."""
        scripts: dict[str, Any] = vars(self)
        scripts["lua_release"] = _evaluated(self.LUA_RELEASE_SCRIPT)
        scripts["lua_reacquire"] = _evaluated(self.LUA_REACQUIRE_SCRIPT)


def _evaluated(script: str) -> Callable[..., Awaitable[Any]]:
    async def run(*, keys: Sequence[str], args: Sequence[Any], client: Any) -> Any:
        return await client.eval(script, len(keys), *keys, *args)

    return run


async def _still_owned(call: Awaitable[Any]) -> bool:
    try:
        await call
    except LockError:
        return False
    return True
