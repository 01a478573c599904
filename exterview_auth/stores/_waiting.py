"""
Wait for an account's lock, so that one of its owners logs in for all.

A store with notifications is waited for outside its lock: the waiter is notified of a saved token at once, and then needs no
lock. Any other store has only its ``lock()``, and the wait is inside it.

A holder that shows life is waited for as long as the caller has time: one that renews its lease (it loses the lock otherwise),
and one in this process. Of the holder of any other lock nothing is known, and it is waited for with *patience* only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from contextvars import Context, copy_context
from typing import Protocol
from weakref import WeakValueDictionary

from .._calls import is_being_cancelled, must_pass, within
from ..errors import StoreError
from . import _shared
from ._access import STORE_BUDGET, StoreSession
from ._fence import fences_in
from ._shared import LeasedLock

LOOK_INTERVAL = 1.0
"""Seconds between two checks whether a lock is still worth waiting for."""


class LockWaiter(Protocol):
    """One owner's attempt to get the account's lock. No method raises what the store raises."""

    async def try_acquire(self) -> bool:
        """Return whether to log in now: the lock is acquired, or the store cannot provide it."""

    async def wait_for_change(self) -> bool:
        """Wait until another attempt, or a look into the store, may succeed; return whether to look."""

    async def leave(self) -> None:
        """Release what was acquired."""


@contextlib.asynccontextmanager
async def lock_waiter(session: StoreSession, patience: float) -> AsyncIterator[LockWaiter]:
    """
    Wait for the account's lock, with *patience* seconds for a holder that shows no life; then proceed without the lock.

    If it is acquired, *session* is `locked`: it loads and saves under the lock until the body ends.
    """
    waiter = _waiter(session, patience)
    try:
        yield waiter
    finally:
        await waiter.leave()


async def acquire_within(seconds: float, waiter: LockWaiter) -> bool:
    """Wait at most so many *seconds* for the lock; return whether nobody else holds it (the store may have failed, too)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not await waiter.try_acquire():
                await waiter.wait_for_change()
            return True
    return False


def _waiter(session: StoreSession, patience: float) -> LockWaiter:
    access = session.access
    if session.suspended or (access.lock_suspended and not session.probe):
        return _NoWaiter()
    try:
        lock = access.store.lock(access.account)
    except BaseException as failure:
        if must_pass(failure):
            raise
        session.record_failure("lock", failure)  # as in `StoreSession.call`
        return _NoWaiter()
    return _NotifiedWaiter(session, lock) if isinstance(lock, LeasedLock) else _BlockingWaiter(session, lock, patience)


class _NoWaiter:
    """Has no lock to wait for: the store fails."""

    async def try_acquire(self) -> bool:
        return True

    async def wait_for_change(self) -> bool:
        """Return at once: this waiter's `try_acquire` never fails."""
        return True

    async def leave(self) -> None:
        """Nothing was acquired."""


class _NotifiedWaiter:
    """Waits for whichever comes first: a saved token, or the lock."""

    def __init__(self, session: StoreSession, lock: LeasedLock) -> None:
        self._access = session.access
        self._session = session
        self._lock = lock.attempt
        self._broken = False
        context = copy_context()
        context.run(lock.open_scope)
        session.enter(context)

    async def try_acquire(self) -> bool:
        if self._session.suspended or self._broken:
            return True
        acquired = await self._session.call("lock", self._lock.try_acquire)
        if acquired:
            self._session.locked = True
        # None means that the store failed: then the owner logs in for itself.
        return acquired is not False

    async def wait_for_change(self) -> bool:
        began = self._access.clock()
        try:
            # Each step looks at the store once, and is short. A holder that shows no life loses the lock by its lease.
            async with within(STORE_BUDGET + _shared.POLL_INTERVAL):
                return await self._lock.wait_for_change()
        except Exception as failure:  # noqa: BLE001 - a store may raise anything; a login needs no notification
            self._session.record_failure("lock", failure, began)
            self._broken = True
        return True

    async def leave(self) -> None:
        acquired = self._session.locked
        self._session.leave()
        leaving = self._access.run_detached(self._release(acquired=acquired), "unlock")
        # The next waiter of this process is to find the lock free. A failing store is not waited for: the lease expires.
        if acquired and not self._session.failed and not is_being_cancelled():
            await asyncio.wait([leaving], timeout=self._session.patience)

    async def _release(self, *, acquired: bool) -> None:
        began = self._access.clock()
        if not acquired:  # but a command that failed may have arrived, and its failure is known
            with contextlib.suppress(StoreError, TimeoutError):
                await self._lock.release()
            return
        try:
            await self._lock.release()
        except (StoreError, TimeoutError) as failure:
            self._session.record_failure("unlock", failure, began)
        else:
            self._access.feed.store_was_called("unlock", began)


