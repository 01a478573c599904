"""Where the next token comes from: the store, if another owner saved a newer one, else one login for all owners."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .._calls import within
from .._token import Token, is_foreign, is_same_login, issuer_of, name_login
from ..errors import LoginError
from .account import Account
from .login import LoginRunner
from .state import IssuedToken, RetiredTokens

if TYPE_CHECKING:
    from ..stores._access import StoreSession
    from .saving import Saver

STORE_CHECK_INTERVAL = 1.0
"""Seconds between two looks into the store while no login is allowed."""


class Acquisition:
    """
    One account's way to its next token: created for a login, and gone with it.

    A token in the store that is retired is never used, nor one that is older than what *saver* has yet to put in its place.
    """

    __slots__ = ("_account", "_asked", "_retired", "_runner", "_saver", "_waits_for_lock")

    def __init__(
        self,
        runner: LoginRunner,
        account: Account,
        saver: Saver | None = None,
    ) -> None:
        self._runner = runner
        self._account = account
        self._asked = -math.inf
        self._saver = saver
        self._retired = RetiredTokens() if saver is None else saver.retired
        self._waits_for_lock = False

    @property
    def progress(self) -> str:
        """What a login that is under way has met so far, as the end of a sentence."""
        return "which waits for another process's login" if self._waits_for_lock else self._runner.progress

    @contextlib.asynccontextmanager
    async def next(
        self,
        old: IssuedToken | None,
        session: StoreSession | None,
        *,
        logout: asyncio.Future[None] | None = None,
        replace: bool = False,
    ) -> AsyncIterator[IssuedToken]:
        """
        Yield a token to follow *old*: any other with *replace*, *old* itself if the login has nothing newer.

        While the body runs, no other owner of the account logs in. One that holds the account's lock and shows no life does
        not stop this owner. A *logout* that runs ends first. Raises `LoginError` within the login timeout, also when no login is
        allowed and the store has nothing newer.
        """
        deadline = self._account.clock() + self._account.options.login_timeout
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._runner.end)
            async with self._in_time(deadline):
                if logout is not None:
                    await asyncio.wait([logout])
                issued, stored = None, None
                if session is not None:
                    try:
                        # An adopted token needs no login, but after a 401 the API key must be read again all the same.
                        await self._runner.prepare()
                        issued, stored = await self._from_store(old, session, stack, replace=replace)
                    except LoginError:
                        session.access.look_again_at = self._account.clock() + STORE_CHECK_INTERVAL
                        raise
                if issued is None:
                    issued = await self._log_in(old, stored, deadline)
            yield issued

    def adopt_newer(self, newer: Token, *, asked: float) -> IssuedToken | None:
        """Return the token that another owner saved while this process was not running, if it is of any use."""
        self._asked = asked
        return self._adopt(newer, None, None)

    async def login_answered(self, seconds: float) -> None:
        """Wait at most so many *seconds* for the answer to a login that has been sent."""
        await self._runner.answered(seconds)

    async def _from_store(
        self, old: IssuedToken | None, session: StoreSession, stack: contextlib.AsyncExitStack, *, replace: bool
    ) -> tuple[IssuedToken | None, Token | None]:
        """Return a token that another owner got, or None once this owner may log in, until *stack* ends; and what is stored."""
        stored = earlier = await self._read_store(session)
        issued = self._adopt(stored, old, earlier, replace=replace)
        if issued is not None:
            return issued, stored
        self._runner.ensure_allowed(needed=old is not None and old.was_useful)
        from ..stores._waiting import lock_waiter  # noqa: PLC0415 - most owners share with nobody

        waiter = await stack.enter_async_context(lock_waiter(session, session.access.lock_patience))
        acquired = False
        self._waits_for_lock = True
        while issued is None and not acquired:
            acquired = await waiter.try_acquire()
            # Whoever held the lock until now has usually saved what this owner is looking for.
            if acquired or await waiter.wait_for_change():
                seen = await self._read_store(session)
                stored = stored if session.failed else seen
                issued = self._adopt(stored, old, earlier, replace=replace)
        return issued, stored

    async def _read_store(self, session: StoreSession) -> Token | None:
        self._asked = self._account.clock()
        stored = await session.load()
        outdated = stored is not None and self._saver is not None and self._saver.outdates(stored, session.age)
        return None if outdated else stored

    def _adopt(
        self, stored: Token | None, old: IssuedToken | None, earlier: Token | None, *, replace: bool = False
    ) -> IssuedToken | None:
        """
        Return *stored* as an issued token if it is new to this owner, not from another issuer, not expired, and better than *old*.

        It is better if it lives longer, or if *old* is of no use any more, or only still used because a login had nothing
        newer. When it was saved says nothing: clocks differ. The text that was refused here is of use again only if it is not
        what the store held *earlier*, when this owner began to look: a login has given it since.
        """
        if stored is None or stored in self._retired or is_foreign(stored, self._account.issuer):
            return None
        if old is not None and is_same_login(stored, old.token):
            return None
        was_refused = old is not None and old.rejected and stored.value == old.token.value
        if was_refused and earlier is not None and is_same_login(stored, earlier):
            return None
        # What is left of its lifetime counts from the question: the machine may have slept since.
        issued = self._timed(IssuedToken(stored, from_login=False), began=self._asked, received=self._asked)
        better = old is None or old.rejected or old.outlives_itself or replace or issued.expires > old.expires
        return issued if better and self._account.clock() < issued.expires else None

    async def _log_in(self, old: IssuedToken | None, stored: Token | None, deadline: float) -> IssuedToken:
        self._waits_for_lock = False  # not before: the lock may come when no time is left
        result = await self._runner.run(self._newest(None if old is None else old.token, stored), deadline)
        if old is not None and result.token is old.token:
            return old
        if self._saver is not None:
            name_login(result.token)
        began = result.received if result.token.counts_from_receipt else result.sent
        return self._timed(IssuedToken(result.token, from_login=True), began=began, received=result.received)

    def _newest(self, own: Token | None, stored: Token | None) -> Token | None:
        """Return which of both the login replaces: the one whose refresh token it may present."""
        if stored is None or stored.refresh_token is None or stored in self._retired:
            return own
        # Another issuer would get a secret that is not its own, and the owner would lose the one that it can use.
        if is_foreign(stored, self._account.issuer or (None if own is None else issuer_of(own))):
            return own
        # The store's refresh token is newer than any here: a single-use one that was presented already would log everybody
        # out. The same token as ours stays ours, so that the login can return that very object.
        return own if own is not None and is_same_login(own, stored) else stored

    def _timed(self, issued: IssuedToken, *, began: float, received: float) -> IssuedToken:
        window, random = self._account.options.refresh_ahead, self._account.random
        return issued.timed(began=began, received=received, window=window, random=random)

    @contextlib.asynccontextmanager
    async def _in_time(self, deadline: float) -> AsyncIterator[None]:
        try:
            async with within(deadline - self._account.clock()):
                yield
        except TimeoutError:
            # Raised outside this block: the timeout as its context says nothing and may hold what must not show.
            error = self._runner.timed_out(self._account.options.login_timeout, waited_for_lock=self._waits_for_lock)
        else:
            return
        raise error
