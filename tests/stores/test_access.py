"""A store that may fail: how long a session waits for it, what is logged, and when it is called again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextvars import ContextVar
from itertools import islice
from typing import Any

import pytest

from exterview_auth import CredentialsRejectedError, LoginBudgetExceededError, MemoryStore, StoreError, Token
from exterview_auth._core.saving import PAUSES, _pauses
from exterview_auth._stats import Counters
from exterview_auth.stores._access import STORE_BUDGET, StoreAccess
from exterview_auth.stores._breaker import CircuitBreaker, breaker_of
from exterview_auth.stores._entry import StoredToken
from exterview_auth.stores._lock import AccountLock, SharedStore
from exterview_auth.stores._waiting import lock_waiter
from tests.kit.clock import now, passing, virtual_time
from tests.kit.keepers import ScriptedLogin, keeper


class ScriptedStore(SharedStore):
    """A store whose calls take `seconds`, and fail or hang as `faults` says."""

    calls_at_once = 4

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.entry: Token | None = None
        self.age: float | None = None
        self.faults: dict[str, Any] = {}
        self.calls: list[str] = []
        self.newer: Token | None = None
        self.acquires: list[bool] = []
        self.changed = asyncio.Event()

    async def do(self, name: str) -> None:
        """Count a call, and let it take its time, hang or fail."""
        self.calls.append(name)
        await asyncio.sleep(self.seconds)
        fault = self.faults.get(name)
        if fault == "hang":
            await asyncio.sleep(1e6)
        if fault is not None:
            raise fault

    async def _read(self, _account: str = "a") -> StoredToken:
        await self.do("load")
        return StoredToken(self.entry, b"", self.age)

    async def save(self, account: str, token: Token) -> Token | None:
        await self.do("save")
        if self.newer is None:
            await self._write(account, token)
        return self.newer

    async def _write(self, _account: str, token: Token) -> None:
        self.entry = token

    async def delete(self, _account: str) -> None:
        await self.do("delete")
        self.entry = None

    def account_lock(self, _account: str) -> AccountLock:
        return AccountLock(ScriptedLock(self))

    async def aclose(self) -> None:
        """Nothing was opened."""


class ScriptedLock:
    """The lock of its one account."""

    lease = 3.0

    def __init__(self, store: ScriptedStore) -> None:
        self._store = store
        self.read = store._read

    async def try_acquire(self) -> bool:
        await self._store.do("lock")
        return self._store.acquires.pop(0) if self._store.acquires else True

    async def renew_lease(self) -> bool:
        return True

    async def release(self) -> None:
        await self._store.do("unlock")

    async def save(self, token: Token) -> Token | None:
        return await self._store.save("under the lock", token)

    async def subscribe(self) -> None:
        """Nothing is missed."""

    async def wait_for_change(self) -> None:
        if self._store.faults.get("change") is not None:
            raise self._store.faults["change"]
        await self._store.changed.wait()

    async def unsubscribe(self) -> None:
        """Nothing was opened."""


def owner(store: Any, login: Any = None, **options: Any) -> Any:
    return keeper(login or ScriptedLogin(), store=store, account="a", **options)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Names of the events of stores."""
    return [record.getMessage().split()[0] for record in caplog.records if "store." in record.getMessage()]


@virtual_time
async def test_a_login_under_a_turn() -> None:
    """What is asked of a store that is well: look, lock, look, save, unlock."""
    store = ScriptedStore()
    kept = owner(store)
    assert (await kept.obtain()).token.value == "T1"
    assert store.calls == ["load", "lock", "load", "save", "unlock"]
    await kept.lifecycle.aclose()


@virtual_time
async def test_an_adoption_asks_once() -> None:
    """A token that another has saved is one look away."""
    store = ScriptedStore()
    store.entry = Token("theirs")
    kept = owner(store)
    assert (await kept.obtain()).token.value == "theirs"
    assert store.calls == ["load"]
    await kept.lifecycle.aclose()


