"""What failed and useless logins forbid, and for how long. Every latch opens again by itself."""

from __future__ import annotations

from .._clock import Clock
from ..errors import CredentialsRejectedError, LoginBudgetExceededError, LoginUnavailableError

FIRST_REJECTION_PAUSE, MAX_REJECTION_PAUSE = 10.0, 60.0
"""Seconds: how long a rejection is remembered at first and at most; the pause doubles with each further one."""
MAX_RETRY_AFTER = 60.0
"""Seconds for which a ``Retry-After`` is respected, or the login timeout, if that is longer."""


class LoginLimits:
    """
    The three latches before a login.

    1. Rejected credentials are not presented again for a pause of 10 s, then 20, 40 and at most 60 s.
    2. A ``Retry-After`` is respected, by later logins too, up to `MAX_RETRY_AFTER` or the login timeout.
    3. At most ``budget`` useless logins within ``window`` seconds. A login was useless if its token was refused before it
       worked for anybody, or again to a request that waited for it. `Keeper` decides that, in one place.

    A login that cannot reach its endpoint uses up none of them, and none affects another.
    """

    __slots__ = (
        "_clock",
        "_rejected_until",
        "_rejection",
        "_rejections",
        "_unavailable_until",
        "_useless",
        "budget",
        "window",
    )

    def __init__(self, max_logins: tuple[int, float], clock: Clock) -> None:
        self.budget, self.window = max_logins
        self._clock = clock
        self._rejection: CredentialsRejectedError | None = None
        self._rejections = 0
        self._rejected_until = self._unavailable_until = float("-inf")
        # Invariant: the times of the newest `budget` useless logins, oldest first.
        self._useless: tuple[float, ...] = ()

    def check(self, *, needed: bool = False) -> None:
        """
        Raise the error that blocks a login now, if latch 1 or 3 does. Latch 3 does not block a *needed* login.

        `LoginRunner.run` waits for latch 2 itself, by `retry_after_left`: it may end within the login's time.
        """
        now = self._clock()
        if self._rejection is not None and now < self._rejected_until:
            raise self._rejection.copy_for_waiter()
        if self.exhausted and not needed:
            left = self._useless[0] + self.window - now
            raise LoginBudgetExceededError(
                f"{self.budget} logins within {self.window:g} s gave tokens that the API refused; the next login is"
                f" possible in {left:.1f} s: check that the API key and the account belong to this endpoint",
                retry_after=left,
            )

    @property
    def exhausted(self) -> bool:
        """Whether the budget of useless logins is used up."""
        return len(self._useless) == self.budget and self._clock() < self._useless[0] + self.window

    @property
    def nearly_exhausted(self) -> bool:
        """Whether at most one useless login is left, after others."""
        now = self._clock()
        recent = sum(now < at + self.window for at in self._useless)
        return recent >= max(1, self.budget - 1)

    @property
    def credentials_rejected(self) -> bool:
        """Whether the newest login was rejected, also after the pause."""
        return self._rejection is not None

    @property
    def retry_after_left(self) -> float:
        """Seconds until the login endpoint may be asked again."""
        return max(0.0, self._unavailable_until - self._clock())

    def succeeded(self) -> None:
        """Open the first two latches: a login returned a token."""
        self._rejection, self._rejections = None, 0
        self._unavailable_until = float("-inf")

    def record_rejection(self, error: CredentialsRejectedError) -> None:
        """Close the first latch, for twice as long as last time."""
        # The exponent is bounded: after ten thousand rejections the pause must not overflow.
        pause = min(MAX_REJECTION_PAUSE, FIRST_REJECTION_PAUSE * 2.0 ** min(self._rejections, 10))
        self._rejections += 1
        self._rejection = error
        self._rejected_until = self._clock() + pause

    def record_unavailable(self, error: LoginUnavailableError, longest: float) -> None:
        """Close the second latch if the endpoint sent a ``Retry-After``, for *longest* seconds at most."""
        if error.retry_after is not None and error.retry_after > 0:
            self._unavailable_until = self._clock() + min(error.retry_after, longest)

    def record_useless(self) -> None:
        """Use up one of the budget."""
        self._useless = (*self._useless, self._clock())[-self.budget :]

    def forget_rejection(self) -> None:
        """Open the first latch at a logout. ``Retry-After`` and the budget stay: they are not the account's fault."""
        self._rejection, self._rejections = None, 0
