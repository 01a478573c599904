"""
Stop calling a store that fails, and log one warning and one recovery for each outage.

Closed: calls go through. Open: after a failure, no call for a time that doubles with each further failure. Half-open: that time
is over, and the next call decides. All owners of one store share its breaker, so that the first of them to meet an outage
spares the others the wait. Saves that must not be lost probe also while it is open, one at a time.

A call that began before an outage ended may fail after it, because it waited for its time limit. That opens nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import AbstractAsyncContextManager
from weakref import WeakKeyDictionary

from .._calls import kind_of
from .._events import emit
from ..errors import StoreError
from . import TokenStore
from ._shared import SharedStore

FIRST_OPEN, LONGEST_OPEN = 1.0, 30.0
"""Seconds for which the breaker stays open after the first failure, and at most."""

LATE = "it does not answer in time; check its load and the network"

_REQUIREMENTS = {"load": 0, "lock": 1, "unlock": 1, "delete": 2, "save": 2}
"""How much a call requires of a store: one that can be read may not be writable."""


class CircuitBreaker:
    """The state of one store, as its owners have seen it. *now* is in seconds of the owner's clock."""

    __slots__ = (
        "__weakref__",
        "_limit",
        "_open_until",
        "_probes",
        "_recovered_at",
        "_required",
        "_slots",
        "_store",
        "failures",
    )

    def __init__(self, store: TokenStore) -> None:
        ours = store if isinstance(store, SharedStore) else None
        # A store of an application may show secrets in what it says of itself.
        self._store: str = getattr(ours, "_label", type(store).__name__)
        self._limit = None if ours is None else ours._calls_at_once  # noqa: SLF001 - not its users'
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._probes: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
        self.failures = 0
        """Calls that failed in this outage."""
        # Invariant: the highest requirement among the calls that failed in this outage; 0 while there is none.
        self._required = 0
        self._open_until = float("-inf")
        self._recovered_at = float("-inf")

    def slot(self) -> AbstractAsyncContextManager[None]:
        """
        Return a context manager that bounds this loop's concurrent calls to what the store can do at once.

        Waiting for a slot is not waiting for the store: a crowd in one process does not look like a slow store.
        """
        if self._limit is None:
            return contextlib.nullcontext()
        return self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._limit))

    def probe(self) -> asyncio.Lock:
        """Return what one session of this loop holds while it probes: others wait for the outcome, and take no slot."""
        return self._probes.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def is_open(self, now: float) -> bool:
        """Return whether the store must not be called now."""
        return now < self._open_until

    def record_failure(self, call: str, failure: BaseException, now: float, began: float | None = None) -> None:
        """Open the breaker after a failed *call*, which *began* then or now; log the first failure of an outage."""
        if began is not None and began < self._recovered_at:
            return
        open_for = min(LONGEST_OPEN, FIRST_OPEN * 2.0 ** min(self.failures, 10))
        self.failures += 1
        self._required = max(self._required, _REQUIREMENTS[call])
        self._open_until = now + open_for
        if self.failures == 1:
            emit(logging.WARNING, "store.unavailable", store=self._store, call=call, problem=_problem(failure))

    def record_success(self, call: str, now: float) -> None:
        """Close the breaker, if no call that requires more than *call* has failed in this outage."""
        if self.failures and _REQUIREMENTS[call] >= self._required:
            emit(logging.INFO, "store.recovered", store=self._store)
            self.failures = self._required = 0
            self._open_until = float("-inf")
            self._recovered_at = now


def _problem(failure: BaseException) -> str:
    """Return what is wrong and what to do. Only the sentences of this package's own errors certainly hold no secret."""
    if isinstance(failure, StoreError):
        return str(failure)
    if isinstance(failure, TimeoutError):
        return LATE
    return f"it raised {kind_of(failure)}; let it raise a StoreError that says why"


_breakers: WeakKeyDictionary[TokenStore, CircuitBreaker] = WeakKeyDictionary()


def breaker_of(store: TokenStore) -> CircuitBreaker:
    """Return the one breaker of *store*; a new one for an application's store that is not hashable or weakly referable."""
    try:
        return _breakers.setdefault(store, CircuitBreaker(store))
    except TypeError:
        return CircuitBreaker(store)