@virtual_time
async def test_who_waits_adopts_what_the_holder_saves() -> None:
    """It takes no lock for that, and logs in for nothing."""
    store, login = ScriptedStore(), ScriptedLogin()
    store.acquires = [False]
    kept = owner(store, login)
    waiting = asyncio.ensure_future(kept.obtain())
    await passing(0.3)
    store.entry = Token("theirs")
    store.changed.set()
    assert (await waiting).token.value == "theirs"
    assert now() == pytest.approx(0.3)
    assert (login.count, kept.stats().adopted, store.calls) == (0, 1, ["load", "lock", "load", "load", "unlock"][:4])
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_save_that_was_overtaken_gives_the_newer_token_to_all() -> None:
    """Lesson 29: whoever was paused beyond its lease uses the newer token itself; the hook is not told of a discarded one."""
    store, hooked = ScriptedStore(), list[str]()
    store.newer = Token("newer", expires_in=60)
    kept = owner(store, on_token=lambda new, _old, _reason: hooked.append(new.value))
    first, second = await asyncio.gather(kept.obtain(), kept.obtain())
    assert first is second
    assert (first.token.value, first.from_login) == ("newer", False)
    assert (kept.stats().logins, kept.stats().adopted, hooked) == (1, 1, [])
    assert not kept.lifecycle.holds_open or kept._renewal.timer.armed
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_newer_token_that_is_known_to_be_refused_is_not_used() -> None:
    """Lesson 38: then its own serves, and goes on being tried."""
    store = ScriptedStore()
    kept = owner(store)
    first = await kept.obtain()
    kept.refuse(first, waited=False)
    store.newer = Token("T1")
    store.entry = None
    assert (await kept.obtain(first)).token.value == "T2"
    await kept.lifecycle.aclose()


@pytest.mark.parametrize("seconds", [0.3, 0.45, 0.6, 0.9, 1.9, 2.5])
def test_a_slow_store_costs_its_patience_at_most(seconds: float) -> None:
    """Two seconds once per outage, all calls of a flight together, and 0 until the next probe."""

    @virtual_time
    async def run() -> None:
        store = ScriptedStore(seconds=seconds)
        kept = owner(store)
        grant = await kept.obtain()
        assert now() <= STORE_BUDGET + 0.01
        sick = kept.stats().store_failures > 0
        assert sick == (4 * seconds > STORE_BUDGET)
        if sick:
            began = now()
            kept.refuse(grant, waited=False)
            await kept.obtain(grant)
            assert now() == began
        store.seconds = 0
        await passing(60)
        await kept.lifecycle.aclose()

    run()


