"""What the keeper decides: one login serves everybody, and one caller's refusals cost the others nothing."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import logging
import math
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from exterview_auth import (
    ClosedError,
    ConfigurationError,
    CredentialsRejectedError,
    InsecureTransportError,
    LoginBudgetExceededError,
    LoginError,
    LoginUnavailableError,
    MemoryStore,
    ReentrantLoginError,
    Token,
)
from exterview_auth._clock import boot_time
from exterview_auth._core.keeper import Keeper
from exterview_auth._core.state import MAX_RETIRED, IssuedToken
from tests.kit.clock import VirtualLoop, now, passing, settle, virtual_time
from tests.kit.keepers import keeper, scripted


def types_of(outcomes: list[Any]) -> set[type]:
    """Return the types of some outcomes."""
    return {type(outcome) for outcome in outcomes}


# -- one login for everybody ---------------------------------------------------------------------------------------------


@virtual_time
async def test_any_number_of_callers_share_one_login() -> None:
    """All callers that find no token get the token of one login."""
    kept = scripted(seconds=1)
    assert set(await kept.outcomes(1000)) == {"T1"}
    assert kept.login.count == 1
    stats = kept.stats()
    assert (stats.logins, stats.waiting, stats.waiting_peak) == (1, 0, 1000)


@pytest.mark.parametrize("second", ["another", "same"])
@virtual_time
async def test_a_refusal_of_an_older_token_starts_no_login(second: str) -> None:
    """Its request gets the current token; a refusal counts by its login, not by the token's text, in `stats()`."""
    kept = scripted(Token("same"), Token(second))
    old = await kept.obtain()
    assert kept.refuse(old)
    new = await kept.obtain(old)
    assert new is not old
    for _ in range(5):
        assert kept.refuse(old)
        assert await kept.obtain(old) is new
    assert kept.login.count == 2
    assert (kept.stats().unauthorized, kept.stats().useless_logins) == (6, 1)


@virtual_time
async def test_all_callers_wait_while_a_rejected_token_is_replaced() -> None:
    """No caller gets the rejected token."""
    kept = scripted()
    old = await kept.obtain()
    kept.login.gate = asyncio.Event()
    kept.refuse(old)
    assert kept.state.usable_until == float("-inf")
    waiting = [kept.waiting() for _ in range(10)]
    await settle()
    assert not any(task.done() for task in waiting)
    assert kept.stats().waiting == 10
    kept.login.gate.set()
    assert {(await task).token.value for task in waiting} == {"T2"}


@virtual_time
async def test_cancelling_all_waiters_does_not_cancel_the_login() -> None:
    """The login finishes for nobody, and the next caller gets its token."""
    kept = scripted(seconds=1)
    tasks = [kept.waiting() for _ in range(10)]
    await settle()
    for task in tasks:
        task.cancel()
    await settle()
    assert all(task.cancelled() for task in tasks)
    await passing(2)
    assert await kept.text() == "T1"
    assert kept.login.count == 1


@virtual_time
async def test_a_login_that_asks_for_its_own_token_fails_at_once() -> None:
    """Also after an await, and through a separate task."""
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


@pytest.mark.parametrize("number", [2, 3])
@virtual_time
async def test_logins_that_ask_each_other_in_a_circle_fail_at_once(number: int) -> None:
    """Also if a request began each of them, so that none began inside another."""
    kept: list[Keeper] = []

    def asking(other: int) -> Callable[[Token | None], Awaitable[Token]]:
        async def login(_previous: Token | None) -> Token:
            await asyncio.sleep(0.1)
            return (await kept[other % number].obtain()).token

        return login

    kept += [keeper(asking(other)) for other in range(1, number + 1)]
    outcomes = await asyncio.gather(*(owner.obtain() for owner in kept), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ReentrantLoginError] * number
    assert now() == 0.1


