"""What the keeper decides: one login, for everybody, and nobody's refusal costs the others."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import logging
import weakref
from typing import Any

import pytest

from exterview_auth import (
    ClosedError,
    ConfigurationError,
    CredentialsRejectedError,
    LoggedOutError,
    LoginBudgetExceededError,
    LoginError,
    LoginUnavailableError,
    ReentrantLoginError,
    Token,
)
from exterview_auth._core.acquisition import MAX_RETIRED
from exterview_auth._core.keeper import Keeper
from tests.kit.clock import VirtualLoop, now, passing, settle, virtual_time
from tests.kit.keepers import ScriptedLogin, keeper


async def gathered(kept: Keeper, number: int = 50) -> set[str]:
    """The texts of the tokens that so many callers get at once."""
    return {grant.token.value for grant in await asyncio.gather(*(kept.obtain() for _ in range(number)))}


@virtual_time
async def test_any_number_of_callers_share_one_login() -> None:
    """Rule 1: all who find no token get the token of one login."""
    login = ScriptedLogin(seconds=1)
    kept = keeper(login)
    assert await gathered(kept, 1000) == {"T1"}
    assert login.count == 1
    assert kept.stats().logins == 1
    assert kept.stats().waiting_peak == 1000
    assert kept.stats().waiting == 0
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_login_runs_from_the_moment_it_is_asked_for() -> None:
    """Lesson 2: a second caller that comes before the login's task has run joins it."""
    login = ScriptedLogin()
    kept = keeper(login)
    first, second = asyncio.ensure_future(kept.obtain()), asyncio.ensure_future(kept.obtain())
    await asyncio.sleep(0)
    assert kept.lifecycle.status == "logging in"
    assert login.count == 0
    assert (await first) is (await second)
    assert login.count == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_refusal_of_an_older_grant_makes_no_login() -> None:
    """Rule 2: who was refused with an older token gets the current one."""
    login = ScriptedLogin()
    kept = keeper(login)
    old = await kept.obtain()
    assert kept.refuse(old, waited=False)
    new = await kept.obtain(old)
    for _ in range(5):
        assert kept.refuse(old, waited=False)
        assert await kept.obtain(old) is new
    assert login.count == 2
    await kept.lifecycle.aclose()


@virtual_time
async def test_two_logins_with_the_same_text_are_two_grants() -> None:
    """Lesson 3: a refusal counts by the login that it belongs to, not by the token's text."""
    login = ScriptedLogin(Token("same"), Token("same"))
    kept = keeper(login)
    old = await kept.obtain()
    kept.refuse(old, waited=False)
    new = await kept.obtain(old)
    assert new is not old
    assert kept.refuse(old, waited=False)
    assert await kept.obtain(old) is new
    assert login.count == 2
    await kept.lifecycle.aclose()


@virtual_time
async def test_while_a_login_for_a_refused_token_runs_everybody_waits() -> None:
    """Rule 4: nobody is given the dead token."""
    login = ScriptedLogin()
    kept = keeper(login)
    old = await kept.obtain()
    login.gate = asyncio.Event()
    kept.refuse(old, waited=False)
    assert kept.state.usable_until == float("-inf")
    waiting = [asyncio.ensure_future(kept.obtain()) for _ in range(10)]
    await settle()
    assert not any(task.done() for task in waiting)
    assert kept.stats().waiting == 10
    login.gate.set()
    assert {(await task).token.value for task in waiting} == {"T2"}
    await kept.lifecycle.aclose()


