"""What failed and useless logins forbid, and for how long. Every latch opens again by itself."""

from __future__ import annotations

from .._clock import Clock
from ..errors import CredentialsRejectedError, LoginBudgetExceededError, LoginUnavailableError

FIRST_REJECTION_PAUSE = 10.0
LONGEST_PAUSE = 60.0
"""Seconds: how long a rejection is remembered at first and at most; the pause doubles with each further one."""


class LoginLimits:
    """
    The three latches before a login.

    1. Rejected credentials are not presented again for a pause of 10 s, then 20, 40 and at most 60 s.
    2. A ``Retry-After`` is kept, by the flights after the one that learned of it too, up to
       `LONGEST_PAUSE` or the login timeout, whichever is longer.
    3. At most ``budget`` useless logins within ``window`` seconds.

    A login that cannot reach its endpoint touches none of them, and none touches another.
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
        """Raise the error that stands in the way of a login now, if one does; one *needed* anyway asks no budget."""
        now = self._clock()
        if self._rejection is not None and now < self._rejected_until:
            raise self._rejection.copy_for_waiter()
        if self.exhausted and not needed:
            left = self._useless[0] + self.window - now
            raise LoginBudgetExceededError(
                f"{self.budget} logins within {self.window:g} s gave tokens that the API refused; the next is made in"
                f" {left:.1f} s: check that the API key and the account belong to this endpoint",
                retry_after=left,
            )

    @property
    def exhausted(self) -> bool:
        """Whether the budget of useless logins is used up."""
        return len(self._useless) == self.budget and self._clock() < self._useless[0] + self.window

    @property
    def nearly_exhausted(self) -> bool:
        """Whether at most one useless login is left, others having been made."""
        now = self._clock()
        recent = sum(now < made + self.window for made in self._useless)
        return recent >= max(1, self.budget - 1)

    @property
    def rejected(self) -> bool:
        """Whether the newest login was rejected, also after the pause."""
        return self._rejection is not None

    @property
    def wait(self) -> float:
        """Seconds until the login endpoint wants to be asked again."""
        return max(0.0, self._unavailable_until - self._clock())

    def succeeded(self) -> None:
        """A login gave a token."""
        self._rejection, self._rejections = None, 0
        self._unavailable_until = float("-inf")

    def was_rejected(self, error: CredentialsRejectedError) -> None:
        """A login was rejected."""
        pause = min(LONGEST_PAUSE, FIRST_REJECTION_PAUSE * 2.0 ** min(self._rejections, 10))
        self._rejections += 1
        self._rejection = error
        self._rejected_until = self._clock() + pause

    def was_unavailable(self, error: LoginUnavailableError, longest: float) -> None:
        """A login could not be made; *longest* caps what its ``Retry-After`` asks for."""
        if error.retry_after is not None and error.retry_after > 0:
            self._unavailable_until = self._clock() + min(error.retry_after, longest)

    def was_useless(self) -> None:
        """A login's token was refused to a request that the login was made for."""
        self._useless = (*self._useless, self._clock())[-self.budget :]

    def forget(self) -> None:
        """After a logout a rejection is not held against the next login; ``Retry-After`` and the budget are."""
        self._rejection, self._rejections = None, 0
