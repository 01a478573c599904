"""What failed and useless logins forbid, and for how long. Every latch opens again by itself."""

from __future__ import annotations

import contextlib
import logging
import math
from typing import TypeVar

from .._calls import kind_of, problem_of
from .._events import emit
from .._seconds import seconds_in
from ..errors import CredentialsRejectedError, ExterviewAuthError, LoginBudgetExceededError, LoginUnavailableError
from ..logins._context import PossibleRejectionError
from .account import Account
from .schedule import Scheduled

E = TypeVar("E", bound=ExterviewAuthError)

FIRST_REJECTION_PAUSE, FIRST_FAILURE_PAUSE, MAX_PAUSE = 10.0, 1.0, 60.0
"""Seconds for which a failure is remembered at first and at most; the pause doubles with each further one."""
MAX_RETRY_AFTER = 60.0
"""Seconds for which a ``Retry-After`` is respected, or the login timeout, if that is longer."""


def retry_after_of(error: object) -> float | None:
    """Return the seconds after which *error* says to ask again; an application's own class may hold anything, or nothing."""
    return seconds_in(getattr(error, "retry_after", None))


def remembered(error: E, left: float) -> E:
    """Return a copy of *error*, which says that an earlier login met it, and that the next one is possible in *left* seconds."""
    twin = error.copy_for_waiter()
    if twin.args and isinstance(twin.args[0], str):
        text = f"{twin.args[0]} (remembered; the next login is possible in {math.ceil(left)} s)"
        twin.args = (text, *twin.args[1:])
    if hasattr(twin, "retry_after"):
        with contextlib.suppress(AttributeError):  # of an application's own class, which may compute it
            twin.retry_after = left
    return twin


class Latch:
    """
    Forbids logins until some time, for one *reason*. Emits an event when it closes, and one when it opens.

    It opens by itself. Whoever looks at it next notices that: a request, or the alarm of `Latches`.
    """

    __slots__ = ("_account", "_emitted", "_reason", "_until")

    def __init__(self, reason: str, account: Account) -> None:
        self._reason = reason
        self._account = account
        self._until = float("-inf")
        # Invariant: whether the newest event says that it is closed.
        self._emitted = False

    def left(self) -> float:
        """Return the seconds until it opens, 0 if it is open."""
        left = self._until - self._account.clock()
        if left > 0:
            return left
        self.open()
        return 0.0

    def close(self, until: float, error: ExterviewAuthError) -> None:
        """Close until then because of *error*; if it is closed for longer already, it stays so."""
        was_open = self.left() == 0
        self._until = max(self._until, until)
        left = self.left()
        if was_open and left > 0:
            self._emitted = True
            emit(
                logging.WARNING,
                "logins.paused",
                account=self._account.label,
                reason=self._reason,
                seconds=round(left, 3),
                error=kind_of(error),
                problem=problem_of(error),
            )

    def open(self) -> None:
        """Open at once."""
        self._until = float("-inf")
        if self._emitted:
            self._emitted = False
            emit(logging.INFO, "logins.resumed", account=self._account.label, reason=self._reason)