@virtual_time
async def test_cancelling_waiters_neither_cancels_the_login_nor_loses_it() -> None:
    """Rule 5: also where the first is cancelled, and where all are."""
    login = ScriptedLogin(seconds=1)
    kept = keeper(login)
    tasks = [asyncio.ensure_future(kept.obtain()) for _ in range(10)]
    await settle()
    for task in tasks:
        task.cancel()
    await settle()
    assert all(task.cancelled() for task in tasks)
    await passing(2)
    assert (await kept.obtain()).token.value == "T1"
    assert login.count == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_failed_login_ends_every_waiter_with_its_own_copy() -> None:
    """Rule 6: one typed error with its cause, an instance for each, and the next caller may try again."""
    cause = KeyError("surprise")
    login = ScriptedLogin(cause)
    kept = keeper(login)
    errors = await asyncio.gather(*(kept.obtain() for _ in range(10)), return_exceptions=True)
    assert {type(error) for error in errors} == {LoginError}
    assert len({id(error) for error in errors}) == 10
    assert all(isinstance(error, LoginError) and error.__cause__ is cause for error in errors)
    assert (await kept.obtain()).token.value == "T2"
    assert kept.stats().login_failures == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_rejected_credentials_are_presented_once_per_pause() -> None:
    """Rule 7: no login inside the pause, exactly one after it, and the pause doubles up to a minute."""
    login = ScriptedLogin(*[CredentialsRejectedError("no", reason="user") for _ in range(6)])
    kept = keeper(login)
    for pause in (10, 20, 40, 60, 60):
        before = login.count
        for _ in range(100):
            with pytest.raises(CredentialsRejectedError) as caught:
                await kept.obtain()
            assert caught.value.reason == "user"
        assert login.count == before + 1
        await passing(pause - 0.1)
        with pytest.raises(CredentialsRejectedError):
            await kept.obtain()
        assert login.count == before + 1
        await passing(0.2)
    with pytest.raises(CredentialsRejectedError):
        await kept.obtain()
    await passing(61)
    assert (await kept.obtain()).token.value == "T7"
    await kept.lifecycle.aclose()


@virtual_time
async def test_an_unavailable_endpoint_is_asked_again_inside_the_flight() -> None:
    """Rule 7: with growing pauses, for everybody, until it answers."""
    login = ScriptedLogin(*[LoginUnavailableError("down") for _ in range(4)])
    kept = keeper(login)
    assert await gathered(kept) == {"T5"}
    pauses = [later - earlier for earlier, later in zip(login.times, login.times[1:], strict=False)]
    assert all(0.2 <= pause <= 10.5 for pause in pauses)
    assert pauses[-1] > pauses[0]
    assert kept.stats().login_failures == 4
    await kept.lifecycle.aclose()


@virtual_time
async def test_an_endpoint_that_stays_down_ends_the_wait_at_the_timeout() -> None:
    """Rule 7: within ``login_timeout`` all end with `LoginUnavailableError`; the next request finds it healed."""
    login = ScriptedLogin(*[OSError("refused") for _ in range(1000)])
    kept = keeper(login, login_timeout=20)
    errors = await asyncio.gather(*(kept.obtain() for _ in range(5)), return_exceptions=True)
    assert {type(error) for error in errors} == {LoginUnavailableError}
    assert now() <= 20
    assert 4 <= login.count <= 12
    login.script.clear()
    assert (await kept.obtain()).token.value.startswith("T")
    await kept.lifecycle.aclose()


@virtual_time
async def test_retry_after_is_kept_by_all_who_wait() -> None:
    """Lesson 14: two calls, the second not before the endpoint said."""
    login = ScriptedLogin(LoginUnavailableError("busy", retry_after=2.0))
    kept = keeper(login)
    assert await gathered(kept, 500) == {"T2"}
    assert login.count == 2
    assert 2.0 <= login.times[1] <= 2.5
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_retry_after_beyond_the_timeout_binds_the_next_flight() -> None:
    """Rule 7: nobody waits in vain, and the endpoint is left alone until then."""
    login = ScriptedLogin(LoginUnavailableError("busy", retry_after=50.0))
    kept = keeper(login, login_timeout=10)
    for _ in range(3):
        with pytest.raises(LoginUnavailableError) as caught:
            await kept.obtain()
        assert caught.value.retry_after == pytest.approx(50.0)
    assert login.count == 1
    assert now() == 0
    await passing(45)
    assert (await kept.obtain()).token.value == "T2"
    assert now() == pytest.approx(50.0)
    await kept.lifecycle.aclose()


