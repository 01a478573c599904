"""Whatever fails, and however often: every latch opens by itself in time, and none affects another."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import tenacity
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exterview_auth import (
    CredentialsRejectedError,
    LoginBudgetExceededError,
    LoginError,
    LoginUnavailableError,
    Reason,
)
from exterview_auth._core.account import Account
from exterview_auth._core.limits import LoginLimits
from exterview_auth._core.login import LoginCourse, LoginRunner, retrying
from exterview_auth._options import OwnerOptions
from exterview_auth._seconds import MAX_SECONDS
from exterview_auth.logins._http_dates import retry_after
from tests.kit import clock, hypothesis_profiles
from tests.kit.api import until
from tests.kit.clock import passing, virtual_time
from tests.kit.keepers import scripted
from tests.kit.stores import told

pytestmark = pytest.mark.timeout(hypothesis_profiles.TIMEOUT)

NOW = 1_700_000_000
DATE = format_datetime(datetime.fromtimestamp(NOW, UTC), usegmt=True)
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


class Memory:
    """What a latch that remembers failures should do: pauses that double up to a minute, and none within another."""

    def __init__(self, *pauses: float) -> None:
        self.pauses = pauses
        self.forget()

    def forget(self) -> None:
        self.failures, self.until = 0, -math.inf

    def record(self, now: float) -> None:
        if now >= self.until:
            self.until = now + self.pauses[min(self.failures, len(self.pauses) - 1)]
            self.failures += 1


class LimitsMachine(RuleBasedStateMachine):
    """`LoginLimits` beside a model of four separate latches."""

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.WARNING)  # a hundred thousand events would be kept for the report

    def teardown(self) -> None:
        logging.disable(logging.NOTSET)

    @initialize(
        budget=st.integers(1, 6), window=st.sampled_from((1e-3, 1.0, 10.0, 60.0, 1e9)), timeout=st.floats(0.1, 200)
    )
    def begin(self, budget: int, window: float, timeout: float) -> None:
        self.now = 0.0
        self.budget, self.window, self.longest = budget, window, max(60.0, timeout)
        options = OwnerOptions(login_timeout=timeout, max_logins=(budget, window))
        self.limits = LoginLimits(Account("ada", options=options, clock=lambda: self.now))
        self.rejection = Memory(10.0, 20.0, 40.0, 60.0)
        self.failure = Memory(1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
        self.later_at = -math.inf
        self.useless: list[float] = []

    @rule(seconds=JUMPS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(times=st.sampled_from((1, 1, 1, 2, 40)), pausing=st.booleans(), rejected=st.booleans())
    def logins_fail(self, times: int, *, pausing: bool, rejected: bool) -> None:
        """Also many times in a row, each at the end of the pause before."""
        memory = self.rejection if rejected else self.failure
        for _ in range(times):
            if pausing:
                self.now = max(self.now, memory.until)
            error = CredentialsRejectedError("no", reason="user") if rejected else LoginError("misfit")
            self.limits.record_failure(error)
            memory.record(self.now)

    @rule()
    def the_pauses_end_by_themselves(self) -> None:
        """Whatever happens until then."""
        self.now = max(self.now, self.rejection.until, self.failure.until)
        self.limits.check(needed=True)

    @rule(seconds=st.sampled_from(ODD_NUMBERS) | st.floats(), times=st.sampled_from((1, 1, 40)))
    def the_endpoint_is_not_available(self, seconds: float | None, times: int) -> None:
        """A shorter ``Retry-After`` does not shorten a longer one."""
        for _ in range(times):
            self.limits.record_failure(LoginUnavailableError(retry_after=seconds))
        if seconds is not None and seconds > 0:
            self.later_at = max(self.later_at, self.now + min(seconds, self.longest))

    @rule(written=HEADERS, dated=st.booleans())
    def the_endpoint_sends_a_header(self, written: str, *, dated: bool) -> None:
        seconds = retry_after({"Retry-After": written} | ({"Date": DATE} if dated else {}))
        assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
        self.the_endpoint_is_not_available(seconds, 1)

    @rule(times=st.sampled_from((1, 1, 1, 3, 40)))
    def a_login_is_useless(self, times: int) -> None:
        for _ in range(times):
            self.limits.record_useless()
        self.useless = (self.useless + [self.now] * min(times, 10))[-10:]

    @rule()
    def a_login_succeeds(self) -> None:
        self.limits.succeeded()
        self.later_at = -math.inf
        self.rejection.forget()
        self.failure.forget()

    @rule()
    def the_user_logs_out(self) -> None:
        self.limits.forget_failures()
        self.rejection.forget()
        self.failure.forget()

    @rule()
    def the_longest_pause_passes(self) -> None:
        """A server that works again is found without a restart."""
        self.now += max(60.0, self.longest, self.window)
        self.limits.check()
        assert self.limits.left(needed=False) == self.limits.retry_after_left == 0.0

    @invariant()
    def the_latches_are_separate(self) -> None:
        """Each depends on its own history alone."""
        limits, recent = self.limits, sum(self.now < made + self.window for made in self.useless)
        assert limits.rejected_since(-math.inf) == (self.rejection.failures > 0)
        assert not limits.rejected_since(self.now + 1e-3)
        assert limits.exhausted == (recent >= self.budget)
        assert limits.nearly_exhausted == (recent >= max(1, self.budget - 1))
        assert limits.retry_after_left == max(0.0, self.later_at - self.now)
        assert limits.retry_after_left <= self.longest * (1 + 1e-9) + 1e-6
        left = max(0.0, *(until - self.now for until in (self.rejection.until, self.failure.until, self.later_at)))
        assert limits.left(needed=True) == left
        assert limits.left(needed=False) >= left
        assert (limits.left(needed=False) > 0) == (left > 0 or limits.exhausted)

    @invariant()
    def the_error_names_the_closed_latch(self) -> None:
        """Check a rejection first, then another failure, then the budget, which does not block a login that is needed."""
        failed = LoginError if self.now < self.failure.until else type(None)
        kind = CredentialsRejectedError if self.now < self.rejection.until else failed
        assert type(self.caught(needed=True)) is kind
        error = self.caught(needed=False)
        if kind is type(None) and self.limits.exhausted:
            assert isinstance(error, LoginBudgetExceededError)
            assert error.retry_after is not None
            assert 0 < error.retry_after <= self.window * (1 + 1e-9) + 1e-6
        else:
            assert type(error) is kind

    def caught(self, *, needed: bool) -> LoginError | None:
        try:
            self.limits.check(needed=needed)
        except LoginError as error:
            return error
        return None


LimitsMachine.TestCase.settings = hypothesis_profiles.examples(40, steps=30)


TestLimits = LimitsMachine.TestCase


# -- the pauses between the attempts of a login --------------------------------------------------------------------------


@pytest.mark.parametrize("error", [CredentialsRejectedError("no"), LoginError("misfit")])
def test_ten_thousand_failures_in_a_row_leave_the_pause_at_a_minute(error: LoginError) -> None:
    """The pause does not overflow, and opens by itself."""
    now = 0.0
    limits = LoginLimits(Account("ada", clock=lambda: now))
    for _ in range(10_000):
        limits.record_failure(error)
        now += 60.0
    limits.check()
    limits.record_failure(error)
    assert limits.left(needed=True) == 60.0


@hypothesis_profiles.examples(100)
@given(st.integers(1, 10**6), st.sampled_from(ODD_NUMBERS) | st.floats())
@example(10_000, None)
@example(10_000, math.nan)
@example(1, 1e308)
@example(1, 10**400)
def test_the_next_pause_lies_within_its_bounds(attempt: int, asked: float | None) -> None:
    """At most 10 s and the jitter, or the endpoint's ``Retry-After``, also after ten thousand failures."""
    policy = retrying(1e9, Account(clock=lambda: 0.0))
    state = tenacity.RetryCallState(policy, None, (), {})
    state.attempt_number = attempt
    state.set_exception((LoginUnavailableError, LoginUnavailableError(retry_after=asked), None))
    assert callable(policy.wait)
    pause = policy.wait(state)
    least = min(10.0, 0.25 * 2.0 ** min(attempt - 1, 100))
    if asked is not None and asked > least:
        least = min(asked, MAX_SECONDS)
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
    """No attempt begins before the time that the endpoint named, nor at the deadline; their number is bounded."""
    begun: list[float] = []
    not_before = [0.0]  # for each attempt, and for one that the deadline prevents

    async def login(_: object) -> object:
        begun.append(clock.now())
        seconds, latency = failures[min(len(begun), len(failures)) - 1]
        await asyncio.sleep(latency)
        not_before.append(clock.now() + (min(seconds, MAX_SECONDS) if seconds is not None and seconds > 0 else 0.25))
        raise LoginUnavailableError(retry_after=seconds)

    async def main() -> None:
        account = Account(options=OwnerOptions(login_timeout=timeout), clock=clock.now)
        limits = LoginLimits(account)
        runner = LoginRunner(login, account, limits, LoginCourse(Reason.FIRST, 0.0))  # type: ignore[arg-type]  # never returns
        with pytest.raises(LoginUnavailableError):
            await runner.run(None, timeout)
        assert account.login_failures == len(begun)
        assert limits.retry_after_left <= max(60.0, timeout) + 1e-6

    with asyncio.Runner(loop_factory=clock.VirtualLoop) as runner:
        runner.run(main())
    assert begun[0] == 0.0
    assert all(moment < timeout for moment in begun)
    assert len(begun) <= timeout / 0.25 + 1
    assert all(moment >= allowed - 1e-6 for moment, allowed in zip(begun, not_before, strict=False))


