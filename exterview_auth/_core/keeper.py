"""
What requests ask: a token, a place to wait for one, and what a refusal means.

1. A request that finds no unexpired token joins the login in flight, or starts it, in one synchronous step.
2. A refusal counts by identity: only a refusal of the current token rejects it, and only once.
3. One caller's refusals cost the others nothing: a token that works for others is not given up for them without end.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .._events import emit
from .._token import Token
from ..errors import ExterviewAuthError
from ..stores import TokenStore
from .account import Account
from .lifecycle import Lifecycle
from .limits import LoginLimits
from .on_login import OnLogin, OnLoginHook
from .on_token import OnToken, OnTokenHook
from .renewal import Renewal
from .single_flight import Waiter
from .state import IssuedToken, TokenState

if TYPE_CHECKING:
    from .._stats import Stats


class Keeper:
    """
    Keeps one account's token, in `state`. The parts of the core that live as long as their owner are created here.

    *login* gets the token that is being replaced and returns the next (that same object if there is nothing newer).
    *store* is where owners of the same account share it. *keep_alive* returns the object that must stay alive while a login runs.
    """

    __slots__ = ("_limits", "_renewal", "account", "lifecycle", "state")

    def __init__(
        self,
        login: Callable[[Token | None], Awaitable[Token]],
        account: Account,
        *,
        store: TokenStore | None = None,
        on_token: OnToken | None = None,
        on_login: OnLogin | None = None,
        keep_alive: Callable[[], object] = lambda: None,
    ) -> None:
        self.account = account
        self.state = TokenState(account.clock)
        self._limits = LoginLimits(account)
        access = saver = None
        if store is not None:
            from ..stores._access import StoreAccess  # noqa: PLC0415 - as below
            from .saving import Saver  # noqa: PLC0415 - most owners share with nobody

            access = StoreAccess(
                store,
                account.name,
                account,
                account.options.login_timeout,
                label=account.label,
            )
            saver = Saver(access, account)
        listening = None
        if on_login is not None:
            listening = OnLoginHook(on_login, account)
            account.listen(listening)
        self._renewal = Renewal(
            account,
            self.state,
            self._limits,
            login,
            hook=None if on_token is None else OnTokenHook(on_token, account),
            on_login=listening,
            store=access,
            saver=saver,
            keep_alive=keep_alive,
        )
        self.lifecycle = Lifecycle(account, self._renewal)

    async def obtain(
        self,
        refused: IssuedToken | None = None,
        *,
        waiter: Waiter | None = None,
        is_late: Callable[[], bool] | None = None,
    ) -> IssuedToken:
        """
        Return a token to send with, after a login if one is needed; the caller may have waited in *waiter* already.

        It is another one than *refused*, or *refused* itself if the login has nothing newer. Cancelling the caller changes
        nothing for others; *is_late* says whether that means that the caller's time is up. Raises the login's error,
        `LoggedOutError`, `ReentrantLoginError`, and what `Lifecycle.enter` raises.
        """
        waited_again = False
        while True:
            if waiter is None or waiter.consumed:
                self.lifecycle.enter()
                issued = self.state.unexpired
                if issued is not None and issued is not refused:
                    self._renewal.note_use(issued)
                    return issued
                waiter = self.join_login(refused)
                waiter.is_late = is_late
                with waiter as done:
                    await done
            waiter.consumed = True
            issued = self.state.current
            if issued is None:
                continue  # a logout came in between
            # The refused token again is an outcome too, if the login had nothing newer. It may be rejected by now: others woke
            # first.
            if not issued.rejected and (waiter.flight.unchanged or issued is not refused):
                if waited_again or not issued.unexpired_at_install or self.state.unexpired is issued:
                    return issued
                # The store or the hook took longer than the token lives: wait for the next one, but only once.
                waited_again = True

    def note_wait(self, failure: BaseException, seconds: float) -> None:
        """Note on *failure*, which ends a caller's wait after so many *seconds*, what the login has met meanwhile."""
        failure.add_note(f"the request waited {seconds:.1f} s for a login, {self._renewal.progress}")

    def join_login(self, refused: IssuedToken | None = None, *, deadline: float | None = None) -> Waiter:
        """
        Join the login in flight, starting one if necessary. Call `obtain` afterwards for the outcome.

        Joins also if the current token, *refused*, is of no use to the caller. Raises the error that blocks logins.
        """
        self.lifecycle.enter()
        flight = self._renewal.join_or_begin(replace=refused is not None and self.state.unexpired is refused)
        self.account.waiting_peak = max(self.account.waiting_peak, flight.waiting + 1)
        return Waiter(flight, deadline)

    def refuse(self, issued: IssuedToken, *, again: bool = False) -> bool:
        """
        Note that the API refused *issued*, start the login that this needs, and return whether to send again.

        *again*: the request had been refused before *issued* came. If it came from a login, the request gets the refusal,
        and the token stays: it may work for others.
        """
        if self.inside_login:
            return False  # the login's own request: it must not wait for itself
        self.account.refused()
        if issued is self.state.current:
            self._note_if_useless(issued, again=again)
            if (again and issued.from_login) or not self._give_up_unless_shared(issued):
                return False
        if self.state.unrejected is None:
            # Started here and not by the next request: this one may have a body that cannot be sent twice. If no login is
            # allowed now, the next request gets the reason.
            with contextlib.suppress(ExterviewAuthError):
                self.lifecycle.enter()
                self._renewal.join_or_begin()
        return True

    def _give_up_unless_shared(self, issued: IssuedToken) -> bool:
        """Reject the current token, unless it works for others and the budget says so; return whether to ask for another."""
        if issued.rejected:
            return True
        if self._limits.exhausted:
            # A token that never worked: ask, and get the budget's error. One that works is kept for the others.
            return not issued.ever_accepted
        if issued.accepted_since_refusal and self._limits.nearly_exhausted:
            # The last login is for a token that works for nobody any more: this may be one caller's own refusal again.
            issued.accepted_since_refusal = False
            return False
        self._reject(issued)
        return True

    def invalidate(self, token: Token) -> None:
        """Mark *token* rejected, if it is the current one."""
        self.lifecycle.ensure_usable()
        issued = self.state.current
        # By value, not by identity: the application holds a `Token`, and perhaps another owner's.
        if issued is not None and token.value == issued.token.value:
            self._note_if_useless(issued)
            self._reject(issued)

    @property
    def inside_login(self) -> bool:
        """Whether the calling code is part of a login or hook of this keeper."""
        flight = self._renewal.single_flight.current
        return flight is not None and flight.is_caller_inside

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        self.account.waiting = self.waiters
        return self.account.snapshot()

    @property
    def waiters(self) -> int:
        """The number of requests that wait for a login now."""
        flight = self._renewal.single_flight.current
        return 0 if flight is None else flight.waiting

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the end of the current token's life; ``None`` without a token that may be sent, or without an end."""
        issued = self.state.unexpired
        return None if issued is None or issued.end == math.inf else issued.end - self.account.clock()

    def _reject(self, issued: IssuedToken) -> None:
        if not issued.rejected:
            self.state.reject()
            self._renewal.retire(issued.token)
            emit(logging.INFO, "token.refused", account=self.account.label)

    def _note_if_useless(self, issued: IssuedToken, *, again: bool = False) -> None:
        """
        Count the login that gave *issued*, which is refused now, if it was useless. Nothing else decides that.

        It was useless if *issued* is refused soon after it came, and to whomever, before it was accepted for any request. Or
        it is refused *again* to a request that this login was made for. A token from the store is not this owner's login.
        """
        soon = self.account.clock() < issued.installed_at + self._limits.window
        if issued.from_login and not issued.useless and (again or (soon and not issued.ever_accepted)):
            issued.useless = True
            self.account.login_was_useless()
            self._limits.record_useless()
