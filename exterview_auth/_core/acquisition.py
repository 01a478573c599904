"""Where the next grant comes from: the store, if it holds a newer token, else a login, which one owner makes for all."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from .._calls import within
from .._clock import Clock
from .._options import RenewalOptions
from .._token import Token
from ..errors import LoginError
from .grant import Draw, Grant
from .limits import LoginLimits
from .login import LoginRunner

if TYPE_CHECKING:
    from ..stores._access import StoreSession

LOCK_SHARE = 0.5
"""The part of the login timeout that waiting for the shared lock may take."""
REMEMBERED_TEXTS = 16
"""How many tokens that an owner is done with are known by their text."""
LOOK_AGAIN = 1.0
"""Seconds between two looks into the store while no login may be made."""


class Supply:
    """One account's tokens to come."""

    __slots__ = (
        "_asked",
        "_clock",
        "_draw",
        "_limits",
        "_look_at",
        "_past",
        "_policy",
        "_prepare",
        "_runner",
        "trusts_store",
    )

    def __init__(
        self,
        runner: LoginRunner,
        *,
        limits: LoginLimits,
        prepare: Callable[[], Awaitable[None]],
        policy: RenewalOptions,
        clock: Clock,
        draw: Draw,
    ) -> None:
        self._prepare = prepare
        self._runner = runner
        self._limits = limits
        self._look_at = self._asked = float("-inf")
        self._policy = policy
        self._clock = clock
        self._draw = draw
        self._past: tuple[str, ...] = ()
        self.trusts_store = True
        """False after a logout that the store did not hear of, until the next token of our own."""

    def never_again(self, token: Token) -> None:
        """*token* was refused, replaced or logged out: it is not taken from the store any more."""
        self._past = (*self._past, token.value)[-REMEMBERED_TEXTS:]

    def is_past(self, text: str) -> bool:
        """Whether this owner has had the token and is done with it: what the store holds is older than its own."""
        return text in self._past

    def may_find(self) -> bool:
        """Whether it is time to look into the store again, although no login may be made: another may have made one."""
        return self._clock() >= self._look_at

    @contextlib.asynccontextmanager
    async def next(
        self, old: Grant | None, session: StoreSession | None, *, refused: bool = False
    ) -> AsyncIterator[Grant]:
        """
        A grant to follow *old*, any other where it was *refused*; *old* itself where the login has nothing newer.

        While the body runs, no other owner of the account logs in. One that holds the account's lock for longer than its
        share of the login timeout does not stop this owner. Raises `LoginError`, by the login timeout; also where no login may be
        made and the store has nothing newer.
        """
        deadline = self._clock() + self._policy.login_timeout
        self._runner.begin()
        async with contextlib.AsyncExitStack() as stack:
            async with self._in_time(deadline):
                if session is not None:
                    await self._prepare()
                found, stored = await self._from_store(old, session, stack, refused=refused)
                grant = found or await self._log_in(old, stored, deadline)
            yield grant

    def follow(self, newer: Token, *, asked: float) -> Grant | None:
        """The grant of a token that another saved while this process was paused, if it is of any use."""
        self._asked = asked
        return self._adopt(newer, None, refused=False)

    async def _from_store(
        self, old: Grant | None, session: StoreSession | None, stack: contextlib.AsyncExitStack, *, refused: bool
    ) -> tuple[Grant | None, Token | None]:
        """A grant that another has got, and what the store holds; without one it is this owner's turn, until *stack* ends."""
        if session is None:
            return None, None
        stored = await self._look(session)
        grant, ours = self._adopt(stored, old, refused=refused), False
        if grant is None:
            self._require_permission(old)
            from ..stores._waiting import lock_waiter  # noqa: PLC0415 - most owners share with nobody

            waiter = await stack.enter_async_context(lock_waiter(session, self._policy.login_timeout * LOCK_SHARE))
        while grant is None and not ours:
            ours = await waiter.try_acquire()
            if ours or await waiter.wait_for_change():
                seen = await self._look(session)
                stored = stored if session.failed else seen
                grant = self._adopt(stored, old, refused=refused)
        return grant, stored

    def _require_permission(self, old: Grant | None) -> None:
        try:
            self._limits.check(needed=old is not None and not old.dead and old.served)
        except LoginError:
            self._look_at = self._clock() + LOOK_AGAIN
            raise

    async def _look(self, session: StoreSession) -> Token | None:
        self._asked = self._clock()
        return await session.load() if self.trusts_store else None

    def _adopt(self, stored: Token | None, old: Grant | None, *, refused: bool) -> Grant | None:
        if stored is None or self.is_past(stored.value) or (old is not None and stored.value == old.token.value):
            return None
        # What is left of its life counts from the question: the machine may have slept since.
        grant = self._timed(Grant(stored, from_login=False), began=self._asked, received=self._asked)
        newer = old is None or old.dead or refused or grant.expires > old.expires
        return grant if newer and self._clock() < grant.expires else None

    async def _log_in(self, old: Grant | None, stored: Token | None, deadline: float) -> Grant:
        issued = await self._runner.run(self._previous(old, stored), deadline)
        if old is not None and issued.token is old.token:
            return old
        self.trusts_store = True
        began = issued.received if issued.token.counts_from_receipt else issued.sent
        return self._timed(Grant(issued.token, from_login=True), began=began, received=issued.received)

    def _previous(self, old: Grant | None, stored: Token | None) -> Token | None:
        """What the login replaces: the store's refresh token is newer than any here, unless this owner has had it."""
        own = None if old is None else old.token
        if stored is None or stored.refresh_token is None or self.is_past(stored.value):
            return own
        return own if own is not None and own.value == stored.value else stored

    def _timed(self, grant: Grant, *, began: float, received: float) -> Grant:
        return grant.timed(began=began, received=received, window=self._policy.refresh_ahead, draw=self._draw)

    @contextlib.asynccontextmanager
    async def _in_time(self, deadline: float) -> AsyncIterator[None]:
        try:
            async with within(deadline - self._clock()):
                yield
        except TimeoutError:
            error = self._runner.timed_out(self._policy.login_timeout)
        else:
            return
        raise error