@pytest.mark.parametrize("call", ["load", "lock", "save"])
@pytest.mark.parametrize("fault", [StoreError("Redis cannot be used: it is away"), OSError("s3cret"), "hang"])
def test_each_call_may_fail(call: str, fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Rule 17: one login, two seconds at most, one warning that names the call and no secret, and well again by itself."""

    @virtual_time
    async def run() -> None:
        store, login = ScriptedStore(), ScriptedLogin()
        store.faults[call] = fault
        kept = owner(store, login)
        grant = await kept.obtain()
        assert (grant.token.value, login.count) == ("T1", 1)
        assert now() <= STORE_BUDGET + 1.01
        store.faults.clear()
        await passing(10)
        kept.refuse(grant, waited=False)
        assert (await kept.obtain(grant)).token.value == "T2"
        assert store.entry is not None
        assert store.entry.value == "T2"
        await kept.lifecycle.aclose()

    with caplog.at_level(logging.INFO, "exterview_auth"):
        run()
    assert [name for name in told(caplog) if name == "store.unavailable"] == ["store.unavailable"]
    assert told(caplog)[-1] == "store.recovered"
    assert "s3cret" not in caplog.text
    assert f"call='{call}'" in caplog.text


@virtual_time
async def test_a_crowd_of_owners_is_no_sick_store() -> None:
    """Rule 1: calls that wait for those of the same process are not the store's delay; none is made beyond its means."""
    store, under_way, peak = ScriptedStore(seconds=0.1), 0, 0
    read = store._read

    async def counted(account: str = "a") -> StoredToken:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        try:
            return await read(account)
        finally:
            under_way -= 1

    store._read = counted  # type: ignore[method-assign,assignment]  # the same, counted
    store.entry = Token("theirs")
    owners = [owner(store) for _ in range(200)]
    grants = await asyncio.gather(*(kept.obtain() for kept in owners))
    assert {grant.token.value for grant in grants} == {"theirs"}
    assert peak == ScriptedStore.calls_at_once
    assert now() == pytest.approx(200 / peak * 0.1)
    assert sum(kept.stats().store_failures for kept in owners) == 0
    for kept in owners:
        await kept.lifecycle.aclose()


@virtual_time
async def test_a_crowd_at_a_sick_store_waits_once() -> None:
    """The bound holds for whoever waits in line too: after the first failures nobody asks."""
    store = ScriptedStore()
    store.faults["load"] = "hang"
    owners = [owner(store) for _ in range(200)]
    await asyncio.gather(*(kept.obtain() for kept in owners))
    assert now() <= STORE_BUDGET + 0.01
    assert store.calls.count("load") == ScriptedStore.calls_at_once
    store.faults.clear()
    for kept in owners:
        await kept.lifecycle.aclose()


@pytest.mark.parametrize(("age", "kept_value"), [(100.0, "T1"), (0.5, "another's"), (None, "another's")])
def test_a_token_saved_before_the_login_overtakes_nothing(age: float | None, kept_value: str) -> None:
    """Lesson 36: the store heals with a token that this owner has never seen; only a younger one is newer."""

    @virtual_time
    async def run() -> None:
        store = ScriptedStore()
        store.faults["load"] = store.faults["save"] = StoreError("down")
        kept = owner(store)
        await kept.obtain()
        await passing(2)
        store.faults.clear()
        store.entry, store.age = Token("another's"), age
        await passing(5)
        assert store.entry.value == kept_value
        await kept.lifecycle.aclose()

    run()


@pytest.mark.parametrize("fault", [StoreError("away"), "hang"])
def test_a_lock_that_cannot_be_given_back_holds_nobody_up(fault: Any) -> None:
    """Its lease ends by itself: what is left of the patience, no error, and nothing left after the owner's end."""

    @virtual_time
    async def run() -> None:
        store = ScriptedStore(seconds=0.3)
        store.faults["unlock"] = fault
        kept = owner(store)
        assert (await kept.obtain()).token.value == "T1"
        assert now() <= STORE_BUDGET
        assert store.entry is not None
        await kept.lifecycle.aclose()

    run()


@virtual_time
async def test_who_has_not_taken_the_turn_does_not_wait_until_it_is_left() -> None:
    """Whoever adopts what the holder saved goes on at once: nobody in this process needs a lock that was not taken."""

    class Slow(ScriptedLock):
        async def unsubscribe(self) -> None:
            await asyncio.sleep(0.7)

    store = ScriptedStore()
    store.account_lock = lambda _account: AccountLock(Slow(store))  # type: ignore[method-assign]
    store.acquires = [False]
    kept = owner(store)
    waiting = asyncio.ensure_future(kept.obtain())
    await passing(0.3)
    store.entry = Token("theirs")
    store.changed.set()
    assert (await waiting).token.value == "theirs"
    assert now() == pytest.approx(0.3)
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_store_that_does_not_let_itself_be_cancelled_gets_its_share_once_more() -> None:
    """Rule 17, whatever the login timeout is: its call is left behind after a quarter of it, and a quarter to end."""

    class Stubborn(ScriptedStore):
        stuck = True

        async def _read(self, account: str = "a") -> StoredToken:
            if self.stuck:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1e6)
                await asyncio.sleep(50)
            return await super()._read(account)

    store = Stubborn()
    kept = owner(store, login_timeout=1.0)
    assert (await kept.obtain()).token.value == "T1"
    assert now() == pytest.approx(0.5)
    store.stuck = False
    await passing(60)
    await kept.lifecycle.aclose()


