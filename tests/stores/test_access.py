"""A store that may fail: how long a session waits for it, what is logged, and when it is called again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator
from contextvars import ContextVar
from itertools import islice
from typing import Any

import pytest

from exterview_auth import (
    CredentialsRejectedError,
    LoginBudgetExceededError,
    LoginUnavailableError,
    StoreError,
    Token,
)
from exterview_auth._core.saving import PAUSES, _pauses
from exterview_auth._records import Feed, Listener
from exterview_auth.stores._access import STORE_BUDGET, StoreAccess
from exterview_auth.stores._entry import StoredToken
from exterview_auth.stores._shared import AccountLock, SharedStore
from exterview_auth.stores._waiting import lock_waiter
from tests.kit.clock import now, passing, settle, virtual_time
from tests.kit.failing_store import FailingStore
from tests.kit.keepers import ScriptedLogin, keeper


class Heard(Listener):
    """Which calls to the store a listener hears of."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def store_was_called(self, operation: str, seconds: float, error: str | None) -> None:
        self.calls.append(operation)


class ScriptedStore(SharedStore):
    """A store whose calls take `seconds`, and fail or hang as `faults` says."""

    _calls_at_once = 4

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.entry: Token | None = None
        self.age: float | None = None
        self.faults: dict[str, Any] = {}
        self.calls: list[str] = []
        self.newer: Token | None = None
        self.acquires: list[bool] = []
        self.changed = asyncio.Event()

    @property
    def text(self) -> str | None:
        """The text of the token that it holds."""
        return None if self.entry is None else self.entry.value

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

    async def _write(self, _account: str, token: Token | None) -> None:
        await self.do("delete" if token is None else "save")
        self.entry = token

    def _account_lock(self, _account: str) -> AccountLock:
        return AccountLock(ScriptedLock(self))

    async def aclose(self) -> None:
        """Nothing was opened."""


class ScriptedLock:
    """The lock of its one account."""

    store = "Backend"
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

    async def write(self, token: Token | None) -> StoredToken | None:
        newer = self._store.newer
        if newer is None:
            await self._store._write("under the lock", token)
            return None
        await self._store.do("delete" if token is None else "save")
        return StoredToken(newer, b"newer")

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


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Level and text of the events of stores."""
    return [(each.levelno, each.getMessage()) for each in caplog.records if each.getMessage().startswith("store.")]


@virtual_time
async def test_the_calls_of_a_login_and_of_an_adoption() -> None:
    """Load, lock, load, save, unlock; a token that another owner saved takes one call."""
    store = ScriptedStore()
    assert (await owner(store).obtain()).token.value == "T1"
    assert store.calls == ["load", "lock", "load", "save", "unlock"]
    store.calls.clear()
    assert (await owner(store).obtain()).token.value == "T1"
    assert store.calls == ["load"]


@virtual_time
async def test_a_waiter_adopts_what_the_holder_saves() -> None:
    """It does not acquire the lock for that, does not log in, and does not wait for the end of its subscription."""

    class Slow(ScriptedLock):
        async def unsubscribe(self) -> None:
            await asyncio.sleep(0.7)

    store, login = ScriptedStore(), ScriptedLogin()
    store._account_lock = lambda _account: AccountLock(Slow(store))  # type: ignore[method-assign]
    store.acquires = [False]
    kept = owner(store, login)
    waiting = asyncio.ensure_future(kept.obtain())
    await passing(0.3)
    store.entry = Token("theirs")
    store.changed.set()
    assert (await waiting).token.value == "theirs"
    assert now() == pytest.approx(0.3)
    assert (login.count, kept.stats().adopted, store.calls) == (0, 1, ["load", "lock", "load", "load"])


@virtual_time
async def test_a_save_that_was_overtaken_gives_the_newer_token_to_all() -> None:
    """An owner that was paused beyond its lease uses the newer token; the hook does not get the discarded one."""
    store, hooked = ScriptedStore(), list[str]()
    store.newer = Token("newer", expires_in=60)
    kept = owner(store, on_token=lambda new, _old, _reason: hooked.append(new.value))
    first, second = await asyncio.gather(kept.obtain(), kept.obtain())
    assert first is second
    assert (first.token.value, first.from_login) == ("newer", False)
    assert (kept.stats().logins, kept.stats().adopted, hooked) == (1, 1, [])
    assert not kept.lifecycle.holds_open or kept._renewal.armed


@virtual_time
async def test_a_store_that_returns_what_it_saved_says_nothing_new() -> None:
    """The protocol allows it: the token is the login's own, for the hook, the counters and the budget."""

    class Echoing(FailingStore):
        async def save(self, account: str, token: Token) -> Any:
            await super().save(account, token)
            return Token(str(token.value))

    hooked = list[str]()
    kept = owner(Echoing(), max_logins=(2, 60.0), on_token=lambda new, _old, _reason: hooked.append(new.value))
    issued = await kept.obtain()
    assert (issued.from_login, kept.stats().adopted, hooked) == (True, 0, ["T1"])
    kept.refuse(issued)
    issued = await kept.obtain(issued)
    kept.refuse(issued)
    with pytest.raises(LoginBudgetExceededError):
        await kept.obtain(issued)