@virtual_time
async def test_a_login_may_wait_for_another_that_no_longer_waits_for_it() -> None:
    """What is refused is a circle of waiters, not one login that uses another."""
    asked = asyncio.Event()
    kept: list[Keeper] = []

    async def impatient(_previous: Token | None) -> Token:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(kept[1].obtain(), 1)
        asked.set()
        await asyncio.sleep(1)
        return Token("first")

    async def patient(_previous: Token | None) -> Token:
        await asked.wait()
        return Token(f"after-{(await kept[0].obtain()).token.value}")

    kept += [keeper(impatient), keeper(patient)]
    outcomes = await asyncio.gather(*(owner.obtain() for owner in kept))
    assert [issued.token.value for issued in outcomes] == ["first", "after-first"]


@virtual_time
async def test_logins_run_in_a_separate_context() -> None:
    """No login sees the context variables of the request that started the first one."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    async def login(_previous: Token | None) -> Token:
        seen.append(variable.get())
        variable.set("the login's")
        return Token("T", expires_in=100)

    kept = keeper(login)
    variable.set("a request's")
    (await kept.obtain()).used = True
    await passing(100)
    assert seen == ["none", "none"]
    assert variable.get() == "a request's"


# -- failing logins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        (asyncio.CancelledError(), r"^the login ended in CancelledError; see the error that is chained to it$"),
        (ConfigurationError("set it"), r"^set it$"),
        (None, r"returned NoneType; let it return an exterview_auth\.Token"),
        ("token", r"exterview_auth\.Token"),
        ({"access_token": "x"}, r"exterview_auth\.Token"),
    ],
)
@virtual_time
async def test_a_login_that_breaks_the_contract_is_a_failed_login(ends: Any, sentence: str) -> None:
    """The fault table: each waiter gets a `LoginError` with a sentence that says what to do, and is not cancelled."""

    async def login(_previous: Token | None) -> Any:
        if isinstance(ends, BaseException):
            raise ends
        return ends

    with pytest.raises(LoginError, match=sentence) as caught:
        await keeper(login).obtain()
    assert (caught.value.__cause__ is None) is not isinstance(ends, BaseException)


@virtual_time
async def test_rejected_credentials_are_presented_once_per_pause() -> None:
    """No login inside the pause, but a copy of the error; one after it, and the pause doubles up to a minute."""
    kept = scripted(*[CredentialsRejectedError("no", reason="user") for _ in range(5)])
    copies = []
    for number, pause in enumerate((10, 20, 40, 60, 60), 1):
        for elapsed in (0, 0, pause - 0.1):
            await passing(elapsed)
            with pytest.raises(CredentialsRejectedError) as caught:
                await kept.obtain()
            assert caught.value.reason == "user"
            assert kept.login.count == number
            copies.append(caught.value)
        await passing(0.2)
    assert await kept.text() == "T6"
    assert len({id(error) for error in copies}) == 15


class OwnError(BaseException):
    """An application's own, which its ``except Exception`` lets through."""


@pytest.mark.parametrize(
    "failure",
    [
        LoginError("misfit"),
        KeyError("bug"),
        asyncio.CancelledError(),
        OwnError(),
        GeneratorExit(),
        ReentrantLoginError("itself"),
        InsecureTransportError("http"),
    ],
    ids=lambda failure: type(failure).__name__,
)
@virtual_time
async def test_any_other_definite_failure_pauses_logins_too(failure: BaseException) -> None:
    """A wrong URL, a bug in the login: a hundred requests in a row get copies of its error; 1, 2, 4 ... 60 s."""
    kept = scripted(*[failure for _ in range(9)])
    for number, pause in enumerate((1, 2, 4, 8, 16, 32, 60, 60, 60), 1):
        errors = await kept.outcomes(100)
        assert len(types_of(errors)) == 1
        assert len({id(error) for error in errors}) == 100
        await passing(pause - 0.1)
        assert types_of(await kept.outcomes(1)) == types_of(errors)
        assert kept.login.count == number
        await passing(0.1)
    assert await kept.text() == "T10"
    kept.login.script = [LoginError("again")]
    kept.invalidate(kept.state.current.token)  # type: ignore[union-attr]  # the one just obtained
    await kept.outcomes(2)
    await passing(1)
    assert await kept.text() == "T12"  # after a success it begins with the short pause again