@virtual_time
async def test_an_absurd_retry_after_is_capped() -> None:
    """Lesson 12: the latch opens by itself, after a minute."""
    login = ScriptedLogin(LoginUnavailableError("busy", retry_after=1e18))
    kept = keeper(login, login_timeout=10)
    with pytest.raises(LoginUnavailableError):
        await kept.obtain()
    await passing(60)
    assert (await kept.obtain()).token.value == "T2"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_black_hole_ends_at_the_timeout() -> None:
    """Lesson 15: one attempt, one task, one typed error for all."""
    login = ScriptedLogin(seconds=3600)
    kept = keeper(login, login_timeout=30)
    errors = await asyncio.gather(*(kept.obtain() for _ in range(5)), return_exceptions=True)
    assert {type(error) for error in errors} == {LoginUnavailableError}
    assert now() == pytest.approx(30)
    assert login.count == 1
    assert kept.stats().login_failures == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_login_that_swallows_its_cancellation_holds_nobody_up() -> None:
    """Rule 6: nothing hangs, also where the application's login does not let itself be cancelled."""

    async def stubborn(_previous: Token | None) -> Token:
        for _ in range(3):
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                continue
        return Token("late")

    kept = keeper(stubborn, login_timeout=5)
    with pytest.raises(LoginUnavailableError):
        await kept.obtain()
    assert now() <= 7
    await kept.lifecycle.aclose()
    await passing(4000)


@virtual_time
async def test_a_login_that_cancels_itself_is_a_failed_login() -> None:
    """The fault table: the application's own login cancels; the waiters get a `LoginError`, not a cancellation."""
    kept = keeper(ScriptedLogin(asyncio.CancelledError()))
    with pytest.raises(LoginError, match="cancelling itself"):
        await kept.obtain()
    await kept.lifecycle.aclose()


@pytest.mark.parametrize("nonsense", [None, "token", {"access_token": "x"}])
def test_a_login_that_returns_nonsense_is_a_failed_login(nonsense: Any) -> None:
    """The fault table: the sentence says what to return."""

    @virtual_time
    async def run() -> None:
        async def login(_previous: Token | None) -> Any:
            return nonsense

        kept = keeper(login)
        with pytest.raises(LoginError, match=r"exterview_auth\.Token"):
            await kept.obtain()
        await kept.lifecycle.aclose()

    run()


@virtual_time
async def test_useless_logins_are_limited_and_the_limit_opens() -> None:
    """Rule 7: after ``max_logins`` the error says how long, and then a login is made again."""
    login = ScriptedLogin()
    kept = keeper(login, max_logins=(3, 60.0))

    async def refused_request() -> None:
        seen = kept.state.issued
        grant = await kept.obtain()
        again = False
        while kept.refuse(grant, waited=grant.number > seen, again=again):
            grant, again = await kept.obtain(grant), True

    for _ in range(2):
        await refused_request()
    with pytest.raises(LoginBudgetExceededError) as caught:
        await refused_request()
    assert login.count == 3
    assert kept.stats().useless_logins == 3
    assert caught.value.retry_after == pytest.approx(60)
    await passing(61)
    await refused_request()
    assert login.count == 4
    assert kept.stats().useless_logins == 4
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_token_that_served_and_was_revoked_costs_no_budget() -> None:
    """Rule 7: useless is only a login whose own requests were refused."""
    login = ScriptedLogin()
    kept = keeper(login, max_logins=(2, 60.0))
    for _ in range(20):
        grant = await kept.obtain()
        grant.ever_accepted = True
        kept.refuse(grant, waited=False)
    assert kept.stats().useless_logins == 0
    assert login.count == 20
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_token_revoked_after_it_served_is_renewed_for_who_waited_for_it_too() -> None:
    """Rule 1: who waited for a login, and came late to the wire, is refused for the first time."""
    login = ScriptedLogin()
    kept = keeper(login)
    grant = await kept.obtain()
    grant.ever_accepted = True
    assert kept.refuse(grant, waited=True)
    newer = await kept.obtain(grant)
    assert newer is not grant
    assert kept.stats().useless_logins == 0
    assert not kept.refuse(newer, waited=True, again=True)
    assert kept.stats().useless_logins == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_token_that_served_is_replaced_at_its_end_whatever_the_budget() -> None:
    """Rule 19: requests that the token serves never see `LoginBudgetExceededError`, also when it expires."""
    login = ScriptedLogin(expires_in=50)
    kept = keeper(login, max_logins=(1, 600.0), refresh_ahead=0)
    grant = await kept.obtain()
    kept.refuse(grant, waited=True, again=True)
    grant.ever_accepted = True
    await passing(51)
    assert (await kept.obtain()).token.value == "T2"
    await kept.lifecycle.aclose()


