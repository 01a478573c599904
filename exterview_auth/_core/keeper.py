"""
The part that decides: who gets which token, whose refusal means what, and when nobody gets one. It knows no network library.

1. Whoever finds no fresh grant joins the flight, or begins it, in one synchronous step.
2. A refusal counts by identity: only that of the current grant makes it dead, and only once.
3. One caller's refusals cost the others nothing: a grant that serves others is not given up for them without end.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

from .._clock import Clock, boot_time
from .._events import emit
from .._options import DEFAULT_RENEWAL, RenewalOptions
from .._stats import Counters, Stats
from .._token import Token
from ..errors import ClosedError, ExterviewAuthError, LoggedOutError
from ..stores import TokenStore
from .grant import Draw, Grant
from .lifecycle import LoopBond
from .limits import LoginLimits
from .on_token import OnToken
from .renewal import Renewer
from .single_flight import Seat
from .state import Held


class Keeper:
    """
    Keeps one account's token, in `held`.

    *login* gets the token that is being replaced and returns the next (that same object where there is nothing newer);
    *prepare* is awaited before each look for a token. *store* and *account* name the shared entry. *clock* and *draw* (by
    default the module's: a fork draws anew) may be injected. *owner* gives what is to be kept alive while a login runs.
    """

    __slots__ = ("_account", "_closed", "_limits", "_renewer", "_retired", "bond", "counters", "held")

    def __init__(
        self,
        login: Callable[[Token | None], Awaitable[Token]],
        *,
        policy: RenewalOptions = DEFAULT_RENEWAL,
        store: TokenStore | None = None,
        account: str = "",
        prepare: Callable[[], Awaitable[None]] | None = None,
        on_token: OnToken | None = None,
        clock: Clock = boot_time,
        draw: Draw = random,
        owner: Callable[[], object] = lambda: None,
    ) -> None:
        self._account = account
        self._limits = LoginLimits(policy.max_logins, clock)
        self.counters = Counters()
        self.held = Held(clock)
        self.bond = LoopBond()
        self._renewer = Renewer(
            login,
            self.held,
            policy=policy,
            limits=self._limits,
            counters=self.counters,
            store=store,
            account=account,
            prepare=prepare or _nothing,
            on_token=on_token,
            clock=clock,
            draw=draw,
            owner=owner,
        )
        self._closed = self._retired = False

    # -- what requests ask ------------------------------------------------------------------------------------------

    async def obtain(self, refused: Grant | None = None, *, seat: Seat | None = None) -> Grant:
        """
        A grant to send with, made if there is none; the caller may have waited in *seat* already.

        Other than *refused*; *refused* itself where the login has nothing newer. Cancelling the caller changes nothing for
        others. Raises the login's error, or `LoggedOutError`, `ClosedError`, `ReentrantLoginError`.
        """
        held_up = False
        while True:
            if seat is None or seat.spent:
                self._enter()
                grant = self.held.fresh
                if grant is not None and grant is not refused:
                    self._renewer.asked(grant)
                    return grant
                seat = self.seat(refused)
                with seat as landing:
                    await landing
            seat.spent = True
            grant = self.held.current
            if grant is not None and (seat.flight.unchanged if grant is refused else not grant.dead):
                if held_up or not grant.lasting or self.held.fresh is grant:
                    return grant
                held_up = True  # by the store or the hook, for longer than its token lives
            elif grant is not None and grant.dead and not grant.served:
                self._note_useless(grant)

    def seat(self, refused: Grant | None = None, *, until: float | None = None) -> Seat:
        """
        A seat in the flight for a grant, which is begun if there is none; `obtain` says, after it, whether there is one now.

        Also where there is one, *refused*, that is of no use to the caller. Raises what forbids a login.
        """
        self._enter()
        flight = self._renewer.flight(refused=refused is not None and self.held.fresh is refused)
        self.counters.waiting_peak = max(self.counters.waiting_peak, flight.waiting + 1)
        return Seat(flight, until)

    def refuse(self, grant: Grant, *, waited: bool, again: bool = False) -> bool:
        """
        Take note that the API refused *grant*; whether sending again may help.

        *waited*: the request was sent with a grant that came after it began; *again*: it had been refused before. A login
        whose token is refused to who waited for it is useless, unless it served others and was revoked since. Who is refused
        again with a token fresh from a login gets the refusal, and the token stays: it may serve others.
        """
        self.counters.unauthorized += 1
        if grant is not self.held.current:
            return True
        fresh = waited and grant.from_login
        if fresh and (again or not grant.served):
            self._note_useless(grant)
        if fresh and again:
            return False
        return self._may_replace(grant)

    def _may_replace(self, grant: Grant) -> bool:
        if grant.dead:
            return True
        if self._limits.exhausted:
            return not grant.served
        if grant.serving and self._limits.nearly_exhausted:
            # The last login is for a token that serves nobody any more: this may be one caller's own refusal again.
            grant.serving = False
            return False
        self._kill(grant)
        return True

    def invalidate(self, token: Token) -> None:
        """Mark *token* refused, if it is the current one."""
        self.open()
        grant = self.held.current
        if grant is not None and token.value == grant.token.value:
            self._kill(grant)

    def renew_soon(self) -> None:
        """Begin the login that a dead grant needs, for whoever comes next; what forbids it is told to them."""
        if self.held.living is None:
            with contextlib.suppress(ExterviewAuthError):
                self._enter()
                self._renewer.flight()

    @property
    def inside_login(self) -> bool:
        """Whether the calling code is part of a login or hook of this keeper."""
        flight = self._renewer.current
        return flight is not None and flight.contains_caller

    def stats(self) -> Stats:
        """The counters as they are now."""
        flight = self._renewer.current
        self.counters.waiting = 0 if flight is None else flight.waiting
        return self.counters.snapshot()

    # -- leaving ----------------------------------------------------------------------------------------------------

    async def logout(self) -> None:
        """Forget the token here and in the store; who waits gets `LoggedOutError`, a login in flight is discarded."""
        self._enter()
        self._limits.forget()
        emit(logging.INFO, "logged_out", account=self._account)
        error = LoggedOutError("the owner was logged out while this request waited for a token")
        await self._renewer.forget(self._renewer.leave(error))

    async def aclose(self) -> None:
        """End all background work; who waits gets `ClosedError`, and so does every later use. Twice is fine."""
        self._stay()
        if not self._closed:
            self._closed = True
            error = ClosedError("the owner was closed while this request waited for a token")
            self._renewer.close(self._renewer.leave(error))
        await self._renewer.closed()

    def open(self) -> None:
        """Raise `ClosedError` if it is closed."""
        if self._closed:
            raise ClosedError("this ExterviewAuth is closed; make a new one")

    def drop(self) -> None:
        """Nobody holds the owner any more: let no timer be left for it."""
        if self.bond.alive:
            self._renewer.disarm()

    def retire(self, *, retired: bool = True) -> None:
        """Whether a renewal that is due is no reason to warn when the owner is dropped."""
        self._retired = retired

    @property
    def busy(self) -> bool:
        """Whether a login is under way, or a save is still to be repeated, be it on a loop that has ended."""
        return self._renewer.busy

    @property
    def holds_open(self) -> bool:
        """Whether background work is under way or due, on a loop that could still run it."""
        due = self._renewer.due and not self._retired
        return (due or self.busy) and self.bond.alive

    @property
    def state(self) -> str:
        """One word for people."""
        if self._closed:
            return "closed"
        if self._renewer.current is not None:
            return "logging in"
        return "signed out" if self.held.living is None else "signed in"

    # -- inside -----------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        self.open()
        self._stay()

    def _stay(self) -> None:
        if not self.bond.entered():
            self._renewer.change_loop()

    def _kill(self, grant: Grant) -> None:
        if not grant.dead:
            self.held.kill()
            self._renewer.refused(grant.token)
            emit(logging.INFO, "token.refused", account=self._account)

    def _note_useless(self, grant: Grant) -> None:
        if not grant.useless:
            grant.useless = True
            self.counters.useless_logins += 1
            self._limits.was_useless()


async def _nothing() -> None:
    """No preparation."""
