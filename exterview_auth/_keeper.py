"""
The part that decides: get, renew, renew ahead, invalidate, log out. It knows no network library.

1. At most one flight is current; whoever finds no living grant joins it or begins it, in one synchronous step.
2. A refusal counts by identity: only that of the current grant makes it dead, and only once.
3. A new grant is current before it is saved and told; waiters resume after both.
4. A flight that is no longer current (logout, close, another loop) installs nothing and saves nothing.
5. A text that was refused or logged out here is never adopted from the store again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Awaitable, Callable
from functools import partial

from ._clock import Clock, boot_time
from ._events import Reason, emit
from ._grant import Grant
from ._hook import Hook, OnToken
from ._login_limits import LoginLimits
from ._login_runner import DEFAULTS, LoginRunner, Policy
from ._loop_bond import LoopBond
from ._renewal import RenewalTimer
from ._saver import Saver
from ._single_flight import Flight, SingleFlight
from ._stats import Counters, Stats
from ._store_guard import StoreGuard
from ._supply import Supply
from ._token import Token
from .errors import (
    ClosedError,
    CredentialsRejectedError,
    ExterviewAuthError,
    LoggedOutError,
    ReentrantLoginError,
)
from .stores import TokenStore


class Keeper:
    """
    Keeps one account's token.

    *login* gets the token that is being replaced and returns the next (that same object where there is nothing newer);
    *prepare* is awaited before each look for a token. *store* and *account* name the shared entry. *clock* and *draw* may
    be injected.
    """

    def __init__(
        self,
        login: Callable[[Token | None], Awaitable[Token]],
        *,
        policy: Policy = DEFAULTS,
        store: TokenStore | None = None,
        account: str = "",
        prepare: Callable[[], Awaitable[None]] | None = None,
        on_token: OnToken | None = None,
        clock: Clock = boot_time,
        draw: random.Random | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._account = account
        self.counters = Counters()
        self._limits = LoginLimits(policy.max_logins, clock)
        runner = LoginRunner(login, limits=self._limits, clock=clock, counters=self.counters, policy=policy)
        self._guard = None if store is None else StoreGuard(store, account, clock, self.counters)
        self._saver = None if self._guard is None else Saver(self._guard, clock, self.counters)
        self._supply = Supply(
            runner,
            self._guard,
            prepare=prepare or _nothing,
            policy=policy,
            clock=clock,
            draw=draw or random.Random(),  # noqa: S311 - jitter is no secret
        )
        self._hook = Hook(on_token)
        self._single = SingleFlight()
        self._timer = RenewalTimer(self._renew_ahead, clock)
        self.bond = LoopBond()
        self._leaving: asyncio.Task[None] | None = None
        self._closed = self._retired = False
        # Invariant: requests are signed with `current` alone, and without asking anybody only before `fresh_until`,
        # which lies in the past whenever `current` is missing or dead, or the keeper closed.
        self.current: Grant | None = None
        self.fresh_until = -math.inf
        self.issued = 0

    # -- what requests ask ------------------------------------------------------------------------------------------

    async def obtain(self, refused: Grant | None = None) -> Grant:
        """
        A grant to send with, made if there is none.

        Other than *refused*; *refused* itself where the login has nothing newer. Cancelling the caller changes nothing for
        others. Raises the login's error, or `LoggedOutError`, `ClosedError`, `ReentrantLoginError`.
        """
        while True:
            self._enter()
            grant = self.current
            if grant is not None and grant is not refused and not grant.dead and self._clock() < grant.expires:
                return grant
            flight = self._flight()
            await self._wait_for(flight)
            grant = self.current
            if grant is not None and (flight.unchanged if grant is refused else not grant.dead):
                return grant
            if grant is not None and grant.dead and not grant.served:
                self._note_useless(grant)

    @property
    def usable(self) -> Grant | None:
        """The grant that a request may be written with whose turn has come; whether it is too old, only the API can tell."""
        return None if self.current is None or self.current.dead else self.current

    def refuse(self, grant: Grant, *, waited: bool, again: bool = False) -> bool:
        """
        Take note that the API refused *grant*; whether sending again may help.

        *waited*: the request was sent with a grant that came after it began; *again*: it had been refused before. A login
        whose token is refused to who waited for it is useless, unless it served others and was revoked since. Who is refused
        again with a token fresh from a login gets the refusal, and the token stays: it may serve others.
        """
        self.counters.unauthorized += 1
        if grant is not self.current:
            return True
        fresh = waited and grant.from_login
        if fresh and (again or not grant.served):
            self._note_useless(grant)
        if fresh and again:
            return False
        if self._limits.exhausted:
            return not grant.served
        self._kill(grant)
        return True

    def invalidate(self, token: Token) -> None:
        """Mark *token* refused, if it is the current one."""
        if self.current is not None and token.value == self.current.token.value:
            self._kill(self.current)

    def renew_soon(self) -> None:
        """Begin the login that a dead grant needs, for whoever comes next; what forbids it is told to them."""
        if self.current is None or self.current.dead:
            with contextlib.suppress(ExterviewAuthError):
                self._enter()
                self._flight()

    @property
    def inside_login(self) -> bool:
        """Whether the calling code is part of a login or hook of this keeper."""
        flight = self._single.current
        return flight is not None and flight.contains_caller

    # -- leaving ----------------------------------------------------------------------------------------------------

    async def logout(self) -> None:
        """Forget the token here and in the store; who waits gets `LoggedOutError`, a login in flight is discarded."""
        self._enter()
        flight = self._leave(LoggedOutError("the owner was logged out while this request waited for a token"))
        if self._saver is not None:
            self._saver.abandon()
        self._limits.forget()
        emit(logging.INFO, "logged_out", account=self._account)
        self._leaving = asyncio.ensure_future(self._clean_up(flight))
        await asyncio.wait([self._leaving])

    async def _clean_up(self, flight: Flight | None) -> None:
        if flight is not None:
            await flight.cancel()
        if self._guard is not None:
            self._supply.trusts_store = await self._guard.delete()

    def _leave(self, error: ExterviewAuthError) -> Flight | None:
        if self.current is not None:
            self._supply.never_again(self.current.token)
        self.current, self.fresh_until = None, -math.inf
        self._timer.disarm()
        return self._single.drop(error)

    async def aclose(self) -> None:
        """End all background work; who waits gets `ClosedError`, and so does every later use. Twice is fine."""
        if self._closed:
            return
        if not self.bond.entered():
            self._release()
        self._closed = True
        flight = self._leave(ClosedError("the owner was closed while this request waited for a token"))
        if flight is not None:
            await flight.cancel()
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        if self._saver is not None:
            await self._saver.aclose()

    def retire(self) -> None:
        """Go on as before, but let a renewal that is due be no reason to warn when the owner is dropped."""
        self._retired = True

    @property
    def holds_open(self) -> bool:
        """Whether background work is under way or due, on a loop that could still run it."""
        due = self._timer.armed and not self._retired
        busy = self._single.current is not None or (self._saver is not None and self._saver.busy)
        return (due or busy) and self.bond.alive

    @property
    def state(self) -> str:
        """One word for people."""
        if self._closed:
            return "closed"
        if self._single.current is not None:
            return "logging in"
        return "signed in" if self.current is not None and not self.current.dead else "signed out"

    def stats(self) -> Stats:
        """The counters as they are now."""
        flight = self._single.current
        self.counters.waiting = 0 if flight is None else flight.waiting
        return self.counters.snapshot()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        if self._closed:
            raise ClosedError("this ExterviewAuth is closed; make a new one")
        if not self.bond.entered():
            self._release()
            if self.current is not None:
                self._timer.arm(self.current)

    def _release(self) -> None:
        self._single.current = None
        self._leaving = None
        self._timer.release()
        if self._saver is not None:
            self._saver.release()

    def _flight(self) -> Flight:
        """The flight to wait for, begun if there is none; raises what forbids it."""
        flight = self._single.current
        if flight is None:
            self._limits.check()
            return self._begin(_reason(self.current))
        if flight.contains_caller:
            raise ReentrantLoginError(
                "a login asks for the token that it is to get; let it use context.session, not this owner's"
            )
        return flight

    def _begin(self, reason: Reason) -> Flight:
        return self._single.begin(partial(self._fly, reason=reason))

    async def _wait_for(self, flight: Flight) -> None:
        self.counters.waiting_peak = max(self.counters.waiting_peak, flight.waiting + 1)
        await flight.join()

    def _kill(self, grant: Grant) -> None:
        if not grant.dead:
            grant.dead = True
            self.fresh_until = -math.inf
            self._supply.never_again(grant.token)
            emit(logging.INFO, "token.refused", account=self._account)

    def _note_useless(self, grant: Grant) -> None:
        if not grant.useless:
            grant.useless = True
            self.counters.useless_logins += 1
            self._limits.was_useless()

    def _install(self, grant: Grant) -> None:
        self.issued += 1
        grant.number = self.issued
        self.current = grant
        self.fresh_until = grant.expires
        self._timer.arm(grant)

    # -- a flight ---------------------------------------------------------------------------------------------------

    async def _fly(self, flight: Flight, reason: Reason) -> None:
        old = self.current
        try:
            if self._leaving is not None:
                await asyncio.wait([self._leaving])
            async with self._supply.lock():
                grant = await self._supply.next(old)
                if flight is not self._single.current:
                    return
                if grant is old:
                    flight.unchanged = True
                    self._go_on(grant)
                    return
                await self._take(grant, old, reason)
        except ExterviewAuthError as failure:
            self._flight_failed(flight, failure, reason)
            raise
        if grant.from_login:
            await self._hook.tell(grant.token, None if old is None else old.token, reason)

    async def _take(self, grant: Grant, old: Grant | None, reason: Reason) -> None:
        self._install(grant)
        if not grant.from_login:
            self.counters.adopted += 1
            emit(logging.INFO, "token.adopted", account=self._account, reason=str(reason))
            return
        self.counters.logins += 1
        self.counters.refreshes_ahead += reason is Reason.AHEAD
        emit(logging.INFO, "token.issued", account=self._account, reason=str(reason), expires_in=grant.token.expires_in)
        if self._saver is not None:
            await self._saver.save(grant, None if old is None else old.token.value)

    def _go_on(self, grant: Grant) -> None:
        if grant.dead or self._clock() >= grant.expires:
            grant.goes_on()
        self.fresh_until = grant.expires

    # -- ahead of expiry --------------------------------------------------------------------------------------------

    def _renew_ahead(self) -> None:
        grant = self.current
        if self._closed or grant is None or grant.dead or self._single.current is not None:
            return
        if self._clock() < grant.renew_at:
            self._timer.arm(grant)
        elif grant.asked and not self._limits.rejected:
            self._begin(Reason.AHEAD)

    def _flight_failed(self, flight: Flight, failure: ExterviewAuthError, reason: Reason) -> None:
        grant = self.current
        if reason is not Reason.AHEAD or flight is not self._single.current or grant is None or grant.dead:
            return
        emit(logging.WARNING, "renewal.failed", account=self._account, error=type(failure).__name__)
        if not isinstance(failure, CredentialsRejectedError):
            self._timer.arm_again(grant)


def _reason(grant: Grant | None) -> Reason:
    if grant is None:
        return Reason.FIRST
    return Reason.REFUSED if grant.dead else Reason.EXPIRED


async def _nothing() -> None:
    """No preparation."""