@virtual_time
async def test_the_last_login_is_kept_for_a_token_that_serves_nobody_any_more() -> None:
    """Rules 1 and 19: refusals between others' successes are one caller's own; two in a row are not."""
    login = ScriptedLogin()
    kept = keeper(login, max_logins=(2, 60.0))
    grant = await kept.obtain()
    grant.ever_accepted = grant.accepted_since_refusal = True
    assert kept.refuse(grant, waited=False)
    grant = await kept.obtain(grant)
    assert not kept.refuse(grant, waited=True, again=True)
    for _ in range(10):
        grant.ever_accepted = grant.accepted_since_refusal = True
        assert not kept.refuse(grant, waited=False)
    assert kept.refuse(grant, waited=False)
    assert (await kept.obtain(grant)).token.value == "T3"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_late_success_of_a_dead_token_hides_no_refusal() -> None:
    """Rule 1: with the budget nearly used up, who is refused while the login runs waits for it."""
    login = ScriptedLogin()
    kept = keeper(login, max_logins=(2, 60.0))
    grant = await kept.obtain()
    kept.refuse(grant, waited=True, again=True)
    grant.ever_accepted = grant.accepted_since_refusal = True
    assert not kept.refuse(grant, waited=False)
    assert kept.refuse(grant, waited=False)
    grant.accepted_since_refusal = True
    assert kept.refuse(grant, waited=False)
    assert (await kept.obtain(grant)).token.value == "T2"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_retry_after_of_nothing_does_not_make_the_pauses_shorter() -> None:
    """Rule 7: exponential backoff all the same."""
    login = ScriptedLogin(*[LoginUnavailableError("busy", retry_after=0) for _ in range(1000)])
    kept = keeper(login, login_timeout=20)
    with pytest.raises(LoginUnavailableError):
        await kept.obtain()
    assert login.count <= 10
    await kept.lifecycle.aclose()


@virtual_time
async def test_closing_again_waits_for_what_a_cancelled_close_began() -> None:
    """Rule 21: no task is left behind, also where the first ``aclose()`` was cancelled."""

    async def slow_to_die(_previous: Token | None) -> Token:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
        return Token("late")

    kept = keeper(slow_to_die)
    waiting = asyncio.ensure_future(kept.obtain())
    await settle()
    first = asyncio.ensure_future(kept.lifecycle.aclose())
    await settle()
    first.cancel()
    await kept.lifecycle.aclose()
    assert now() == pytest.approx(0.5)
    with pytest.raises(ClosedError):
        await waiting


@virtual_time
async def test_network_failures_use_no_budget() -> None:
    """Lesson 13: the two counts do not touch each other."""
    login = ScriptedLogin(*[LoginUnavailableError("down") for _ in range(8)])
    kept = keeper(login, max_logins=(1, 60.0), login_timeout=300)
    await kept.obtain()
    assert kept.stats().useless_logins == 0
    await kept.lifecycle.aclose()


@virtual_time
async def test_one_callers_refusals_leave_the_token_to_the_others() -> None:
    """Rule 19: the caller gets its 401, the token stays, and once the budget is used up no login is made for it."""
    login = ScriptedLogin()
    kept = keeper(login, max_logins=(3, 60.0))
    for _ in range(10):
        grant = await kept.obtain()
        grant.ever_accepted = True  # somebody else
        if not kept.refuse(grant, waited=False):
            continue
        newer = await kept.obtain(grant)
        newer.ever_accepted = True
        assert not kept.refuse(newer, waited=True, again=True)
        assert await kept.obtain() is newer
    assert login.count == 4
    assert (await kept.obtain()).token.value == "T4"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_refusal_right_after_a_login_leaves_the_token_to_be_tried() -> None:
    """Rule 19: it may be that caller's own; who is served by the token sees neither a login nor the budget's error."""
    login = ScriptedLogin()
    kept = keeper(login, max_logins=(1, 60.0))
    grant = await kept.obtain()
    assert not kept.refuse(grant, waited=True, again=True)
    assert await kept.obtain() is grant
    assert kept.refuse(grant, waited=False)  # a stranger's refusal, the token having served nobody
    with pytest.raises(LoginBudgetExceededError):
        await kept.obtain(grant)
    assert await kept.obtain() is grant
    grant.ever_accepted = True
    assert not kept.refuse(grant, waited=False)
    assert login.count == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_source_with_nothing_newer_is_not_a_new_login() -> None:
    """A login that returns the token being replaced: who was refused gets that grant back, others may try it."""
    login = ScriptedLogin(Token("fixed"), lambda previous: previous, lambda previous: previous)
    kept = keeper(login)
    grant = await kept.obtain()
    assert kept.refuse(grant, waited=False)
    other = asyncio.ensure_future(kept.obtain())
    assert await kept.obtain(grant) is grant
    assert await other is grant
    assert kept.stats().logins == 1
    assert await kept.obtain() is grant
    assert login.count == 2
    await kept.lifecycle.aclose()