@virtual_time
async def test_a_newer_token_that_is_known_to_be_refused_is_not_used() -> None:
    """Then the owner's own token is used, and its save is repeated."""
    store = ScriptedStore()
    kept = owner(store)
    first = await kept.obtain()
    kept.refuse(first)
    store.newer = Token("T1")
    store.entry = None
    assert (await kept.obtain(first)).token.value == "T2"


@pytest.mark.parametrize("seconds", [0.3, 0.45, 0.6, 0.9, 1.9, 2.5])
@virtual_time
async def test_a_slow_store_costs_its_budget_at_most(seconds: float) -> None:
    """Two seconds once per outage for all calls of a login together, then nothing until the next probe."""
    store = ScriptedStore(seconds=seconds)
    kept = owner(store)
    grant = await kept.obtain()
    assert now() <= STORE_BUDGET + 0.01
    failed = kept.stats().store_failures > 0
    assert failed == (4 * seconds > STORE_BUDGET)
    if failed:
        began = now()
        kept.refuse(grant)
        await kept.obtain(grant)
        assert now() == began
    store.seconds = 0
    await passing(60)


@pytest.mark.parametrize("call", ["load", "lock", "save"])
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (StoreError("Redis cannot be used: it is away"), "'Redis cannot be used: it is away'"),
        (OSError("s3cret"), "'it raised OSError; let it raise a StoreError that says why'"),
        ("hang", "'it does not answer in time; check its load and the network'"),
    ],
)
@virtual_time
async def test_each_call_may_fail(call: str, fault: Any, problem: str, caplog: pytest.LogCaptureFixture) -> None:
    """One login, two seconds at most, one warning that names the call and no secret, and well again by itself."""
    caplog.set_level(logging.INFO, "exterview_auth")
    store, login = ScriptedStore(), ScriptedLogin()
    store.faults[call] = fault
    kept = owner(store, login)
    grant = await kept.obtain()
    assert (grant.token.value, login.count) == ("T1", 1)
    assert now() <= STORE_BUDGET + 1.01
    store.faults.clear()
    await passing(10)
    kept.refuse(grant)
    assert (await kept.obtain(grant)).token.value == "T2"
    assert store.text == "T2"
    assert not kept.lifecycle.busy
    [(level, began), (_, ended)] = events(caplog)
    assert level == logging.WARNING
    assert began.startswith("store.unavailable store='ScriptedStore'")
    assert began.endswith(f" call={call!r} problem={problem}")
    assert ended.startswith("store.recovered store='ScriptedStore'")


@virtual_time
async def test_a_crowd_of_owners_is_not_a_failing_store() -> None:
    """Waiting for calls of the same process is not the store's delay; no more calls run at once than the store can do."""
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
    assert peak == ScriptedStore._calls_at_once
    assert now() == pytest.approx(200 / peak * 0.1)
    assert sum(kept.stats().store_failures for kept in owners) == 0