class BusyError(LoginUnavailableError):
    """An application's own error, whose constructor is not ours, and which says in its way when to ask again."""

    def __init__(self, **says: object) -> None:
        Exception.__init__(self, "busy")
        vars(self).update(says)


@pytest.mark.parametrize(
    ("failure", "binds"),
    [
        (LoginUnavailableError(retry_after="120"), True),  # type: ignore[arg-type]
        (BusyError(retry_after="120"), True),
        (BusyError(retry_after=10**400), True),
        (BusyError(retry_after=timedelta(seconds=120)), False),
        (BusyError(), False),
    ],
    ids=["text", "own text", "own number", "no number", "nothing"],
)
@clock.virtual_time
async def test_what_a_login_says_of_when_to_ask_again_is_read_as_seconds(failure: Exception, *, binds: bool) -> None:
    """A number as text binds the next logins, and what is no number asks for nothing; neither is an untyped error."""
    kept = scripted(*[failure] * 60, login_timeout=3.0)
    for _ in range(3):
        with pytest.raises(LoginUnavailableError):
            await kept.obtain()
    assert (kept.login.count == 1) is binds


# -- events --------------------------------------------------------------------------------------------------------------


def limits_and_log(
    caplog: pytest.LogCaptureFixture, budget: int = 2
) -> tuple[LoginLimits, list[float], Callable[[], list[str]]]:
    """Return limits, their time as a list of one, and a function that returns what was logged since the last call."""
    caplog.set_level(logging.INFO, "exterview_auth")
    now = [0.0]
    account = Account("ada", label="ada", options=OwnerOptions(max_logins=(budget, 60.0)), clock=lambda: now[0])

    def logged() -> list[str]:
        messages = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
        caplog.clear()
        return messages

    return LoginLimits(account), now, logged