@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit])
def test_a_login_that_ends_the_program_is_a_failed_login_to_whoever_goes_on(ends: type[BaseException]) -> None:
    """Asyncio lets both through at once; a loop that runs on, as a notebook's does, has no login per request."""
    logins: list[object] = []

    async def login(previous: Token | None) -> Token:
        logins.append(previous)
        raise ends

    async def ask(kept: Keeper) -> None:
        with pytest.raises(
            LoginError, match=f"^the login ended in {ends.__name__}; see the error that is chained to it"
        ):
            await kept.obtain()

    kept = keeper(login, clock=boot_time)
    with asyncio.Runner() as runner:
        # asyncio calls it lost, because nobody awaits the task; it has gone through the loop.
        runner.get_loop().set_exception_handler(lambda _loop, _context: None)
        with pytest.raises(ends):
            runner.run(ask(kept))
        for _ in range(3):
            runner.run(ask(kept))
        runner.run(kept.lifecycle.aclose())
    assert len(logins) == 1


@virtual_time
async def test_a_key_that_cannot_be_read_pauses_logins_too() -> None:
    """With a store too, whose tokens need the key as well."""
    reads: list[float] = []

    async def read() -> None:
        reads.append(now())
        raise LoginError("the api_key callable ended in OSError")

    for store in (None, MemoryStore(timer=now)):
        kept = scripted(prepare=read, store=store, account="a")
        began = now()
        reads.clear()
        while now() < began + 7.4:
            assert types_of(await kept.outcomes(10)) == {LoginError}
            await passing(0.05)
        # A look into the store, at most once a second, needs the key too, but prolongs no pause.
        assert [round(at - began) for at in reads] == ([0, 1, 3, 7] if store is None else list(range(8)))
        assert kept.login.count == 0


@virtual_time
async def test_a_logout_ends_the_pauses_after_failures() -> None:
    """The next login may be another user's."""
    kept = scripted(CredentialsRejectedError("no"), LoginError("misfit"))
    for error in (CredentialsRejectedError, LoginError):
        assert types_of(await kept.outcomes(3)) == {error}
        await kept.lifecycle.logout()
    assert await kept.text() == "T3"


@virtual_time
async def test_an_unavailable_endpoint_is_asked_again_inside_the_flight() -> None:
    """With growing pauses, for all waiters, until it answers; failures use no budget."""
    kept = scripted(*[LoginUnavailableError("down") for _ in range(4)], max_logins=(1, 60.0))
    assert set(await kept.outcomes(50)) == {"T5"}
    times = kept.login.times
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(0.2 <= pause <= 10.5 for pause in pauses)
    assert pauses[-1] > pauses[0]
    assert (kept.stats().login_failures, kept.stats().useless_logins) == (4, 0)


@virtual_time
async def test_an_endpoint_that_stays_down_ends_the_wait_at_the_timeout() -> None:
    """Within ``login_timeout`` all end with `LoginUnavailableError`; the next request finds it healed."""
    kept = scripted(*[OSError("refused") for _ in range(1000)], login_timeout=20)
    assert types_of(await kept.outcomes(5)) == {LoginUnavailableError}
    assert now() <= 20
    assert 4 <= kept.login.count <= 12
    kept.login.script.clear()
    assert (await kept.text()).startswith("T")


