"""Saves a new token, and repeats that until it succeeds: a rotated refresh token must not be lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from itertools import chain, repeat

from .._token import Token
from ..stores._access import Saved, StoreAccess, StoreSession
from ..stores._waiting import lock_waiter
from .account import Account
from .state import IssuedToken

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a failed save is repeated; the last one recurs."""


class Saver:
    """
    The newest token's way into the store.

    *is_retired* says whether the owner is done with a token's text: such a token in the store overtakes nothing.
    """

    __slots__ = ("_account", "_is_retired", "_since", "_store", "_task", "_unsaved")

    def __init__(self, store: StoreAccess, account: Account, is_retired: Callable[[str], bool]) -> None:
        self._store = store
        self._account = account
        self._is_retired = is_retired
        # Invariant: the token that is not saved yet, while its save will be repeated.
        self._unsaved: IssuedToken | None = None
        self._task: asyncio.Task[None] | None = None
        self._since = 0.0

    @property
    def busy(self) -> bool:
        """Whether a save will be repeated."""
        return self._unsaved is not None

    async def save(self, issued: IssuedToken, session: StoreSession) -> Token | None:
        """
        Save *issued*. If that fails, return all the same and keep trying in the background.

        Return the token that stays in its place, if this process was not running and another saved a newer one.
        """
        self.abandon()
        self._since = self._account.clock()
        saved = await self._attempt(issued, session)
        if not saved.settled:
            self._unsaved = issued
            self._task = self._store.run_detached(self._until_saved(issued), "save")
        return saved.newer

    def abandon(self) -> asyncio.Task[None] | None:
        """Forget the pending save and return its task, which comes to its end: it was overtaken, or its loop has ended."""
        task, self._task, self._unsaved = self._task, None, None
        if task is None or task.done():
            return None
        task.cancel()
        return task

    def change_loop(self) -> None:
        """Let go of a task that belongs to another loop or process, without touching it, and go on in this loop."""
        self._task = None
        if self._unsaved is not None:
            self._task = self._store.run_detached(self._until_saved(self._unsaved), "save")

    async def aclose(self) -> None:
        """End the background work, after one last attempt."""
        task, unsaved = self._task, self._unsaved
        self._task = self._unsaved = None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if unsaved is not None:
            await self._attempt(unsaved, self._store.session(probe=True))

    async def _until_saved(self, issued: IssuedToken) -> None:
        for pause in _pauses():
            await asyncio.sleep(pause)
            if await self._settled(issued):
                break
        if self._unsaved is issued:
            self._task = self._unsaved = None

    async def _settled(self, issued: IssuedToken) -> bool:
        """Whether *issued* is saved now, or overtaken by another token that is there instead."""
        session = self._store.session(probe=True)
        if await self._overtaken(issued, session):
            return True
        async with lock_waiter(session, None) as waiter:  # so that nobody saves between the look and the save
            if session.failed or not await waiter.try_acquire():
                return False
            if await self._overtaken(issued, session):
                return True
            return not session.failed and (await self._attempt(issued, session)).settled

    async def _overtaken(self, issued: IssuedToken, session: StoreSession) -> bool:
        stored = await session.load()
        if session.failed:
            self._account.counters.save_failures += 1
        if stored is None or stored.value == issued.token.value or self._is_retired(stored.value):
            return False
        # A token of another owner from before this login is one that this owner has never seen, and older.
        return session.age is None or session.age < self._account.clock() - self._since

    async def _attempt(self, issued: IssuedToken, session: StoreSession) -> Saved:
        account = self._account
        token = issued.remaining(account.clock(), with_refresh_token=account.presents_refresh_tokens)
        saved = await session.save(token)
        if not saved.settled:
            self._account.counters.save_failures += 1
        return saved


def _pauses() -> Iterator[float]:
    """Draw each pause with jitter: a whole fleet lost its store at the same moment."""
    for pause in chain(PAUSES, repeat(PAUSES[-1])):
        yield pause * random.uniform(0.75, 1.0)  # noqa: S311 - jitter is not a secret
