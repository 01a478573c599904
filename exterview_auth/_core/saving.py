"""
What must reach the store: a new token, or the deletion of a logout. It is repeated until it succeeds or is overtaken.

All of it goes one way: under the account's lock, look what is there now, and leave it if it is another owner's newer entry.
A rotated refresh token must not be lost, and none must be replaced.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator
from itertools import chain, repeat

from .._token import Token, aged, is_same_login
from ..stores._access import Saved, StoreAccess, StoreSession
from ..stores._waiting import acquire_within, lock_waiter
from .account import Account
from .state import IssuedToken, RetiredTokens

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a failed save is repeated; the last one recurs."""
LOCK_WAIT = 3.0
"""
Seconds that one attempt waits for the account's lock at most: another owner may log in for longer, and then saves itself. More
than a session waits for a failing store.
"""


class _Work:
    """
    A save of *issued*, or without it the deletion of a logout, that became due at *since*.

    *life* is the lifetime that a login gives, and *irreplaceable* whether the token has a refresh token that may be the only one.
    The first attempt of a logout waits for the lock until *lock_until* at most.
    """

    __slots__ = ("irreplaceable", "issued", "life", "lock_until", "looked", "repeated", "since")

    def __init__(
        self,
        issued: IssuedToken | None,
        since: float,
        life: float | None = None,
        *,
        irreplaceable: bool = False,
        lock_until: float = math.inf,
    ) -> None:
        self.issued = issued
        self.since = since
        self.life = life
        self.irreplaceable = irreplaceable
        self.lock_until = lock_until
        self.looked = self.repeated = False
        """Whether the store has been looked into since the login or logout began, and whether a first attempt has failed."""

    def is_overtaken_by(self, stored: Token, age: float | None, now: float) -> bool:
        """
        Whether another owner got *stored*, which is not retired, after this work became due.

        Its *age* tells if the store knows it. Otherwise it is newer if it was not there at an earlier look (what was there is
        retired), or if it has longer to live than a token of that time. If nothing tells, a refresh token is not risked: no
        other owner had it, so none can have exchanged it, and what it replaces is another owner's, who still holds it.
        """
        elapsed = now - self.since
        if age is not None and age >= 0:
            return age < elapsed
        if self.looked:
            return True
        left, life = stored.expires_in, self.life
        # A clock that was set back tells no lifetime either, and one that is too long is not from such a login.
        if age is None and left is not None and life is not None and left <= life:
            return left > life - elapsed
        return self.issued is not None and not self.irreplaceable