@pytest.mark.parametrize("asked", [10.5, 50.0])
@virtual_time
async def test_a_retry_after_beyond_the_timeout_binds_the_next_flight(asked: float) -> None:
    """Nobody waits in vain: the error comes at once and says how long, and the endpoint is left alone until then."""
    kept = scripted(LoginUnavailableError("busy", retry_after=asked, status=429), login_timeout=10)
    with pytest.raises(LoginUnavailableError, match=r"^busy$"):
        await kept.obtain()
    await passing(0.5)
    left = asked - 0.5
    says = rf"^busy \(remembered; the next login is possible in {math.ceil(left)} s\)$"
    with pytest.raises(LoginUnavailableError, match=says) as caught:
        await kept.obtain()
    assert (caught.value.retry_after, caught.value.status, now()) == (left, 429, 0.5)
    await passing(left - 9.5 if left > 10 else left)
    assert await kept.text() == "T2"
    assert kept.login.times == [0.0, asked]


@virtual_time
async def test_a_refusal_from_memory_says_so() -> None:
    """Nothing was sent for it: the sentence and ``retry_after`` say when the next login is possible."""
    kept = scripted(CredentialsRejectedError("no", reason="user"))
    with pytest.raises(CredentialsRejectedError, match=r"^no$") as first:
        await kept.obtain()
    await passing(3.2)
    with pytest.raises(CredentialsRejectedError) as second:
        await kept.obtain()
    assert str(second.value) == "no (remembered; the next login is possible in 7 s)"
    assert second.value.reason == "user"
    assert second.value.retry_after == pytest.approx(6.8)
    assert first.value.retry_after is None
    assert kept.login.count == 1


@pytest.mark.parametrize("asked", [10**5000, math.inf], ids=["long", "endless"])
@virtual_time
async def test_an_absurd_retry_after_is_capped(asked: float) -> None:
    """Also one of an application's own login, and a whole number that no float holds: a minute at most."""
    kept = scripted(LoginUnavailableError("later", retry_after=asked))
    with pytest.raises(LoginUnavailableError, match=r"^later$"):
        await kept.obtain()
    with pytest.raises(LoginUnavailableError, match=r"^later \(remembered; the next login is possible in 60 s\)$"):
        await kept.obtain()
    assert kept.login.times == [now()] == [0.0]
    await passing(60)
    assert await kept.text() == "T2"


@virtual_time
async def test_a_login_that_swallows_its_cancellation_delays_nobody() -> None:
    """Nothing hangs, also if the application's login cannot be cancelled."""

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
async def test_a_login_that_is_cut_off_names_the_last_failure() -> None:
    """The last attempt's error is the cause; without one, the sentence says where to look."""
    kept = scripted(LoginUnavailableError("it answered 503"), lambda _: asyncio.sleep(1e6), login_timeout=10)
    with pytest.raises(LoginUnavailableError, match=r"within 10 s; before that: it answered 503$") as caught:
        await kept.obtain()
    assert str(caught.value.__cause__) == "it answered 503"
    assert now() == 10
    kept.login.seconds = 1e6
    with pytest.raises(LoginUnavailableError, match=r"within 10 s; check that its endpoint responds$") as caught:
        await kept.obtain()
    assert caught.value.__cause__ is None
    assert (now(), kept.login.count) == (20, 3)


@virtual_time
async def test_a_failure_of_an_earlier_flight_is_no_cause_of_this_one() -> None:
    """The chained cause belongs to this login, not to one of an hour ago."""
    hang = False

    async def prepare() -> None:
        if hang:
            await asyncio.sleep(1e6)

    script = LoginUnavailableError("an hour ago"), Token("T1", expires_in=60)
    kept = scripted(*script, prepare=prepare, login_timeout=10.0, refresh_ahead=0.0)
    await kept.obtain()
    await passing(3600)
    hang = True
    with pytest.raises(LoginUnavailableError, match="check that its endpoint responds") as caught:
        await kept.obtain()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("heals", [True, False])
@virtual_time
async def test_the_failures_of_a_login_are_gone_when_it_has_ended(*, heals: bool) -> None:
    """An idle owner keeps no error of a login, and with it all frames that the error came through."""
    failures: list[weakref.ref[LoginUnavailableError]] = []

    def fail(_: Token | None) -> Token:
        if heals and failures:
            return Token("T1")
        failure = LoginUnavailableError("later")
        failures.append(weakref.ref(failure))
        raise failure

    kept = scripted(*[fail] * 20, login_timeout=10)
    with contextlib.nullcontext() if heals else pytest.raises(LoginUnavailableError):
        await kept.obtain()
    await settle()
    gc.collect()
    assert [failure() for failure in failures] == [None] * len(failures)


