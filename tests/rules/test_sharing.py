"""Owners that share a store: one login, adoption, and a store that fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

from exterview_auth import LoggedOutError, LoginError, LoginUnavailableError, MemoryStore, Token
from exterview_auth._clock import boot_time
from exterview_auth._core.keeper import Keeper
from tests.kit.clock import now, passing, run, settle, virtual_time
from tests.kit.failing_store import FailingStore
from tests.kit.keepers import ScriptedLogin, keeper


def sharing(login: Any, store: Any, **options: Any) -> Keeper:
    """A keeper of the account ``a``."""
    return keeper(login, store=store, account="a", **options)


@virtual_time
async def test_two_owners_of_one_store_make_one_login() -> None:
    """At the start and after each revocation."""
    login = ScriptedLogin(seconds=1)
    store = MemoryStore(timer=now)
    one, two = sharing(login, store), sharing(login, store)
    for expected in ("T1", "T2", "T3"):
        grants = await asyncio.gather(*(kept.obtain() for kept in (one, two) * 20))
        assert {grant.token.value for grant in grants} == {expected}
        for kept in (one, two):
            assert kept.state.current is not None
            kept.refuse(kept.state.current)
    assert login.count == 3
    assert one.stats().adopted + two.stats().adopted == 3


@virtual_time
async def test_accounts_of_one_store_share_nothing() -> None:
    """Two accounts without a token do not share one."""
    login = ScriptedLogin(seconds=1)
    store = MemoryStore(timer=now)
    one, two = keeper(login, store=store, account="a"), keeper(login, store=store, account="b")
    a, b = await asyncio.gather(one.obtain(), two.obtain())
    assert a.token.value != b.token.value
    assert login.running_peak == 2


@virtual_time
async def test_an_owner_that_starts_later_needs_no_login() -> None:
    """Adoption: with what is left of the token's life."""
    login = ScriptedLogin(expires_in=100)
    store = MemoryStore(timer=now)
    one = sharing(login, store, refresh_ahead=0)
    await one.obtain()
    await passing(60)
    two = sharing(login, store, refresh_ahead=0)
    assert (await two.obtain()).token.value == "T1"
    assert two.state.usable_until == pytest.approx(100, abs=1)
    assert two.stats().logins == 0


@virtual_time
async def test_a_refused_token_is_not_adopted_again() -> None:
    """Neither the one just refused nor an older one; and an adopted token's refusal may cause a login."""
    login = ScriptedLogin()
    store = MemoryStore(timer=now)
    kept = sharing(login, store)
    first = await kept.obtain()
    await store.save("a", Token("foreign"))
    kept.refuse(first)
    adopted = await kept.obtain(first)
    assert (adopted.token.value, adopted.from_login) == ("foreign", False)
    await store.save("a", Token("T1"))
    assert kept.refuse(adopted)
    assert (await kept.obtain(adopted)).token.value == "T2"
    assert (login.count, kept.stats().useless_logins) == (2, 1)


