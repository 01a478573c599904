"""Whatever fails, and however often: every latch opens by itself in time, and none affects another."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import tenacity
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exterview_auth import CredentialsRejectedError, LoginBudgetExceededError, LoginError, LoginUnavailableError
from exterview_auth._core.account import Account
from exterview_auth._core.limits import LoginLimits
from exterview_auth._core.login import LoginRunner, retrying
from exterview_auth._options import LONGEST, OwnerOptions
from exterview_auth.logins._http_dates import retry_after
from tests.kit import clock, hypothesis_profiles

pytestmark = pytest.mark.timeout(hypothesis_profiles.TIMEOUT)

NOW = 1_700_000_000
DATE = format_datetime(datetime.fromtimestamp(NOW, UTC), usegmt=True)
PAUSES = (10.0, 20.0, 40.0, 60.0)
ODD_NUMBERS = (
    None, 0.0, -0.0, -5.0, 1e-9, 2.0, 29.0, 60.0, 61.0, 1e9, 1e308, -1e308, 10**400, -(10**400), math.inf, -math.inf, math.nan,
)  # fmt: skip
ODD_HEADERS = (
    "", "0", "2", "2.5", " 7 ", "-5", "1e3", "9" * 400, "9" * 5000, "0" * 5000, "0x10", "soon", "\x00", "\udc80", "\u0665", "nan",
    "inf", "1_0", "Fri, 99 Foo 99999 99:99:99 GMT", "Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359",
    "Tue, 14 Nov 2023 22:13:22 " + "9" * 5000,
)  # fmt: skip
DATES = st.integers(-(10**6), 10**6).map(
    lambda seconds: format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)
)
HEADERS = st.sampled_from(ODD_HEADERS) | DATES | st.text(max_size=30) | st.integers().map(str) | st.floats().map(str)
JUMPS = st.sampled_from((0.0, 1e-9, 0.5, 2.0, 9.99, 10.0, 20.0, 59.99, 60.0, 3600.0, 1e8)) | st.floats(0, 200)


class LimitsMachine(RuleBasedStateMachine):
    """`LoginLimits` beside a model of three separate latches."""

    @initialize(
        budget=st.integers(1, 6), window=st.sampled_from((1e-3, 1.0, 10.0, 60.0, 1e9)), timeout=st.floats(0.1, 200)
    )
    def begin(self, budget: int, window: float, timeout: float) -> None:
        self.now = 0.0
        self.budget, self.window, self.longest = budget, window, max(60.0, timeout)
        self.limits = LoginLimits((budget, window), lambda: self.now)
        self.rejections = 0
        self.rejected_until = self.later_at = -math.inf
        self.useless: list[float] = []

    @rule(seconds=JUMPS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(times=st.sampled_from((1, 1, 1, 2, 10_000)))
    def credentials_are_rejected(self, times: int) -> None:
        for _ in range(times):
            self.limits.record_rejection(CredentialsRejectedError("no", reason="user"))
        self.rejections += times
        self.rejected_until = self.now + PAUSES[min(self.rejections, 4) - 1]
        self.the_pause_ends_by_itself()

    def the_pause_ends_by_itself(self) -> None:
        """Rule 7: whatever happens until then."""
        before, self.now = self.now, self.rejected_until
        self.limits.check(needed=True)
        self.now = before

    @rule(seconds=st.sampled_from(ODD_NUMBERS) | st.floats(), times=st.sampled_from((1, 1, 10_000)))
    def the_endpoint_is_not_available(self, seconds: float | None, times: int) -> None:
        for _ in range(times):
            self.limits.record_unavailable(LoginUnavailableError(retry_after=seconds), self.longest)
        if seconds is not None and seconds > 0:
            self.later_at = self.now + min(seconds, self.longest)

    @rule(written=HEADERS, dated=st.booleans())
    def the_endpoint_sends_a_header(self, written: str, *, dated: bool) -> None:
        seconds = retry_after({"Retry-After": written} | ({"Date": DATE} if dated else {}))
        assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
        self.the_endpoint_is_not_available(seconds, 1)

    @rule(times=st.sampled_from((1, 1, 1, 3, 10_000)))
    def a_login_is_useless(self, times: int) -> None:
        for _ in range(times):
            self.limits.record_useless()
        self.useless = (self.useless + [self.now] * min(times, 10))[-10:]

    @rule()
    def a_login_succeeds(self) -> None:
        self.limits.succeeded()
        self.rejections, self.rejected_until, self.later_at = 0, -math.inf, -math.inf

    @rule()
    def the_user_logs_out(self) -> None:
        self.limits.forget_rejection()
        self.rejections, self.rejected_until = 0, -math.inf

    @rule()
    def the_longest_pause_passes(self) -> None:
        """Lesson 12: a server that works again is found without a restart."""
        self.now += max(60.0, self.longest, self.window)
        self.limits.check()
        assert self.limits.retry_after_left == 0.0

    @invariant()
    def the_latches_are_separate(self) -> None:
        """Lesson 13: each depends on its own history alone."""
        limits, recent = self.limits, sum(self.now < made + self.window for made in self.useless)
        assert limits.credentials_rejected == (self.rejections > 0)
        assert limits.exhausted == (recent >= self.budget)
        assert limits.nearly_exhausted == (recent >= max(1, self.budget - 1))
        assert limits.retry_after_left == max(0.0, self.later_at - self.now)
        assert limits.retry_after_left <= self.longest * (1 + 1e-9) + 1e-6

    @invariant()
    def the_error_names_the_closed_latch(self) -> None:
        """Check a rejection first, then the budget, which does not block a login that is needed."""
        rejected = self.now < self.rejected_until
        assert type(self.caught(needed=True)) is (CredentialsRejectedError if rejected else type(None))
        error = self.caught(needed=False)
        if not rejected and self.limits.exhausted:
            assert isinstance(error, LoginBudgetExceededError)
            assert error.retry_after is not None
            assert 0 < error.retry_after <= self.window * (1 + 1e-9) + 1e-6
        else:
            assert isinstance(error, CredentialsRejectedError) == rejected
            assert (error is None) != rejected

    def caught(self, *, needed: bool) -> LoginError | None:
        try:
            self.limits.check(needed=needed)
        except LoginError as error:
            return error
        return None


LimitsMachine.TestCase.settings = hypothesis_profiles.examples(40, steps=30)


TestLimits = LimitsMachine.TestCase


# -- the pauses between the attempts of a login --------------------------------------------------------------------------


@hypothesis_profiles.examples(100)
@given(st.integers(1, 10**6), st.sampled_from(ODD_NUMBERS) | st.floats())
@example(10_000, None)
@example(10_000, math.nan)
@example(1, 1e308)
@example(1, 10**400)
def test_the_next_pause_lies_within_its_bounds(attempt: int, asked: float | None) -> None:
    """Lesson 12: at most 10 s and the jitter, or the endpoint's ``Retry-After``, also after ten thousand failures."""
    policy = retrying(1e9, lambda: 0.0)
    state = tenacity.RetryCallState(policy, None, (), {})
    state.attempt_number = attempt
    state.set_exception((LoginUnavailableError, LoginUnavailableError(retry_after=asked), None))
    assert callable(policy.wait)
    pause = policy.wait(state)
    least = min(10.0, 0.25 * 2.0 ** min(attempt - 1, 100))
    if asked is not None and asked > least:
        least = min(asked, LONGEST)
    assert least <= pause <= least + 0.25