@virtual_time
async def test_news_that_fail_do_not_end_the_login() -> None:
    """A store that breaks while its owner waits is a sick store: the owner logs in for itself, at once."""
    store = ScriptedStore()
    store.acquires, store.faults["change"] = [False], StoreError("gone")
    kept = owner(store)
    assert (await kept.obtain()).token.value == "T1"
    assert now() < 0.1
    store.faults.clear()
    await passing(10)
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_turn_that_never_comes_stops_nobody() -> None:
    """Half of ``login_timeout``, once; then the lock is left alone, and the store still read."""
    store = ScriptedStore()
    store.acquires = [False] * 100
    kept = owner(store, login_timeout=10)
    grant = await kept.obtain()
    assert grant.token.value == "T1"
    assert now() == pytest.approx(5, abs=0.1)
    kept.refuse(grant, waited=False)
    began = now()
    assert (await kept.obtain(grant)).token.value == "T2"
    assert now() == began
    await kept.lifecycle.aclose()


@virtual_time
async def test_the_owners_of_one_store_know_of_its_outage_together(caplog: pytest.LogCaptureFixture) -> None:
    """One warning per outage, not one per account; who comes later does not wait."""
    store = ScriptedStore()
    store.faults["load"] = "hang"
    with caplog.at_level(logging.INFO, "exterview_auth"):
        owners = [owner(store) for _ in range(5)]
        await asyncio.gather(*(kept.obtain() for kept in owners))
        assert now() <= STORE_BUDGET + 0.01
        late = owner(store)
        await late.obtain()
        assert now() <= STORE_BUDGET + 0.01
        store.faults.clear()
        await passing(10)
        for kept in (*owners, late):
            await kept.lifecycle.aclose()
    assert told(caplog).count("store.unavailable") == told(caplog).count("store.recovered") == 1


def test_health_needs_no_hashable_store() -> None:
    """An application's store may be any object; each owner then knows for itself."""

    class Odd:
        __hash__ = None  # type: ignore[assignment]  # as a dataclass with eq has it

    store: Any = Odd()
    assert breaker_of(store) is not breaker_of(store)
    memory = MemoryStore()
    assert breaker_of(memory) is breaker_of(memory)


def test_an_outage_ends_with_a_call_that_asks_as_much() -> None:
    """A store that can be read and not written has not recovered because it was read."""
    breaker = CircuitBreaker(MemoryStore())
    breaker.record_failure("save", StoreError("full"), 0.0)
    breaker.record_success("load")
    breaker.record_success("lock")
    assert breaker.is_open(0.5)
    breaker.record_success("save")
    assert not breaker.is_open(0.5)


def test_a_store_rests_longer_with_each_failure() -> None:
    """1 s, 2 s, 4 s, ... 30 s, also after ten thousand of them."""
    breaker = CircuitBreaker(MemoryStore())
    for number in range(10_000):
        breaker.record_failure("load", StoreError("down"), 0.0)
        rest = min(30.0, 2.0**number) if number < 10 else 30.0
        assert breaker.is_open(rest - 0.01)
        assert not breaker.is_open(rest)


@virtual_time
async def test_a_probing_session_calls_a_store_whose_breaker_is_open() -> None:
    """Rule 3 of the module: and the others are spared."""
    store = ScriptedStore()
    access = StoreAccess(store, "a", now, Counters())
    store.faults["load"] = StoreError("down")
    await access.session().load()
    store.faults.clear()
    usual, probing = access.session(), access.session(probe=True)
    assert await usual.load() is None
    assert usual.failed
    assert store.calls == ["load"]
    await probing.load()
    assert not probing.failed
    assert not access.session().suspended


