"""What failed and useless logins forbid, and for how long."""

from __future__ import annotations

import math

import pytest

from exterview_auth import CredentialsRejectedError, LoginBudgetExceededError, LoginUnavailableError
from exterview_auth._core.limits import FIRST_REJECTION_PAUSE, MAX_PAUSE, LoginLimits

NO = CredentialsRejectedError("wrong password", reason="user")


class Clock:
    """Stands still until a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock that `limits` runs on."""
    return Clock()


@pytest.fixture
def limits(clock: Clock) -> LoginLimits:
    """Three useless logins in ten seconds."""
    return LoginLimits((3, 10.0), clock)


def unavailable(retry_after: float | None) -> LoginUnavailableError:
    """The endpoint asks to come back later."""
    return LoginUnavailableError("later", retry_after=retry_after)


# -- rejected credentials ------------------------------------------------------------------------------------------------


def test_at_first_nothing_is_forbidden(limits: LoginLimits) -> None:
    """A new owner may log in."""
    limits.check()
    assert (limits.rejected, limits.exhausted, limits.wait) == (False, False, 0.0)


def test_a_rejection_is_remembered_and_forgotten_by_itself(limits: LoginLimits, clock: Clock) -> None:
    """Rule 7: within the pause every check raises an equal error of its own, at its end none does."""
    clock.now = 5
    limits.record_rejection(NO)
    seen = []
    for clock.now in (5.0, 5 + FIRST_REJECTION_PAUSE - 0.01):
        with pytest.raises(CredentialsRejectedError, match=r"^wrong password$") as caught:
            limits.check()
        assert caught.value.reason == "user"
        seen.append(caught.value)
    assert len({id(error) for error in (*seen, NO)}) == 3
    clock.now = 5 + FIRST_REJECTION_PAUSE
    limits.check()
    assert limits.rejected


def test_pauses_double_up_to_a_minute(limits: LoginLimits, clock: Clock) -> None:
    """Lesson 12: after 10, 20 and 40 s each pause is 60 s, also after ten thousand rejections."""
    pauses = []
    for _ in range(10_000):
        limits.record_rejection(NO)
        pauses.append(limits._rejected_until - clock.now)
        clock.now = limits._rejected_until
        limits.check()
    assert pauses[:4] == [10, 20, 40, 60]
    assert set(pauses[3:]) == {MAX_PAUSE} == {60}


@pytest.mark.parametrize("ends", ["succeeded", "forget_rejection"])
def test_a_success_or_a_logout_ends_the_pause(limits: LoginLimits, clock: Clock, ends: str) -> None:
    """After either, nothing is held against the credentials, and the next rejection begins with the first pause."""
    for _ in range(5):
        limits.record_rejection(NO)
    getattr(limits, ends)()
    limits.check()
    assert not limits.rejected
    limits.record_rejection(NO)
    clock.now = FIRST_REJECTION_PAUSE
    limits.check()


# -- Retry-After ---------------------------------------------------------------------------------------------------------


def test_a_retry_after_is_waited_for(limits: LoginLimits, clock: Clock) -> None:
    """Rule 7: the endpoint's own wish counts from when it was heard, and runs out by itself."""
    clock.now = 3
    limits.record_unavailable(unavailable(2.0), 60.0)
    assert limits.wait == 2
    clock.now = 4.5
    assert limits.wait == 0.5
    clock.now = 100
    assert limits.wait == 0


@pytest.mark.parametrize(
    ("asked", "wait"), [(1e9, 60.0), (math.inf, 60.0), (0.5, 0.5), (0, 0.0), (-5, 0.0), (None, 0.0), (math.nan, 0.0)]
)
def test_an_absurd_retry_after_is_capped_or_ignored(limits: LoginLimits, asked: float | None, wait: float) -> None:
    """Lesson 14: no answer of the endpoint closes the way for longer than the cap."""
    limits.record_unavailable(unavailable(asked), 60.0)
    assert limits.wait == wait


def test_a_success_ends_the_wait_and_a_logout_does_not(limits: LoginLimits) -> None:
    """The endpoint's ``Retry-After`` is about the endpoint, not about who logs in."""
    limits.record_unavailable(unavailable(30.0), 60.0)
    limits.forget_rejection()
    assert limits.wait == 30
    limits.succeeded()
    assert limits.wait == 0


def test_an_unavailable_endpoint_forbids_nothing_else(limits: LoginLimits) -> None:
    """Lesson 13: network failures use up no budget and are no rejection."""
    for _ in range(100):
        limits.record_unavailable(unavailable(5.0), 60.0)
    limits.check()
    assert (limits.rejected, limits.exhausted) == (False, False)


# -- useless logins ------------------------------------------------------------------------------------------------------


def test_the_budget_of_useless_logins_is_a_sliding_window(limits: LoginLimits, clock: Clock) -> None:
    """Rule 7: three within ten seconds, then an error with the time that is left; the oldest one's end opens the way."""
    for clock.now in (0.0, 4.0, 8.0):
        assert not limits.exhausted
        limits.check()
        limits.record_useless()
    assert limits.exhausted
    with pytest.raises(LoginBudgetExceededError, match=r"^3 logins within 10 s .* in 2\.0 s: check") as caught:
        limits.check()
    assert caught.value.retry_after == 2
    clock.now = 10
    limits.check()
    limits.record_useless()
    assert limits.exhausted
    clock.now = 13.9
    assert limits.exhausted
    clock.now = 14
    assert not limits.exhausted


def test_a_success_does_not_pay_for_useless_logins(limits: LoginLimits) -> None:
    """Every useless login was a success before its token was refused: the budget does not start anew."""
    for _ in range(3):
        limits.succeeded()
        limits.record_useless()
    assert limits.exhausted


def test_no_latch_touches_another(limits: LoginLimits, clock: Clock) -> None:
    """Lesson 13: useless logins are no rejection, and a rejection uses up no budget."""
    for _ in range(3):
        limits.record_useless()
    assert (limits.rejected, limits.wait) == (False, 0)
    clock.now = 10
    limits.record_rejection(NO)
    assert (limits.exhausted, limits.wait) == (False, 0)


def test_a_rejection_outranks_the_budget(limits: LoginLimits) -> None:
    """Where both stand in the way, the caller hears of the wrong credentials."""
    limits.record_rejection(NO)
    for _ in range(3):
        limits.record_useless()
    with pytest.raises(CredentialsRejectedError):
        limits.check()


def test_one_useless_login_is_left_only_after_another(clock: Clock) -> None:
    """Rule 19: the last login is kept back where others were useless, within the window; a budget of one has no others."""
    for budget, made in ((1, 1), (2, 1), (3, 2)):
        limits = LoginLimits((budget, 10.0), clock)
        for _ in range(made):
            assert not limits.nearly_exhausted
            limits.record_useless()
        assert limits.nearly_exhausted
        clock.now += 9.9
        assert limits.nearly_exhausted
        clock.now = round(clock.now + 0.1)
        assert not limits.nearly_exhausted