@hypothesis_profiles.examples(60)
@given(
    st.lists(st.tuples(st.sampled_from(ODD_NUMBERS) | st.floats(), st.floats(0, 20)), min_size=1, max_size=5),
    st.floats(0.5, 120),
)
@example([(1e308, 0.0)], 30.0)
@example([(math.nan, 0.0)], 30.0)
@example([(10**400, 0.0)], 30.0)
@example([(2.0, 1.0)], 120.0)
def test_a_flight_of_failures_ends_in_time(failures: list[tuple[float | None, float]], timeout: float) -> None:
    """Rule 7: no attempt begins before the time that the endpoint named, nor at the deadline; their number is bounded."""
    begun: list[float] = []
    not_before = [0.0]  # for each attempt, and for one that the deadline prevents

    async def login(_: object) -> object:
        begun.append(clock.now())
        seconds, latency = failures[min(len(begun), len(failures)) - 1]
        await asyncio.sleep(latency)
        not_before.append(clock.now() + (min(seconds, LONGEST) if seconds is not None and seconds > 0 else 0.25))
        raise LoginUnavailableError(retry_after=seconds)

    async def main() -> None:
        account = Account(options=OwnerOptions(login_timeout=timeout), clock=clock.now)
        limits = LoginLimits(account.options.max_logins, clock.now)
        runner = LoginRunner(login, account, limits)  # type: ignore[arg-type]  # never returns
        with pytest.raises(LoginUnavailableError):
            await runner.run(None, timeout)
        assert account.counters.login_failures == len(begun)
        assert limits.retry_after_left <= max(60.0, timeout) + 1e-6

    with asyncio.Runner(loop_factory=clock.VirtualLoop) as runner:
        runner.run(main())
    assert begun[0] == 0.0
    assert all(moment < timeout for moment in begun)
    assert len(begun) <= timeout / 0.25 + 1
    assert all(moment >= allowed - 1e-6 for moment, allowed in zip(begun, not_before, strict=False))