@pytest.mark.parametrize("invalidated", [False, True])
@virtual_time
async def test_a_refused_token_from_the_store_is_no_useless_login(*, invalidated: bool) -> None:
    """Although most of its waiters have not woken yet, it costs none of the budget."""
    login, store = ScriptedLogin(), MemoryStore(timer=now)
    kept = sharing(login, store, max_logins=(1, 600.0))
    await store.save("a", Token("foreign"))
    waiting = [asyncio.ensure_future(kept.obtain()) for _ in range(100)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    adopted = done.pop().result()
    if invalidated:
        kept.invalidate(adopted.token)
    else:
        assert kept.refuse(adopted)
    texts = [(await task).token.value for task in waiting]
    assert set(texts) == {"foreign", "T1"}
    assert texts.count("foreign") < 50
    assert (login.count, kept.stats().useless_logins) == (1, 0)


@virtual_time
async def test_logout_forgets_the_token_in_the_store() -> None:
    """A login that is being saved does not come back, and another owner finds nothing."""
    login = ScriptedLogin()
    store = MemoryStore(timer=now)
    kept = sharing(login, store)
    await kept.obtain()
    await kept.lifecycle.logout()
    assert await store.load("a") is None
    assert (await kept.obtain()).token.value == "T2"


@virtual_time
async def test_after_a_logout_that_the_store_did_not_hear_of_its_token_stays_out() -> None:
    """Also one that this process has never seen."""
    login, store = ScriptedLogin(), FailingStore()
    store.entries["a"] = Token("of-before")
    kept = sharing(login, store)
    store.faults["delete"] = OSError("read-only")
    await kept.lifecycle.logout()
    store.faults.clear()
    await passing(60)
    assert (await kept.obtain()).token.value == "T1"
    assert store.entries["a"].value == "T1"


@virtual_time
async def test_a_slow_first_read_does_not_undo_a_logout() -> None:
    """What the store answers after the logout is not installed."""
    login = ScriptedLogin()
    answer = asyncio.Event()

    class SlowStore(FailingStore):
        async def load(self, account: str) -> Any:
            found = await super().load(account)
            if len(self.calls) < 3:
                await answer.wait()
            return found

    store = SlowStore()
    store.entries["a"] = Token("old-account")
    kept = sharing(login, store)
    waiting = asyncio.ensure_future(kept.obtain())
    await settle()
    leaving = asyncio.ensure_future(kept.lifecycle.logout())
    await settle()
    answer.set()
    await leaving
    with pytest.raises(Exception, match="logged out"):
        await waiting
    assert kept.state.current is None
    assert (await kept.obtain()).token.value == "T1"


# Waiting for a lock is waiting for another's login (bounded by `login_timeout`, see below), not a failing store.
CANCELLED = asyncio.CancelledError()
OWN = BaseExceptionGroup("a store's own", [GeneratorExit()])
FAULTS = [
    *[(call, OSError("gone")) for call in ("load", "save", "delete", "lock", "unlock")],
    *[(call, "hang") for call in ("load", "save", "delete", "unlock")],
    *[(call, fault) for call in ("load", "save", "delete", "lock", "unlock") for fault in (CANCELLED, OWN)],
]


@pytest.mark.parametrize(("call", "fault"), FAULTS)
@virtual_time
async def test_a_failing_store_costs_no_request(call: str, fault: Any) -> None:
    """Whatever fails or hangs, the process logs in for itself, in little time, and goes on."""
    login, store = ScriptedLogin(), FailingStore()
    store.faults[call] = fault
    kept = sharing(login, store)
    first = await kept.obtain()
    assert first.token.value == "T1"
    kept.refuse(first)
    assert (await kept.obtain(first)).token.value == "T2"
    assert now() <= 7
    await kept.lifecycle.logout()
    assert (await kept.obtain()).token.value == "T3"
    assert kept.stats().store_failures >= 1
    store.faults.clear()


@virtual_time
async def test_what_a_stuck_holder_saved_is_used_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever froze between its save and its unlocking costs neither a wait nor a login."""
    login, store = ScriptedLogin(), FailingStore()
    store.entries["a"] = Token("theirs")
    store.faults["lock"] = "hang"
    kept = sharing(login, store, login_timeout=10)
    assert (await kept.obtain()).token.value == "theirs"
    assert (now(), login.count) == (0, 0)
    kept.invalidate(Token("theirs"))
    assert (await kept.obtain()).token.value == "T1"
    assert now() == pytest.approx(5)
    assert caplog.messages == ["store.lock_timeout account='a' seconds=5.0"]
    assert kept.stats().store_failures == 1
    kept.invalidate(Token("T1"))
    assert (await kept.obtain()).token.value == "T2"
    assert now() == pytest.approx(5)


class Wrapped(FailingStore):
    """A store of four methods whose lock is one of its own around a `MemoryStore`'s."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MemoryStore(timer=now)

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        async with self.inner.lock(account):
            yield


@pytest.mark.parametrize("make", [lambda: MemoryStore(timer=now), Wrapped])
@virtual_time
async def test_a_holder_in_this_process_is_waited_for(make: Any) -> None:
    """A login of 17 s serves both owners, however their store's lock is made."""
    login, store = ScriptedLogin(seconds=17), make()
    one, two = sharing(login, store), sharing(login, store)
    grants = await asyncio.gather(one.obtain(), two.obtain())
    assert {grant.token.value for grant in grants} == {"T1"}
    assert (now(), login.count) == (17, 1)


class SlowToLoad(MemoryStore):
    """A store that takes a moment to look."""

    async def load(self, account: str) -> Token | None:
        await asyncio.sleep(0.2)
        return await super().load(account)


@pytest.mark.parametrize(("kind", "seconds"), [(MemoryStore, 15), (SlowToLoad, 9.5)], ids=["held", "free too late"])
@virtual_time
async def test_waiting_for_the_lock_and_the_login_have_one_deadline(kind: type[MemoryStore], seconds: float) -> None:
    """``login_timeout`` is for all of it, and the error says what held the login up."""
    login, store = ScriptedLogin(Token("T1"), seconds=seconds), kind(timer=now)
    one, two = sharing(login, store), sharing(login, store, login_timeout=10)
    first = asyncio.ensure_future(one.obtain())
    await settle()
    with pytest.raises(LoginUnavailableError, match=r"within 10 s; another process's login holds the account's lock"):
        await two.obtain()
    assert now() == pytest.approx(10, abs=0.2)
    assert (await first).token.value == "T1"
    assert (await two.obtain()).token.value == "T1"
    assert login.count == 1


@virtual_time
async def test_a_store_whose_methods_raise_at_once_costs_no_request() -> None:
    """Also where a method is not async at all."""

    class Broken:
        def load(self, *_arguments: Any) -> Any:
            raise ConnectionError

        save = delete = lock = load

    kept = sharing(ScriptedLogin(), Broken())
    assert (await kept.obtain()).token.value == "T1"
    await kept.lifecycle.logout()
    assert (await kept.obtain()).token.value == "T2"


@pytest.mark.parametrize("ends", [KeyboardInterrupt, SystemExit])
def test_a_store_that_ends_the_program_ends_it(ends: type[BaseException]) -> None:
    """A store's failures are contained; Ctrl-C inside of it is none, and a loop that runs on goes on."""
    endings = [ends]

    class Ending(MemoryStore):
        def lock(self, account: str) -> Any:
            if endings:
                raise endings.pop()
            return super().lock(account)

    kept = sharing(ScriptedLogin(), Ending(), clock=boot_time)

    async def ask() -> str:
        with contextlib.suppress(LoginError):
            await kept.obtain()
        return (await kept.obtain()).token.value

    with asyncio.Runner() as runner:
        # asyncio calls it lost, because nobody awaits the task; it has gone through the loop.
        runner.get_loop().set_exception_handler(lambda _loop, _context: None)
        with pytest.raises(ends):
            runner.run(ask())
        assert runner.run(ask()) == "T1"
        runner.run(kept.lifecycle.aclose())


@virtual_time
async def test_one_logout_after_another() -> None:
    """The first one's late deletion does not take the next login's token out of the store."""

    async def slow_to_die(_previous: Token | None) -> Token:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(0.8)
        raise asyncio.CancelledError

    store = FailingStore()
    kept = sharing(ScriptedLogin(slow_to_die, Token("T2")), store)
    waiting = asyncio.ensure_future(kept.obtain())
    await settle()
    leaving = [asyncio.ensure_future(kept.lifecycle.logout()) for _ in range(2)]
    await settle()
    assert (await kept.obtain()).token.value == "T2"
    await asyncio.gather(*leaving)
    await asyncio.gather(waiting, return_exceptions=True)
    await passing(5)
    assert store.entries["a"].value == "T2"


@virtual_time
async def test_a_token_of_before_the_outage_overtakes_nothing() -> None:
    """Two logins while the store could not be written, and the second one's refresh token is saved all the same."""
    login = ScriptedLogin(*(Token(f"T{number}", refresh_token=f"R{number}") for number in (1, 2, 3)))
    store = FailingStore()
    kept = sharing(login, store)
    grant = await kept.obtain()
    store.faults["save"] = OSError("full")
    for _ in range(2):
        kept.refuse(grant)
        grant = await kept.obtain(grant)
        await passing(3)
    assert store.entries["a"].value == "T1"
    store.faults.clear()
    await passing(5)
    assert store.entries["a"].refresh_token == "R3"


@virtual_time
async def test_a_login_presents_its_own_refresh_token_rather_than_an_older_one_of_the_store() -> None:
    """One that was rotated here and did not reach the store is the newest; the old one would end the family."""

    class Stuck(FailingStore):
        async def save(self, account: str, token: Token) -> None:
            self.entries.setdefault(account, token.with_remaining(0))

    login = ScriptedLogin(*(Token(f"T{number}", refresh_token=f"R{number}", expires_in=10) for number in (1, 2, 3)))
    kept = sharing(login, Stuck(), refresh_ahead=0)
    await kept.obtain()
    for _ in range(2):
        await passing(11)
        await kept.obtain()
    presented = [None if previous is None else previous.refresh_token for previous in login.calls]
    assert presented == [None, "R1", "R2"]


@virtual_time
async def test_closing_tries_a_pending_save_once_more() -> None:
    """A rotated refresh token is not lost with the process."""
    login, store = ScriptedLogin(), FailingStore()
    store.faults["save"] = OSError("full")
    kept = sharing(login, store)
    await kept.obtain()
    store.faults.clear()
    await kept.lifecycle.aclose()
    assert store.entries["a"].value == "T1"


@pytest.mark.parametrize("saves", [1, 2], ids=["pending", "running"])
@virtual_time
async def test_logout_abandons_a_repeated_save(saves: int) -> None:
    """A save that is still to come does not bring the token back, nor does one that began before the deletion."""

    class Slow(FailingStore):
        saves = 0

        async def save(self, account: str, token: Token) -> None:
            self.saves += 1
            await asyncio.sleep(0.4)
            await super().save(account, token)

    store = Slow()
    store.faults["save"] = OSError("full")
    kept = sharing(ScriptedLogin(), store)
    await kept.obtain()
    store.faults.clear()
    while store.saves < saves:
        await passing(0.01)
    await kept.lifecycle.logout()
    await passing(10)
    assert store.entries == {}


async def test_a_lock_is_entered_and_left_in_one_task() -> None:
    """The protocol: an application's lock may belong to the task or context that has entered it."""
    inside: ContextVar[str] = ContextVar("inside")
    problems: list[BaseException] = []

    class Bound(FailingStore):
        @contextlib.asynccontextmanager
        async def lock(self, account: str) -> AsyncIterator[None]:
            task, token = asyncio.current_task(), inside.set(account)
            try:
                yield
            finally:
                try:
                    inside.reset(token)
                    assert asyncio.current_task() is task
                except (ValueError, AssertionError) as problem:
                    problems.append(problem)

    kept = keeper(ScriptedLogin(), store=Bound(), account="a")
    for _ in range(3):
        grant = await kept.obtain()
        kept.refuse(grant)
    assert problems == []
    assert kept.stats().store_failures == 0


@virtual_time
async def test_a_lock_that_swallows_its_cancellation_is_left_when_it_comes() -> None:
    """Whoever gave up waiting does not hold it afterwards."""
    held: list[str] = []

    class Stubborn(FailingStore):
        @contextlib.asynccontextmanager
        async def lock(self, account: str) -> AsyncIterator[None]:
            for _ in range(2):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(10)
            held.append("taken")
            yield
            held.append("left")

    kept = sharing(ScriptedLogin(), Stubborn(), login_timeout=4)
    assert (await kept.obtain()).token.value == "T1"
    assert now() == pytest.approx(2)
    await passing(30)
    await kept.lifecycle.aclose()
    assert held
    assert held == ["taken", "left"] * (len(held) // 2)


@virtual_time
async def test_nonsense_in_the_store_is_a_miss() -> None:
    """What is no token is not used."""
    login, store = ScriptedLogin(), FailingStore()
    store.entries["a"] = {"token": "x"}
    kept = sharing(login, store)
    assert (await kept.obtain()).token.value == "T1"


@virtual_time
async def test_the_token_is_saved_before_the_first_waiter_resumes() -> None:
    """And told to the hook once."""
    order: list[str] = []

    class Ordered(FailingStore):
        async def save(self, account: str, token: Token) -> None:
            await asyncio.sleep(1)
            order.append("saved")
            await super().save(account, token)

    async def on_token(_new: Token, _old: Token | None, _reason: object) -> None:
        await asyncio.sleep(1)
        order.append("told")

    async def request() -> None:
        await kept.obtain()
        order.append("resumed")

    kept = sharing(ScriptedLogin(), Ordered(), on_token=on_token)
    await asyncio.gather(*(request() for _ in range(3)))
    assert order == ["saved", "told", "resumed", "resumed", "resumed"]


@pytest.mark.parametrize("call", ["load", "lock", "save", "unlock"])
@virtual_time
async def test_an_outage_names_the_call_of_a_store_that_has_a_lock_alone(
    call: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The application's store by its type, as its repr may say anything, and what was asked of it."""
    store = FailingStore()
    store.faults[call] = OSError("s3cret")
    kept = sharing(ScriptedLogin(), store)
    await kept.obtain()
    store.faults.clear()
    await passing(5)
    await kept.lifecycle.aclose()
    problem = "'it raised OSError; let it raise a StoreError that says why'"
    assert caplog.messages == [f"store.unavailable store='FailingStore' call={call!r} problem={problem}"]


@virtual_time
async def test_an_adoption_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A token that another owner got, and why one was needed."""
    store = MemoryStore(timer=now)
    await store.save("a", Token("theirs"))
    kept = sharing(ScriptedLogin(), store)
    with caplog.at_level(logging.INFO, "exterview_auth"):
        await kept.obtain()
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.INFO, "token.adopted account='a' reason='first' seconds=0.0")
    ]


@virtual_time
async def test_a_renewal_takes_no_token_that_ends_sooner() -> None:
    """The one in use serves; only who cannot use it takes whatever else there is."""
    login, store = ScriptedLogin(expires_in=100), MemoryStore(timer=now)
    kept = sharing(login, store)
    grant = await kept.obtain()
    grant.used = True
    await passing(70)
    await store.save("a", Token("short", expires_in=15))
    await passing(10)
    assert kept.state.current is not None
    assert (kept.state.current.token.value, login.count) == ("T2", 2)
    await store.save("a", Token("shorter", expires_in=12))
    taken = await kept.obtain(kept.state.current)
    assert (taken.token.value, taken.from_login, login.count) == ("shorter", False, 2)


@pytest.mark.parametrize("call", ["load", "save", "lock"])
@pytest.mark.parametrize("login_timeout", [0.2, 1.0, 2.0, 30.0])
@virtual_time
async def test_a_store_that_hangs_leaves_time_for_the_login(call: str, login_timeout: float) -> None:
    """Whatever the login timeout is: the store's share of it is small."""
    login = ScriptedLogin(seconds=login_timeout / 4)
    store = FailingStore()
    store.faults[call] = "hang"
    owner = sharing(login, store, login_timeout=login_timeout)
    grant = await owner.obtain()
    assert (grant.token.value, login.count) == ("T1", 1)
    assert owner.stats().store_failures > 0


@virtual_time
async def test_the_life_of_an_adopted_token_counts_from_the_question() -> None:
    """A machine that slept between the store's answer and its use does not send a token that is over."""
    slept = 0.0

    class Sleeping(FailingStore):
        async def load(self, account: str) -> Any:
            nonlocal slept
            answer = await super().load(account)
            slept += 3600
            return answer

    login, store = ScriptedLogin(expires_in=600), Sleeping()
    owner = sharing(login, store, clock=lambda: now() + slept)
    store.entries["a"] = Token("of-before-the-sleep", expires_in=600)
    assert (await owner.obtain()).token.value == "T1"
    assert login.count == 1


@virtual_time
async def test_a_token_that_was_replaced_is_not_adopted_again() -> None:
    """Nor one that was renewed ahead and never refused; an older process may have saved it late."""
    login, store = ScriptedLogin(expires_in=100), FailingStore()
    kept = sharing(login, store)
    first = await kept.obtain()
    first.used = True
    await passing(90)
    current = kept.state.current
    assert current is not None
    assert current.token.value == "T2"
    store.entries["a"] = Token("T1", expires_in=1000)
    kept.refuse(current)
    assert (await kept.obtain(current)).token.value == "T3"


@virtual_time
async def test_the_logins_deadline_counts_from_its_own_beginning() -> None:
    """A key that never comes ends the wait after the login timeout, however long the process has run."""
    kept = sharing(ScriptedLogin(), FailingStore(), prepare=asyncio.Event().wait, login_timeout=5)
    await passing(100)
    with pytest.raises(LoginUnavailableError):
        await kept.obtain()
    assert now() == 105


@virtual_time
async def test_a_token_at_its_end_is_not_adopted_as_a_new_one() -> None:
    """What the store holds under the same text is the same token, whatever life the store gives it."""
    login, store = ScriptedLogin(expires_in=100), FailingStore()
    kept = sharing(login, store, refresh_ahead=0)
    await kept.obtain()
    assert store.entries["a"].expires_in == 100
    await passing(100)
    assert (await kept.obtain()).token.value == "T2"


@virtual_time
async def test_a_served_token_is_replaced_at_its_end_whatever_the_budget_with_a_store_too() -> None:
    """Requests that the token serves never see `LoginBudgetExceededError`."""
    kept = sharing(ScriptedLogin(expires_in=50), FailingStore(), max_logins=(1, 600.0), refresh_ahead=0)
    grant = await kept.obtain()
    kept.refuse(grant, again=True)
    grant.ever_accepted = True
    await passing(51)
    assert (await kept.obtain()).token.value == "T2"


@virtual_time
async def test_a_refresh_token_that_was_seen_is_presented_although_the_store_fails_since() -> None:
    """What the first look found is not lost with the second."""

    class FailsUnderTheLock(FailingStore):
        async def load(self, account: str) -> Any:
            if self.calls.count("load"):
                self.faults["load"] = OSError("gone")
            return await super().load(account)

    login, store = ScriptedLogin(), FailsUnderTheLock()
    store.entries["a"] = Token("old", refresh_token="R1").with_remaining(0)
    kept = sharing(login, store)
    await kept.obtain()
    assert login.calls[0] is not None
    assert login.calls[0].refresh_token == "R1"


@pytest.mark.parametrize(
    ("stored", "presented"),
    [
        (Token("theirs", refresh_token="R2").with_remaining(0), "R2"),
        (Token("theirs").with_remaining(0), "R1"),
        (Token("T1", refresh_token="R2").with_remaining(0), "R2"),
        (Token("T1").with_remaining(0), "R1"),
    ],
)
@virtual_time
async def test_which_refresh_token_is_presented(stored: Token, presented: str) -> None:
    """The store's, if it has another than this owner, also beside the same access token."""
    login, store = ScriptedLogin(Token("T1", refresh_token="R1", expires_in=100)), FailingStore()
    kept = sharing(login, store, refresh_ahead=0)
    await kept.obtain()
    store.entries["a"] = stored
    await passing(100)
    await kept.obtain()
    assert login.calls[1] is not None
    assert login.calls[1].refresh_token == presented


@virtual_time
async def test_a_second_logout_ends_a_login_that_waits_for_the_first() -> None:
    """A login that waits for one logout to reach the store, and meets the next, is not sent."""
    gate = asyncio.Event()

    class Slow(FailingStore):
        async def delete(self, account: str) -> None:
            await gate.wait()

    login = ScriptedLogin()
    owner = sharing(login, Slow())
    first = asyncio.ensure_future(owner.lifecycle.logout())
    await settle()
    waiter = asyncio.ensure_future(owner.obtain())
    await settle()
    second = asyncio.ensure_future(owner.lifecycle.logout())
    await settle()
    with pytest.raises(LoggedOutError):
        await waiter
    gate.set()
    await asyncio.gather(first, second)
    assert login.count == 0


def test_a_save_that_was_pending_when_its_loop_ended_goes_on_in_the_next() -> None:
    """A rotated refresh token is not lost between two `asyncio.run`."""
    login, store = ScriptedLogin(Token("T1", expires_in=3600, refresh_token="R1")), FailingStore()
    store.faults["save"] = OSError("down")
    kept = sharing(login, store, clock=time.monotonic)

    async def second() -> None:
        store.faults.clear()
        await kept.obtain()
        await passing(10)
        assert not kept.lifecycle.busy
        assert [token.refresh_token for token in store.entries.values()] == ["R1"]
        await kept.lifecycle.aclose()

    assert run(kept.obtain()).token.value == "T1"
    assert kept.lifecycle.busy
    run(second())
    assert login.count == 1


@virtual_time
async def test_the_api_key_is_read_before_the_store() -> None:
    """Contract, ``api_key``: after a 401 it is read anew also where another owner has already got the next token."""
    order: list[str] = []

    class Looking(FailingStore):
        async def load(self, account: str) -> Any:
            order.append("look")
            return await super().load(account)

    async def prepare() -> None:
        order.append("key")

    store = Looking()
    store.entries["a"] = Token("another's", expires_in=3600)
    owner = sharing(ScriptedLogin(), store, prepare=prepare)
    assert (await owner.obtain()).token.value == "another's"
    assert order == ["key", "look"]


@virtual_time
async def test_a_store_that_missed_a_logout_is_trusted_again_after_the_next_login() -> None:
    """An outage costs the sharing for as long as it lasts, and not for good."""
    login, store = ScriptedLogin(), FailingStore()
    store.faults["delete"] = OSError("down")
    owner = sharing(login, store)
    await owner.obtain()
    await owner.lifecycle.logout()
    store.faults.clear()
    await passing(60)
    grant = await owner.obtain()
    assert (grant.token.value, login.count) == ("T2", 2)
    store.entries["a"] = Token("another's", expires_in=3600)
    owner.refuse(grant)
    assert (await owner.obtain(grant)).token.value == "another's"


def test_a_renewal_is_due_on_the_next_loop_too() -> None:
    """The timer of a loop that has ended is set again on the one after it."""
    login = ScriptedLogin(expires_in=600)
    owner = sharing(login, FailingStore())

    async def second() -> None:
        owner.lifecycle.ensure_open()
        await owner.obtain()
        await passing(600)
        assert login.count == 2
        assert owner.stats().refreshes_ahead == 1
        await owner.lifecycle.aclose()

    run(owner.obtain()).used = True
    run(second())