def used_up(limits: LoginLimits) -> None:
    """Use up a budget of two."""
    limits.record_useless()
    limits.record_useless()


CLOSINGS: dict[str, tuple[Callable[[LoginLimits], None], float, str]] = {
    "rejected": (
        lambda limits: limits.record_failure(CredentialsRejectedError("wrong")), 10.0,
        "error='CredentialsRejectedError' problem='wrong'",
    ),
    "failed": (lambda limits: limits.record_failure(LoginError("a bug")), 1.0, "error='LoginError' problem='a bug'"),
    "retry_after": (
        lambda limits: limits.record_failure(LoginUnavailableError("busy", retry_after=7)), 7.0,
        "error='LoginUnavailableError' problem='busy'",
    ),
    "max_logins": (
        used_up, 60.0,
        (
            "error='LoginBudgetExceededError' problem='2 logins within 60 s gave tokens that the API refused;"
            " the next login is possible in 60.0 s: check that the API key and the account belong to this endpoint'"
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", CLOSINGS)
@pytest.mark.parametrize("succeeds", [False, True])
def test_each_latch_emits_one_event_when_it_closes_and_one_when_it_opens(
    reason: str, caplog: pytest.LogCaptureFixture, *, succeeds: bool
) -> None:
    """However often it is looked at or closed again meanwhile, with the sentence of the caller's error."""
    limits, now, logged = limits_and_log(caplog)
    close, seconds, why = CLOSINGS[reason]
    for start in (0.0, 1000.0):
        now[0] = start
        for _ in range(3):
            close(limits)
            assert limits.left(needed=False) == seconds
        assert logged() == [f"WARNING logins.paused account='ada' reason='{reason}' seconds={seconds} {why}"]
        now[0] += seconds - 0.5
        assert limits.left(needed=False) == 0.5
        assert logged() == []
        if not succeeds or reason == "max_logins":
            now[0] += 0.5
            assert limits.left(needed=False) == 0.0
        for _ in range(3):
            limits.succeeded()
            assert limits.left(needed=False) == 0.0
        assert logged() == [f"INFO logins.resumed account='ada' reason='{reason}'"]


def test_a_latch_that_closes_again_before_anybody_saw_it_open_emits_both_events(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One event for each closing, one for each opening, in this order."""
    limits, now, logged = limits_and_log(caplog)
    limits.record_failure(LoginError())
    now[0] = 1.0
    limits.record_failure(LoginError())
    limits.forget_failures()
    assert [message.split()[1] for message in logged()] == ["logins.paused", "logins.resumed"] * 2


@virtual_time
async def test_a_latch_that_nobody_looks_at_emits_its_event_when_it_opens(caplog: pytest.LogCaptureFixture) -> None:
    """Each of several at its own time, one that was prolonged at the later one, and none after a success."""
    limits = LoginLimits(Account("ada", label="ada", options=OwnerOptions(max_logins=(1, 30.0)), clock=clock.now))
    caplog.set_level(logging.INFO, "exterview_auth")
    limits.record_useless()
    limits.record_failure(LoginError())
    limits.record_failure(LoginUnavailableError(retry_after=5))
    limits.record_failure(LoginUnavailableError(retry_after=8))
    for seconds, opened in ((0.5, []), (1, ["failed"]), (4, []), (3, ["retry_after"]), (21, []), (1, ["max_logins"])):
        caplog.clear()
        await passing(seconds)
        assert told(caplog, "logins.resumed") == [f"logins.resumed account='ada' reason='{each}'" for each in opened]
    limits.record_failure(CredentialsRejectedError(reason=None))
    limits.succeeded()
    caplog.clear()
    await passing(100)
    assert caplog.messages == []


@virtual_time
async def test_the_timer_of_a_latch_ends_with_its_owner(caplog: pytest.LogCaptureFixture) -> None:
    """An owner that is closed or dropped while logins are paused leaves no timer behind, and emits nothing more."""
    caplog.set_level(logging.INFO, "exterview_auth")
    closed, dropped = (scripted(LoginError(), account=name) for name in "cd")
    for kept in (closed, dropped):
        with pytest.raises(LoginError):
            await kept.obtain()
        assert kept._limits.latches.armed
    await closed.lifecycle.aclose()
    dropped.lifecycle.drop()
    assert [kept._limits.latches.armed for kept in (closed, dropped)] == [False, False]
    caplog.clear()
    await passing(60)
    assert caplog.messages == []


def test_a_latch_emits_its_event_on_the_loop_in_use(caplog: pytest.LogCaptureFixture) -> None:
    """The timer of a loop that has ended is let go of, and the pause goes on under the next one."""
    caplog.set_level(logging.INFO, "exterview_auth")
    seconds = [0.0]
    kept = scripted(LoginError(), account="a", clock=lambda: seconds[0])

    async def fail() -> None:
        with pytest.raises(LoginError):
            await kept.obtain()

    async def look() -> None:
        kept.lifecycle.enter()
        seconds[0] = 1.0
        await until(lambda: told(caplog, "logins.resumed") != [], 10)
        await kept.lifecycle.aclose()

    asyncio.run(fail())
    asyncio.run(look())


def test_a_longer_retry_after_prolongs_a_shorter_one(caplog: pytest.LogCaptureFixture) -> None:
    """In any order the longest counts, and it is the same pause."""
    limits, now, logged = limits_and_log(caplog)
    for asked, left in ((10, 10.0), (5, 10.0), (30, 30.0), (1, 30.0)):
        limits.record_failure(LoginUnavailableError(retry_after=asked))
        assert limits.retry_after_left == left
    now[0] = 29.0
    limits.record_failure(LoginUnavailableError(retry_after=0.5))
    assert limits.retry_after_left == 1.0
    assert len(logged()) == 1


def test_a_used_up_budget_lasts_until_its_oldest_login_is_a_window_ago(caplog: pytest.LogCaptureFixture) -> None:
    """Not for a window more."""
    limits, now, _ = limits_and_log(caplog)
    limits.record_useless()
    now[0] = limits.window - 5
    limits.record_useless()
    assert (limits.exhausted, limits.left(needed=False), limits.left(needed=True)) == (True, 5.0, 0.0)


@pytest.mark.parametrize("timeout", [10, 90])
def test_a_retry_after_is_respected_up_to_the_longer_of_its_bounds(timeout: int) -> None:
    """A minute, or what a login may take."""
    limits = LoginLimits(Account(options=OwnerOptions(login_timeout=timeout), clock=lambda: 0.0))
    limits.record_failure(LoginUnavailableError(retry_after=1000))
    assert limits.retry_after_left == max(60, timeout)


def test_a_remembered_error_keeps_no_traceback() -> None:
    """Its frames hold what the login held, and would be kept for as long as the pause."""
    limits = LoginLimits(Account())
    with pytest.raises(LoginError) as raised:
        raise LoginError("misfit")
    limits.record_failure(raised.value)
    with pytest.raises(LoginError, match="misfit") as caught:
        limits.check()
    assert len(caught.traceback) == 3  # this test, `check`, and the latch's `check`