@pytest.mark.parametrize("latch", [CredentialsRejectedError("no"), None])
def test_an_owner_that_may_not_log_in_adopts_what_another_got(latch: Any) -> None:
    """Rules 5 and 7: a latch forbids logins, not the token that is in the store; looking is bounded."""

    @virtual_time
    async def run() -> None:
        store = ScriptedStore()
        login = ScriptedLogin(latch) if latch else ScriptedLogin()
        kept = owner(store, login, max_logins=(1, 60.0))
        grant = None
        if latch:
            with pytest.raises(CredentialsRejectedError):
                await kept.obtain()
        else:
            grant = await kept.obtain()
            assert kept.refuse(grant, waited=True)
            store.entry = None
            with pytest.raises(LoginBudgetExceededError):
                await kept.obtain(grant)
        await passing(2)
        store.calls.clear()
        for _ in range(50):
            with pytest.raises((CredentialsRejectedError, LoginBudgetExceededError)):
                await kept.obtain(grant)
        assert store.calls == ["load"]
        store.entry = Token("theirs")
        await passing(1.1)
        assert (await kept.obtain(grant)).token.value == "theirs"
        assert login.count == 1
        await kept.lifecycle.aclose()

    run()


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Level and text of the events of stores."""
    return [(each.levelno, each.getMessage()) for each in caplog.records if each.getMessage().startswith("store.")]


@pytest.mark.parametrize("fault", [StoreError("it is away"), OSError("s3cret")])
def test_an_outage_says_what_is_wrong_and_where(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Rule 17: our own sentence or the error's type alone, the store and the call; and once that it is over."""

    @virtual_time
    async def run() -> None:
        store = ScriptedStore()
        store.faults["save"] = fault
        kept = owner(store)
        await kept.obtain()
        await passing(3)
        store.faults.clear()
        await passing(10)
        assert not kept.lifecycle.busy
        await kept.lifecycle.aclose()

    with caplog.at_level(logging.INFO, "exterview_auth"):
        run()
    problem = "it is away" if isinstance(fault, StoreError) else "OSError"
    [(level, began), (_, ended)] = events(caplog)
    assert level == logging.WARNING
    assert began.startswith("store.unavailable store='<")
    assert began.endswith(f" call='save' problem={problem!r}")
    assert ended.startswith("store.recovered store='<")


@virtual_time
async def test_a_lock_that_nobody_gives_back_is_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 17: whose lock it is, and how long it was waited for; counted each time."""
    store = ScriptedStore()
    store.acquires = [False] * 100
    kept = owner(store, login_timeout=10)
    with caplog.at_level(logging.INFO, "exterview_auth"):
        grant = await kept.obtain()
        await passing(31)
        kept.refuse(grant, waited=False)
        await kept.obtain(grant)
    assert events(caplog) == [(logging.WARNING, "store.lock_timeout account='a' seconds=5.0")] * 2
    assert kept.stats().store_failures == 2
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_save_is_tried_again_although_the_store_rests() -> None:
    """Lesson 36: after a long outage the token is saved within five seconds, not at the end of the store's rest."""
    store = ScriptedStore()
    kept = owner(store)
    store.faults["save"] = StoreError("full")
    await kept.obtain()
    await passing(60)
    failures = kept.stats().save_failures
    assert failures >= 10
    store.faults.clear()
    await passing(5)
    assert store.entry is not None
    assert store.entry.value == "T1"
    assert kept.stats().save_failures == failures
    assert not kept.lifecycle.busy
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_save_that_is_overtaken_is_not_tried_any_more() -> None:
    """Rule 17: until it succeeds or is overtaken; then nothing is left to do."""
    store = ScriptedStore()
    kept = owner(store)
    store.faults["save"] = StoreError("full")
    await kept.obtain()
    store.entry = Token("another's")
    await passing(5)
    assert not kept.lifecycle.busy
    store.calls.clear()
    await passing(60)
    assert store.calls == []
    await kept.lifecycle.aclose()


