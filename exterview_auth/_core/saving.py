"""Saves a new token, as often as it takes: a rotated refresh token must not be lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from itertools import chain, repeat

from .._clock import Clock
from .._stats import Counters
from .._token import Token
from ..stores._access import Saved, StoreAccess, StoreSession
from ..stores._waiting import lock_waiter
from .grant import Grant

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a failed save is repeated; the last goes on."""


class Saver:
    """
    The newest grant's way into the store.

    *is_past* tells of a token's text whether its owner is done with it: such a one in the store overtakes nothing.
    """

    __slots__ = ("_clock", "_counters", "_is_past", "_pending", "_since", "_store", "_task")

    def __init__(self, store: StoreAccess, clock: Clock, counters: Counters, is_past: Callable[[str], bool]) -> None:
        self._store = store
        self._clock = clock
        self._counters = counters
        self._is_past = is_past
        # Invariant: the grant that is not saved yet, while its save is to be repeated.
        self._pending: Grant | None = None
        self._task: asyncio.Task[None] | None = None
        self._since = 0.0

    @property
    def busy(self) -> bool:
        """Whether a save is still to be repeated."""
        return self._pending is not None

    async def save(self, grant: Grant, session: StoreSession) -> Token | None:
        """
        Save *grant*; where that fails, go on trying in the background and return all the same.

        The token that stays in its place, where this process was paused and another has saved a newer one.
        """
        self.abandon()
        self._since = self._clock()
        saved = await self._attempt(grant, session)
        if not saved.settled:
            self._pending = grant
            self._task = self._store.run_detached(self._until_saved(grant), "save")
        return saved.newer

    def abandon(self) -> asyncio.Task[None] | None:
        """Forget the pending save: it is overtaken, or its loop has ended; what is under way of it comes to its end."""
        task, self._task, self._pending = self._task, None, None
        if task is None or task.done():
            return None
        task.cancel()
        return task

    def change_loop(self) -> None:
        """Let go of a task that belongs to another loop or process, without touching it, and go on in this one."""
        self._task = None
        if self._pending is not None:
            self._task = self._store.run_detached(self._until_saved(self._pending), "save")

    async def aclose(self) -> None:
        """End the background work, after one last attempt."""
        task, pending = self._task, self._pending
        self._task = self._pending = None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if pending is not None:
            await self._attempt(pending, self._store.session(probe=True))

    async def _until_saved(self, grant: Grant) -> None:
        for pause in _pauses():
            await asyncio.sleep(pause)
            if await self._settled(grant):
                break
        if self._pending is grant:
            self._task = self._pending = None

    async def _settled(self, grant: Grant) -> bool:
        """Whether *grant* is saved now, or overtaken by another that is there instead."""
        session = self._store.session(probe=True)
        if await self._overtaken(grant, session):
            return True
        async with lock_waiter(session, None) as waiter:  # so that nobody saves between the look and the save
            if session.failed or not await waiter.try_acquire():
                return False
            if await self._overtaken(grant, session):
                return True
            return not session.failed and (await self._attempt(grant, session)).settled

    async def _overtaken(self, grant: Grant, session: StoreSession) -> bool:
        stored = await session.load()
        if session.failed:
            self._counters.save_failures += 1
        if stored is None or stored.value == grant.token.value or self._is_past(stored.value):
            return False
        # Another's token from before this login is one that this owner has never seen, and older.
        return session.age is None or session.age < self._clock() - self._since

    async def _attempt(self, grant: Grant, session: StoreSession) -> Saved:
        saved = await session.save(grant.remaining(self._clock()))
        if not saved.settled:
            self._counters.save_failures += 1
        return saved


def _pauses() -> Iterator[float]:
    """With jitter: a fleet has lost its store at the same moment."""
    for pause in chain(PAUSES, repeat(PAUSES[-1])):
        yield pause * random.uniform(0.75, 1.0)  # noqa: S311 - jitter is no secret
