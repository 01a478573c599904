"""
Gets the next token: one flight at a time, for who waits, ahead of expiry, and not any more after a logout.

1. A new grant is current before it is saved and told; who waits resumes after both.
2. A flight that is no longer current (logout, close, another loop) installs nothing and saves nothing.
3. A text that was refused or logged out here is never adopted from the store again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .._clock import Clock
from .._events import Reason, emit
from .._options import RenewalOptions
from .._stats import Counters
from .._token import Token
from ..errors import CredentialsRejectedError, ExterviewAuthError, ReentrantLoginError
from ..stores import TokenStore
from .acquisition import Supply
from .grant import Draw, Grant
from .limits import LoginLimits
from .login import LoginRunner
from .on_token import Hook, OnToken
from .schedule import RenewalTimer
from .single_flight import Flight, SingleFlight
from .state import Held

if TYPE_CHECKING:
    from ..stores._access import StoreAccess, StoreSession
    from .saving import Saver


class Renewer:
    """What happens to one account in the background; `held` is what it leaves for requests."""

    __slots__ = (
        "__weakref__",
        "_account",
        "_clock",
        "_closing",
        "_counters",
        "_held",
        "_hook",
        "_leaving",
        "_limits",
        "_owner",
        "_saver",
        "_single",
        "_store",
        "_supply",
        "_timer",
    )

    def __init__(
        self,
        login: Callable[[Token | None], Awaitable[Token]],
        held: Held,
        *,
        policy: RenewalOptions,
        limits: LoginLimits,
        counters: Counters,
        store: TokenStore | None,
        account: str,
        prepare: Callable[[], Awaitable[None]],
        on_token: OnToken | None,
        clock: Clock,
        draw: Draw,
        owner: Callable[[], object],
    ) -> None:
        self._owner = owner
        self._held = held
        self._limits = limits
        self._counters = counters
        self._account = account
        self._clock = clock
        runner = LoginRunner(login, prepare=prepare, limits=limits, clock=clock, counters=counters, policy=policy)
        self._supply = Supply(runner, limits=limits, prepare=prepare, policy=policy, clock=clock, draw=draw)
        self._store: StoreAccess | None = None
        self._saver: Saver | None = None
        if store is not None:
            from ..stores._access import StoreAccess  # noqa: PLC0415 - as above
            from .saving import Saver  # noqa: PLC0415 - most owners share with nobody

            self._store = StoreAccess(store, account, clock, counters, policy.login_timeout)
            self._saver = Saver(self._store, clock, counters, self._supply.is_past)
        self._hook = Hook(on_token)
        self._single = SingleFlight()
        self._timer = RenewalTimer(self, Renewer._renew_ahead, clock)
        self._leaving: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    # -- flights ----------------------------------------------------------------------------------------------------

    @property
    def current(self) -> Flight | None:
        """The flight under way."""
        return self._single.current

    def flight(self, *, refused: bool = False) -> Flight:
        """The flight to wait for, begun if there is none (*refused*: somebody cannot use the current grant); raises what forbids it."""
        flight = self._single.current
        if flight is None:
            if self._store is None or not self._supply.may_find():
                grant = self._held.living
                self._limits.check(needed=grant is not None and grant.served)
            return self._begin(_reason(self._held.current), refused=refused)
        if flight.contains_caller:
            raise ReentrantLoginError(
                "a login asks for the token that it is to get; let it use context.session, not this owner's"
            )
        return flight

    def _begin(self, reason: Reason, *, refused: bool = False) -> Flight:
        # The owner lives as long as its login: a pool finds it again, and does not make a second one.
        owner = self._owner()
        return self._single.begin(lambda flight: self._fly(flight, owner, reason=reason, refused=refused))

    async def _fly(self, flight: Flight, _owner: object, *, reason: Reason, refused: bool) -> None:
        old = self._held.current
        try:
            if self._leaving is not None:
                await asyncio.wait([self._leaving])
                if flight is not self._single.current:
                    return  # so did another logout meanwhile
            session = None if self._store is None else self._store.session()
            async with self._supply.next(old, session, refused=refused) as grant:
                if flight is not self._single.current:
                    return
                if grant is old:
                    flight.unchanged = True
                    self._held.revive()
                    return
                await self._take(grant, old, reason, session)
        except ExterviewAuthError as failure:
            self._failed(flight, failure, reason)
            raise
        if grant is self._held.current and grant.from_login:
            await self._hook.tell(grant.token, None if old is None else old.token, reason)

    async def _take(self, grant: Grant, old: Grant | None, reason: Reason, session: StoreSession | None) -> None:
        self._install(grant, reason)
        if old is not None and old.token.value != grant.token.value:
            self._supply.never_again(old.token)
        if grant.from_login and self._saver is not None and session is not None:
            asked = self._clock()
            newer = await self._saver.save(grant, session)
            followed = None if newer is None else self._supply.follow(newer, asked=asked)
            if followed is not None and grant is self._held.current:
                self._install(followed, reason)

    def _install(self, grant: Grant, reason: Reason) -> None:
        self._held.install(grant)
        self._timer.arm(grant)
        if not grant.from_login:
            self._counters.adopted += 1
            emit(logging.INFO, "token.adopted", account=self._account, reason=str(reason))
            return
        self._counters.logins += 1
        self._counters.refreshes_ahead += reason is Reason.AHEAD
        emit(logging.INFO, "token.issued", account=self._account, reason=str(reason), expires_in=grant.token.expires_in)

    # -- ahead of expiry --------------------------------------------------------------------------------------------

    def _renew_ahead(self) -> None:
        grant = self._held.living
        if grant is None or self._single.current is not None:
            return
        if self._clock() < grant.renew_at:
            self._timer.arm(grant)
        elif not grant.asked:
            self._held.watch(grant)
        elif not self._limits.rejected:
            self._begin(Reason.AHEAD)

    def asked(self, grant: Grant) -> None:
        """Somebody asks for *grant*; where nobody had when its renewal was due, it begins now, and nobody waits for it."""
        if grant.overdue:
            self._held.unwatch(grant)
            grant.asked = True
            self._renew_ahead()

    def _failed(self, flight: Flight, failure: ExterviewAuthError, reason: Reason) -> None:
        grant = self._held.living
        if reason is not Reason.AHEAD or flight is not self._single.current or grant is None:
            return
        emit(logging.WARNING, "renewal.failed", account=self._account, error=type(failure).__name__)
        if not isinstance(failure, CredentialsRejectedError):
            self._timer.arm_again(grant)

    # -- leaving ----------------------------------------------------------------------------------------------------

    def refused(self, token: Token) -> None:
        """*token* is not taken from the store any more."""
        self._supply.never_again(token)

    def leave(self, error: ExterviewAuthError) -> Flight | None:
        """Forget the token here, at once; who waits gets *error*. The flight that was under way is to be cancelled."""
        if self._held.current is not None:
            self._supply.never_again(self._held.current.token)
        self._held.forget()
        self._timer.disarm()
        return self._single.drop(error)

    async def forget(self, flight: Flight | None) -> None:
        """End *flight* and forget the token in the store, also where the caller is cancelled; one logout after another."""
        saving = None if self._saver is None else self._saver.abandon()
        self._leaving = asyncio.ensure_future(self._clean_up(flight, self._leaving, saving))
        await asyncio.wait([self._leaving])

    async def _clean_up(self, flight: Flight | None, *earlier: asyncio.Task[None] | None) -> None:
        before = [task for task in earlier if task is not None]
        if before:
            await asyncio.wait(before)
        if flight is not None:
            await flight.cancel()
        if self._store is not None:
            self._supply.trusts_store = await self._store.session(probe=True).delete()

    def close(self, flight: Flight | None) -> None:
        """Begin to end *flight* and all else that was begun, with one last attempt at a save that is due."""
        self._closing = asyncio.ensure_future(self._close(flight))

    async def closed(self) -> None:
        """Wait until all has ended that `close` ends."""
        if self._closing is not None:
            await asyncio.wait([self._closing])

    async def _close(self, flight: Flight | None) -> None:
        if flight is not None:
            await flight.cancel()
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        if self._saver is not None and self._store is not None:
            await self._saver.aclose()
            await self._store.aclose()

    def disarm(self) -> None:
        """Let no renewal begin by itself."""
        self._timer.disarm()

    def change_loop(self) -> None:
        """Let go of what belongs to another loop or process, without touching it."""
        self._single.drop(None)
        self._held.close_express()
        self._leaving = self._closing = None
        self._timer.release()
        if self._saver is not None and self._store is not None:
            self._store.release()
            self._saver.change_loop()
        if self._held.current is not None:
            self._timer.arm(self._held.current)

    @property
    def due(self) -> bool:
        """Whether a renewal will begin by itself."""
        return self._timer.armed

    @property
    def busy(self) -> bool:
        """Whether a login or a save is under way."""
        return self._single.current is not None or (self._saver is not None and self._saver.busy)


def _reason(grant: Grant | None) -> Reason:
    if grant is None:
        return Reason.FIRST
    return Reason.REFUSED if grant.dead else Reason.EXPIRED
