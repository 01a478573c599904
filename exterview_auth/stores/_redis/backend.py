"""An account's lock on Redis: redis-py's lock with a lease that is renewed, and notifications instead of polling."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.asyncio.lock import Lock
from redis.exceptions import LockError

from ..._events import emit
from ..._token import Token
from ...errors import StoreError
from .._entry import StoredToken
from .entries import RedisEntries
from .errors import execute, execute_with_retry
from .notifications import PubSubConnection, Subscription

T = TypeVar("T")

FREE = b"free"
"""The message to waiters that a lock was released without a save."""


class RedisLockBackend:
    """The `LockBackend` of one owner for *account*."""

    def __init__(self, entries: RedisEntries, account: str, lease: float) -> None:
        self.store = entries.clients.label
        self.lease = lease
        self._entries = entries
        self._account = account
        self._keys = entries.keys(account)
        self._owner_id = uuid.uuid4().hex
        self._seen = b""
        self._woken = False
        # Invariant: no command that takes the lock is on its way when the lock is released.
        self._retaking = asyncio.Lock()
        self._subscribed: tuple[PubSubConnection, Subscription] | None = None

    async def try_acquire(self) -> bool:
        """Try once."""
        return bool(await execute(self._call(lambda lock: lock.acquire(token=self._owner_id))))

    async def renew_lease(self) -> bool:
        """Start the lease again, also after a restart of Redis without its data, if nobody has taken the lock since."""
        if await execute(_still_owned(self._call(Lock.reacquire))):
            return True
        async with self._retaking:
            return await self._entries.retake_lock(self._account, self._owner_id, self._seen, self.lease)

    async def release(self) -> None:
        """Release the lock if this owner still holds it, and wake the waiters, unless a write has woken them."""
        async with self._retaking:
            released = await execute_with_retry(
                lambda: _still_owned(self._call(lambda lock: lock.do_release(self._owner_id.encode())))
            )
        if released and not self._woken:
            await execute(self._entries.clients.call(lambda client: client.publish(self._keys.channel, FREE)))

    async def read(self) -> StoredToken:
        """Read the entry, and remember it."""
        stored = await self._entries.read(self._account, lease=self.lease)
        self._seen = stored.fingerprint
        return stored

    async def write(self, token: Token | None) -> StoredToken | None:
        """Save *token* or delete the entry, and wake the waiters; or return the entry that stays."""
        written, stored = await self._entries.replace(self._account, token, owner_id=self._owner_id, seen=self._seen)
        if not written:
            return stored
        self._woken, self._seen = True, stored.fingerprint
        return None

    async def subscribe(self) -> None:
        """Subscribe to the account's channel. If that fails, the caller only polls: notifications save time, nothing else."""
        connected = self._entries.clients.current()
        # An old client of a cluster has no publish/subscribe.
        if hasattr(connected.client, "pubsub"):
            connection = connected.changes.connection()
            try:
                self._subscribed = connection, await connection.subscribe(self._keys.channel)
            except StoreError as failure:
                emit(logging.INFO, "store.no_news", store=self.store, problem=str(failure))

    async def wait_for_change(self) -> None:
        """Wait for a message."""
        await (asyncio.Event().wait() if self._subscribed is None else self._subscribed[1].wait())

    async def unsubscribe(self) -> None:
        """Leave the account's channel."""
        subscribed, self._subscribed = self._subscribed, None
        if subscribed is not None:
            await subscribed[0].unsubscribe(subscribed[1])

    def _call(self, command: Callable[[Lock], Awaitable[T]]) -> Awaitable[T]:
        return self._entries.clients.call(lambda client: command(self._lock(client)))

    def _lock(self, client: Any) -> Lock:
        # Made for each command: the store may have been closed and used again since the last one.
        lock = _EvalLock(client, self._keys.lock, timeout=self.lease, blocking=False, thread_local=False)
        lock.local.token = self._owner_id.encode()
        return lock


class _EvalLock(Lock):
    """
    redis-py's lock, whose scripts are sent with EVAL.

    redis-py would load them first, which needs a further permission and a second command after Redis has forgotten them, and
    would keep the first client for ever, in the class.
    """

    def register_scripts(self) -> None:
        """Make the two scripts attributes of this lock."""
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