@virtual_time
async def test_a_repeated_save_is_made_under_the_lock_alone() -> None:
    """Nobody saves between the look and the save; while another holds the lock, the save waits for its next turn."""
    store = ScriptedStore()
    kept = owner(store)
    store.faults["save"] = StoreError("full")
    await kept.obtain()
    await passing(0.1)
    store.faults.clear()
    store.calls.clear()
    store.acquires = [False, False]
    await passing(1)
    assert store.calls[:2] == ["load", "lock"]
    assert "save" not in store.calls
    await passing(10)
    assert store.calls[-5:] == ["load", "lock", "load", "save", "unlock"]
    await kept.lifecycle.aclose()


def asleep_while_it_waits(*, saves_later: bool) -> Any:
    """The token that an owner gets that slept for 100 s while it waited for its turn, when, and its logins."""
    outcome: list[Any] = []

    @virtual_time
    async def run() -> None:
        asleep = 0.0
        store, login = ScriptedStore(), ScriptedLogin()
        store.acquires = [False] * 100
        kept = owner(store, login, login_timeout=10, clock=lambda: now() + asleep)
        waiting = asyncio.ensure_future(kept.obtain())
        await passing(4.9)
        asleep = 100.0
        await passing(1.1)
        if saves_later:
            store.entry = Token("theirs")
            store.changed.set()
        outcome.append(((await waiting).token.value, now(), login.count))
        await kept.lifecycle.aclose()

    run()
    return outcome[0]


def test_who_slept_while_it_waited_gives_the_lock_s_holder_time_to_save() -> None:
    """Lesson 34: the holder may have slept too, and is about to save: two seconds more, then the login is made here."""
    assert asleep_while_it_waits(saves_later=True) == ("theirs", pytest.approx(6.0, abs=0.2), 0)
    assert asleep_while_it_waits(saves_later=False) == ("T1", pytest.approx(7.0, abs=0.2), 1)


def test_a_save_is_repeated_after_growing_pauses_with_jitter() -> None:
    """Lesson 36: half a second at first, four at last and for ever; a fleet has lost its store at the same moment."""
    for _ in range(20):
        pauses = list(islice(_pauses(), 50))
        longest = [*PAUSES, *[PAUSES[-1]] * 46]
        assert all(0.75 * most <= pause <= most for pause, most in zip(pauses, longest, strict=True))
        assert len(set(pauses)) == 50
    assert PAUSES == (0.5, 1.0, 2.0, 4.0)


@virtual_time
async def test_each_attempt_at_a_save_is_counted_once() -> None:
    """Rule 17: `stats()` counts what failed, and what was not made because the store rests."""
    store = ScriptedStore()
    store.faults["load"] = store.faults["save"] = StoreError("down")
    kept = owner(store)
    await kept.obtain()
    assert kept.stats().save_failures == 1
    await passing(20)
    assert kept.stats().save_failures == store.calls.count("load") > 5
    store.faults.clear()
    await kept.lifecycle.aclose()


@virtual_time
async def test_what_was_saved_before_a_late_login_overtakes_nothing() -> None:
    """Lesson 36: its age is held against the login's, whatever the clock says."""
    store = ScriptedStore()
    kept = owner(store)
    await passing(100)
    store.faults["load"] = store.faults["save"] = StoreError("down")
    await kept.obtain()
    await passing(2)
    store.faults.clear()
    store.entry, store.age = Token("another's"), 50.0
    await passing(10)
    assert store.entry.value == "T1"
    assert not kept.lifecycle.busy
    await kept.lifecycle.aclose()