class FailureLatch(Latch):
    """Closes after a failed login, at first for so many seconds and for twice as long each time, and keeps its error."""

    __slots__ = ("_error", "_failures", "_first_pause", "failed_at")

    def __init__(self, reason: str, account: Account, first_pause: float) -> None:
        super().__init__(reason, account)
        self._first_pause = first_pause
        self._failures = 0
        self._error: ExterviewAuthError | None = None
        self.failed_at: float | None = None
        """When a login failed last, if none has succeeded since; also after the pause."""

    def check(self) -> None:
        """Raise a copy of the error while it is closed; it says so."""
        left = self.left()
        if left > 0 and self._error is not None:
            raise remembered(self._error, left)

    def record(self, error: ExterviewAuthError) -> None:
        """Close, unless it is closed already: a failure in the pause does not prolong it."""
        self.failed_at = self._account.clock()
        if self.left() > 0:
            return
        # The exponent is bounded: after ten thousand failures the pause must not overflow.
        pause = min(MAX_PAUSE, self._first_pause * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._error = error.copy_for_waiter()  # without the traceback, whose frames would stay as long
        self.close(self._account.clock() + pause, error)

    def forget(self) -> None:
        """Open, and begin with a short pause next time."""
        self._error, self._failures, self.failed_at = None, 0, None
        self.open()


class Latches(Scheduled):
    """The four latches of `LoginLimits`. When one of them opens, it is looked at, and emits its event."""

    __slots__ = ("asked_by", "failure", "rejection", "retry_after", "times", "useless")

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.rejection = FailureLatch("rejected", account, FIRST_REJECTION_PAUSE)
        self.failure = FailureLatch("failed", account, FIRST_FAILURE_PAUSE)
        self.retry_after = Latch("retry_after", account)
        self.asked_by: LoginUnavailableError | None = None
        self.useless = Latch("max_logins", account)
        # Invariant: the times of the newest `budget` useless logins, oldest first.
        self.times: tuple[float, ...] = ()

    def due(self) -> None:
        """Look at all latches now, and again when the next of them opens."""
        every = (self.rejection, self.failure, self.retry_after, self.useless)
        closed = [left for latch in every if (left := latch.left()) > 0]
        if closed:
            with contextlib.suppress(RuntimeError):  # no loop runs here: whoever looks next notices
                self.arm(self._account.clock() + min(closed))


_ALL_OPEN = Latches(Account())
"""Stands for those of all owners whose latches have never closed. It is only looked at, and opened."""


class LoginLimits:
    """
    The four latches before a login.

    1. Rejected credentials are not presented again for a pause of 10 s, then 20, 40 and at most 60 s.
    2. Another failure that no retry helps (a wrong URL, a bug in the login) stops logins for 1 s, then 2, 4, ... 60 s.
    3. A ``Retry-After`` is respected, by later logins too, up to `MAX_RETRY_AFTER` or the login timeout.
    4. At most ``budget`` useless logins within ``window`` seconds. A login was useless if its token was refused before it
       worked for anybody, or again to a request that waited for it. `Keeper` decides that, in one place.

    A login that cannot reach its endpoint closes none of them, and none affects another.
    """

    __slots__ = ("_account", "latches")

    def __init__(self, account: Account) -> None:
        self._account = account
        # Invariant: `_ALL_OPEN`, or this owner's own from its first failure on: ten thousand healthy ones need not have four each.
        self.latches = _ALL_OPEN

    @property
    def budget(self) -> int:
        """How many useless logins are allowed within `window`."""
        return self._account.options.max_logins[0]

    @property
    def window(self) -> float:
        """The seconds within which useless logins are counted."""
        return self._account.options.max_logins[1]

    def check(self, *, needed: bool = False) -> None:
        """
        Raise the error that blocks a login now, if latch 1, 2 or 4 does. Latch 4 does not block a *needed* login.

        `LoginRunner.run` waits for latch 3 itself, by `retry_after_left`: it may end within the login's time.
        """
        self.latches.rejection.check()
        self.latches.failure.check()
        left = self.latches.useless.left()
        if left > 0 and not needed:
            raise self._budget_error(left)

    def _budget_error(self, left: float) -> LoginBudgetExceededError:
        return LoginBudgetExceededError(
            f"{self.budget} logins within {self.window:g} s gave tokens that the API refused; the next login is"
            f" possible in {left:.1f} s: check that the API key and the account belong to this endpoint",
            retry_after=left,
        )

    @property
    def exhausted(self) -> bool:
        """Whether the budget of useless logins is used up."""
        return self.latches.useless.left() > 0

    @property
    def nearly_exhausted(self) -> bool:
        """Whether at most one useless login is left, after others."""
        now = self._account.clock()
        recent = sum(now < at + self.window for at in self.latches.times)
        return recent >= max(1, self.budget - 1)

    def rejected_since(self, moment: float) -> bool:
        """Whether a login was rejected at *moment* or later, and none has succeeded since, also after the pause."""
        rejected_at = self.latches.rejection.failed_at
        return rejected_at is not None and rejected_at >= moment

    @property
    def retry_after_left(self) -> float:
        """Seconds until the login endpoint may be asked again."""
        return self.latches.retry_after.left()

    def asked_to_wait(self, left: float) -> LoginUnavailableError:
        """Return the failure that named the ``Retry-After`` which ends in *left* seconds; it says that it is remembered."""
        error = self.latches.asked_by
        if isinstance(error, PossibleRejectionError):  # the core's own, for one login
            error = LoginUnavailableError(str(error), status=error.status)
        return remembered(error or LoginUnavailableError(), left)

    def left(self, *, needed: bool) -> float:
        """Return the seconds until a login in the background may begin; latch 4 does not block a *needed* one."""
        left = max(self.latches.rejection.left(), self.latches.failure.left(), self.latches.retry_after.left())
        return left if needed else max(left, self.latches.useless.left())

    def succeeded(self) -> None:
        """Open the first three latches: a login returned a token."""
        self.forget_failures()
        self.latches.retry_after.open()

    def record_failure(self, error: ExterviewAuthError) -> None:
        """Close the latch that this failure of a login closes, if it does."""
        if isinstance(error, CredentialsRejectedError):
            self._closable.rejection.record(error)
        elif not isinstance(error, LoginUnavailableError):
            self._closable.failure.record(error)
        elif (asked := retry_after_of(error)) is not None:
            seconds = min(asked, max(MAX_RETRY_AFTER, self._account.options.login_timeout))
            latches = self._closable
            latches.retry_after.close(self._account.clock() + seconds, error)
            latches.asked_by = error.copy_for_waiter()  # without the traceback, as above
        self.latches.due()

    def record_useless(self) -> None:
        """Use up one of the budget."""
        latches, now = self._closable, self._account.clock()
        latches.times = (*latches.times, now)[-self.budget :]
        if len(latches.times) == self.budget:
            until = latches.times[0] + self.window
            latches.useless.close(until, self._budget_error(until - now))
            latches.due()

    def forget_failures(self) -> None:
        """Open the first two latches, also at a logout. ``Retry-After`` and the budget stay: they are not the account's fault."""
        self.latches.rejection.forget()
        self.latches.failure.forget()

    @property
    def _closable(self) -> Latches:
        """The latches of this owner alone, which may be closed."""
        if self.latches is _ALL_OPEN:
            self.latches = Latches(self._account)
        return self.latches

    def change_loop(self) -> None:
        """Let go of an alarm that belongs to another loop, and set one on this."""
        self.latches.leave_loop()
        self.latches.due()