@virtual_time
async def test_a_crowd_at_a_failing_store_waits_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning per outage, not one per account; after the first failures no call is made, and a later owner does not wait."""
    store = ScriptedStore()
    store.faults["load"] = "hang"
    with caplog.at_level(logging.INFO, "exterview_auth"):
        owners = [owner(store) for _ in range(200)]
        await asyncio.gather(*(kept.obtain() for kept in owners))
        assert store.calls.count("load") == ScriptedStore._calls_at_once
        await owner(store).obtain()
        assert now() <= STORE_BUDGET + 0.01
        store.faults.clear()
        await passing(10)
    assert [text.split()[0] for _, text in events(caplog)] == ["store.unavailable", "store.recovered"]


@pytest.mark.parametrize(("age", "kept_value"), [(50.0, "T1"), (0.5, "another's"), (None, "another's")])
@virtual_time
async def test_a_token_saved_before_the_login_overtakes_nothing(age: float | None, kept_value: str) -> None:
    """The store heals with a token that this owner has never seen; only a younger one is newer, whatever the clock."""
    store = ScriptedStore()
    kept = owner(store)
    await passing(100)
    store.faults["load"] = store.faults["save"] = StoreError("down")
    await kept.obtain()
    await passing(2)
    store.faults.clear()
    store.entry, store.age = Token("another's"), age
    await passing(10)
    assert store.entry.value == kept_value
    assert not kept.lifecycle.busy


@pytest.mark.parametrize("fault", [StoreError("away"), "hang"])
@virtual_time
async def test_a_lock_that_cannot_be_released_delays_nobody(fault: Any) -> None:
    """Its lease expires: the wait is what is left of the budget, without an error, and nothing is left after the owner's end."""
    store = ScriptedStore(seconds=0.3)
    store.faults["unlock"] = fault
    kept = owner(store)
    assert (await kept.obtain()).token.value == "T1"
    assert now() <= STORE_BUDGET
    assert store.entry is not None


@pytest.mark.parametrize("fault", [StoreError("away"), "hang"])
@pytest.mark.parametrize("store", [ScriptedStore, FailingStore])
@virtual_time
async def test_a_lock_that_was_never_obtained_is_not_counted_as_released(
    store: type[ScriptedStore | FailingStore], fault: Any
) -> None:
    """Its command may have arrived, so that it is given back all the same; nobody hears of a call ``unlock``."""
    made, heard = store(), Heard()
    kept = owner(made, login_timeout=10)
    kept.account.listen(heard)
    made.faults["lock"] = made.faults["unlock"] = fault
    assert (await kept.obtain()).token.value == "T1"
    await passing(5)
    assert "lock" in heard.calls
    assert "unlock" not in heard.calls


@virtual_time
async def test_a_call_that_ignores_its_cancellation_gets_the_budget_once_more() -> None:
    """Whatever the login timeout: it is abandoned after a quarter of it, and another quarter to end."""

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


@virtual_time
async def test_a_failing_notification_does_not_end_the_login() -> None:
    """A store that breaks while its owner waits is a failing store: the owner logs in at once."""
    store = ScriptedStore()
    store.acquires, store.faults["change"] = [False], StoreError("gone")
    kept = owner(store)
    assert (await kept.obtain()).token.value == "T1"
    assert now() < 0.1
    store.faults.clear()
    await passing(10)


@virtual_time
async def test_a_lock_whose_holder_keeps_its_lease_is_waited_for() -> None:
    """For as long as ``login_timeout``, then an error that says why; nothing is wrong with the store."""
    store, login = ScriptedStore(), ScriptedLogin()
    store.acquires = [False] * 100
    kept = owner(store, login, login_timeout=10)
    with pytest.raises(LoginUnavailableError, match="another process's login holds the account's lock"):
        await kept.obtain()
    assert now() == pytest.approx(10)
    store.acquires = [False] * 3
    assert (await kept.obtain()).token.value == "T1"
    assert (login.count, kept.stats().store_failures, store.text) == (1, 0, "T1")


@virtual_time
async def test_a_lease_inside_another_lock_is_waited_for_as_long() -> None:
    """A subclass's own lock around the base's does not hide that the holder lives."""

    class Around(ScriptedStore):
        @contextlib.asynccontextmanager
        async def lock(self, account: str) -> AsyncIterator[None]:
            async with super().lock(account):
                yield

    store, login = Around(), ScriptedLogin()
    store.acquires = [False] * 13
    kept = owner(store, login)
    assert (await kept.obtain()).token.value == "T1"
    assert 15 < now() < 30  # longer than half of its time, which a lock without a lease gets
    assert (kept.stats().store_failures, store.calls.count("unlock"), store.text) == (0, 1, "T1")


@virtual_time
async def test_a_lock_is_not_waited_for_once_its_store_fails() -> None:
    """A save of another owner that hangs keeps the lock, and costs those who wait for it a second."""
    store, login = FailingStore(), ScriptedLogin()
    store.faults["lock"] = "hang"
    waiting = asyncio.ensure_future(owner(store, login).obtain())
    await passing(3.5)
    StoreAccess(store, "a", Feed(now)).session().record_failure("save", OSError("down"))
    assert (await waiting).token.value == "T1"
    assert now() <= 4.6
    store.faults.clear()