@virtual_time
async def test_the_key_is_read_before_every_attempt() -> None:
    """Contract, ``api_key``: one that was rotated between two attempts is used, and the old one is not presented again."""
    key = ["old"]
    presented: list[str] = []

    async def read() -> None:
        presented.append(key[0])

    def unavailable(_: Token | None) -> Token:
        key[0] = "new"
        raise LoginUnavailableError("later")

    await scripted(unavailable, prepare=read).obtain()
    assert presented == ["old", "new"]


# -- useless logins ------------------------------------------------------------------------------------------------------


async def refused_request(kept: Keeper) -> None:
    """Send a request that the API refuses with every token."""
    issued = await kept.obtain()
    again = False
    while kept.refuse(issued, again=again):
        issued, again = await kept.obtain(issued), True


def accept(issued: IssuedToken) -> None:
    """Have the API accept *issued* for another request."""
    issued.ever_accepted = issued.accepted_since_refusal = True


@virtual_time
async def test_useless_logins_are_limited_and_the_limit_opens() -> None:
    """After ``max_logins`` the error says how long, and after that time the next login runs."""
    kept = scripted(max_logins=(3, 60.0))
    for _ in range(2):
        await refused_request(kept)
    with pytest.raises(LoginBudgetExceededError, match=r"^3 logins within 60 s .* in 60\.0 s: check") as caught:
        await refused_request(kept)
    assert caught.value.retry_after == pytest.approx(60)
    assert kept.login.count == kept.stats().useless_logins == 3
    await passing(61)
    await refused_request(kept)
    assert kept.login.count == kept.stats().useless_logins == 4


@virtual_time
async def test_a_useless_login_is_counted_once() -> None:
    """Any number of its requests may be refused, it was one login."""
    kept = scripted(max_logins=(3, 60.0))
    issued = await kept.obtain()
    for _ in range(5):
        assert not kept.refuse(issued, again=True)
    assert (kept.stats().useless_logins, kept.stats().unauthorized) == (1, 5)


@virtual_time
async def test_a_token_that_worked_and_was_revoked_costs_no_budget() -> None:
    """Only a login whose own requests were refused is useless."""
    kept = scripted(max_logins=(2, 60.0))
    for _ in range(20):
        issued = await kept.obtain()
        issued.ever_accepted = True
        kept.refuse(issued)
    assert (kept.stats().useless_logins, kept.login.count) == (0, 20)


@virtual_time
async def test_a_token_that_is_revoked_after_it_worked_is_replaced_for_its_waiters_too() -> None:
    """The first refusal of a request that waited for the login and was sent late is no sign of a useless login."""
    kept = scripted()
    issued = await kept.obtain()
    issued.ever_accepted = True
    assert kept.refuse(issued)
    newer = await kept.obtain(issued)
    assert newer is not issued
    assert kept.stats().useless_logins == 0
    assert not kept.refuse(newer, again=True)
    assert kept.stats().useless_logins == 1


@virtual_time
async def test_a_token_that_works_is_replaced_at_its_end_whatever_the_budget() -> None:
    """Requests for which the token works never see `LoginBudgetExceededError`, also when it expires."""
    kept = scripted(expires_in=50, max_logins=(1, 600.0), refresh_ahead=0)
    issued = await kept.obtain()
    kept.refuse(issued, again=True)
    issued.ever_accepted = True
    await passing(51)
    assert await kept.text() == "T2"


