"""
Stores for several processes: their base class, and one lock per account, so that one of its owners logs in for all.

To add a store for several processes (PostgreSQL, say), write a package beside ``_file`` and ``_redis`` with two classes:

- a `LockBackend`: one owner's view of one account, in eight short methods. `AccountLock` turns it into a lock with a lease.
- a subclass of `SharedStore`, which users construct: it reads and writes entries, makes account locks, and closes what it
  opened. ``_calls_at_once`` is the number of its connections. It may be used under one event loop after another, and in
  the child of a fork: keep a client per loop and process, as ``_redis/client.py`` does.

`Codec` in ``_entry`` turns tokens into entries and back; the fingerprint of an entry is for the backend alone, which may take a
row's version instead. Calls of both classes should end within a second or so, and raise `StoreError` with a sentence that holds
no secret. Name the store in ``stores/__init__.py`` and ``exterview_auth/__init__.py``, its library as an extra in
``pyproject.toml``, and both in ``tests/stores/test_stores.py``, one suite over all stores.

Rules of an account's lock:

1. The holder renews its lease until it releases the lock. A holder that is paused for longer than a lease loses the lock. A lock
   that ends only with its connection will not do: the connection of a frozen process stays open.
2. From the first `AccountLock.wait_for_change` on, no change is missed: that call subscribes and does not wait, and the
   caller reads once more before it waits.
3. The lock is released also if nobody knows whether it was acquired, and if the caller is cancelled meanwhile.
4. A save or a deletion in the scope of a lock (``_fence``) does not touch a newer entry: a holder that was paused and overtaken
   gets that one instead. The scope begins before the lock is acquired. Until then, a write changes only the entry that was
   last read. One method of the backend decides this for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import ClassVar, NoReturn, Protocol, Self

from .._calls import CANCEL_GRACE, PAUSE_THRESHOLD, bounded
from .._events import emit
from .._options import account_key, checked_token, number
from .._refusals import discreet
from .._secret import refuse_pickling
from .._token import Token
from ..errors import StoreError
from ._entry import StoredToken
from ._fence import Fence, close_scope, fence_around, open_scope
from ._single_use import SingleUse

LEASE = 5.0
"""Seconds for which a lock is held without a sign of life; its holder renews it three times as often."""
SHORTEST_LEASE, LONGEST_LEASE = 0.1, 3600.0
POLL_INTERVAL = 1.0
"""Seconds between two checks at most without a notification: a holder may have died, a message may be lost."""
RELEASE_TIMEOUT = 1.0
"""Seconds that releasing a lock may take; after that, its lease expires by itself."""


def checked_lease(seconds: object) -> float:
    """Return *seconds* if a lease can last so long; raise `ConfigurationError` otherwise."""
    rule = f"lease must be a number of seconds from {SHORTEST_LEASE:g} to {LONGEST_LEASE:g}"
    return number(seconds, rule, SHORTEST_LEASE, LONGEST_LEASE)


class LockBackend(Protocol):
    """What a store implements for an `AccountLock`: one owner's view of one account. Every method may raise `StoreError`."""

    store: str
    """What events call the store."""
    lease: float
    """Seconds for which the lock is held without being renewed."""

    async def try_acquire(self) -> bool:
        """Try once, without waiting; return whether the lock is held now."""

    async def renew_lease(self) -> bool:
        """Start the lease again; return whether the lock was still held."""

    async def release(self) -> None:
        """Release the lock if it is held by this owner, and only then."""

    async def read(self) -> StoredToken:
        """Read the entry, and remember it for `write`."""

    async def write(self, token: Token | None) -> StoredToken | None:
        """
        Save *token*, or delete the entry without one, if the lock is still held or the entry is the one last read.

        Otherwise return the entry as it is.
        """

    async def subscribe(self) -> None:
        """Begin to notice changes: `wait_for_change` returns for each one from now on. Do not raise: polling is enough."""

    async def wait_for_change(self) -> None:
        """Wait until the entry has changed or the lock may be free, or until cancelled. Returning more often is allowed."""

    async def unsubscribe(self) -> None:
        """Stop noticing changes."""