@virtual_time
async def test_a_probing_session_calls_a_store_whose_breaker_is_open() -> None:
    """Rule 3 of the module: and the others are spared."""
    store = ScriptedStore()
    access = StoreAccess(store, "a", Feed(now))
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


@virtual_time
async def test_while_a_store_is_probed_everybody_else_goes_without_it() -> None:
    """One session probes at a time; others with something to save wait for its outcome, and take no slot."""
    store = ScriptedStore()
    accesses = [StoreAccess(store, f"a{n}", Feed(now)) for n in range(20)]
    accesses[0].session().record_failure("save", StoreError("down"))
    store.faults["save"] = "hang"
    with contextlib.ExitStack() as stack:
        probing = [stack.enter_context(access.session(probe=True)) for access in accesses]
        saving = asyncio.gather(*(session.save(Token("T")) for session in probing))
        await passing(0.1)
        usual = accesses[0].session()
        assert await usual.load() is None
        assert usual.failed
        assert (now(), store.calls) == (0.1, ["save"])
        assert not any(saved.settled for saved in await saving)
        assert now() <= 3.1
        assert store.calls == ["save"]
        assert (await probing[5].delete()).settled  # it has failed, but nobody probes now


@virtual_time
async def test_all_that_wait_for_a_probe_fail_with_it() -> None:
    """Without a call of their own, and as soon as it fails."""
    store = ScriptedStore(seconds=0.5)
    accesses = [StoreAccess(store, f"a{n}", Feed(now)) for n in range(20)]
    accesses[0].session().record_failure("save", StoreError("down"))
    store.faults["save"] = StoreError("down")
    with contextlib.ExitStack() as stack:
        probing = [stack.enter_context(access.session(probe=True)) for access in accesses]
        outcomes = await asyncio.gather(*(session.save(Token("T")) for session in probing))
    assert not any(saved.settled for saved in outcomes)
    assert (now(), store.calls) == (0.5, ["save"])


@virtual_time
async def test_once_a_probe_succeeds_all_that_wait_for_it_go_on() -> None:
    """What a pool has yet to save at its close is saved, although the breaker is open until the first save."""
    store = ScriptedStore(seconds=0.2)
    accesses = [StoreAccess(store, f"a{n}", Feed(now)) for n in range(12)]
    accesses[0].session().record_failure("save", StoreError("down"))
    with contextlib.ExitStack() as stack:
        probing = [stack.enter_context(access.session(probe=True)) for access in accesses]
        await probing[0].load()
        saving = asyncio.gather(*(session.save(Token("T")) for session in probing))
        assert all(saved.settled for saved in await saving)
    assert now() <= 1.3


@virtual_time
async def test_a_probe_that_ends_without_an_outcome_lets_the_next_one_probe() -> None:
    """It was cancelled, or waits for another owner's login, which says nothing about the store."""
    store = ScriptedStore()
    access = StoreAccess(store, "a", Feed(now))
    access.session().record_failure("save", StoreError("down"))
    store.faults["load"] = "hang"

    async def cancelled() -> None:
        with access.session(probe=True) as session:
            await session.load()

    first = asyncio.ensure_future(cancelled())
    await passing(0.1)
    with access.session(probe=True) as second, access.session(probe=True) as third:
        saving = asyncio.ensure_future(second.call("lock", ScriptedLock(store).try_acquire))
        store.acquires = [False]
        await settle()
        assert store.calls == ["load"]
        first.cancel()
        assert await saving is False
        assert (await third.delete()).settled
    assert now() <= 1.2


@virtual_time
async def test_a_probe_that_never_ends_is_waited_for_as_long_as_a_store() -> None:
    """Rule 2 of the module: and only once by a session."""
    store = ScriptedStore()
    access = StoreAccess(store, "a", Feed(now))
    for _ in range(4):
        access.session().record_failure("save", StoreError("down"))
    with access.session(probe=True) as stuck, access.session(probe=True) as other:
        await stuck.load()
        for _ in range(3):
            assert not (await other.delete()).settled
    assert now() == STORE_BUDGET