@virtual_time
async def test_the_last_login_is_kept_for_a_token_that_works_for_nobody_any_more() -> None:
    """A refusal between other requests' successes concerns one caller; two refusals in a row do not."""
    kept = scripted(max_logins=(2, 60.0))
    issued = await kept.obtain()
    accept(issued)
    assert kept.refuse(issued)
    issued = await kept.obtain(issued)
    assert not kept.refuse(issued, again=True)
    for _ in range(10):
        accept(issued)
        assert not kept.refuse(issued)
    assert kept.refuse(issued)
    assert await kept.text(issued) == "T3"


@virtual_time
async def test_a_late_success_of_a_rejected_token_hides_no_refusal() -> None:
    """With the budget nearly used up, a request that is refused while the login runs waits for it."""
    kept = scripted(max_logins=(2, 60.0))
    issued = await kept.obtain()
    kept.refuse(issued, again=True)
    accept(issued)
    assert not kept.refuse(issued)
    assert kept.refuse(issued)
    issued.accepted_since_refusal = True
    assert kept.refuse(issued)
    assert await kept.text(issued) == "T2"


@virtual_time
async def test_one_callers_refusals_leave_the_token_to_the_others() -> None:
    """The caller gets its 401, the token stays, and once the budget is used up no login runs for that caller."""
    kept = scripted(max_logins=(3, 60.0))
    for _ in range(10):
        issued = await kept.obtain()
        issued.ever_accepted = True  # for another caller
        if not kept.refuse(issued):
            continue
        newer = await kept.obtain(issued)
        newer.ever_accepted = True
        assert not kept.refuse(newer, again=True)
        assert await kept.obtain() is newer
    assert kept.login.count == 4
    assert await kept.text() == "T4"


@virtual_time
async def test_a_refusal_right_after_a_login_leaves_the_token_to_be_tried() -> None:
    """It may be that caller's own; callers for which the token works see neither a login nor the budget's error."""
    kept = scripted(max_logins=(1, 60.0))
    issued = await kept.obtain()
    assert not kept.refuse(issued, again=True)
    assert await kept.obtain() is issued
    assert kept.refuse(issued)  # another caller's refusal, before the token worked for anyone
    with pytest.raises(LoginBudgetExceededError):
        await kept.obtain(issued)
    assert await kept.obtain() is issued
    issued.ever_accepted = True
    assert not kept.refuse(issued)
    assert kept.login.count == 1


@virtual_time
async def test_a_token_that_is_rejected_before_its_waiters_wake_is_useless() -> None:
    """An API that refuses everything cannot keep logins going while a hook delays the waiters."""
    kept = scripted(max_logins=(3, 600.0), on_token=lambda *_: asyncio.sleep(1))
    waiting = kept.waiting()
    for _ in range(10):
        await passing(0.5)
        if kept.state.unrejected is not None:
            kept.refuse(kept.state.unrejected)  # to a request that did not wait
        await passing(0.6)
    issued = await waiting
    assert kept.refuse(issued)
    with pytest.raises(LoginBudgetExceededError):
        await kept.obtain(issued)
    assert kept.login.count == kept.stats().useless_logins == 3


@pytest.mark.parametrize("refused_through", ["a request", "another request's wait", "invalidate"])
@virtual_time
async def test_logins_whose_tokens_serve_nobody_are_useless_through_any_door(refused_through: str) -> None:
    """Two hundred tokens refused in a row are at most ``max_logins`` logins, again after each window."""
    kept = scripted(max_logins=(3, 60.0))
    for window in range(3):
        ends: set[type] = set()
        for _ in range(200):
            try:
                issued = await kept.obtain()
                if refused_through == "invalidate":
                    kept.invalidate(issued.token)
                elif kept.refuse(issued) and refused_through != "a request":
                    await kept.obtain(issued)
            except LoginBudgetExceededError as error:
                ends.add(type(error))
        assert kept.login.count == kept.stats().useless_logins == 3 * (window + 1)
        assert ends == ({LoginBudgetExceededError} if refused_through != "a request" else set())
        await passing(60)