class AccountLock(Fence):
    """
     One owner's attempt to get an account's lock, and the lock while it is held.

     `try_acquire` tries once. `wait_for_change` waits until it is worth reading or trying again. `read` and `write` are fenced.
    Whether it was acquired or not, the lock ends with ``async with`` or `release`.
    """

    __slots__ = ("_backend", "_may_be_held", "_polls", "_renewing", "_subscribed", "_worth_trying")

    is_leased = True

    def __init__(self, backend: LockBackend) -> None:
        super().__init__()
        self._backend = backend
        self._subscribed = False
        self._polls = 0
        self._worth_trying = True
        # Invariant: true from before the first command that could acquire the lock, so that it is released in any case.
        self._may_be_held = False
        self._renewing: asyncio.Task[None] | None = None

    async def read(self) -> StoredToken:
        """Read the entry, and remember it for `write`. Raises `StoreError`."""
        self.looked_early = self._renewing is None
        self.last_read = await self._backend.read()
        return self.last_read

    async def write(self, token: Token | None) -> Token | None:
        """Save *token*, or delete the entry without one; return the newer one that stays, if it can be read. Raises `StoreError`."""
        self.refused = await self._changed_before_lock() or await self._backend.write(token)
        self.looked_early = self.looked_early and self.refused is not None
        return None if self.refused is None else self.refused.token

    async def _changed_before_lock(self) -> StoredToken | None:
        """Return the entry that came between a look without the lock and the lock, which a write would replace now."""
        if self.last_read is None or not self.looked_early or self._renewing is None:
            return None
        present = await self._backend.read()
        return present if present.fingerprint not in (b"", self.last_read.fingerprint) else None

    async def try_acquire(self) -> bool:
        """Return whether the lock is held now; does not ask the store again before a change. Raises `StoreError`."""
        if not self._worth_trying:
            return False
        self._may_be_held, self._worth_trying = True, False
        acquired = self._may_be_held = await self._backend.try_acquire()
        if acquired:
            loop = asyncio.get_running_loop()
            self._renewing = loop.create_task(self._renew(), context=Context(), name="exterview_auth lease")
        return acquired

    async def wait_for_change(self) -> bool:
        """
        Wait until the entry may have changed, or the lock may be free; return whether it is worth reading the entry.

        The first call subscribes and returns at once. Raises `StoreError`.
        """
        if not self._subscribed:
            self._subscribed = True
            await self._backend.subscribe()
            return True
        clock = asyncio.get_running_loop().time
        until = clock() + POLL_INTERVAL * random.uniform(0.6, 1.0)  # noqa: S311 - so that a fleet does not poll as one
        try:
            async with asyncio.timeout_at(until):
                await self._backend.wait_for_change()
        except TimeoutError:
            # If this process was not running, perhaps the holder was not either: read, but do not take the lock from it
            # before it can save.
            if clock() >= until + PAUSE_THRESHOLD:
                return True
            # Read and try by turns, one command for each poll: reading finds what a lost message announced, trying finds
            # that the holder has died.
            self._polls += 1
            self._worth_trying = self._polls % 2 == 0
            return not self._worth_trying
        self._worth_trying = True
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(StoreError, TimeoutError):
            await self.release()

    async def release(self) -> None:
        """Release what was acquired, within `RELEASE_TIMEOUT` seconds. Raises `StoreError` or ``TimeoutError``."""
        self.released = True
        await bounded(self._release(), RELEASE_TIMEOUT, finish=True)

    async def _release(self) -> None:
        # The renewal is cancelled first but awaited last: its command may hang, and one that runs during the release only
        # finds that the lock is no longer held.
        renewing = self._renewing
        try:
            if renewing is not None:
                renewing.cancel()
            if self._may_be_held:
                await self._backend.release()
        finally:
            if self._subscribed:
                await self._backend.unsubscribe()
            if renewing is not None:
                await asyncio.wait([renewing], timeout=CANCEL_GRACE)

    async def _renew(self) -> None:
        clock = asyncio.get_running_loop().time
        held, due = True, clock()
        while held:
            # Counted from when the last renewal was due: neither its command nor a late wake-up delays the next one.
            due = max(due + self._backend.lease / 3, clock())
            await asyncio.sleep(due - clock())
            try:
                held = await self._backend.renew_lease()
            except StoreError as failure:  # the next attempt may succeed before the lease is over
                emit(logging.INFO, "store.lease_not_kept", store=self._backend.store, problem=str(failure))
        hint = "this process or the store was paused; a newer token is kept"
        emit(logging.INFO, "store.lease_lost", store=self._backend.store, hint=hint)