@pytest.mark.parametrize("latch", [CredentialsRejectedError("no"), None])
@virtual_time
async def test_an_owner_that_may_not_log_in_adopts_what_another_got(latch: Any) -> None:
    """A latch forbids logins, not the token that is in the store; looking is bounded."""
    store = ScriptedStore()
    login = ScriptedLogin(latch) if latch else ScriptedLogin()
    kept = owner(store, login, max_logins=(1, 60.0))
    grant = None
    if latch:
        with pytest.raises(CredentialsRejectedError):
            await kept.obtain()
    else:
        grant = await kept.obtain()
        assert kept.refuse(grant)
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


@virtual_time
async def test_a_save_is_repeated_although_the_breaker_is_open() -> None:
    """After a long outage the token is saved within five seconds, not when the breaker closes by itself."""
    store = ScriptedStore()
    kept = owner(store)
    store.faults["save"] = StoreError("full")
    await kept.obtain()
    await passing(60)
    failures = kept.stats().save_failures
    assert failures >= 10
    store.faults.clear()
    await passing(5)
    assert store.text == "T1"
    assert kept.stats().save_failures == failures
    assert not kept.lifecycle.busy


@virtual_time
async def test_an_overtaken_save_is_not_repeated() -> None:
    """A save is repeated until it succeeds or another owner has saved a newer token."""
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


async def unsaved() -> tuple[ScriptedStore, Any]:
    """Return a store that has refused one save and is well again, and the owner that repeats it."""
    store = ScriptedStore()
    kept = owner(store)
    store.faults["save"] = StoreError("full")
    await kept.obtain()
    await passing(0.1)
    store.faults.clear()
    store.calls.clear()
    return store, kept


@virtual_time
async def test_a_repeated_save_needs_the_lock() -> None:
    """Nobody saves between the load and the save; while another owner holds the lock, the next attempt follows later."""
    store, kept = await unsaved()
    store.acquires = [False] * 5
    await passing(4)
    assert set(store.calls) == {"lock"}
    assert kept.stats().save_failures == 1
    await passing(10)
    assert store.calls[-4:] == ["lock", "load", "save", "unlock"]


@virtual_time
async def test_a_repeated_save_looks_again_under_the_lock() -> None:
    """Another owner saves while this one waits for the lock; its token is not replaced."""
    store, kept = await unsaved()
    lock = ScriptedLock.try_acquire

    async def saved_meanwhile(self: ScriptedLock) -> bool:
        store.entry = Token("theirs")
        return await lock(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedLock, "try_acquire", saved_meanwhile)
        await passing(10)
    assert store.calls == ["lock", "load", "unlock"]
    assert (store.text, kept.lifecycle.busy) == ("theirs", False)


@virtual_time
async def test_a_waiter_that_was_paused_gives_the_holder_time_to_save() -> None:
    """The holder may have been paused too, and is about to save."""
    asleep = 0.0
    store, login = ScriptedStore(), ScriptedLogin()
    store.acquires = [False] * 100
    waiting = asyncio.ensure_future(owner(store, login, login_timeout=10, clock=lambda: now() + asleep).obtain())
    await passing(4.9)
    asleep = 100.0
    await passing(1.1)
    store.entry = Token("theirs")
    store.changed.set()
    assert ((await waiting).token.value, login.count) == ("theirs", 0)
    assert now() == pytest.approx(6, abs=0.2)


def test_a_save_is_repeated_after_growing_pauses_with_jitter() -> None:
    """Half a second at first, four at last and for ever; a fleet has lost its store at the same moment."""
    for _ in range(20):
        pauses = list(islice(_pauses(), 50))
        longest = [*PAUSES, *[PAUSES[-1]] * 46]
        assert all(0.75 * most <= pause <= most for pause, most in zip(pauses, longest, strict=True))
        assert len(set(pauses)) == 50
    assert PAUSES == (0.5, 1.0, 2.0, 4.0)


@virtual_time
async def test_each_attempt_at_a_save_is_counted_once() -> None:
    """`stats()` counts saves that failed, and those that were not tried because the breaker was open."""
    store = ScriptedStore()
    store.faults["load"] = store.faults["save"] = StoreError("down")
    kept = owner(store)
    await kept.obtain()
    assert kept.stats().save_failures == 1
    await passing(20)
    assert kept.stats().save_failures == store.calls.count("load") > 5
    store.faults.clear()