class Saver:
    """
    One owner's way into the store, for its newest token or its logout.

    A `retired` token in the store overtakes nothing.
    """

    __slots__ = ("_account", "_store", "_task", "_work", "retired")

    def __init__(self, store: StoreAccess, account: Account) -> None:
        self._store = store
        self._account = account
        self.retired = RetiredTokens()
        # Invariant: the newest work, from the moment at which it is due until it is settled; newer work takes its place.
        self._work: _Work | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is on its way into the store, or will be repeated."""
        return self._work is not None

    async def save(self, issued: IssuedToken, session: StoreSession) -> Token | None:
        """
        Save *issued* under the lock that *session* holds. If that fails, return all the same and keep trying in the background.

        Return the token that stays in its place, if this process was not running and another saved a newer one.
        """
        account, token = self._account, issued.token
        irreplaceable = token.refresh_token is not None and account.presents_refresh_tokens
        work = _Work(issued, account.clock(), token.expires_in, irreplaceable=irreplaceable)
        self._begin(work)
        if session.loaded is not None:
            self._note_look(work, session.loaded[0])
        # Without the lock (the store fails, or its holder is stuck) a save could replace what another owner saves now.
        saved = await self._settle(work, session) if session.locked else Saved(settled=False)
        self._conclude(work, self._counted(saved))
        return saved.newer

    def begin_logout(self, current: IssuedToken | None) -> asyncio.Task[None] | None:
        """
        Note that the store's token is to be deleted, after a logout from *current*.

        Return the task of a save that was abandoned, which comes to its end.
        """
        now, pending = self._account.clock(), self._work
        life = None if current is None else current.token.expires_in
        # Logouts that meet wait for the lock together, and not one after another: the next login waits for all of them.
        wait = min(LOCK_WAIT, self._store.lock_patience)
        until = min(now + wait, math.inf if pending is None else pending.lock_until)
        return self._begin(_Work(None, now, life, lock_until=until))

    def outdates(self, stored: Token, age: float | None) -> bool:
        """Whether *stored* is older than what is due in its place, so that it is of no use."""
        work = self._work
        return work is not None and not _is_own(stored, work) and not self._is_newer(stored, age, work)

    async def retire_stored(self) -> None:
        """Retire what is in the store now: it is logged out, also if this owner has never seen it."""
        work = self._work
        with self._store.session(probe=True) as session:
            await session.load()
        if work is not None and session.loaded is not None:
            self._note_look(work, session.loaded[0])

    async def finish_logout(self) -> None:
        """Delete the store's token. If that fails, return all the same and keep trying in the background."""
        work = self._work
        # The newest logout is attempted for all that came before it.
        if work is not None and work.issued is None and not work.repeated:
            self._conclude(work, await self._attempt(work))

    def change_loop(self) -> None:
        """Let go of a task that belongs to another loop or process, without touching it, and go on in this loop."""
        self._task = None
        if self._work is not None:
            self._repeat(self._work)

    async def aclose(self, grace: float) -> None:
        """End the background work, after one last attempt, which has *grace* seconds for the store once it has the lock."""
        task, work = self._task, self._work
        self._task = None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if work is not None:
            await self._attempt(work, grace)
        self._set_work(None)

    def _begin(self, work: _Work) -> asyncio.Task[None] | None:
        """Put *work* in the place of what is due; return the task of the earlier work while it ends."""
        task, self._task = self._task, None
        self._set_work(work)
        if task is None or task.done():
            return None
        task.cancel()
        return task

    def _set_work(self, work: _Work | None) -> None:
        self._work = work
        # However long an outage lasts, a token of this owner from before it overtakes nothing.
        self.retired.keep_all = work is not None

    def _conclude(self, work: _Work, saved: Saved) -> None:
        if work is not self._work:
            return
        if saved.settled:
            self._set_work(None)
        else:
            self._repeat(work)

    def _repeat(self, work: _Work) -> None:
        work.repeated, work.lock_until = True, math.inf
        self._task = self._store.run_detached(self._until_settled(work), "save")

    async def _until_settled(self, work: _Work) -> None:
        for pause in _pauses():
            await asyncio.sleep(pause)
            if (await self._attempt(work)).settled:
                break
        if self._work is work:
            self._task = None
            self._set_work(None)

    async def _attempt(self, work: _Work, grace: float = math.inf) -> Saved:
        """Settle *work* under the account's lock, if it can be had in time; at close within *grace* seconds more."""
        # A login waits for the first attempt of a logout, and requests for that login; nobody waits for a repetition.
        last = grace < math.inf
        with self._store.session(probe=True, budget=math.inf if last or work.repeated else None) as session:
            async with lock_waiter(session, math.inf) as waiter:
                patience = min(LOCK_WAIT, work.lock_until - self._account.clock())
                free = await acquire_within(patience, waiter)
                session.budget = min(session.budget, grace)
                # While another owner logs in, only a fence keeps its entry. Within one, a save at close is better than none:
                # that owner's save replaces it. A deletion always is: nobody is to be served a token that was logged out.
                fenced = not free and bool(session.fences) and (last or work.issued is None)
                allowed = session.locked or fenced or (free and work.issued is None)
                saved = await self._settle(work, session) if allowed else Saved(settled=False)
        if work.issued is None:
            # Without the lock, its holder may be a save of this owner that was given up and comes late: repeated under the lock.
            work.looked = work.looked or saved.settled
            return saved._replace(settled=saved.settled and free)
        return self._counted(saved) if free else saved

    def _counted(self, saved: Saved) -> Saved:
        if not saved.settled:
            self._account.save_failures += 1
        return saved

    async def _settle(self, work: _Work, session: StoreSession) -> Saved:
        """Save or delete, unless another owner's newer entry is there. What the lock's holder has looked at needs no second look."""
        if not session.looked and await self._overtaken(work, session):
            return Saved(settled=True)
        if work.issued is None:
            # The first attempt deletes unseen, if a look is all that fails: nobody has saved since the logout.
            unseen = session.failed and work.repeated
            deleted = Saved(settled=False) if unseen else await session.delete()
            # What came since the look stays, unless a save of this owner that was given up has come late.
            return deleted._replace(settled=deleted.settled and not self._is_retired(deleted.newer))
        if session.failed:
            return Saved(settled=False)
        account = self._account
        now = account.clock()
        token = work.issued.remaining(now, with_refresh_token=account.presents_refresh_tokens)
        return await session.save(aged(token, now - work.since))

    async def _overtaken(self, work: _Work, session: StoreSession) -> bool:
        stored = await session.load()
        if stored is not None and not _is_own(stored, work) and self._is_newer(stored, session.age, work):
            return True
        if session.loaded is not None:
            self._note_look(work, stored)
        return False

    def _is_retired(self, stored: Token | None) -> bool:
        return stored is not None and stored in self.retired

    def _is_newer(self, stored: Token, age: float | None, work: _Work) -> bool:
        return not self._is_retired(stored) and work.is_overtaken_by(stored, age, self._account.clock())

    def _note_look(self, work: _Work, stored: Token | None) -> None:
        """Note that *stored* was in the store when *work* began, or is older: whatever else is there later is newer."""
        work.looked = True
        if stored is not None and not _is_own(stored, work):
            self.retired.add(stored)


def _is_own(stored: Token, work: _Work) -> bool:
    return work.issued is not None and is_same_login(stored, work.issued.token)


def _pauses() -> Iterator[float]:
    """Draw each pause with jitter: a whole fleet lost its store at the same moment."""
    for pause in chain(PAUSES, repeat(PAUSES[-1])):
        yield pause * random.uniform(0.75, 1.0)  # noqa: S311 - jitter is not a secret
