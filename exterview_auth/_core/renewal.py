"""
Replaces the token: one login at a time, on demand or ahead of expiry. A logout discards the login in flight.

1. A new token is current before it is saved and before the hook is called; waiters resume after both.
2. A flight that is no longer current (logout, close, another loop) installs nothing. After a close, it saves what it got.
3. A token that was rejected or logged out here is never adopted from the store again.
4. A login gives one `LoginRecord` when it ends, also one that was discarded; `_record` alone makes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .._calls import kind_of, problem_of
from .._events import Reason, emit
from .._token import is_same_login
from ..errors import ReentrantLoginError
from .account import Account
from .acquisition import Acquisition
from .limits import LoginLimits
from .login import NOT_ANSWERED, LoginCourse, LoginRunner
from .on_login import OnLoginHook
from .on_token import OnTokenHook
from .schedule import Scheduled
from .single_flight import CANCELLED, Flight, SingleFlight
from .state import IssuedToken, TokenState

if TYPE_CHECKING:
    from .._login_record import LoginRecord, Outcome
    from .._token import Token
    from ..stores._access import StoreAccess, StoreSession
    from .saving import Saver


class Renewal(Scheduled):
    """Gets one account's tokens in the background and puts them into `state`, where requests find them."""

    __slots__ = (
        "acquisition",
        "hook",
        "keep_alive",
        "limits",
        "login",
        "logout_task",
        "on_login",
        "saver",
        "single_flight",
        "state",
        "store",
    )

    def __init__(
        self,
        account: Account,
        state: TokenState,
        limits: LoginLimits,
        login: Callable[[Token | None], Awaitable[Token]],
        *,
        hook: OnTokenHook | None,
        on_login: OnLoginHook | None,
        store: StoreAccess | None,
        saver: Saver | None,
        keep_alive: Callable[[], object],
    ) -> None:
        super().__init__(account)
        self.hook = hook
        self.on_login = on_login
        self.keep_alive = keep_alive
        self.state = state
        self.limits = limits
        self.login = login
        self.acquisition: Acquisition | None = None
        """The login that is under way."""
        self.store = store
        self.saver = saver
        self.single_flight = SingleFlight(account)
        self.logout_task: asyncio.Task[None] | None = None
        """A logout that runs: the next login begins after it."""

    def join_or_begin(self, *, replace: bool = False) -> Flight:
        """
        Return the login in flight, starting one if none is running. Raises the error that currently blocks logins.

        *replace*: a request was refused with the current token, which is not rejected because it works for others.
        """
        flight = self.single_flight.current
        if flight is None:
            # With a store, a flight may begin although no login is allowed: it may find another owner's token.
            current = self.state.current
            if self.store is None or self._account.clock() < self.store.look_again_at:
                self.limits.check(needed=current is not None and current.was_useful)
            reason = Reason.FIRST if current is None else Reason.REFUSED if current.rejected else Reason.EXPIRED
            return self._begin(reason, replace=replace)
        if flight.waits_for_caller:
            raise ReentrantLoginError(
                "a login asks for the token that it must get, itself or by another owner's login; let it use"
                " context.session, not this owner's"
            )
        return flight

    @property
    def progress(self) -> str:
        """What a login that is under way has met so far, as the end of a sentence."""
        return NOT_ANSWERED if self.acquisition is None else self.acquisition.progress

    def retire(self, token: Token) -> None:
        """Never adopt *token* from the store again."""
        if self.saver is not None:
            self.saver.retired.add(token)

    def note_use(self, issued: IssuedToken) -> None:
        """Note that a request uses *issued*: a renewal that waited for one begins now, and no request waits for it."""
        if issued.renewal_deferred:
            self.state.resume_renewal(issued)
            issued.used = True
            self.due()

    def _begin(self, reason: Reason, *, replace: bool = False) -> Flight:
        # The owner lives as long as its login: a pool finds it again, and does not create a second one.
        owner = self.keep_alive()
        return self.single_flight.begin(
            lambda flight: self._run(flight, owner, reason=reason, replace=replace),
            lambda flight: self._landed(flight, reason),
        )

    async def _run(self, flight: Flight, _owner: object, *, reason: Reason, replace: bool) -> None:
        """Run the life of a login, and tell its end. Waiters wake when this ends."""
        course = LoginCourse(reason, self._account.clock())
        runner = LoginRunner(self.login, self._account, self.limits, course)
        self.acquisition = acquisition = Acquisition(runner, self._account, self.saver)
        self._account.login_begins(flight)
        try:
            await self._log_in(flight, acquisition, course, replace=replace)
        except GeneratorExit:
            raise  # its loop is gone, and with it everybody who could be notified
        except BaseException as failure:
            # A flight that was dropped has the error that its waiters got.
            self._failed(flight, course, flight.error or failure)
            raise
        finally:
            if self.acquisition is acquisition:  # one that was discarded may end after the next has begun
                self.acquisition = None

    async def _log_in(self, flight: Flight, acquisition: Acquisition, course: LoginCourse, *, replace: bool) -> None:
        """Find or get the token, install it, save it, call the hook."""
        old = self.state.current
        store_session = None if self.store is None else self.store.session()
        # No other owner logs in until the token is saved: the lock is released at the end of this block.
        async with acquisition.next(old, store_session, logout=self.logout_task, replace=replace) as issued:
            if flight is not self.single_flight.current:
                if flight.closing and issued is not old:
                    await self._save(issued, store_session)
                self._failed(flight, course, flight.error or asyncio.CancelledError())
                return
            if issued is old:
                flight.unchanged = True
                self.state.keep_using()
                self._nothing_newer(flight, course)
                return
            # Installed before it is saved: a slow store must not delay requests that arrive now.
            self._install(issued, flight, course)
            if old is not None and not is_same_login(old.token, issued.token):
                self.retire(old.token)
            asked = self._account.clock()
            newer = await self._save(issued, store_session)
            # This process was not running for a while, and another owner has logged in since.
            theirs = None if newer is None else acquisition.adopt_newer(newer, asked=asked)
            if theirs is not None and issued is self.state.current:
                self._install(theirs, flight, LoginCourse(course.reason, asked))
        if self.hook is not None and issued is self.state.current and issued.from_login:
            await self.hook.notify(issued.token, None if old is None else old.token, course.reason)

    async def _save(self, issued: IssuedToken, session: StoreSession | None) -> Token | None:
        """Save a token that comes from a login; return the newer one that stays in its place, if there is one."""
        if session is None or self.saver is None or not issued.from_login:
            return None
        return await self.saver.save(issued, session)

    def _install(self, issued: IssuedToken, flight: Flight, course: LoginCourse) -> None:
        self.state.install(issued)
        self.arm(issued.renew_at)
        record = self._record(flight, course, "issued" if issued.from_login else "adopted")
        account, reason, seconds = record.account, str(record.reason), round(record.seconds, 3)
        if record.outcome == "adopted":
            emit(logging.INFO, "token.adopted", account=account, reason=reason, seconds=seconds)
            return
        lifetime, attempt = issued.token.expires_in, record.attempts
        emit(
            logging.INFO,
            "token.issued",
            account=account,
            reason=reason,
            attempt=attempt,
            seconds=seconds,
            expires_in=lifetime,
        )

    def _failed(self, flight: Flight, course: LoginCourse, failure: BaseException) -> None:
        if course.blocked:
            self._account.login_ended(flight, None)
        elif not course.ended:
            self._record(flight, course, "failed", kind_of(failure))

    def _nothing_newer(self, flight: Flight, course: LoginCourse) -> None:
        """Tell the end of a login that returned the token which it was to replace: no new login, for any counter."""
        course.ended = True
        self._account.login_ended(flight, None)
        label, reason, attempt = self._account.label, str(course.reason), course.attempts
        seconds = round(self._account.clock() - course.began, 3)
        emit(logging.INFO, "token.unchanged", account=label, reason=reason, attempt=attempt, seconds=seconds)

    def _record(self, flight: Flight, course: LoginCourse, outcome: Outcome, error: str | None = None) -> LoginRecord:
        """Make the one record of a login that has ended. The feed counts it, and passes it on."""
        from .._login_record import LoginRecord  # noqa: PLC0415 - on first use

        course.ended = True
        record = LoginRecord(
            account=self._account.label,
            reason=course.reason,
            outcome=outcome,
            error=error,
            attempts=course.attempts,
            seconds=self._account.clock() - course.began,
            waiting=flight.joined,
            started_at=course.started_at,
        )
        self._account.login_ended(flight, record)
        return record

    def due(self) -> None:
        """Renew the token ahead of its expiry, if a request used it."""
        issued, now = self.state.unrejected, self._account.clock()
        if issued is None or self.single_flight.current is not None or self.limits.rejected_since(issued.installed_at):
            return  # a flight that is under way looks again when it ends, and after a rejection a request begins the next
        if now < issued.renew_at:
            self.arm(issued.renew_at)  # the loop ran ahead of the account's clock, or a newer token is here
        elif not issued.used:
            # An owner that no request uses stops here, and costs its login endpoint nothing.
            self.state.defer_renewal(issued)
        elif (pause := self.limits.left(needed=issued.was_useful)) > 0:
            issued.renew_later(now, pause)
            self.arm(issued.renew_at)
        else:
            self._begin(Reason.AHEAD)

    def _landed(self, flight: Flight, reason: Reason) -> None:
        """Set the alarm, if it is not: it rang while *flight* was under way, or began it, and there may be nothing newer."""
        issued, now, failure = self.state.unrejected, self._account.clock(), flight.error
        if issued is None:
            return
        if failure is not None and failure is not CANCELLED and reason is Reason.AHEAD:  # which is the end of its loop
            label, error, problem = self._account.label, kind_of(failure), problem_of(failure)
            emit(logging.WARNING, "renewal.failed", account=label, error=error, problem=problem)
        if not self.armed and not self.limits.rejected_since(issued.installed_at):
            if issued.renew_at <= now and (failure is not None or flight.unchanged):
                issued.renew_later(now, self.limits.left(needed=issued.was_useful))
            self.arm(issued.renew_at)
