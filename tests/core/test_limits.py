"""What failed and useless logins forbid, and for how long."""

from __future__ import annotations

import math

import pytest

from exterview_auth import CredentialsRejectedError, LoginBudgetExceededError, LoginUnavailableError
from exterview_auth._core.limits import FIRST_REJECTION_PAUSE, MAX_REJECTION_PAUSE, LoginLimits

REJECTED = CredentialsRejectedError("wrong password", reason="user")


class Clock:
    """Does not move by itself."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the clock of `limits`."""
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> LoginLimits:
    """At most three useless logins in ten seconds."""
    return LoginLimits((3, 10.0), clock)


def unavailable(retry_after: float | None) -> LoginUnavailableError:
    """Return the endpoint's error with this ``Retry-After``."""
    return LoginUnavailableError("later", retry_after=retry_after)


# -- rejected credentials ------------------------------------------------------------------------------------------------


def test_a_rejection_is_remembered_for_a_pause(limits: LoginLimits, clock: Clock) -> None:
    """Rule 7: within the pause every check raises a separate copy of the error, at its end none does."""
    limits.check()
    assert (limits.credentials_rejected, limits.exhausted, limits.retry_after_left) == (False, False, 0.0)
    clock.now = 5
    limits.record_rejection(REJECTED)
    seen = []
    for clock.now in (5.0, 5 + FIRST_REJECTION_PAUSE - 0.01):
        with pytest.raises(CredentialsRejectedError, match=r"^wrong password$") as caught:
            limits.check()
        assert caught.value.reason == "user"
        seen.append(caught.value)
    assert len({id(error) for error in (*seen, REJECTED)}) == 3
    clock.now = 5 + FIRST_REJECTION_PAUSE
    limits.check()
    assert limits.credentials_rejected


def test_pauses_double_up_to_a_minute(limits: LoginLimits, clock: Clock) -> None:
    """Lesson 12: after 10, 20 and 40 s each pause is 60 s, also after ten thousand rejections."""
    pauses = []
    for _ in range(10_000):
        limits.record_rejection(REJECTED)
        pauses.append(limits._rejected_until - clock.now)
        clock.now = limits._rejected_until
        limits.check()
    assert pauses[:4] == [10, 20, 40, 60]
    assert set(pauses[3:]) == {MAX_REJECTION_PAUSE} == {60}


@pytest.mark.parametrize("ends", ["succeeded", "forget_rejection"])
def test_a_success_or_a_logout_ends_the_pause(limits: LoginLimits, clock: Clock, ends: str) -> None:
    """After either, login is allowed again, and the next rejection begins with the first pause."""
    for _ in range(5):
        limits.record_rejection(REJECTED)
    getattr(limits, ends)()
    limits.check()
    assert not limits.credentials_rejected
    limits.record_rejection(REJECTED)
    clock.now = FIRST_REJECTION_PAUSE
    limits.check()


# -- Retry-After ---------------------------------------------------------------------------------------------------------


def test_a_retry_after_counts_from_its_answer(limits: LoginLimits, clock: Clock) -> None:
    """Rule 7: it passes by itself; a success ends it, a logout does not: it is about the endpoint, not the account."""
    clock.now = 3
    limits.record_unavailable(unavailable(2.0), 60.0)
    for clock.now, wait in ((3, 2), (4.5, 0.5), (100, 0)):
        assert limits.retry_after_left == wait
    limits.record_unavailable(unavailable(30.0), 60.0)
    limits.forget_rejection()
    assert limits.retry_after_left == 30
    limits.succeeded()
    assert limits.retry_after_left == 0


@pytest.mark.parametrize(
    ("asked", "wait"), [(1e9, 60.0), (math.inf, 60.0), (0.5, 0.5), (0, 0.0), (-5, 0.0), (None, 0.0), (math.nan, 0.0)]
)
def test_an_absurd_retry_after_is_capped_or_ignored(limits: LoginLimits, asked: float | None, wait: float) -> None:
    """Lesson 14: no answer of the endpoint blocks logins for longer than the cap."""
    limits.record_unavailable(unavailable(asked), 60.0)
    assert limits.retry_after_left == wait


# -- useless logins ------------------------------------------------------------------------------------------------------


def test_the_budget_of_useless_logins_is_a_sliding_window(limits: LoginLimits, clock: Clock) -> None:
    """Rule 7: three within ten seconds, then an error with the time that is left, until the oldest one is ten seconds old."""
    for clock.now in (0.0, 4.0, 8.0):
        assert not limits.exhausted
        limits.check()
        limits.succeeded()  # as each useless login was at first
        limits.record_useless()
    with pytest.raises(LoginBudgetExceededError, match=r"^3 logins within 10 s .* in 2\.0 s: check") as caught:
        limits.check()
    assert caught.value.retry_after == 2
    limits.check(needed=True)
    clock.now = 10
    limits.check()
    limits.record_useless()
    for clock.now, exhausted in ((10, True), (13.9, True), (14, False)):
        assert limits.exhausted == exhausted


def test_no_latch_affects_another(limits: LoginLimits, clock: Clock) -> None:
    """Lesson 13: useless logins, rejections and failures are counted separately."""
    for _ in range(100):
        limits.record_unavailable(unavailable(5.0), 60.0)
    limits.check()
    assert (limits.credentials_rejected, limits.exhausted) == (False, False)
    clock.now = 100
    for _ in range(3):
        limits.record_useless()
    assert (limits.credentials_rejected, limits.retry_after_left) == (False, 0)
    clock.now = 110
    limits.record_rejection(REJECTED)
    assert (limits.exhausted, limits.retry_after_left) == (False, 0)


def test_a_rejection_is_raised_before_the_budgets_error(limits: LoginLimits) -> None:
    """If both block the login, the caller learns of the wrong credentials."""
    limits.record_rejection(REJECTED)
    for _ in range(3):
        limits.record_useless()
    with pytest.raises(CredentialsRejectedError):
        limits.check()


@pytest.mark.parametrize(("budget", "useless"), [(1, 1), (2, 1), (3, 2)])
def test_the_budget_is_nearly_exhausted_when_one_useless_login_is_left(clock: Clock, budget: int, useless: int) -> None:
    """Rule 19: the last login is kept only after others were useless within the window; a budget of one has no others."""
    limits = LoginLimits((budget, 10.0), clock)
    for _ in range(useless):
        assert not limits.nearly_exhausted
        limits.record_useless()
    for clock.now, nearly in ((0, True), (9.9, True), (10, False)):
        assert limits.nearly_exhausted == nearly
