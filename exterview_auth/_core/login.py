"""Runs one login with its retries, and turns every failure into a typed error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .._calls import bounded, kind_of, problem_of
from .._events import Reason, emit
from .._token import Token
from ..errors import (
    ConfigurationError,
    CredentialsRejectedError,
    InsecureTransportError,
    LoginError,
    LoginUnavailableError,
    ReentrantLoginError,
)
from ..logins._context import PossibleRejectionError
from .account import Account
from .limits import LoginLimits, retry_after_of
from .schedule import sleep

if TYPE_CHECKING:
    import tenacity


NOT_ANSWERED = "which has not been answered yet"
"""What a login has met that has met nothing."""


class LoginResult(NamedTuple):
    """A login's token, and when it was asked for and received, in seconds of the account's clock."""

    token: Token
    sent: float
    received: float


class LoginCourse:
    """The course of one login, from its beginning at *began* until its record is made: also of one that was discarded."""

    __slots__ = ("attempts", "began", "blocked", "ended", "reason", "started_at")

    def __init__(self, reason: Reason, began: float) -> None:
        self.reason = reason
        self.began = began
        self.started_at = datetime.now(UTC)
        self.attempts = 0
        self.blocked = self.ended = False
        """Whether no login was allowed, so that this was only a look into the store; and whether it has ended."""


class LoginRunner:
    """Calls the application's login until it returns a token, fails for good, or has no time left; *course* notes how it goes."""

    __slots__ = ("_account", "_answered", "_course", "_doubted", "_last_failure", "_limits", "_login")

    def __init__(
        self,
        login: Callable[[Token | None], Awaitable[Token]],
        account: Account,
        limits: LoginLimits,
        course: LoginCourse,
    ) -> None:
        self._login = login
        self._account = account
        self._limits = limits
        self._last_failure: LoginUnavailableError | None = None
        self._course = course
        # Invariant: whether this login has failed once in a way that wrong credentials may cause too.
        self._doubted = False
        # Invariant: set once the login that is under way has ended; None while none is.
        self._answered: asyncio.Event | None = None

    def end(self) -> None:
        """Forget the failures of a login that has ended: their frames would stay."""
        self._last_failure = None

    @property
    def event_fields(self) -> dict[str, Any]:
        """What each failed attempt's event says: for whom, why, which attempt, and seconds since the login began."""
        course = self._course
        seconds = round(self._account.clock() - course.began, 3)
        attempt = max(1, course.attempts)
        return {"account": self._account.label, "reason": str(course.reason), "attempt": attempt, "seconds": seconds}

    def ensure_allowed(self, *, needed: bool) -> None:
        """Raise the error that blocks logins now, if there is one: then this is no login, and gives no record."""
        self._course.blocked = True
        self._limits.check(needed=needed)
        self._course.blocked = False

    async def run(self, previous: Token | None, deadline: float) -> LoginResult:
        """
        Return a token to follow *previous*, before *deadline*.

        An endpoint that is not available is asked again, with exponential backoff and jitter or after its
        ``Retry-After``. Raises `LoginError` (or the error that blocks logins) as soon as it is clear that no token comes.
        """
        clock, wait = self._account.clock, self._limits.retry_after_left
        if wait > 0:
            # An earlier login was asked to stay away until then; that binds this one too.
            if clock() + wait >= deadline:
                self._course.blocked = True
                raise self._limits.asked_to_wait(wait)
            await sleep(wait, self._account)
        self._doubted = False
        try:
            result: LoginResult = await retrying(deadline, self._account)(self._attempt, previous)
        except PossibleRejectionError as failure:
            rejection = failure.rejection  # no time is left to ask once more
        else:
            self._limits.succeeded()
            return result
        self._limits.record_failure(rejection)
        raise rejection

    def timed_out(self, seconds: float, *, waited_for_lock: bool) -> LoginUnavailableError:
        """Return the error of a login that was cut off after *seconds*, with the last attempt's failure as its cause."""
        self._account.login_failures += 1
        earlier = self._last_failure
        where = "" if waited_for_lock else getattr(self._login, "destination", "")
        if waited_for_lock:
            advice = "another process's login holds the account's lock; check that its login endpoint responds"
        else:
            advice = "check that its endpoint responds" if earlier is None else f"before that: {earlier}"
        status = None if earlier is None else earlier.status
        error = LoginUnavailableError(f"the login{where} did not finish within {seconds:g} s; {advice}", status=status)
        error.__cause__ = earlier
        emit(logging.WARNING, "login.failed", **self.event_fields, error=kind_of(error), problem=problem_of(error))
        return error

    @property
    def progress(self) -> str:
        """What a login that is under way has met so far, as the end of a sentence."""
        return NOT_ANSWERED if self._last_failure is None else f"which has met: {self._last_failure}"

    async def _attempt(self, previous: Token | None) -> LoginResult:
        clock = self._account.clock
        self._course.attempts += 1
        await self.prepare()  # the API key may have been rotated since the last attempt
        sent = clock()
        self._answered = answered = asyncio.Event()
        try:
            with self._recorded_failures():
                token = await self._call(previous)
        finally:
            self._answered = None
            answered.set()
            self._tell_file_problems()
        return LoginResult(token, sent, clock())

    def _tell_file_problems(self) -> None:
        """Emit an event for each file that has become unreadable: its last value is still in use."""
        new_problems: Callable[[], list[str]] = getattr(self._login, "new_file_problems", list)
        for problem in new_problems():
            emit(logging.WARNING, "credential_file.unreadable", account=self._account.label, problem=problem)

    async def answered(self, seconds: float) -> None:
        """Wait at most so many *seconds* for the answer to a login that has been sent; return at once if none has."""
        if self._answered is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._answered.wait()

    async def prepare(self) -> None:
        """Read the API key. Raises `LoginError`, which counts as the failure of a login."""
        with self._recorded_failures():
            await self._account.prepare()

    async def _call(self, previous: Token | None) -> Token:
        """Call the login once; every way in which foreign code can end becomes one of our errors."""
        try:
            token: Any = await bounded(self._login(previous))
        except PossibleRejectionError as failure:
            if not self._doubted:
                self._doubted = True
                raise
            rejection: LoginError | None = failure.rejection
        except (LoginError, ReentrantLoginError, InsecureTransportError):
            raise
        except (OSError, TimeoutError) as failure:
            raise LoginUnavailableError(
                f"the login could not be made ({type(failure).__name__}); check its endpoint and the network"
            ) from failure
        except ConfigurationError as failure:
            raise LoginError(str(failure)) from failure
        except Exception as failure:
            raise LoginError(f"the login ended in {kind_of(failure)}; see the error that is chained to it") from failure
        else:
            rejection = None
        if rejection is not None:
            raise rejection
        if isinstance(token, Token):
            return token
        kind = type(token).__name__
        del token  # it may be the token's text, and error trackers print local variables
        raise LoginError(f"the login returned {kind}; let it return an exterview_auth.Token")

    @contextlib.contextmanager
    def _recorded_failures(self) -> Iterator[None]:
        try:
            yield
        except (LoginError, ReentrantLoginError, InsecureTransportError) as failure:
            self._account.login_failures += 1
            if isinstance(failure, LoginUnavailableError):
                self._last_failure = failure
            # The doubt is the core's own: its caller gets the one or the other.
            doubted = isinstance(failure, PossibleRejectionError)
            rejected = failure.reason if isinstance(failure, CredentialsRejectedError) else None
            emit(
                logging.WARNING,
                "login.failed",
                **self.event_fields,
                error=LoginUnavailableError.__name__ if doubted else kind_of(failure),
                problem=problem_of(failure),
                rejected=rejected,
                retry_after=retry_after_of(failure),
            )
            self._limits.record_failure(failure)
            raise


def retrying(deadline: float, account: Account) -> tenacity.AsyncRetrying:
    """Retry `LoginUnavailableError` for as long as the next attempt would begin before *deadline*; then raise it."""
    import tenacity  # noqa: PLC0415 - the first login pays for the retry library, not the import

    # tenacity's own waits: libraries on top of it print once structlog is importable.
    exponential, jitter = tenacity.wait_exponential(multiplier=0.25, max=10), tenacity.wait_random(0, 0.25)

    def pause(state: tenacity.RetryCallState) -> float:
        """Exponential, with jitter, and not before the time that the endpoint named."""
        failure = state.outcome.exception() if state.outcome is not None else None
        return float(max(exponential(state), retry_after_of(failure) or 0.0) + jitter(state))

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(LoginUnavailableError),
        wait=pause,
        stop=lambda state: account.clock() + state.upcoming_sleep >= deadline,
        sleep=lambda seconds: sleep(seconds, account),
        reraise=True,
    )
