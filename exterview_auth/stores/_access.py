"""
A store as an owner sees it: every call is bounded, and no failure of the store reaches a request.

1. No method raises what the store raises. A store that fails or is too slow counts as empty and unlocked, and its circuit
   breaker opens.
2. All calls of one session together wait at most `STORE_BUDGET` seconds for the store, or less under a short login timeout.
   Waiting for another owner's login is not waiting for the store.
3. While the breaker is open, only a session that probes calls the store.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, NamedTuple, TypeVar

from .._calls import CANCEL_GRACE, bounded
from .._clock import Clock
from .._events import emit
from .._stats import Counters
from .._token import Token
from . import TokenStore
from ._breaker import LONGEST_OPEN, breaker_of
from ._entry import StoredToken
from ._shared import AccountLock, SharedStore

T = TypeVar("T")

STORE_BUDGET = 2.0
"""Seconds that one session waits for a failing store at most."""
BUDGET_SHARE = 0.25
"""The part of the login timeout that this may take, and once more until an abandoned call ends: a login needs the rest."""


class Saved(NamedTuple):
    """Whether a token is stored now; *newer* is another owner's token that the store keeps instead."""

    kept: bool
    newer: Token | None = None

    @property
    def settled(self) -> bool:
        """Whether the save need not be repeated."""
        return self.kept or self.newer is not None


class StoreAccess:
    """One owner's access to one account in a store."""

    def __init__(
        self, store: TokenStore, account: str, clock: Clock, counters: Counters, login_timeout: float = math.inf
    ) -> None:
        self.store = store
        self.account = account
        self.clock = clock
        self.counters = counters
        self.breaker = breaker_of(store)
        self.budget = min(STORE_BUDGET, login_timeout * BUDGET_SHARE)
        self._lock_suspended_until = float("-inf")
        self._detached: set[asyncio.Task[Any]] = set()

    def session(self, *, probe: bool = False) -> StoreSession:
        """Begin a sequence of calls that belong together; with *probe*, also while the breaker is open."""
        return StoreSession(self, probe=probe)

    async def aclose(self) -> None:
        """Wait until detached work has ended, which takes a second at most."""
        if self._detached:
            await asyncio.wait(self._detached)

    def leave_loop(self) -> None:
        """Drop tasks that belong to another loop or process, without touching them."""
        self._detached = set()

    @property
    def lock_suspended(self) -> bool:
        """Whether to log in without the lock, because its holder recently did not release it."""
        return self.clock() < self._lock_suspended_until

    def lock_timed_out(self, seconds: float) -> None:
        """Suspend the lock: its holder is stuck. The store is not, and what the holder saved can still be read."""
        self.counters.store_failures += 1
        self._lock_suspended_until = self.clock() + LONGEST_OPEN
        emit(logging.WARNING, "store.lock_timeout", account=self.account, seconds=seconds)

    def run_detached(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start *work*, which must be bounded and raise nothing; it runs to its end even if nobody awaits it."""
        task = asyncio.get_running_loop().create_task(work, context=Context(), name=f"exterview_auth {name}")
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)
        return task


class StoreSession:
    """A sequence of calls to the store; see the rules above."""

    def __init__(self, access: StoreAccess, *, probe: bool) -> None:
        self.access = access
        self._probe = probe
        self._lock: AccountLock | None = None
        self.budget = access.budget
        """Seconds that the session may still wait for the store."""
        self.failed = False
        """Whether a call failed, or was not made because the breaker is open."""
        self.age: float | None = None
        """Seconds since the token that was last loaded was saved, if the store knows it."""

    async def load(self) -> Token | None:
        """Return the stored token; ``None`` also if the store fails or holds anything else."""
        found = await self.call("load", self._read)
        token, self.age = (None, None) if found is None else (found.token, found.age)
        return token if isinstance(token, Token) else None

    async def _read(self) -> StoredToken:
        store, account = self.access.store, self.access.account
        if self._lock is not None:
            return await self._lock.read()
        if isinstance(store, SharedStore):
            return await store.read(account)
        return StoredToken(await store.load(account), b"")

    async def save(self, token: Token) -> Saved:
        """Save *token*, unless this process was paused and another owner saved a newer one."""
        store, account, lock = self.access.store, self.access.account, self._lock
        answered = await self.call(
            "save", lambda: _in_tuple(store.save(account, token) if lock is None else lock.save(token))
        )
        if answered is None:
            return Saved(kept=False)
        newer = answered[0]
        return Saved(kept=False, newer=newer) if isinstance(newer, Token) else Saved(kept=True)

    async def delete(self) -> bool:
        """Delete the token; return whether the store did."""
        return await self.call("delete", lambda: _in_tuple(self.access.store.delete(self.access.account))) is not None

    def use_lock(self, lock: AccountLock | None) -> None:
        """Load and save under *lock* from now on, which notices if another owner took it meanwhile."""
        self._lock = lock

    @property
    def suspended(self) -> bool:
        """Whether the store must not be called now."""
        return self.access.breaker.is_open(self.access.clock()) and not self._probe

    async def call(self, name: str, make: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result of a call to the store, or ``None`` if it fails or exceeds the budget."""
        access = self.access
        async with access.breaker.slot():
            if self.suspended:
                self.failed = True
                return None
            began = access.clock()
            try:
                result = await bounded(make(), self.budget, finish=True, grace=min(CANCEL_GRACE, access.budget))
            except Exception as failure:  # noqa: BLE001 - a store may raise anything; a request survives it
                self.record_failure(name, failure)
                self.budget = max(0.0, self.budget - (access.clock() - began))
                return None
            spent = access.clock() - began
            # A result that took longer than the budget arrived in time: this process was not running when it came.
            self.budget -= spent if spent <= self.budget else 0.0
            # A lock that another owner holds (False) does not show that locks can be acquired again.
            if not self.failed and result is not False:
                access.breaker.record_success(name)
            return result

    def record_failure(self, call: str, failure: Exception) -> None:
        """Count a failed *call*, and open the breaker."""
        self.failed = True
        self.access.counters.store_failures += 1
        self.access.breaker.record_failure(call, failure, self.access.clock())


async def _in_tuple(call: Awaitable[T]) -> tuple[T]:
    """Wrap the result, so that a ``None`` of the store differs from a call that failed."""
    return (await call,)