@virtual_time
async def test_invalidate_knows_the_current_token_by_its_text() -> None:
    """The contract: a no-op unless it is the current one."""
    login = ScriptedLogin()
    kept = keeper(login)
    grant = await kept.obtain()
    kept.invalidate(Token("another"))
    assert await kept.obtain() is grant
    kept.invalidate(Token(grant.token.value))
    assert (await kept.obtain()).token.value == "T2"
    kept.invalidate(grant.token)
    assert login.count == 2
    await kept.lifecycle.aclose()


@virtual_time
async def test_logout_wins_over_a_login_in_flight() -> None:
    """Lesson 18: who waits gets `LoggedOutError`, the result is discarded, the next request logs in anew."""
    login = ScriptedLogin(seconds=1)
    kept = keeper(login)
    waiting = asyncio.ensure_future(kept.obtain())
    await settle()
    await kept.lifecycle.logout()
    with pytest.raises(LoggedOutError):
        await waiting
    assert kept.state.current is None
    assert (await kept.obtain()).token.value == "T2"
    assert login.issued == ["T2"]
    await kept.lifecycle.aclose()


@virtual_time
async def test_closing_ends_the_wait_and_every_later_use() -> None:
    """Rule 21: waiters and later callers get `ClosedError`; closing twice is fine; no task is left."""
    kept = keeper(ScriptedLogin(seconds=100))
    waiting = asyncio.ensure_future(kept.obtain())
    await settle()
    await kept.lifecycle.aclose()
    await kept.lifecycle.aclose()
    with pytest.raises(ClosedError):
        await waiting
    for use in (kept.obtain, kept.lifecycle.logout):
        with pytest.raises(ClosedError):
            await use()
    assert now() == 0
    assert not kept.lifecycle.holds_open


@virtual_time
async def test_a_login_that_asks_for_its_own_token_fails_at_once() -> None:
    """Rule 14, lesson 10: also after an await, and through a task of its own."""
    kept: Keeper

    async def direct(_previous: Token | None) -> Token:
        await asyncio.sleep(0.1)
        return (await kept.obtain()).token

    async def through_a_task(_previous: Token | None) -> Token:
        return (await asyncio.create_task(kept.obtain())).token

    for login in (direct, through_a_task):
        kept = keeper(login)
        with pytest.raises(ReentrantLoginError):
            await kept.obtain()
        assert now() < 1
        await kept.lifecycle.aclose()


@virtual_time
async def test_a_task_that_outlives_the_login_is_not_inside_it() -> None:
    """Lesson 42: it may ask for the token, also while another login runs."""
    results: list[str] = []
    kept: Keeper

    async def later() -> None:
        await asyncio.sleep(5)
        kept.refuse(await kept.obtain(), waited=False)
        results.append((await kept.obtain()).token.value)

    async def login(_previous: Token | None) -> Token:
        if not tasks:
            tasks.append(asyncio.create_task(later()))
        await asyncio.sleep(1)
        return Token(f"T{len(results) + 1}")

    tasks: list[asyncio.Task[None]] = []
    kept = keeper(login)
    await kept.obtain()
    await tasks[0]
    assert results == ["T1"]
    await kept.lifecycle.aclose()