@virtual_time
async def test_a_session_has_one_budget_for_all_its_calls() -> None:
    """Rule 2 of the module: what a call took is gone, whenever it began and however it ended; a response that came while the process was paused is free."""
    store, asleep = ScriptedStore(seconds=0.5), 0.0
    access = StoreAccess(store, "a", Feed(lambda: now() + asleep))
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
async def test_a_session_that_no_request_waits_for_may_spend_as_much_on_each_call() -> None:
    """Rule 2 of the module: a hanging call is given up all the same, and what is left of a budget is not exceeded."""
    store = ScriptedStore(seconds=1.5)
    access = StoreAccess(store, "a", Feed(now), login_timeout=0.4)
    patient = access.session(probe=True, budget=math.inf)
    for _ in range(5):
        assert (await patient.load(), patient.failed) == (None, False)
    store.faults["load"] = "hang"
    before = now()
    await patient.load()
    assert now() - before == pytest.approx(STORE_BUDGET)
    assert patient.failed
    closing = access.session(probe=True, budget=3.0)
    before = now()
    for _ in range(3):
        await closing.load()
    assert now() - before == pytest.approx(3.0)


@virtual_time
async def test_a_started_call_ends_without_its_caller() -> None:
    """A token that is being saved when its login is cancelled is saved."""
    store = ScriptedStore(seconds=0.3)
    saving = asyncio.ensure_future(StoreAccess(store, "a", Feed(now)).session().save(Token("T")))
    await passing(0.1)
    saving.cancel()
    await asyncio.wait([saving])
    assert saving.cancelled()
    assert store.entry is not None


@virtual_time
async def test_which_calls_close_the_breaker() -> None:
    """A lock that was acquired does; a lock that another holds does not, nor a session in which a call has failed."""
    store, feed = ScriptedStore(), Feed(now)
    access = StoreAccess(store, "a", feed)
    for _ in range(3):
        access.session().record_failure("lock", StoreError("down"))
    assert feed.store_failures == 3
    store.acquires = [False, True]
    for well in (False, True):
        session = access.session(probe=True)
        assert await session.call("lock", ScriptedLock(store).try_acquire) is well
        assert access.session().suspended is not well
    with access.session(probe=True) as session:
        store.faults["load"] = StoreError("down")
        await session.load()
        store.faults.clear()
        await session.load()
        assert access.session().suspended
    await access.session(probe=True).load()
    assert not access.session().suspended


@virtual_time
async def test_the_age_of_a_token_that_the_store_did_not_read_is_unknown() -> None:
    """A subclass may answer by itself, and what the base read before says nothing of that."""

    class Caching(ScriptedStore):
        cached: Token | None = None

        async def load(self, account: str) -> Token | None:
            return self.cached or await super().load(account)

    store = Caching()
    store.entry, store.age = Token("T1"), 50.0
    session = StoreAccess(store, "a", Feed(now)).session()
    async with lock_waiter(session, 1.0) as waiter:
        assert await waiter.try_acquire()
        assert (await session.load(), session.age) == (store.entry, 50.0)
        store.cached = Token("T2")
        assert (await session.load(), session.age) == (store.cached, None)


@virtual_time
async def test_under_the_lock_the_lock_saves() -> None:
    """Only the lock notices that another owner has saved since, whatever a subclass makes of its answer."""
    written: list[str] = []

    class Silent(ScriptedStore):
        async def save(self, account: str, token: Token) -> None:
            await super().save(account, token)

        async def _write(self, account: str, token: Token | None) -> None:
            written.append(account)
            await super()._write(account, token)

    store = Silent()
    await owner(store).obtain()
    assert written == ["under the lock"]
    access = StoreAccess(store, "a", Feed(now))
    session = access.session()
    assert await session.save(Token("T2")) == (True, None)
    assert written == ["under the lock", "a"]
    for newer in (Token("newer"), None):
        store.newer = newer
        async with lock_waiter(session, 1.0) as waiter:
            assert await waiter.try_acquire()
            assert session.locked
            assert await session.save(Token("T3")) == (True, newer)
        assert not session.locked


@virtual_time
async def test_background_calls_have_a_context_of_their_own() -> None:
    """A caller's context variables are not visible in an unlock or in a save that is repeated."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: dict[str, str] = {}

    class Looking(ScriptedStore):
        async def do(self, name: str) -> None:
            seen[name] = variable.get()
            await super().do(name)

    store = Looking()
    access = StoreAccess(store, "a", Feed(now))
    variable.set("a request's")
    async with lock_waiter(access.session(), 1.0) as waiter:
        assert await waiter.try_acquire()
    assert seen == {"lock": "a request's", "unlock": "none"}