@pytest.mark.parametrize(
    ("accepted", "after", "useless"), [(False, 0.0, 1), (False, 59.9, 1), (False, 60.0, 0), (True, 0.0, 0)]
)
@pytest.mark.parametrize("invalidated", [False, True])
@virtual_time
async def test_a_login_is_useless_only_if_its_token_is_refused_soon_and_served_nobody(
    after: float, useless: int, *, accepted: bool, invalidated: bool
) -> None:
    """A token that served, or lived longer than the window, was worth its login."""
    kept = scripted(max_logins=(3, 60.0))
    issued = await kept.obtain()
    if accepted:
        accept(issued)
    await passing(after)
    if invalidated:
        kept.invalidate(issued.token)
        kept.invalidate(issued.token)
    else:
        kept.refuse(issued)
    assert kept.stats().useless_logins == useless


@virtual_time
async def test_a_token_that_is_refused_before_its_flight_finishes_is_not_returned_again() -> None:
    """A request that was refused with it while the hook ran gets the budget's error, and does not send it again."""
    kept = scripted(max_logins=(2, 600.0), on_token=lambda *_: asyncio.sleep(1))
    first = await kept.obtain()
    assert kept.refuse(first)
    waiting = kept.waiting(first)
    await settle()
    second = kept.state.unexpired
    assert second is not None
    assert kept.refuse(second)  # signed again while it queued for a connection
    with pytest.raises(LoginBudgetExceededError):
        await kept.obtain(second)
    assert not second.rejected
    assert await waiting is second


# -- which token a caller gets -------------------------------------------------------------------------------------------


@virtual_time
async def test_a_source_with_nothing_newer_is_not_a_new_login() -> None:
    """If a login returns the token it was to replace, the refused request gets it back, and others may try it."""
    kept = scripted(Token("fixed"), lambda previous: previous, lambda previous: previous)
    issued = await kept.obtain()
    assert kept.refuse(issued)
    other = kept.waiting()
    assert await kept.obtain(issued) is issued
    assert await other is issued
    assert kept.stats().logins == 1
    assert await kept.obtain() is issued
    assert kept.login.count == 2


@virtual_time
async def test_invalidate_knows_the_current_token_by_its_text() -> None:
    """Any other token changes nothing."""
    kept = scripted()
    issued = await kept.obtain()
    kept.invalidate(Token("another"))
    assert await kept.obtain() is issued
    kept.invalidate(Token(issued.token.value))
    assert await kept.text() == "T2"
    kept.invalidate(issued.token)
    assert kept.login.count == 2


@pytest.mark.parametrize(("hook", "until"), [(1e6, 5.1), (4, 8)])
@virtual_time
async def test_a_token_that_expires_while_its_hook_runs_is_waited_for_once_more(hook: float, until: float) -> None:
    """Its waiters wait for the next token; if that expires too, they send it, for only the API can tell."""
    kept = scripted(expires_in=2, on_token=lambda *_: asyncio.sleep(hook))
    async with asyncio.timeout(60):
        issued = await kept.obtain()
    assert (issued.token.value, kept.login.count, now()) == ("T2", 2, until)
    assert (now() < issued.expires) is (hook > 5)


@virtual_time
async def test_only_so_many_texts_are_remembered() -> None:
    """An owner that lives for years does not grow with each of its tokens."""
    kept = scripted(max_logins=(100, 60.0), store=MemoryStore(timer=now))
    issued = await kept.obtain()
    for _ in range(50):
        kept.refuse(issued)
        issued = await kept.obtain(issued)
    assert kept._renewal.saver is not None
    retired = kept._renewal.saver.retired
    assert Token("T50") in retired
    assert Token("T1") not in retired
    assert len(retired) == MAX_RETIRED


# -- logout and close ----------------------------------------------------------------------------------------------------


