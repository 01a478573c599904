"""Whether a store is well: one outage, one warning, whoever of its owners meets it first; then rest and probe."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import AbstractAsyncContextManager
from weakref import WeakKeyDictionary

from .._events import emit
from ..errors import StoreError
from . import TokenStore
from ._lock import TurnStore

FIRST_REST, LONGEST_REST = 1.0, 30.0
"""Seconds that a store rests after a failure; doubles with each further one."""

_DEMANDS = {"load": 0, "lock": 1, "unlock": 1, "delete": 2, "save": 2}
"""What a call asks of a store: one that can be read may not be writable."""


class StoreHealth:
    """What the owners of one store know of it together; *now* is in seconds of their clock."""

    __slots__ = ("__weakref__", "_demand", "_failures", "_limit", "_lines", "_rests_until", "_store")

    def __init__(self, store: TokenStore) -> None:
        # The repr of an application's store may say anything.
        self._store = repr(store) if isinstance(store, TurnStore) else type(store).__name__
        self._limit = store.calls_at_once if isinstance(store, TurnStore) else None
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._failures = 0
        self._demand = 0
        self._rests_until = float("-inf")

    def line(self) -> AbstractAsyncContextManager[None]:
        """Where the running loop's calls wait for one another, so that none waits in the store."""
        if self._limit is None:
            return contextlib.nullcontext()
        loop = asyncio.get_running_loop()
        return self._lines.setdefault(loop, asyncio.Semaphore(self._limit))

    def resting(self, now: float) -> bool:
        """Whether the store is left alone."""
        return now < self._rests_until

    def failed(self, call: str, failure: Exception, now: float) -> None:
        """A *call* failed; the first one of an outage is told."""
        rest = min(LONGEST_REST, FIRST_REST * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._demand = max(self._demand, _DEMANDS[call])
        self._rests_until = now + rest
        if self._failures == 1:
            # Only our own sentences are sure to hold no secret.
            problem = str(failure) if isinstance(failure, StoreError) else type(failure).__name__
            emit(logging.WARNING, "store.unavailable", store=self._store, call=call, problem=problem)

    def succeeded(self, call: str) -> None:
        """A *call* succeeded: the outage is over if none that asks more of the store has failed in it."""
        if self._failures and _DEMANDS[call] >= self._demand:
            emit(logging.INFO, "store.recovered", store=self._store)
            self._failures = self._demand = 0
            self._rests_until = float("-inf")


_known: WeakKeyDictionary[TokenStore, StoreHealth] = WeakKeyDictionary()


def health_of(store: TokenStore) -> StoreHealth:
    """The same for all owners of *store*; an own one where the application's store can be no key."""
    try:
        return _known.setdefault(store, StoreHealth(store))
    except TypeError:
        return StoreHealth(store)
