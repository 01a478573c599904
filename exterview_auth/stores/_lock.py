"""
Whose turn it is to log in for an account that several owners share.

1. Whoever has taken the turn keeps its lease alive until it leaves; who is paused for longer than a lease loses it.
2. From the first `Turn.news` on, no change goes unnoticed: the caller looks once more before it waits.
3. Leaving gives back what was taken, also where nobody knows whether it was, and whoever is cancelled meanwhile.
4. What is saved under a turn does not replace a newer token: who was paused and overtaken is given that one instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from contextvars import Context, ContextVar
from types import TracebackType
from typing import ClassVar, NoReturn, Protocol, Self

from .._calls import CANCEL_GRACE, PAUSE_THRESHOLD, bounded
from .._events import emit
from .._secret import refuse_pickling
from .._token import Token
from ..errors import StoreError
from ._codec import Found

TICK = 1.0
"""Seconds between two looks at most where there is no news: of a holder that died, or of a message that was lost."""
LEAVING = 1.0
"""Seconds that giving a lock back may take; its lease ends by itself."""


class SharedLock(Protocol):
    """What a store brings to a turn: one contender's view of an account. All but `lease` may raise `StoreError`."""

    lease: float
    """Seconds for which the lock is held without being kept."""

    async def take(self) -> bool:
        """Try once; whether the lock is held now."""

    async def keep(self) -> bool:
        """Begin the lease anew; whether the lock was still held."""

    async def give_back(self) -> None:
        """Let the lock go if it is held."""

    async def look(self) -> Found:
        """What is kept of the account; remembered as what was seen."""

    async def save(self, token: Token) -> Token | None:
        """Keep *token*, if the lock is still held or nothing has changed since the last look; else the newer one."""

    async def listen(self) -> None:
        """From now on, `changed` returns for every change."""

    async def changed(self) -> None:
        """Return when the account's entry has changed or its lock may be free; at any other time too."""

    async def hang_up(self) -> None:
        """Listen no more."""


class Turn:
    """
    One contender's way to an account's lock.

    ``take`` tries once, ``news`` waits until it is worth looking and trying again (`TICK` at most; the first one begins to
    listen, and does not wait); ``look`` and ``save`` are for who has taken it. A turn is left by ``async with`` or ``leave``,
    whether it was taken or not.
    """

    __slots__ = ("_keeping", "_listening", "_lock", "_maybe_held", "_ticks", "_worth_trying", "left", "look", "save")

    def __init__(self, lock: SharedLock) -> None:
        self._lock = lock
        self.look = lock.look
        self.save = lock.save
        self.left = False
        """Whether it is over: what is saved afterwards is not saved under it."""
        self._listening = False
        self._ticks = 0
        self._worth_trying = True
        # Invariant: true from before the first command that could take the lock, so that it is given back in any case.
        self._maybe_held = False
        self._keeping: asyncio.Task[None] | None = None

    async def take(self) -> bool:
        """Whether it is this caller's turn now; not asked again before there was news. Raises `StoreError`."""
        if not self._worth_trying:
            return False
        self._maybe_held, self._worth_trying = True, False
        taken = self._maybe_held = await self._lock.take()
        if taken:
            loop = asyncio.get_running_loop()
            self._keeping = loop.create_task(self._keep(), context=Context(), name="exterview_auth lease")
        return taken

    async def news(self) -> bool:
        """
        Return when the entry may have changed, or the lock may be free; whether it is worth looking at the entry.

        Raises `StoreError`.
        """
        if not self._listening:
            self._listening = True
            await self._lock.listen()
            return True
        clock = asyncio.get_running_loop().time
        until = clock() + TICK * random.uniform(0.6, 1.0)  # noqa: S311 - so that a fleet does not tick as one
        try:
            async with asyncio.timeout_at(until):
                await self._lock.changed()
        except TimeoutError:
            # Who stood still with the lock's holder does not rush in before it has saved.
            return self._tick() if clock() < until + PAUSE_THRESHOLD else True
        self._worth_trying = True
        return True

    def _tick(self) -> bool:
        """No news: look and try by turns, one command a tick."""
        self._ticks += 1
        self._worth_trying = self._ticks % 2 == 0
        return not self._worth_trying

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(StoreError, TimeoutError):
            await self.leave()

    async def leave(self) -> None:
        """Give back what was taken, within `LEAVING` seconds. Raises `StoreError`, or ``TimeoutError``."""
        self.left = True
        await bounded(self._leave(), LEAVING, finish=True)

    async def _leave(self) -> None:
        # A lease that is begun anew while the lock is given back finds that it is not held any more.
        keeping = self._keeping
        try:
            if keeping is not None:
                keeping.cancel()
            if self._maybe_held:
                await self._lock.give_back()
        finally:
            if self._listening:
                await self._lock.hang_up()
            if keeping is not None:
                await asyncio.wait([keeping], timeout=CANCEL_GRACE)

    async def _keep(self) -> None:
        kept = True
        while kept:
            await asyncio.sleep(self._lock.lease / 3)
            try:
                kept = await self._lock.keep()
            except StoreError as failure:  # the next one may come through, before the lease is over
                emit(logging.INFO, "store.lease_not_kept", problem=str(failure))
        emit(logging.INFO, "store.lease_lost", hint="this process or the store stood still; a newer token stays")


class TurnStore(ABC):
    """A token store of several processes: its lock is a turn that is waited for."""

    calls_at_once: ClassVar[int]
    """As many it can carry out without one waiting for another."""

    @abstractmethod
    async def look(self, account: str) -> Found:
        """What is kept of the account."""

    async def load(self, account: str) -> Token | None:
        """The token with what is left of its life, or ``None``; what cannot be read is a miss, with a warning."""
        return (await self.look(account)).token

    @abstractmethod
    def turn(self, account: str) -> Turn:
        """A contender for the account's lock, who also learns what others save."""

    def lock(self, account: str) -> AbstractAsyncContextManager[object]:
        """Held by one owner of all processes, for as long as it lives and does not stand still for a lease."""
        return self._held(account)

    @contextlib.asynccontextmanager
    async def _held(self, account: str) -> AsyncIterator[None]:
        async with self.turn(account) as turn:
            while not await turn.take():
                await turn.news()
            outer = _holding.get({})
            _holding.set({**outer, (id(self), account): turn})
            try:
                yield
            finally:
                _holding.set(outer)

    def _taken(self, account: str) -> Turn | None:
        """The turn under which the calling code runs, by ``async with store.lock(account)``."""
        turn = _holding.get({}).get((id(self), account))
        return None if turn is None or turn.left else turn  # a task that was begun under it may outlive it

    @abstractmethod
    async def aclose(self) -> None:
        """Close what was opened."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)


# The turns that the running code has by `TurnStore.lock`: its saves are fenced without being told of them.
_holding: ContextVar[dict[tuple[int, str], Turn]] = ContextVar("exterview_auth_holding")
