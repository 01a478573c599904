"""
Wait for an account's lock, so that one of its owners logs in for all.

A store with notifications is waited for outside its lock: the waiter is notified of a saved token at once, and then needs no
lock. Any other store has only its ``lock()``, and the wait is inside it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from .._calls import PAUSE_THRESHOLD, CancelledItselfError, is_being_cancelled
from ..errors import StoreError
from ._access import StoreSession
from ._shared import AccountLock, SharedStore

LATE_EXTENSION = 2.0
"""Seconds of further waiting after this process was not running: perhaps the lock's holder was not either."""


class LockWaiter(Protocol):
    """One owner's attempt to get the account's lock. No method raises what the store raises."""

    async def try_acquire(self) -> bool:
        """Return whether to log in now: the lock is acquired, or the store cannot provide it."""

    async def wait_for_change(self) -> bool:
        """Wait until another attempt, or a look into the store, may succeed; return whether to look."""

    async def leave(self) -> None:
        """Release what was acquired."""


@contextlib.asynccontextmanager
async def lock_waiter(session: StoreSession, seconds: float | None) -> AsyncIterator[LockWaiter]:
    """
    Wait for the account's lock for at most *seconds*, then proceed without it. ``None``: do not wait.

    If it is acquired, *session* loads and saves under it until the body ends.
    """
    store = session.access.store
    waiter: LockWaiter
    if isinstance(store, SharedStore):
        waiter = _NotifiedWaiter(session, seconds or 0.0, store.account_lock(session.access.account))
    else:
        waiter = _BlockingWaiter(session, seconds)
    try:
        yield waiter
    finally:
        await waiter.leave()


class _NotifiedWaiter:
    """Waits for whichever comes first: a saved token, or the lock."""

    def __init__(self, session: StoreSession, seconds: float, lock: AccountLock) -> None:
        self._access = session.access
        self._session = session
        self._lock = lock
        self._seconds = seconds
        self._until = self._access.clock() + seconds
        self._acquired = False

    async def try_acquire(self) -> bool:
        if self._session.suspended or self._access.lock_suspended:
            return True
        acquired = await self._session.call("lock", self._lock.try_acquire)
        if acquired:
            self._acquired = True
            self._session.use_lock(self._lock)
        # None means that the store failed: then the owner logs in for itself.
        return acquired is not False

    async def wait_for_change(self) -> bool:
        try:
            async with asyncio.timeout(self._until - self._access.clock()):
                return await self._lock.wait_for_change()
        except TimeoutError:
            late = self._access.clock() - self._until
            if late > PAUSE_THRESHOLD:
                self._until += late + LATE_EXTENSION
            else:
                self._access.lock_timed_out(self._seconds)
        except Exception as failure:  # noqa: BLE001 - a store may raise anything; a login needs no notification
            self._session.record_failure("lock", failure)
        return True

    async def leave(self) -> None:
        self._session.use_lock(None)
        leaving = self._access.run_detached(self._release(), "unlock")
        # The next waiter of this process is to find the lock free. A failing store is not waited for: the lease expires.
        if self._acquired and not self._session.failed and not is_being_cancelled():
            await asyncio.wait([leaving], timeout=self._session.budget)

    async def _release(self) -> None:
        try:
            await self._lock.release()
        except (StoreError, TimeoutError) as failure:
            self._session.record_failure("unlock", failure)


class _BlockingWaiter:
    """
    Waits inside the store's own lock.

    One task enters and leaves the lock, because a lock may belong to the task that entered it. If that task enters too late,
    or although it was cancelled, it leaves the lock at once.
    """

    def __init__(self, session: StoreSession, seconds: float | None) -> None:
        self._access = session.access
        self._session = session
        self._seconds = seconds
        self._holding: asyncio.Task[None] | None = None
        self._entered = asyncio.Event()
        self._over = asyncio.Event()

    async def try_acquire(self) -> bool:
        if self._seconds is None or self._session.suspended or self._access.lock_suspended:
            return True
        self._holding = holding = self._access.run_detached(self._hold(), "lock")
        entered = asyncio.ensure_future(self._entered.wait())
        try:
            await asyncio.wait([holding, entered], timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            entered.cancel()
        if not self._entered.is_set() and not holding.done():
            self._end(holding)
            self._access.lock_timed_out(self._seconds)
        return True

    async def wait_for_change(self) -> bool:
        """Return at once: this waiter's `try_acquire` never fails."""
        return True

    async def leave(self) -> None:
        holding = self._holding
        if holding is None:
            return
        self._end(holding)
        # A cancelled caller does not wait; the detached task leaves the lock by itself.
        if not is_being_cancelled():
            done, _ = await asyncio.wait([holding], timeout=self._session.budget)
            if not done:
                holding.cancel()
                self._session.record_failure("unlock", TimeoutError())

    def _end(self, holding: asyncio.Task[None]) -> None:
        self._over.set()
        if not self._entered.is_set():
            holding.cancel()

    async def _hold(self) -> None:
        try:
            async with self._access.store.lock(self._access.account):
                self._entered.set()
                await self._over.wait()
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            self._record_failure(CancelledItselfError())
        except Exception as failure:  # noqa: BLE001 - a store may raise anything; a login needs no lock
            self._record_failure(failure)

    def _record_failure(self, failure: Exception) -> None:
        self._session.record_failure("unlock" if self._entered.is_set() else "lock", failure)
