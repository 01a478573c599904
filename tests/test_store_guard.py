"""A store that may be sick: how long a visit waits, who is told, and when it is well again."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from keeping import ScriptedLogin, keeper
from virtual import now, passing, virtual_time

from exterview_auth import CredentialsRejectedError, LoginBudgetExceededError, MemoryStore, StoreError, Token
from exterview_auth._stats import Counters
from exterview_auth._store_guard import PATIENCE, StoreGuard
from exterview_auth._store_health import StoreHealth, health_of
from exterview_auth.stores._codec import Found
from exterview_auth.stores._turn import Turn, TurnStore


class Bench(TurnStore):
    """A store with turns whose calls take `seconds`, and fail or hang as told."""

    lease = 3.0
    calls_at_once = 4
    age: float | None = None

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.entry: Token | None = None
        self.faults: dict[str, Any] = {}
        self.calls: list[str] = []
        self.newer: Token | None = None
        self.takes: list[bool] = []
        self.news = asyncio.Event()

    async def _do(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(self.seconds)
        fault = self.faults.get(name)
        if fault == "hang":
            await asyncio.sleep(1e6)
        if fault is not None:
            raise fault

    async def look(self, _account: str = "a") -> Found:
        await self._do("load")
        return Found(self.entry, b"", self.age)

    async def save(self, _account: Any, token: Token | None = None) -> Token | None:
        await self._do("save")
        if self.newer is None:
            self.entry = token or _account
        return self.newer

    async def delete(self, _account: str) -> None:
        await self._do("delete")
        self.entry = None

    def turn(self, account: str) -> Turn:
        return Turn(self)  # type: ignore[arg-type]  # its own lock, of one account

    async def aclose(self) -> None:
        """Nothing was opened."""

    async def take(self) -> bool:
        await self._do("lock")
        return self.takes.pop(0) if self.takes else True

    async def keep(self) -> bool:
        return True

    async def give_back(self) -> None:
        await self._do("unlock")

    async def listen(self) -> None:
        """Nothing is missed."""

    async def changed(self) -> None:
        if self.faults.get("news") is not None:
            raise self.faults["news"]
        await self.news.wait()

    async def hang_up(self) -> None:
        """Nothing was opened."""


def owner(store: Any, login: Any = None, **options: Any) -> Any:
    return keeper(login or ScriptedLogin(), store=store, account="a", **options)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Names of the events of stores."""
    return [record.getMessage().split()[0] for record in caplog.records if "store." in record.getMessage()]


@virtual_time
async def test_a_login_under_a_turn() -> None:
    """What is asked of a store that is well: look, lock, look, save, unlock."""
    store = Bench()
    kept = owner(store)
    assert (await kept.obtain()).token.value == "T1"
    assert store.calls == ["load", "lock", "load", "save", "unlock"]
    await kept.aclose()


@virtual_time
async def test_an_adoption_asks_once() -> None:
    """A token that another has saved is one look away."""
    store = Bench()
    store.entry = Token("theirs")
    kept = owner(store)
    assert (await kept.obtain()).token.value == "theirs"
    assert store.calls == ["load"]
    await kept.aclose()


@virtual_time
async def test_who_waits_adopts_what_the_holder_saves() -> None:
    """It takes no lock for that, and logs in for nothing."""
    store, login = Bench(), ScriptedLogin()
    store.takes = [False]
    kept = owner(store, login)
    waiting = asyncio.ensure_future(kept.obtain())
    await passing(0.3)
    store.entry = Token("theirs")
    store.news.set()
    assert (await waiting).token.value == "theirs"
    assert now() == pytest.approx(0.3)
    assert (login.count, kept.stats().adopted, store.calls) == (0, 1, ["load", "lock", "load", "load", "unlock"][:4])
    await kept.aclose()


@virtual_time
async def test_a_save_that_was_overtaken_gives_the_newer_token_to_all() -> None:
    """Lesson 29: whoever was paused beyond its lease uses the newer token itself; the hook is not told of a discarded one."""
    store, hooked = Bench(), list[str]()
    store.newer = Token("newer", expires_in=60)
    kept = owner(store, on_token=lambda new, _old, _reason: hooked.append(new.value))
    first, second = await asyncio.gather(kept.obtain(), kept.obtain())
    assert first is second
    assert (first.token.value, first.from_login) == ("newer", False)
    assert (kept.stats().logins, kept.stats().adopted, hooked) == (1, 1, [])
    assert not kept.holds_open or kept._renewer.due
    await kept.aclose()


