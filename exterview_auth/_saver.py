"""Saves a new token, as often as it takes: a rotated refresh token must not be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import Context
from itertools import chain, repeat

from ._bounded import cancel_and_wait
from ._clock import Clock
from ._grant import Grant
from ._stats import Counters
from ._store_guard import StoreGuard

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a failed save is repeated; the last goes on."""


class Saver:
    """The newest grant's way into the store."""

    __slots__ = ("_clock", "_counters", "_guard", "_pending", "_task")

    def __init__(self, guard: StoreGuard, clock: Clock, counters: Counters) -> None:
        self._guard = guard
        self._clock = clock
        self._counters = counters
        # Invariant: the grant that is not saved yet, while its save is to be repeated.
        self._pending: Grant | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a save is still to be repeated."""
        return self._pending is not None

    async def save(self, grant: Grant, replaced: str | None) -> None:
        """Save *grant*; where that fails, go on trying in the background and return all the same."""
        self.abandon()
        if not await self._attempt(grant):
            self._pending = grant
            loop = asyncio.get_running_loop()
            work = self._until_saved(grant, replaced)
            self._task = loop.create_task(work, context=Context(), name="exterview_auth save")

    def abandon(self) -> None:
        """Forget the pending save: it is overtaken, or its loop has ended."""
        task, self._task, self._pending = self._task, None, None
        if task is not None and not task.done() and not task.get_loop().is_closed():
            task.cancel()

    def release(self) -> None:
        """Let go of a task that belongs to another loop or process, without touching it."""
        self._task = None

    async def aclose(self) -> None:
        """End the background work, after one last attempt."""
        task, pending = self._task, self._pending
        self._task = self._pending = None
        if task is not None:
            await cancel_and_wait(task)
        if pending is not None:
            await self._attempt(pending)

    async def _until_saved(self, grant: Grant, replaced: str | None) -> None:
        for pause in _pauses():
            await asyncio.sleep(pause)
            if await self._overtaken(grant, replaced) or await self._attempt(grant):
                break
        if self._pending is grant:
            self._task = self._pending = None

    async def _overtaken(self, grant: Grant, replaced: str | None) -> bool:
        stored = await self._guard.load()
        return stored is not None and stored.value not in (replaced, grant.token.value)

    async def _attempt(self, grant: Grant) -> bool:
        saved = await self._guard.save(grant.remaining(self._clock()), probe=True)
        if not saved:
            self._counters.save_failures += 1
        return saved


def _pauses() -> Iterator[float]:
    return chain(PAUSES, repeat(PAUSES[-1]))