class _BlockingWaiter:
    """
    Waits inside the store's own lock.

    One task enters and leaves the lock, because a lock may belong to the task that entered it. If that task enters too late,
    or although it was cancelled, it leaves the lock at once. It holds the lock for as long as a write under it runs, also a
    write that was given up: nothing else keeps a late one from replacing what the next holder saves.
    """

    def __init__(self, session: StoreSession, lock: AbstractAsyncContextManager[object], patience: float) -> None:
        self._access = session.access
        self._session = session
        self._lock = lock
        self._patience = patience
        self._until = self._access.clock() + patience
        self._holding: asyncio.Task[None] | None = None
        self._entered = asyncio.Event()
        self._over = asyncio.Event()

    async def try_acquire(self) -> bool:
        context = copy_context()
        self._holding = holding = self._access.run_detached(self._hold(), "lock", context)
        entered = asyncio.ensure_future(self._entered.wait())
        try:
            while not self._entered.is_set() and not holding.done() and self._worth_waiting(context):
                left = self._until - self._access.clock()
                timeout = min(left, LOOK_INTERVAL) if left > 0 else LOOK_INTERVAL
                await asyncio.wait([holding, entered], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            entered.cancel()
            # A caller that gives the lock up here still calls the store within its fence.
            if self._entered.is_set() or fences_in(context):
                self._session.enter(context)
        if self._entered.is_set():
            self._session.locked = True
        elif not holding.done():
            self._end(holding)
            self._access.lock_timed_out(self._patience)
        return True

    def _worth_waiting(self, context: Context) -> bool:
        if self._session.suspended:
            return False  # the store has begun to fail
        leased = any(fence.is_leased for fence in fences_in(context))
        return self._access.clock() < self._until or _holder_lives(self._access.account) or leased

    async def wait_for_change(self) -> bool:
        """Return at once: this waiter's `try_acquire` never fails."""
        return True

    async def leave(self) -> None:
        holding = self._holding
        self._session.leave()
        if holding is None:
            return
        self._end(holding)
        # A cancelled caller does not wait; the detached task leaves the lock by itself.
        if not is_being_cancelled():
            began = self._access.clock()
            await asyncio.wait([holding], timeout=self._session.patience)
            if not holding.done() and self._entered.is_set():
                self._session.record_failure("unlock", TimeoutError(), began)
        if holding.done():
            return
        if self._session.writes:
            self._access.note_stuck(holding)
        elif not is_being_cancelled():
            holding.cancel()

    @property
    def lives(self) -> bool:
        """Whether a login or a save is under way under the lock."""
        holding = self._holding
        return (
            holding is not None and not holding.done() and not self._over.is_set() and holding.get_loop().is_running()
        )

    def _end(self, holding: asyncio.Task[None]) -> None:
        self._over.set()
        if not self._entered.is_set():
            holding.cancel()

    async def _hold(self) -> None:
        access = self._access
        began = access.clock()
        try:
            async with self._lock:
                _holders[os.getpid(), access.account] = self
                self._entered.set()
                # With the wait for another owner: a store without notifications has no other way to say that it is locked.
                access.feed.store_was_called("lock", began)
                await self._over.wait()
                while self._session.writes:
                    await asyncio.wait(self._session.writes)
                began = access.clock()
        except BaseException as failure:
            if must_pass(failure):
                raise
            # A store may raise anything; a login needs no lock.
            self._session.record_failure("unlock" if self._entered.is_set() else "lock", failure, began)
        else:
            access.feed.store_was_called("unlock", began)


# Who of this process holds an account's lock, whatever object the lock is: several stores may wrap one.
_holders: WeakValueDictionary[tuple[int, str], _BlockingWaiter] = WeakValueDictionary()


def _holder_lives(account: str) -> bool:
    holder = _holders.get((os.getpid(), account))
    return holder is not None and holder.lives