@virtual_time
async def test_a_newer_token_that_is_known_to_be_refused_is_not_used() -> None:
    """Lesson 38: then its own serves, and goes on being tried."""
    store = Bench()
    kept = owner(store)
    first = await kept.obtain()
    kept.refuse(first, waited=False)
    store.newer = Token("T1")
    store.entry = None
    assert (await kept.obtain(first)).token.value == "T2"
    await kept.aclose()


@pytest.mark.parametrize("seconds", [0.3, 0.45, 0.6, 0.9, 1.9, 2.5])
def test_a_slow_store_costs_its_patience_at_most(seconds: float) -> None:
    """Two seconds once per outage, all calls of a flight together, and 0 until the next probe."""

    @virtual_time
    async def run() -> None:
        store = Bench(seconds=seconds)
        kept = owner(store)
        grant = await kept.obtain()
        assert now() <= PATIENCE + 0.01
        sick = kept.stats().store_failures > 0
        assert sick == (4 * seconds > PATIENCE)
        if sick:
            began = now()
            kept.refuse(grant, waited=False)
            await kept.obtain(grant)
            assert now() == began
        store.seconds = 0
        await passing(60)
        await kept.aclose()

    run()


@pytest.mark.parametrize("call", ["load", "lock", "save"])
@pytest.mark.parametrize("fault", [StoreError("Redis cannot be used: it is away"), OSError("s3cret"), "hang"])
def test_each_call_may_fail(call: str, fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Rule 17: one login, two seconds at most, one warning that names the call and no secret, and well again by itself."""

    @virtual_time
    async def run() -> None:
        store, login = Bench(), ScriptedLogin()
        store.faults[call] = fault
        kept = owner(store, login)
        grant = await kept.obtain()
        assert (grant.token.value, login.count) == ("T1", 1)
        assert now() <= PATIENCE + 1.01
        store.faults.clear()
        await passing(10)
        kept.refuse(grant, waited=False)
        assert (await kept.obtain(grant)).token.value == "T2"
        assert store.entry is not None
        assert store.entry.value == "T2"
        await kept.aclose()

    with caplog.at_level(logging.INFO, "exterview_auth"):
        run()
    assert [name for name in told(caplog) if name == "store.unavailable"] == ["store.unavailable"]
    assert told(caplog)[-1] == "store.recovered"
    assert "s3cret" not in caplog.text
    assert f"call='{call}'" in caplog.text


@virtual_time
async def test_a_crowd_of_owners_is_no_sick_store() -> None:
    """Rule 1: calls that wait for those of the same process are not the store's delay; none is made beyond its means."""
    store, under_way, peak = Bench(seconds=0.1), 0, 0
    look = store.look

    async def counted(account: str = "a") -> Found:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        try:
            return await look(account)
        finally:
            under_way -= 1

    store.look = counted  # type: ignore[method-assign,assignment]  # the same, counted
    store.entry = Token("theirs")
    owners = [owner(store) for _ in range(200)]
    grants = await asyncio.gather(*(kept.obtain() for kept in owners))
    assert {grant.token.value for grant in grants} == {"theirs"}
    assert peak == Bench.calls_at_once
    assert now() == pytest.approx(200 / peak * 0.1)
    assert sum(kept.stats().store_failures for kept in owners) == 0
    for kept in owners:
        await kept.aclose()


@virtual_time
async def test_a_crowd_at_a_sick_store_waits_once() -> None:
    """The bound holds for whoever waits in line too: after the first failures nobody asks."""
    store = Bench()
    store.faults["load"] = "hang"
    owners = [owner(store) for _ in range(200)]
    await asyncio.gather(*(kept.obtain() for kept in owners))
    assert now() <= PATIENCE + 0.01
    assert store.calls.count("load") == Bench.calls_at_once
    store.faults.clear()
    for kept in owners:
        await kept.aclose()


@pytest.mark.parametrize(("age", "kept_value"), [(100.0, "T1"), (0.5, "another's"), (None, "another's")])
def test_a_token_saved_before_the_login_overtakes_nothing(age: float | None, kept_value: str) -> None:
    """Lesson 36: the store heals with a token that this owner has never seen; only a younger one is newer."""

    @virtual_time
    async def run() -> None:
        store = Bench()
        store.faults["load"] = store.faults["save"] = StoreError("down")
        kept = owner(store)
        await kept.obtain()
        await passing(2)
        store.faults.clear()
        store.entry, store.age = Token("another's"), age
        await passing(5)
        assert store.entry.value == kept_value
        await kept.aclose()

    run()


@pytest.mark.parametrize("fault", [StoreError("away"), "hang"])
def test_a_lock_that_cannot_be_given_back_holds_nobody_up(fault: Any) -> None:
    """Its lease ends by itself: what is left of the patience, no error, and nothing left after the owner's end."""

    @virtual_time
    async def run() -> None:
        store = Bench(seconds=0.3)
        store.faults["unlock"] = fault
        kept = owner(store)
        assert (await kept.obtain()).token.value == "T1"
        assert now() <= PATIENCE
        assert store.entry is not None
        await kept.aclose()

    run()


@virtual_time
async def test_news_that_fail_do_not_end_the_login() -> None:
    """A store that breaks while its owner waits is a sick store: the owner logs in for itself, at once."""
    store = Bench()
    store.takes, store.faults["news"] = [False], StoreError("gone")
    kept = owner(store)
    assert (await kept.obtain()).token.value == "T1"
    assert now() < 0.1
    store.faults.clear()
    await passing(10)
    await kept.aclose()


@virtual_time
async def test_a_turn_that_never_comes_stops_nobody() -> None:
    """Half of ``login_timeout``, once; then the lock is left alone, and the store still read."""
    store = Bench()
    store.takes = [False] * 100
    kept = owner(store, login_timeout=10)
    grant = await kept.obtain()
    assert grant.token.value == "T1"
    assert now() == pytest.approx(5, abs=0.1)
    kept.refuse(grant, waited=False)
    began = now()
    assert (await kept.obtain(grant)).token.value == "T2"
    assert now() == began
    await kept.aclose()


@virtual_time
async def test_the_owners_of_one_store_know_of_its_outage_together(caplog: pytest.LogCaptureFixture) -> None:
    """One warning per outage, not one per account; who comes later does not wait."""
    store = Bench()
    store.faults["load"] = "hang"
    with caplog.at_level(logging.INFO, "exterview_auth"):
        owners = [owner(store) for _ in range(5)]
        await asyncio.gather(*(kept.obtain() for kept in owners))
        assert now() <= PATIENCE + 0.01
        late = owner(store)
        await late.obtain()
        assert now() <= PATIENCE + 0.01
        store.faults.clear()
        await passing(10)
        for kept in (*owners, late):
            await kept.aclose()
    assert told(caplog).count("store.unavailable") == told(caplog).count("store.recovered") == 1


def test_health_needs_no_hashable_store() -> None:
    """An application's store may be any object; each owner then knows for itself."""

    class Odd:
        __hash__ = None  # type: ignore[assignment]  # as a dataclass with eq has it

    store: Any = Odd()
    assert health_of(store) is not health_of(store)
    memory = MemoryStore()
    assert health_of(memory) is health_of(memory)


def test_an_outage_ends_with_a_call_that_asks_as_much() -> None:
    """A store that can be read and not written has not recovered because it was read."""
    health = StoreHealth(MemoryStore())
    health.failed("save", StoreError("full"), 0.0)
    health.succeeded("load")
    health.succeeded("lock")
    assert health.resting(0.5)
    health.succeeded("save")
    assert not health.resting(0.5)


def test_a_store_rests_longer_with_each_failure() -> None:
    """1 s, 2 s, 4 s, ... 30 s, also after ten thousand of them."""
    health = StoreHealth(MemoryStore())
    for number in range(10_000):
        health.failed("load", StoreError("down"), 0.0)
        rest = min(30.0, 2.0**number) if number < 10 else 30.0
        assert health.resting(rest - 0.01)
        assert not health.resting(rest)


@virtual_time
async def test_a_probing_visit_asks_a_resting_store() -> None:
    """Rule 3 of the module: and the others are spared."""
    store = Bench()
    guard = StoreGuard(store, "a", now, Counters())
    store.faults["load"] = StoreError("down")
    await guard.visit().load()
    store.faults.clear()
    usual, probing = guard.visit(), guard.visit(probing=True)
    assert await usual.load() is None
    assert usual.failed()
    assert store.calls == ["load"]
    await probing.load()
    assert not probing.failed()
    assert not guard.resting


@pytest.mark.parametrize("latch", [CredentialsRejectedError("no"), None])
def test_an_owner_that_may_not_log_in_adopts_what_another_got(latch: Any) -> None:
    """Rules 5 and 7: a latch forbids logins, not the token that is in the store; looking is bounded."""

    @virtual_time
    async def run() -> None:
        store = Bench()
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
        await kept.aclose()

    run()