@virtual_time
async def test_logins_run_in_a_context_of_their_own() -> None:
    """Lesson 43: variables of the request that caused the first login show in no login."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    async def login(_previous: Token | None) -> Token:
        seen.append(variable.get())
        return Token("T", expires_in=100)

    kept = keeper(login)
    variable.set("a request's")
    (await kept.obtain()).used = True
    await passing(100)
    assert seen == ["none", "none"]
    await kept.lifecycle.aclose()


@virtual_time
async def test_many_parked_callers_are_cancelled_in_little_time() -> None:
    """Lesson 39: 20 000 at once; the login completes and is used."""
    login = ScriptedLogin(seconds=1)
    kept = keeper(login)
    tasks = [asyncio.ensure_future(kept.obtain()) for _ in range(20_000)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert kept.stats().waiting == 0
    assert kept.stats().waiting_peak == 20_000
    await passing(2)
    assert (await kept.obtain()).token.value == "T1"
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_fresh_token_that_died_before_its_waiters_woke_is_useless() -> None:
    """Rule 7: an API that refuses everything cannot keep logins going while the waiters are held by a hook."""
    login = ScriptedLogin()

    async def on_token(_new: Token, _old: Token | None, _reason: object) -> None:
        await asyncio.sleep(1)

    kept = keeper(login, max_logins=(3, 600.0), on_token=on_token)
    waiting = asyncio.ensure_future(kept.obtain())
    for _ in range(10):
        await passing(0.5)
        if kept.state.current is not None and not kept.state.current.rejected:
            kept.refuse(kept.state.current, waited=False)  # somebody who did not wait
        await passing(0.6)
    with pytest.raises(LoginBudgetExceededError):
        await waiting
    assert login.count == 3
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_useless_login_is_counted_once() -> None:
    """Rule 7: any number of its requests may be refused, it was one login."""
    kept = keeper(ScriptedLogin(), max_logins=(3, 60.0))
    grant = await kept.obtain()
    for _ in range(5):
        assert not kept.refuse(grant, waited=True, again=True)
    assert kept.stats().useless_logins == 1
    assert kept.stats().unauthorized == 5
    await kept.lifecycle.aclose()


@virtual_time
async def test_what_happens_to_a_token_is_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 18: issued and why, refused, logged out; each once, with its account and no secret."""
    kept = keeper(ScriptedLogin(Token("s3cret-1", expires_in=60), Token("s3cret-2")), account="a")
    with caplog.at_level(logging.INFO, "exterview_auth"):
        grant = await kept.obtain()
        for _ in range(3):
            kept.refuse(grant, waited=False)
        await kept.obtain(grant)
        await kept.lifecycle.logout()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "token.issued account='a' reason='first' expires_in=60.0"),
        (logging.INFO, "token.refused account='a'"),
        (logging.INFO, "token.issued account='a' reason='refused'"),
        (logging.INFO, "logged_out account='a'"),
    ]
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_login_that_fails_is_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 18: each attempt by its type alone, with what the endpoint asked for, and the one that was cut off."""
    login = ScriptedLogin(LoginUnavailableError("s3cret", retry_after=2.0), OSError("s3cret"), KeyError("s3cret"))
    kept = keeper(login, login_timeout=30)
    with caplog.at_level(logging.INFO, "exterview_auth"):
        with pytest.raises(LoginError):
            await kept.obtain()
        login.seconds = 100
        for _ in range(2):
            with pytest.raises(LoginUnavailableError):
                await kept.obtain()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "login.failed error='LoginUnavailableError' retry_after=2.0"),
        (logging.WARNING, "login.failed error='LoginUnavailableError'"),
        (logging.WARNING, "login.failed error='LoginError'"),
        (logging.WARNING, "login.failed error='TimeoutError'"),
        (logging.WARNING, "login.failed error='TimeoutError'"),
    ]
    assert kept.stats().login_failures == 5
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_short_retry_after_binds_the_next_flight_too() -> None:
    """Rule 7: to the second, and where it leaves no time at all the error comes at once and says how long."""
    login = ScriptedLogin(LoginUnavailableError("busy", retry_after=10.5))
    kept = keeper(login, login_timeout=10)
    with pytest.raises(LoginUnavailableError):
        await kept.obtain()
    await passing(0.5)
    with pytest.raises(LoginUnavailableError, match=r"asked not to be called for another 10\.0 s$") as caught:
        await kept.obtain()
    assert (caught.value.retry_after, now()) == (10.0, 0.5)
    await passing(9.5)
    assert (await kept.obtain()).token.value == "T2"
    assert login.times == [0.0, 10.5]
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_login_that_is_configured_wrongly_says_so() -> None:
    """Rule 6: the sentence of the login's own `ConfigurationError` is the waiters'."""
    cause = ConfigurationError("set it")
    kept = keeper(ScriptedLogin(cause))
    with pytest.raises(LoginError, match=r"^set it$") as caught:
        await kept.obtain()
    assert caught.value.__cause__ is cause
    await kept.lifecycle.aclose()


@virtual_time
async def test_why_a_token_was_needed_is_told() -> None:
    """``on_token``: the reason and the token before, for each kind of login."""
    told: list[tuple[str, str | None, str]] = []
    login = ScriptedLogin(expires_in=100)
    kept = keeper(
        login,
        refresh_ahead=0,
        on_token=lambda new, old, reason: told.append((new.value, None if old is None else old.value, str(reason))),
    )
    grant = await kept.obtain()
    kept.refuse(grant, waited=False)
    await kept.obtain(grant)
    await passing(100)
    await kept.obtain()
    await kept.lifecycle.logout()
    await kept.obtain()
    assert told == [("T1", None, "first"), ("T2", "T1", "refused"), ("T3", "T2", "expired"), ("T4", None, "first")]
    assert [None if previous is None else previous.value for previous in login.calls] == [None, "T1", "T2", None]
    await kept.lifecycle.aclose()


@virtual_time
async def test_only_so_many_texts_are_remembered() -> None:
    """An owner that lives for years does not grow with each of its tokens."""
    kept = keeper(ScriptedLogin(), max_logins=(100, 60.0))
    grant = await kept.obtain()
    for _ in range(50):
        kept.refuse(grant, waited=False)
        grant = await kept.obtain(grant)
    supply = kept._renewal.acquisition
    assert supply.is_retired("T50")
    assert not supply.is_retired("T1")
    assert len(supply._retired) == MAX_RETIRED
    await kept.lifecycle.aclose()


@virtual_time
async def test_the_key_is_read_before_every_attempt() -> None:
    """Contract, ``api_key``: one that was rotated while the login was repeated is picked up, and no old one is presented."""
    key = ["old"]
    presented: list[str] = []

    async def read() -> None:
        presented.append(key[0])

    def unavailable(_: Token | None) -> Token:
        key[0] = "new"
        raise LoginUnavailableError("later")

    owner = keeper(ScriptedLogin(unavailable), prepare=read)
    await owner.obtain()
    assert presented == ["old", "new"]
    await owner.lifecycle.aclose()


@virtual_time
async def test_a_login_that_is_cut_off_says_what_was_told_before() -> None:
    """Rule 6, its cause chained: the reason of the attempts before is not lost."""
    reason = LoginUnavailableError("503 Service Unavailable")
    owner = keeper(ScriptedLogin(reason, lambda _: asyncio.sleep(1e6)), login_timeout=5.0)
    with pytest.raises(LoginUnavailableError, match=r"within 5 s; before that: 503 Service Unavailable") as caught:
        await owner.obtain()
    assert str(caught.value.__cause__) == str(reason)
    await passing(60)
    with pytest.raises(LoginUnavailableError, match="check that its endpoint responds") as caught:
        await keeper(ScriptedLogin(lambda _: asyncio.sleep(1e6)), login_timeout=5.0).obtain()
    assert caught.value.__cause__ is None
    await owner.lifecycle.aclose()


@virtual_time
async def test_a_token_that_went_over_while_its_hook_hung_is_not_sent() -> None:
    """Rule 8: who waited for a hook longer than its token lives waits for the next one, once."""
    hung = asyncio.Event()

    async def hang(*_: object) -> None:
        await hung.wait()

    login = ScriptedLogin(expires_in=2)
    owner = keeper(login, on_token=hang)
    grant = await owner.obtain()
    assert (grant.token.value, login.count) == ("T2", 2)
    assert now() < grant.expires
    await owner.lifecycle.aclose()


@virtual_time
async def test_who_is_held_up_twice_sends_the_second_token() -> None:
    """Rule 6: where the hook takes longer than any token lives, nobody waits for ever; only the API can tell."""

    async def slow(*_: object) -> None:
        await asyncio.sleep(4)

    login = ScriptedLogin(expires_in=2)
    owner = keeper(login, on_token=slow)
    async with asyncio.timeout(60):
        assert (await owner.obtain()).token.value == "T2"
    assert (login.count, now()) == (2, 8)
    await owner.lifecycle.aclose()


@virtual_time
async def test_a_token_that_was_refused_before_its_flight_landed_is_not_given_back() -> None:
    """Rule 7: who was refused with it while the hook ran is told of the budget, and does not send it again."""

    async def slow(*_: object) -> None:
        await asyncio.sleep(1)

    kept = keeper(ScriptedLogin(), max_logins=(2, 600.0), on_token=slow)
    first = await kept.obtain()
    assert kept.refuse(first, waited=True)
    waiting = asyncio.ensure_future(kept.obtain(first))
    await settle()
    second = kept.state.unexpired
    assert second is not None
    assert kept.refuse(second, waited=True)  # signed again while it queued for a connection
    with pytest.raises(LoginBudgetExceededError):
        await kept.obtain(second)
    assert not second.rejected
    assert await waiting is second
    await kept.lifecycle.aclose()


@virtual_time
async def test_an_owner_lives_as_long_as_its_login() -> None:
    """A pool finds it again while its login runs, and lets it go afterwards."""

    class Owner:
        """Whoever has the keeper."""

    login, made = ScriptedLogin(), Owner()
    login.gate = asyncio.Event()
    known = weakref.ref(made)
    kept = keeper(login, owner=known)
    waiting = asyncio.ensure_future(kept.obtain())
    await settle()
    del made
    gc.collect()
    assert known() is not None
    login.gate.set()
    await waiting
    await settle()
    gc.collect()
    assert known() is None
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_token_that_was_over_when_it_came_is_tried_all_the_same() -> None:
    """Lesson 27: an odd lifetime is never fatal, and no reason for a login more."""
    login = ScriptedLogin(expires_in=1e-9)
    owner = keeper(login)
    assert (await owner.obtain()).token.value == "T1"
    assert login.count == 1
    await owner.lifecycle.aclose()


@virtual_time
async def test_a_login_that_is_cut_off_says_what_went_wrong_before() -> None:
    """Rule 6: the last attempt's own error is the cause, and its sentence is told; without one, where to look."""
    login = ScriptedLogin(LoginUnavailableError("it answered 503"))
    login.gate = asyncio.Event()
    login.gate.set()
    kept = keeper(login, login_timeout=10)
    waiting = asyncio.ensure_future(kept.obtain())
    while not login.count:
        await passing(0.01)
    login.gate.clear()
    with pytest.raises(LoginUnavailableError, match=r"within 10 s; before that: it answered 503$") as caught:
        await waiting
    assert str(caught.value.__cause__) == "it answered 503"
    with pytest.raises(LoginUnavailableError, match=r"within 10 s; check that its endpoint responds$") as caught:
        await kept.obtain()
    assert caught.value.__cause__ is None
    await kept.lifecycle.aclose()