@virtual_time
async def test_closing_ends_the_wait_and_every_later_use() -> None:
    """Waiters and later callers get `ClosedError`; closing twice is fine; no task is left."""
    kept = scripted(seconds=100)
    waiting = kept.waiting()
    await settle()
    assert kept.lifecycle.status == "logging in"
    await kept.lifecycle.aclose()
    await kept.lifecycle.aclose()
    for use in (lambda: waiting, kept.obtain, kept.lifecycle.logout):
        with pytest.raises(ClosedError):
            await use()
    assert now() == 0
    assert not kept.lifecycle.holds_open


@virtual_time
async def test_closing_again_waits_for_what_a_cancelled_close_began() -> None:
    """No task is left, also if the first ``aclose()`` was cancelled."""

    async def slow_to_end(_previous: Token | None) -> Token:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
        return Token("late")

    kept = keeper(slow_to_end)
    waiting = asyncio.ensure_future(kept.obtain())
    await settle()
    first = asyncio.ensure_future(kept.lifecycle.aclose())
    await settle()
    first.cancel()
    await kept.lifecycle.aclose()
    assert now() == pytest.approx(0.5)
    with pytest.raises(ClosedError):
        await waiting


def test_an_owner_whose_loop_has_ended_holds_nothing_open() -> None:
    """A renewal that no loop can run any more is nothing to close."""
    kept = scripted(expires_in=100)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(kept.obtain())
        assert kept.lifecycle.holds_open
    assert not kept.lifecycle.holds_open


# -- the log -------------------------------------------------------------------------------------------------------------


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Level and text of what was logged."""
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


@virtual_time
async def test_the_life_of_a_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Issued and why, refused, logged out; each once, with its account and no secret."""
    kept = scripted(Token("s3cret-1", expires_in=60), Token("s3cret-2"), account="a")
    with caplog.at_level(logging.INFO, "exterview_auth"):
        issued = await kept.obtain()
        for _ in range(3):
            kept.refuse(issued)
        await kept.obtain(issued)
        await kept.lifecycle.logout()
    assert logged(caplog) == [
        "INFO token.issued account='a' reason='first' attempt=1 seconds=0.0 expires_in=60.0",
        "INFO token.refused account='a'",
        "INFO token.issued account='a' reason='refused' attempt=1 seconds=0.0",
        "INFO logged_out account='a'",
    ]


@virtual_time
async def test_a_failed_login_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each attempt as its caller's error says it, with the endpoint's ``Retry-After``, and one that was cut off."""
    script = LoginUnavailableError("down", retry_after=2.0), OSError("s3cret"), KeyError("s3cret")
    kept = scripted(*script, login_timeout=30)
    with caplog.at_level(logging.INFO, "exterview_auth"):
        with pytest.raises(LoginError):
            await kept.obtain()
        await passing(1)
        kept.login.seconds = 100
        with pytest.raises(LoginUnavailableError):
            await kept.obtain()
    cut_off = "'the login did not finish within 30 s; check that its endpoint responds'"
    network = "'the login could not be made (OSError); check its endpoint and the network'"
    bug = "'the login ended in KeyError; see the error that is chained to it'"
    second, third = (round(at - kept.login.times[0], 3) for at in kept.login.times[1:3])
    assert logged(caplog) == [
        "WARNING login.failed account='' reason='first' attempt=1 seconds=0.0 error='LoginUnavailableError' problem='down' retry_after=2.0",
        "WARNING logins.paused account='' reason='retry_after' seconds=2.0 error='LoginUnavailableError' problem='down'",
        "INFO logins.resumed account='' reason='retry_after'",
        f"WARNING login.failed account='' reason='first' attempt=2 seconds={second} error='LoginUnavailableError' problem={network}",
        f"WARNING login.failed account='' reason='first' attempt=3 seconds={third} error='LoginError' problem={bug}",
        f"WARNING logins.paused account='' reason='failed' seconds=1.0 error='LoginError' problem={bug}",
        "INFO logins.resumed account='' reason='failed'",
        f"WARNING login.failed account='' reason='first' attempt=1 seconds=30.0 error='LoginUnavailableError' problem={cut_off}",
    ]
    assert kept.stats().login_failures == 4