def test_an_outage_of_reading_ends_with_reading() -> None:
    """A store that can be read again has recovered, where nothing else has failed."""
    breaker = CircuitBreaker(MemoryStore())
    for call in ("load", "lock", "save"):
        breaker.record_failure(call, StoreError("down"), 0.0)
        assert breaker.is_open(0.5)
        breaker.record_success(call)
        assert not breaker.is_open(0.5)


@virtual_time
async def test_a_session_has_one_budget_for_all_its_calls() -> None:
    """Rule 2 of the module: what a call took is gone, whenever it began and however it ended; an answer of a process that stood still is free."""
    store, asleep = ScriptedStore(seconds=0.5), 0.0
    access = StoreAccess(store, "a", lambda: now() + asleep, Counters())
    await passing(100)
    session = access.session(probe=True)
    await session.load()
    assert session.budget == pytest.approx(1.5)
    store.faults["load"] = OSError("down")
    await session.load()
    assert session.budget == pytest.approx(1.0)
    store.faults.clear()
    waiting = asyncio.ensure_future(session.load())
    await passing(0.1)
    asleep = 50.0
    await waiting
    assert session.budget == pytest.approx(1.0)
    store.faults["load"] = "hang"
    await session.load()
    assert session.budget == 0
    assert await session.load() is None
    assert session.budget == 0


@virtual_time
async def test_a_call_that_was_begun_comes_to_its_end_without_its_caller() -> None:
    """Lesson 30: a token that is being saved when its flight is cancelled is saved."""
    store = ScriptedStore(seconds=0.3)
    saving = asyncio.ensure_future(StoreAccess(store, "a", now, Counters()).session().save(Token("T")))
    await passing(0.1)
    saving.cancel()
    await asyncio.wait([saving])
    assert saving.cancelled()
    assert store.entry is not None


@virtual_time
async def test_what_says_that_a_store_is_well_again() -> None:
    """A lock that was taken does; one that is another's says nothing, and nor does a session in which a call has failed."""
    store, counters = ScriptedStore(), Counters()
    access = StoreAccess(store, "a", now, counters)
    for _ in range(3):
        access.session().record_failure("lock", StoreError("down"))
    assert counters.store_failures == 3
    store.acquires = [False, True]
    for well in (False, True):
        session = access.session(probe=True)
        assert await session.call("lock", ScriptedLock(store).try_acquire) is well
        assert access.session().suspended is not well
    session = access.session(probe=True)
    store.faults["load"] = StoreError("down")
    await session.load()
    store.faults.clear()
    await session.load()
    assert access.session().suspended
    await access.session(probe=True).load()
    assert not access.session().suspended


@virtual_time
async def test_under_a_turn_the_turn_saves() -> None:
    """Lesson 29: it alone notices that another has saved since; what it gives back is used."""
    saved: list[str] = []

    class Fenced(ScriptedStore):
        async def save(self, account: str, token: Token) -> Token | None:
            saved.append(account)
            return await super().save(account, token)

    store = Fenced()
    kept = owner(store)
    await kept.obtain()
    assert saved == ["under the lock"]
    access = StoreAccess(store, "a", now, Counters())
    assert await access.session().save(Token("T2")) == (True, None)
    store.newer = Token("newer")
    assert await access.session().save(Token("T3")) == (False, store.newer)
    assert saved == ["under the lock", "a", "a"]
    await kept.lifecycle.aclose()


@virtual_time
async def test_nothing_of_a_callers_context_shows_in_a_store() -> None:
    """Lesson 43: what goes on in the background (an unlocking, a save that is repeated) runs in a context of its own."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: dict[str, str] = {}

    class Looking(ScriptedStore):
        async def do(self, name: str) -> None:
            seen[name] = variable.get()
            await super().do(name)

    store = Looking()
    access = StoreAccess(store, "a", now, Counters())
    variable.set("a request's")
    async with lock_waiter(access.session(), 1.0) as waiter:
        assert await waiter.try_acquire()
    assert seen == {"lock": "a request's", "unlock": "none"}