def test_an_owner_whose_loop_has_ended_holds_nothing_open() -> None:
    """Rule 21: a renewal that no loop can make any more is nothing to close."""
    kept = keeper(ScriptedLogin(expires_in=100))
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(kept.obtain())
        assert kept.lifecycle.holds_open
    assert not kept.lifecycle.holds_open


@virtual_time
async def test_every_login_is_counted() -> None:
    """`stats()`: those that gave a token, and those that gave none."""
    kept = keeper(ScriptedLogin(Token("T1"), KeyError(), Token("T3"), Token("T4")))
    for expected in (1, 2, 3):
        while kept.state.unrejected is None:
            with contextlib.suppress(LoginError):
                await kept.obtain()
        assert kept.stats().logins == expected
        assert kept.state.current is not None
        kept.refuse(kept.state.current, waited=False)
    assert kept.stats().login_failures == 1
    await kept.lifecycle.aclose()


@virtual_time
async def test_what_an_earlier_flight_was_told_is_no_cause_of_this_one() -> None:
    """Rule 6: the chained cause is this login's, not one of an hour ago."""
    hang = False

    async def prepare() -> None:
        if hang:
            await asyncio.sleep(1e6)

    login = ScriptedLogin(LoginUnavailableError("an hour ago"), Token("T1", expires_in=60))
    owner = keeper(login, prepare=prepare, login_timeout=10.0, refresh_ahead=0.0)
    await owner.obtain()
    await passing(3600)
    hang = True
    with pytest.raises(LoginUnavailableError, match="check that its endpoint responds") as caught:
        await owner.obtain()
    assert caught.value.__cause__ is None
    await owner.lifecycle.aclose()