class LeasedLock(SingleUse):
    """
    What `SharedStore.lock` returns: ``async with`` waits for the lock and releases it.

    An owner that waits for the lock does that with `attempt`, in a context in which `open_scope` was called.
    """

    __slots__ = ("_opened", "attempt", "open_scope")

    def __init__(self, store: SharedStore, account: str, attempt: AccountLock) -> None:
        super().__init__()
        self.attempt = attempt
        self.open_scope = partial(open_scope, store, account, attempt)
        """Lets the running context call the store in the scope of `attempt`; returns the fences of before."""
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> None:
        self.begin_use()
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self.attempt)
            opened.callback(close_scope, self.open_scope())
            while not await self.attempt.try_acquire():
                await self.attempt.wait_for_change()
            self._opened = opened.pop_all()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)


class SharedStore(ABC):
    """A token store for several processes, whose locks can be waited for by notification. It is a `TokenStore`."""

    _calls_at_once: ClassVar[int]
    """How many calls the store can carry out at once; more would wait inside it."""

    @abstractmethod
    def _account_lock(self, account: str) -> AccountLock:
        """Return a new attempt to get the account's lock."""

    @abstractmethod
    async def _read(self, account: str) -> StoredToken:
        """Read the account's entry."""

    @abstractmethod
    async def _write(self, account: str, token: Token | None) -> None:
        """Replace the account's entry, whatever it is, or delete it without a *token*."""

    def _set_up(self) -> None:  # noqa: B027 - most stores have nothing to create
        """Create what must exist before the first call. Raises `ConfigurationError`. Blocks."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close what was opened."""

    @discreet
    async def load(self, account: str) -> Token | None:
        """Return the token with its remaining lifetime, or ``None``. An unreadable entry counts as missing, with a warning."""
        lock = self._lock_around(account)
        return (await self._read(account) if lock is None else await lock.read()).token

    @discreet
    async def save(self, account: str, token: Token) -> Token | None:
        """
        Save *token* in place of the stored one.

        If the caller holds ``lock(account)`` and was paused for so long that another owner saved a token, that token stays and is
        returned.
        """
        return await self._change(account, checked_token(token, "save"))

    @discreet
    async def delete(self, account: str) -> None:
        """Delete the account's token. Under ``lock(account)``, a token that another owner saved while the caller was paused stays."""
        await self._change(account, None)

    async def _change(self, account: str, token: Token | None) -> Token | None:
        lock = self._lock_around(account)
        if lock is not None:
            return await lock.write(token)
        await self._write(account, token)
        return None

    @discreet
    def lock(self, account: str) -> AbstractAsyncContextManager[object]:
        """Return an exclusive lock across processes. It is lost if the holder dies, or pauses for longer than its lease."""
        return LeasedLock(self, account_key(account), self._account_lock(account))

    def _lock_around(self, account: str) -> AccountLock | None:
        fence = fence_around(self, account_key(account))
        return fence if isinstance(fence, AccountLock) else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)
