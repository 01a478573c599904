"""Where the next grant comes from: the store, if it holds a newer token, else a login."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from ._clock import Clock
from ._grant import Grant
from ._login_runner import LoginRunner, Policy
from ._store_guard import StoreGuard
from ._token import Token
from .errors import LoginUnavailableError

LOCK_SHARE = 0.5
"""The part of the login timeout that waiting for the shared lock may take."""
REMEMBERED_TEXTS = 16
"""How many tokens that were refused are known by their text."""


class Supply:
    """One account's tokens to come. `next` is called under `lock`, which the fleet shares where there is a store."""

    def __init__(
        self,
        runner: LoginRunner,
        store: StoreGuard | None,
        *,
        prepare: Callable[[], Awaitable[None]],
        policy: Policy,
        clock: Clock,
        draw: random.Random,
    ) -> None:
        self._prepare = prepare
        self._runner = runner
        self._store = store
        self._policy = policy
        self._clock = clock
        self._draw = draw
        self._dead_texts: deque[str] = deque(maxlen=REMEMBERED_TEXTS)
        self.trusts_store = True
        """False after a logout that the store did not hear of, until the next token of our own."""

    def never_again(self, token: Token) -> None:
        """*token* was refused or logged out: it is not taken from the store any more."""
        self._dead_texts.append(token.value)

    @contextlib.asynccontextmanager
    async def lock(self) -> AsyncIterator[float]:
        """
        Excludes the account's other owners while a grant is got and saved; gives the deadline for `next`.

        A holder that does not give the lock back within its share of the login timeout does not stop this owner.
        """
        deadline = self._clock() + self._policy.login_timeout
        async with contextlib.AsyncExitStack() as stack:
            if self._store is not None:
                await stack.enter_async_context(self._store.lock(self._policy.login_timeout * LOCK_SHARE))
            yield deadline

    async def next(self, old: Grant | None, deadline: float) -> Grant:
        """
        A grant to follow *old*; *old* itself where the login has nothing newer.

        Raises `LoginError`, by *deadline*.
        """
        async with self._in_time(deadline):
            await self._prepare()
            stored = await self._store.load() if self._store is not None and self.trusts_store else None
            return self._adopt(stored, old) or await self._log_in(old, stored, deadline)

    def _adopt(self, stored: Token | None, old: Grant | None) -> Grant | None:
        if stored is None or stored.value in self._dead_texts or (old is not None and stored.value == old.token.value):
            return None
        now = self._clock()
        grant = self._timed(Grant(stored, from_login=False), began=now, received=now)
        newer = old is None or old.dead or grant.expires > old.expires
        return grant if newer and now < grant.expires else None

    async def _log_in(self, old: Grant | None, stored: Token | None, deadline: float) -> Grant:
        issued = await self._runner.run(_previous(old, stored), deadline)
        if old is not None and issued.token is old.token:
            return old
        self.trusts_store = True
        began = issued.received if issued.token.counts_from_receipt else issued.sent
        return self._timed(Grant(issued.token, from_login=True), began=began, received=issued.received)

    def _timed(self, grant: Grant, *, began: float, received: float) -> Grant:
        return grant.timed(began=began, received=received, window=self._policy.refresh_ahead, draw=self._draw)

    @contextlib.asynccontextmanager
    async def _in_time(self, deadline: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(deadline - self._clock()):
                yield
        except TimeoutError:
            self._runner.timed_out()
        else:
            return
        seconds = self._policy.login_timeout
        raise LoginUnavailableError(f"no login came to its end within {seconds:g} s; see whether its endpoint answers")


def _previous(old: Grant | None, stored: Token | None) -> Token | None:
    """What the login replaces: the store's refresh token is newer than any that this process knows."""
    if stored is not None and stored.refresh_token is not None and (old is None or stored.value != old.token.value):
        return stored
    return None if old is None else old.token
