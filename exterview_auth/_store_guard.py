"""A store that may be sick: every call bounded, one warning per outage, rest and probe."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from ._bounded import CancelledItselfError, bounded, is_being_cancelled
from ._clock import Clock
from ._events import emit
from ._stats import Counters
from ._token import Token
from .stores import TokenStore

T = TypeVar("T")

CALL_TIMEOUT = 2.0
"""Seconds that one call to the store may take."""
FIRST_REST, LONGEST_REST = 1.0, 30.0
"""Seconds that a store rests after a failure; doubles with each further one."""


class StoreGuard:
    """
    One account in a store, as the keeper sees it.

    No method raises what the store raises: a store that fails, or takes longer than `CALL_TIMEOUT`, rests, and counts as
    empty and unlocked until it is probed again.
    """

    def __init__(self, store: TokenStore, account: str, clock: Clock, counters: Counters) -> None:
        self._store = store
        self._account = account
        self._clock = clock
        self._counters = counters
        self._failures = 0
        self._rests_until = self._lock_rests_until = float("-inf")

    async def load(self) -> Token | None:
        """What the store holds, or ``None`` also where it is sick or holds something else."""
        loaded = None if self._resting else await self._call(lambda: self._store.load(self._account), "load")
        return loaded if isinstance(loaded, Token) else None

    async def save(self, token: Token, *, probe: bool = False) -> bool:
        """Whether *token* is kept now; a resting store is not asked unless this is the *probe*."""
        if self._resting and not probe:
            return False
        return await self._call(lambda: _done(self._store.save(self._account, token)), "save") is True

    async def delete(self) -> bool:
        """Forget the token; whether the store did."""
        return await self._call(lambda: _done(self._store.delete(self._account)), "delete") is True

    @contextlib.asynccontextmanager
    async def lock(self, seconds: float) -> AsyncIterator[None]:
        """Hold the account's lock; without one where the store is sick, or nobody gives it back within *seconds*."""
        lock = await self._acquire(seconds)
        try:
            yield
        finally:
            if lock is not None:
                await self._call(lambda: _done(lock.__aexit__(None, None, None)), "unlock")

    async def _acquire(self, seconds: float) -> AbstractAsyncContextManager[object] | None:
        if self._resting or self._clock() < self._lock_rests_until:
            return None
        try:
            lock = self._store.lock(self._account)
            async with asyncio.timeout(seconds):
                await lock.__aenter__()
        except TimeoutError:
            # Its holder is stuck, not the store: what the holder saved can still be read.
            self._counters.store_failures += 1
            self._lock_rests_until = self._clock() + LONGEST_REST
            emit(logging.WARNING, "store.lock_timeout", account=self._account, seconds=seconds)
            return None
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            self._failed("lock", CancelledItselfError())
            return None
        except Exception as failure:  # noqa: BLE001 - a store may raise anything; a login needs no lock
            self._failed("lock", failure)
            return None
        return lock

    @property
    def _resting(self) -> bool:
        return self._clock() < self._rests_until

    async def _call(self, call: Callable[[], Awaitable[T]], name: str) -> T | None:
        try:
            result = await bounded(call(), CALL_TIMEOUT, finish=True)
        except Exception as failure:  # noqa: BLE001 - a store may raise anything; a request survives it
            self._failed(name, failure)
            return None
        self._healed()
        return result

    def _failed(self, name: str, failure: Exception) -> None:
        self._counters.store_failures += 1
        rest = min(LONGEST_REST, FIRST_REST * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._rests_until = self._clock() + rest
        if self._failures == 1:
            emit(logging.WARNING, "store.unavailable", account=self._account, call=name, error=type(failure).__name__)

    def _healed(self) -> None:
        if self._failures:
            emit(logging.INFO, "store.recovered", account=self._account)
        self._failures, self._rests_until = 0, float("-inf")


async def _done(call: Awaitable[object]) -> bool:
    await call
    return True
