"""What must reach the store: looked at and written under the account's lock, repeated, overtaken, and never late."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from exterview_auth import ClosedError, LoginUnavailableError, MemoryStore, StoreError, Token
from exterview_auth._core.keeper import Keeper
from exterview_auth._core.lifecycle import CLOSE_GRACE
from exterview_auth._core.saving import LOCK_WAIT
from exterview_auth._token import age_of
from tests.kit.clock import now, passing, run, settle, virtual_time
from tests.kit.failing_store import FailingStore
from tests.kit.keepers import ScriptedLogin, keeper
from tests.kit.stores import KeepingStore
from tests.stores.test_access import ScriptedStore

DOWN = OSError("down")


def sharing(login: Any, store: Any, **options: Any) -> Keeper:
    """A keeper of the account ``a``."""
    return keeper(login, store=store, account="a", **options)


class Unfenced(KeepingStore):
    """What processes share that has the four methods alone: nothing notices who has saved since a look."""

    def __init__(self) -> None:
        super().__init__()
        self.one = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        async with self.one:
            yield


class Place(FailingStore):
    """
    A process's store of four methods, which may fail, around one that it shares with other processes.

    `slow` are the seconds that its next saves take; with *stubborn*, they take them although they are cancelled.
    """

    def __init__(self, shared: Any, *, stubborn: bool = False) -> None:
        super().__init__()
        self.shared = shared
        self.slow: list[float] = []
        self.stubborn = stubborn
        self.locked = 0
        self.written: list[str] = []
        self.unlocked_writes = 0

    async def load(self, account: str) -> Any:
        await self.before("load")
        return await self.shared.load(account)

    async def save(self, account: str, token: Token) -> None:
        await self.before("save")
        until = now() + (self.slow.pop(0) if self.slow else 0.0)
        while now() < until:
            try:
                await asyncio.sleep(until - now())
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
        self.unlocked_writes += not self.locked
        self.written.append(token.value)
        await self.shared.save(account, token)

    async def delete(self, account: str) -> None:
        await self.before("delete")
        self.written.append("deleted")
        await self.shared.delete(account)

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        await self.before("lock")
        async with self.shared.lock(account):
            self.locked += 1
            try:
                yield
            finally:
                self.locked -= 1


@pytest.fixture
def shared() -> MemoryStore:
    """What the processes of a test share."""
    return MemoryStore(timer=now)


async def text_in(store: Any) -> str | None:
    """Return the text of the token that is stored."""
    found = await store.load("a")
    return None if found is None else found.value


async def pending(place: Any, login: Any = None, **options: Any) -> Keeper:
    """Return an owner whose login succeeded and whose save failed; the store works again."""
    place.faults["save"] = DOWN
    kept = sharing(login or ScriptedLogin(Token("older", refresh_token="r")), place, **options)
    await kept.obtain()
    place.faults.clear()
    assert kept.lifecycle.busy
    return kept


# -- nothing newer is replaced ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("closes", [True, False])
@virtual_time
async def test_a_pending_save_leaves_what_another_owner_has_saved_since(shared: MemoryStore, *, closes: bool) -> None:
    """At close and at a repetition it looks first."""
    kept = await pending(Place(shared))
    assert (await sharing(ScriptedLogin(Token("newer")), shared).obtain()).token.value == "newer"
    await (kept.lifecycle.aclose() if closes else passing(10))
    assert await text_in(shared) == "newer"
    assert not kept.lifecycle.busy


@virtual_time
async def test_the_save_at_close_waits_for_another_owners_login(shared: MemoryStore) -> None:
    """What that login saves stays."""
    kept = await pending(Place(shared))
    other = sharing(ScriptedLogin(Token("newer"), seconds=1), shared)
    waiting = asyncio.ensure_future(other.obtain())
    await settle()
    await kept.lifecycle.aclose()
    assert (await waiting).token.value == await text_in(shared) == "newer"


@virtual_time
async def test_closing_does_not_wait_for_a_long_login() -> None:
    """Closing ends within some seconds; nothing is saved without the lock, which a store of four methods needs."""
    shared = Unfenced()
    place = Place(shared)
    kept = await pending(place)
    other = sharing(ScriptedLogin(Token("newer"), seconds=25), shared)
    waiting = asyncio.ensure_future(other.obtain())
    await settle()
    await kept.lifecycle.aclose()
    assert now() <= 4
    assert (place.written, await text_in(shared)) == ([], None)
    assert (await waiting).token.value == await text_in(shared) == "newer"


@pytest.mark.parametrize(("age", "text"), [(0.1, "theirs"), (50.0, "older")])
@virtual_time
async def test_at_close_a_fence_takes_the_place_of_a_lock_that_another_holds(age: float, text: str) -> None:
    """A rotated refresh token is not lost with its process while another one logs in."""
    store = ScriptedStore()
    await passing(100)
    kept = await pending(store)
    await passing(0.3)
    store.entry, store.age = Token("theirs"), age
    store.acquires = [False] * 100
    await kept.lifecycle.aclose()
    assert now() <= 104
    assert store.text == text


@virtual_time
async def test_without_the_lock_a_login_is_saved_later(shared: MemoryStore) -> None:
    """An owner that gave the lock up could replace what its holder saves; it looks and saves once it has the lock."""
    place = Place(shared)
    async with shared.lock("a"):
        kept = sharing(ScriptedLogin(Token("ours")), place, login_timeout=4)
        assert (await kept.obtain()).token.value == "ours"
        await passing(10)
        assert place.written == []
    await passing(5)
    assert (place.written, place.unlocked_writes, kept.lifecycle.busy) == (["ours"], 0, False)


# -- what overtakes -----------------------------------------------------------------------------------------------------

ALL = ("load", "lock", "save", "delete")


async def unseen(place: Any, *script: Any, **options: Any) -> Keeper:
    """Return an owner that logged in while the store was down, so that it has never looked into it."""
    place.faults.update(dict.fromkeys(ALL, DOWN))
    kept = sharing(ScriptedLogin(*script), place, **options)
    await kept.obtain()
    place.faults.clear()
    return kept


OURS = Token("ours", expires_in=100, refresh_token="r2")
EXCHANGED = Token("ours", refresh_token="r2")


@pytest.mark.parametrize(
    ("ours", "stored", "text"),
    [
        (OURS, Token("theirs", expires_in=60, refresh_token="r1"), "ours"),
        (OURS, Token("theirs", expires_in=99.9, refresh_token="r1"), "theirs"),
        (OURS, Token("theirs", expires_in=9000, refresh_token="r1"), "ours"),
        (OURS, Token("theirs", refresh_token="r1"), "ours"),
        (EXCHANGED, Token("theirs", expires_in=60, refresh_token="r1"), "ours"),
        (EXCHANGED, Token("theirs", refresh_token="r1"), "ours"),
        (Token("ours"), Token("theirs", refresh_token="r1"), "theirs"),
    ],
    ids=["lived longer", "newer", "another life", "its life unknown", "our life unknown", "both", "nothing to lose"],
)
@virtual_time
async def test_what_was_never_seen_overtakes_if_it_has_longer_to_live(
    shared: MemoryStore, ours: Token, stored: Token, text: str
) -> None:
    """Where the store knows no ages; if nothing tells, a rotated refresh token is not risked."""
    kept = await unseen(Place(shared), ours)
    await passing(0.2)
    await shared.save("a", stored)
    await passing(5)
    assert (await text_in(shared), kept.lifecycle.busy) == (text, False)


@pytest.mark.parametrize(("age", "text"), [(0.1, "theirs"), (50.0, "ours"), (-50.0, "ours")])
@virtual_time
async def test_the_age_of_what_was_never_seen_tells_if_it_is_newer(age: float, text: str) -> None:
    """An age that a clock made negative tells nothing, nor does the lifetime that was counted by it."""
    store = ScriptedStore()
    await passing(100)
    kept = await unseen(store, OURS)
    await passing(0.3)
    store.entry, store.age = Token("theirs", expires_in=100, refresh_token="r1"), age
    await passing(5)
    assert (store.text, kept.lifecycle.busy) == (text, False)


@virtual_time
async def test_what_was_there_at_the_login_overtakes_nothing() -> None:
    """A token that was seen and not adopted, because it had expired, is older, whatever its age says."""
    store = ScriptedStore()
    store.entry, store.age = Token("theirs", refresh_token="r1").with_remaining(0), 0.0
    store.faults["save"] = DOWN
    kept = sharing(ScriptedLogin(OURS), store)
    await kept.obtain()
    store.faults.clear()
    await passing(5)
    assert (store.text, kept.lifecycle.busy) == ("ours", False)


@virtual_time
async def test_what_comes_after_a_look_is_newer(shared: MemoryStore) -> None:
    """A repetition that found an older entry, and failed to replace it, knows the next one as newer."""
    place = Place(shared)
    kept = await unseen(place, EXCHANGED)
    await shared.save("a", Token("old", refresh_token="r1"))
    place.faults["save"] = DOWN
    await passing(2)
    await shared.save("a", Token("newer", refresh_token="r9"))
    place.faults.clear()
    await passing(5)
    assert (await text_in(shared), kept.lifecycle.busy) == ("newer", False)


@virtual_time
async def test_the_next_login_presents_the_refresh_token_that_could_not_be_saved(shared: MemoryStore) -> None:
    """And not an unseen, older one, which would log everybody out."""
    place = Place(shared)
    await shared.save("a", Token("old", expires_in=1, refresh_token="r1"))
    login = ScriptedLogin(OURS, Token("next", expires_in=100, refresh_token="r3"))
    place.faults.update(dict.fromkeys(ALL, DOWN))
    kept = sharing(login, place)
    first = await kept.obtain()
    place.faults = {"save": DOWN}
    await passing(1.5)
    kept.refuse(first)
    assert (await kept.obtain(first)).token.value == "next"
    previous = login.calls[1]
    assert previous is not None
    assert previous.refresh_token == "r2"
    place.faults.clear()
    await passing(5)
    assert await text_in(shared) == "next"


@virtual_time
async def test_an_outage_of_many_lifetimes_makes_no_own_token_unknown(shared: MemoryStore) -> None:
    """The owner's first token, still in the store, overtakes none of its later ones."""
    place = Place(shared)
    login = ScriptedLogin(*(Token(f"T{n}") for n in range(1, 40)))
    kept = sharing(login, place, max_logins=(100, 60.0))
    issued = await kept.obtain()
    place.faults.update(dict.fromkeys(ALL, DOWN))
    for _ in range(30):
        kept.refuse(issued)
        issued = await kept.obtain(issued)
    place.faults.clear()
    await passing(5)
    assert await text_in(shared) == issued.token.value == "T31"
    assert kept._renewal.saver is not None
    assert len(kept._renewal.saver.retired) <= 31


@virtual_time
async def test_a_save_that_comes_late_is_as_old_as_its_login() -> None:
    """The younger of two logins stays, in whatever order their owners come to save."""
    store = ScriptedStore()
    store.faults.update(dict.fromkeys(ALL, DOWN))
    await sharing(ScriptedLogin(OURS), store).obtain()
    await passing(3.3)
    store.faults.clear()
    await passing(5)
    assert store.entry is not None
    assert 3.3 < age_of(store.entry) < now()


# -- closing while a login is under way ---------------------------------------------------------------------------------


async def sent(login: ScriptedLogin, store: Any, **options: Any) -> tuple[Keeper, asyncio.Future[Any]]:
    """Return an owner whose login has been sent, and a request that waits for it."""
    kept = sharing(login, store, **options)
    waiting = asyncio.ensure_future(kept.obtain())
    await passing(0.1)
    assert login.running
    return kept, waiting


@virtual_time
async def test_closing_lets_a_login_that_was_sent_end_and_saves_its_token(shared: MemoryStore) -> None:
    """Its rotated refresh token is not lost; requests end at once all the same, and no hook is called."""
    hooked: list[Any] = []
    place = Place(shared)
    place.slow = [0.5]
    kept, waiting = await sent(ScriptedLogin(OURS, seconds=2), place, on_token=lambda *told: hooked.append(told))
    closing = asyncio.ensure_future(kept.lifecycle.aclose())
    with pytest.raises(ClosedError):
        await waiting
    assert now() == pytest.approx(0.1)
    await closing
    assert 2 <= now() <= 3
    found = await shared.load("a")
    assert found is not None
    assert found.refresh_token == "r2"
    assert (kept.state.current, kept.lifecycle.busy, hooked, place.unlocked_writes) == (None, False, [], 0)


@virtual_time
async def test_closing_saves_that_token_once_more_if_the_save_fails(shared: MemoryStore) -> None:
    """With the last attempt that closing makes in any case."""
    place = Place(shared)
    place.faults["load"] = DOWN
    kept, waiting = await sent(ScriptedLogin(OURS, seconds=1), place)
    closing = asyncio.ensure_future(kept.lifecycle.aclose())
    place.faults.clear()
    await asyncio.gather(closing, waiting, return_exceptions=True)
    assert await text_in(shared) == "ours"


@virtual_time
async def test_closing_waits_for_no_login_that_never_ends(shared: MemoryStore) -> None:
    """Closing ends within its bound."""
    kept, waiting = await sent(ScriptedLogin(seconds=1e6), Place(shared))
    await kept.lifecycle.aclose()
    assert now() == pytest.approx(0.1 + CLOSE_GRACE)
    assert isinstance(waiting.exception(), ClosedError)
    assert await text_in(shared) is None


@pytest.mark.parametrize("way", ["retries", "waits for the lock", "has no store", "has no use for refresh tokens"])
@virtual_time
async def test_closing_is_prompt_where_no_token_can_be_lost(shared: MemoryStore, way: str) -> None:
    """Nothing has been sent, or nothing would be saved; no further attempt begins."""
    login = ScriptedLogin(LoginUnavailableError("busy", retry_after=5), OURS, seconds=0.05)
    options: dict[str, Any] = {}
    async with contextlib.AsyncExitStack() as stack:
        if way == "waits for the lock":
            await stack.enter_async_context(shared.lock("a"))
        if way.startswith("has no"):
            login = ScriptedLogin(seconds=100)
            options = {"presents_refresh_tokens": False} if "use" in way else {}
        kept = sharing(login, None if way == "has no store" else Place(shared), **options)
        waiting = asyncio.ensure_future(kept.obtain())
        await passing(0.2)
        count = login.count
        await kept.lifecycle.aclose()
    assert now() == pytest.approx(0.2)
    assert isinstance(waiting.exception(), ClosedError)
    await passing(20)
    assert (login.count, await text_in(shared)) == (count, None)


@virtual_time
async def test_closing_discards_a_login_that_was_logged_out(shared: MemoryStore) -> None:
    """The result of a login in flight is discarded, also if closing follows."""
    kept, waiting = await sent(ScriptedLogin(OURS, seconds=1), Place(shared))
    leaving = asyncio.ensure_future(kept.lifecycle.logout())
    await settle()
    await kept.lifecycle.aclose()
    await asyncio.gather(leaving, waiting, return_exceptions=True)
    assert now() <= 0.2
    assert await text_in(shared) is None


@virtual_time
async def test_a_login_that_closes_its_own_owner_is_not_waited_for(shared: MemoryStore) -> None:
    """It would wait for itself."""

    async def closes(_: Token | None) -> Token:
        await kept.lifecycle.aclose()
        return OURS

    kept = sharing(closes, Place(shared))
    with pytest.raises(ClosedError):
        await kept.obtain()
    assert now() <= 1


# -- a save of its own comes late ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1.2, 1.9, 2.5, 6.0])
@pytest.mark.parametrize("stubborn", [False, True], ids=["is cancelled", "ignores cancellation"])
@virtual_time
async def test_an_older_save_does_not_come_after_a_newer_one(
    shared: MemoryStore, seconds: float, *, stubborn: bool
) -> None:
    """Whenever the next login comes, the lock is held until the older save has ended."""
    place = Place(shared, stubborn=stubborn)
    kept = await pending(place, ScriptedLogin())
    place.slow = [seconds]
    await passing(1.1)
    assert place.locked == 1
    current = kept.state.current
    assert current is not None
    kept.refuse(current)
    assert (await kept.obtain(current)).token.value == "T2"
    await passing(60)
    assert await text_in(shared) == "T2"
    assert (place.unlocked_writes, kept.lifecycle.busy) == (0, False)


@pytest.mark.parametrize("seconds", [1.0, 2.5, 6.0])
@pytest.mark.parametrize("stubborn", [False, True], ids=["is cancelled", "ignores cancellation"])
@virtual_time
async def test_a_save_excludes_other_owners_for_as_long_as_it_runs(
    shared: MemoryStore, seconds: float, *, stubborn: bool
) -> None:
    """A repetition holds the lock as a login does; another owner adopts its token, or saves after it."""
    place = Place(shared, stubborn=stubborn)
    kept = await pending(place, ScriptedLogin(Token("older")))
    place.slow = [seconds]
    await passing(0.7)
    assert place.locked
    other = sharing(ScriptedLogin(Token("newer")), shared)
    await other.obtain()
    await passing(60)
    assert other.state.current is not None
    assert await text_in(shared) == other.state.current.token.value
    assert (place.unlocked_writes, kept.lifecycle.busy) == (0, False)


@pytest.mark.parametrize("seconds", [1.0, 6.0])
@virtual_time
async def test_a_save_that_was_given_up_does_not_bring_a_token_back_after_a_logout(
    shared: MemoryStore, seconds: float
) -> None:
    """The deletion is repeated until it comes after it."""
    place = Place(shared, stubborn=True)
    kept = await pending(place)
    place.slow = [seconds]
    await passing(0.7)
    await kept.lifecycle.logout()
    await passing(60)
    assert await text_in(shared) is None
    assert not kept.lifecycle.busy


@virtual_time
async def test_closing_waits_for_a_logout_whose_caller_left() -> None:
    """``aclose()`` ends all background work: nothing of it uses the store afterwards."""

    class SlowFirst(FailingStore):
        async def load(self, account: str) -> Any:
            found = await super().load(account)
            await asyncio.sleep(1.5 if self.calls.count("load") == 1 else 0)
            return found

    store = SlowFirst()
    store.entries["a"] = Token("old")
    kept = sharing(ScriptedLogin(), store)
    leaving = asyncio.ensure_future(kept.lifecycle.logout())
    await settle()
    leaving.cancel()
    await kept.lifecycle.aclose()
    assert (store.entries, now()) == ({}, 1.5)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("call", ["save", "delete"])
def test_what_a_closing_that_was_cut_off_left_the_next_one_saves(call: str) -> None:
    """Closing twice is fine, also if the first time its loop ended in the middle: nothing due is lost."""
    store, token = FailingStore(), Token("T1", expires_in=3600, refresh_token="R1")
    kept = sharing(ScriptedLogin(token), store, clock=time.monotonic)

    async def first() -> None:
        store.faults["save"] = DOWN if call == "save" else None
        await kept.obtain()
        if call == "delete":
            store.faults["delete"] = DOWN
            await kept.lifecycle.logout()
        store.faults[call] = "hang"
        closing = asyncio.ensure_future(kept.lifecycle.aclose())
        await settle()
        assert not closing.done()

    async def second() -> None:
        store.faults.clear()
        await kept.lifecycle.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert [saved.value for saved in store.entries.values()] == (["T1"] if call == "save" else [])
        assert not kept.lifecycle.busy

    run(first())
    assert kept.lifecycle.busy
    run(second())


@virtual_time
async def test_a_closing_that_was_cancelled_is_begun_again() -> None:
    """Also in the same loop, by an application that cancels all tasks."""
    store = FailingStore()
    kept = await pending(store)
    store.faults["save"] = "hang"
    closing = asyncio.ensure_future(kept.lifecycle.aclose())
    await settle()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    store.faults.clear()
    assert (closing.cancelled(), store.entries, kept.lifecycle.busy) == (True, {}, True)
    await kept.lifecycle.aclose()
    assert (await text_in(store), kept.lifecycle.busy) == ("older", False)


@virtual_time
async def test_a_save_that_never_ends_costs_no_request_a_wait(shared: MemoryStore) -> None:
    """It keeps the lock, but neither its own owner nor the owner's closing waits for it."""
    place = Place(shared, stubborn=True)
    place.slow = [500.0]
    kept = sharing(ScriptedLogin(), place)
    grant = await kept.obtain()
    await passing(40)
    began = now()
    kept.refuse(grant)
    assert (await kept.obtain(grant)).token.value == "T2"
    assert now() - began <= 1
    await kept.lifecycle.aclose()
    assert now() - began <= 8
    await passing(600)


@virtual_time
async def test_a_login_whose_save_fails_too_ends_the_repetition_of_the_older(shared: MemoryStore) -> None:
    """One token is repeated, the newest, at the pace of one."""
    place = Place(shared)
    place.faults["save"] = DOWN
    kept = sharing(ScriptedLogin(), place)
    first = await kept.obtain()
    await passing(8)
    kept.refuse(first)
    assert (await kept.obtain(first)).token.value == "T2"
    place.calls.clear()
    await passing(60)
    assert 14 <= place.calls.count("save") <= 20
    place.faults.clear()
    await passing(60)
    assert place.written == ["T2"]
    assert (place.calls.count("save") <= 21, kept.lifecycle.busy) == (True, False)


@pytest.mark.parametrize(("seconds", "login_timeout"), [(1.1, 30.0), (1.9, 30.0), (0.3, 1.0), (1.9, 1.0)])
@pytest.mark.parametrize("fenced", [True, False])
@virtual_time
async def test_a_slow_store_gets_what_must_not_be_lost(seconds: float, login_timeout: float, *, fenced: bool) -> None:
    """No request waits for a repetition, so that each of its calls has its time, whatever the time of a login is."""

    class Slow(Place):
        async def before(self, name: str) -> None:
            await asyncio.sleep(seconds)
            await super().before(name)

    store: Any = ScriptedStore(seconds=seconds) if fenced else Slow(MemoryStore(timer=now))
    kept = sharing(ScriptedLogin(Token("T1", refresh_token="r")), store, login_timeout=login_timeout)
    await kept.obtain()
    await passing(30)
    assert (store.text if fenced else await text_in(store.shared), kept.lifecycle.busy) == ("T1", False)
    await kept.lifecycle.logout()
    await passing(30)
    assert (store.text if fenced else await text_in(store.shared), kept.lifecycle.busy) == (None, False)


@pytest.mark.parametrize(("seconds", "saved"), [(1.1, "T1"), (1.9, None)])
@virtual_time
async def test_closing_waits_for_a_slow_store_within_its_grace(seconds: float, saved: str | None) -> None:
    """A look and a save share the time of a close, which ends in some seconds."""
    store = ScriptedStore()
    kept = await pending(store, ScriptedLogin(Token("T1", refresh_token="r")), login_timeout=1.0)
    store.calls.clear()
    began, store.seconds = now(), seconds
    await kept.lifecycle.aclose()
    assert (now() - began <= 2 * CLOSE_GRACE, store.text) == (True, saved)


# -- a logout that the store did not hear of ----------------------------------------------------------------------------


async def logged_out(place: Any, *, fault: Any = DOWN, **options: Any) -> Keeper:
    """Return an owner whose token is stored, and whose logout did not reach the store, which works again."""
    kept = sharing(ScriptedLogin(), place, **options)
    await kept.obtain()
    place.faults.update(dict.fromkeys(("load", "lock", "delete") if fault == "all" else ("delete",), DOWN))
    await kept.lifecycle.logout()
    assert await text_in(getattr(place, "shared", place)) == "T1"
    place.faults.clear()
    return kept


@pytest.mark.parametrize("fault", ["all", DOWN])
@virtual_time
async def test_a_logout_is_repeated_until_the_store_has_heard_of_it(shared: MemoryStore, fault: Any) -> None:
    """The owner is busy meanwhile, and then a new owner finds nothing."""
    kept = await logged_out(Place(shared), fault=fault)
    assert (kept.lifecycle.busy, kept.lifecycle.holds_open) == (True, True)
    await passing(1)
    assert (await text_in(shared), kept.lifecycle.busy, kept.stats().save_failures) == (None, False, 0)
    other = sharing(ScriptedLogin(Token("another's")), shared)
    assert (await other.obtain()).token.value == "another's"
    assert (await kept.obtain()).token.value == "another's"


@virtual_time
async def test_a_logout_is_repeated_at_the_pace_of_a_save(shared: MemoryStore) -> None:
    """After an outage however long, within five seconds."""
    place = Place(shared)
    kept = sharing(ScriptedLogin(), place)
    await kept.obtain()
    place.faults["delete"] = DOWN
    await kept.lifecycle.logout()
    place.calls.clear()
    await passing(120)
    assert 28 <= place.calls.count("delete") <= 40
    place.faults.clear()
    await passing(5)
    assert (await text_in(shared), kept.lifecycle.busy) == (None, False)


@virtual_time
async def test_closing_tries_a_logout_once_more(shared: MemoryStore) -> None:
    """A process that ends after an outage leaves no token behind."""
    kept = await logged_out(Place(shared))
    await kept.lifecycle.aclose()
    assert await text_in(shared) is None


@virtual_time
async def test_the_next_login_overtakes_a_logout(shared: MemoryStore) -> None:
    """Its token stays, also if its own save fails at first."""
    place = Place(shared)
    kept = await logged_out(place)
    place.faults["save"] = DOWN
    assert (await kept.obtain()).token.value == "T2"
    place.faults.clear()
    place.calls.clear()
    await passing(60)
    assert (await text_in(shared), place.calls.count("delete"), kept.lifecycle.busy) == ("T2", 0, False)


@virtual_time
async def test_another_owners_token_of_after_the_logout_stays(shared: MemoryStore) -> None:
    """A repetition looks first, under the lock."""
    place = Place(shared)
    kept = await logged_out(place)
    await shared.save("a", Token("theirs"))
    await passing(10)
    assert (await text_in(shared), kept.lifecycle.busy) == ("theirs", False)


@pytest.mark.parametrize(("age", "text"), [(0.1, "theirs"), (50.0, None)])
@virtual_time
async def test_another_owners_token_of_before_the_logout_goes(age: float, text: str | None) -> None:
    """What was in the store is forgotten, where the store knows when it was saved."""
    store = ScriptedStore()
    await passing(100)
    kept = sharing(ScriptedLogin(), store)
    await kept.obtain()
    store.faults.update(load=DOWN, delete=DOWN)
    await kept.lifecycle.logout()
    store.faults.clear()
    store.entry, store.age = Token("theirs"), age
    await passing(10)
    assert (store.text, kept.lifecycle.busy) == (text, False)


@pytest.mark.parametrize(
    ("left", "text"), [(99.0, None), (99.95, "theirs"), (None, None)], ids=["older", "newer", "nobody knows"]
)
@virtual_time
async def test_a_logout_that_saw_nothing_forgets_what_another_owner_saved_before(
    shared: MemoryStore, left: float | None, text: str | None
) -> None:
    """Where the store knows no ages, lifetimes tell; if nothing does, nothing is to stay."""
    place = Place(shared)
    kept = sharing(ScriptedLogin(Token("ours", expires_in=100)), place)
    await kept.obtain()
    place.faults.update(dict.fromkeys(ALL, DOWN))
    await kept.lifecycle.logout()
    await passing(0.1)
    await shared.save("a", Token("theirs", expires_in=left, refresh_token="r1"))
    place.faults.clear()
    await passing(5)
    assert (await text_in(shared), kept.lifecycle.busy) == (text, False)


@virtual_time
async def test_a_logout_forgets_what_the_store_holds_then(shared: MemoryStore) -> None:
    """Also a token of another owner that this one has not seen, however late the store hears of it."""
    place = Place(shared)
    kept = sharing(ScriptedLogin(), place)
    await kept.obtain()
    await shared.save("a", Token("theirs"))
    place.faults["delete"] = DOWN
    await kept.lifecycle.logout()
    place.faults.clear()
    assert (await kept.obtain()).token.value == "T2"
    await kept.lifecycle.logout()
    assert await text_in(shared) is None


@virtual_time
async def test_while_another_owner_logs_in_a_logout_is_heard_all_the_same(shared: MemoryStore) -> None:
    """Nobody is served the old token meanwhile, and the new one stays."""
    kept = sharing(ScriptedLogin(), Place(shared))
    await kept.obtain()
    other = sharing(ScriptedLogin(Token("newer"), seconds=10), shared)
    first = await other.obtain()
    other.refuse(first)
    waiting = asyncio.ensure_future(other.obtain(first))
    await passing(1)
    await kept.lifecycle.logout()
    assert await text_in(shared) is None
    assert now() <= 5
    assert (await waiting).token.value == "newer"
    await passing(10)
    assert (await text_in(shared), kept.lifecycle.busy) == ("newer", False)


async def renewing(shared: Any, seconds: float) -> asyncio.Future[Any]:
    """Let another owner log in under the lock for so many *seconds*, to replace the stored token."""
    other = sharing(ScriptedLogin(Token("newer", refresh_token="r"), seconds=seconds), shared)
    first = await other.obtain()
    other.refuse(first)
    waiting = asyncio.ensure_future(other.obtain(first))
    await settle()
    return waiting


@pytest.mark.parametrize("fenced", [True, False])
@virtual_time
async def test_a_logout_deletes_only_what_it_has_looked_at(shared: MemoryStore, *, fenced: bool) -> None:
    """Without the lock, another owner's login may be saved between look and deletion; without a fence too, it waits."""

    class Far(Place):
        async def delete(self, account: str) -> None:
            await asyncio.sleep(0.5)  # the request is on its way
            await super().delete(account)

    place = Far(shared if fenced else Unfenced())
    kept = sharing(ScriptedLogin(), place)
    await kept.obtain()
    waiting = await renewing(place.shared, LOCK_WAIT + 0.25)
    await kept.lifecycle.logout()
    assert (now(), place.written) == (LOCK_WAIT + 0.5, ["T1", "deleted"]) if fenced else (LOCK_WAIT, ["T1"])
    assert (await waiting).token.value == await text_in(place.shared) == "newer"
    await passing(10)
    assert (await text_in(place.shared), kept.lifecycle.busy) == ("newer", False)


@virtual_time
async def test_a_frozen_logout_leaves_another_owners_login() -> None:
    """Its late deletion removes nothing that came since its look, and is not repeated."""

    class Frozen(ScriptedStore):
        async def delete(self, account: str) -> None:
            self.entry, self.newer = Token("theirs"), Token("theirs")
            await super().delete(account)

    store = Frozen()
    kept = sharing(ScriptedLogin(), store)
    await kept.obtain()
    await kept.lifecycle.logout()
    assert (store.text, kept.lifecycle.busy) == ("theirs", False)


@pytest.mark.parametrize("there", ["own", "unseen"])
@virtual_time
async def test_a_deletion_that_did_nothing_is_repeated_unless_another_owner_has_logged_in(there: str) -> None:
    """A late save of its own is deleted too, and so is what no look has found."""
    store = ScriptedStore()
    kept = sharing(ScriptedLogin(), store)
    issued = await kept.obtain()
    store.newer = issued.token if there == "own" else Token("theirs")
    if there == "unseen":
        store.faults["load"] = DOWN
    await kept.lifecycle.logout()
    assert (store.text, kept.lifecycle.busy) == ("T1", True)
    store.newer = None
    store.faults.clear()
    await passing(10)
    assert (store.text, kept.lifecycle.busy) == (None, False)


@contextlib.asynccontextmanager
async def another_login_under_way(shared: MemoryStore, seconds: float) -> AsyncIterator[Keeper]:
    """Hold the account's lock by another owner's login of so many *seconds*."""
    other = sharing(ScriptedLogin(Token("newer"), seconds=seconds), shared, login_timeout=100.0)
    waiting = asyncio.ensure_future(other.obtain())
    await settle()
    yield other
    await waiting


@pytest.mark.parametrize("logouts", [1, 8])
@virtual_time
async def test_the_wait_behind_logouts_is_within_the_login_timeout(shared: MemoryStore, logouts: int) -> None:
    """The lock is waited for within ``login_timeout``, by a request behind any number of logouts too."""
    kept = sharing(ScriptedLogin(), Place(shared), login_timeout=1.0)
    async with another_login_under_way(shared, 50):
        leaving = [asyncio.ensure_future(kept.lifecycle.logout()) for _ in range(logouts)]
        await settle()
        with pytest.raises(LoginUnavailableError, match="within 1 s; another process's login holds the account's lock"):
            await kept.obtain()
        assert now() == 1.0
        assert all(leave.done() for leave in leaving)


@pytest.mark.parametrize("apart", [0.0, 0.1, 1.0])
@virtual_time
async def test_logouts_that_meet_wait_for_the_lock_together(shared: MemoryStore, apart: float) -> None:
    """There is one deletion due, however many logouts asked for it, and closing ends in some seconds."""
    place = Place(shared)
    kept = sharing(ScriptedLogin(), place)
    async with another_login_under_way(shared, 50):
        leaving = []
        for _ in range(3):
            leaving.append(asyncio.ensure_future(kept.lifecycle.logout()))
            await passing(apart)
        await asyncio.wait(leaving)
        assert now() == pytest.approx(LOCK_WAIT)
        assert len(place.written) == 1 + (apart > 0)
        await kept.lifecycle.aclose()
        assert now() == pytest.approx(2 * LOCK_WAIT)
        assert not kept.lifecycle.busy


@virtual_time
async def test_closing_in_the_middle_of_logouts_ends_in_some_seconds(shared: MemoryStore) -> None:
    """Also with logouts under way whose callers left."""
    kept = sharing(ScriptedLogin(), Place(shared))
    async with another_login_under_way(shared, 50):
        leaving = [asyncio.ensure_future(kept.lifecycle.logout()) for _ in range(8)]
        await settle()
        await kept.lifecycle.aclose()
        assert all(leave.done() for leave in leaving)
        assert now() == pytest.approx(2 * LOCK_WAIT)
    assert await text_in(shared) == "newer"


async def logged_out_after_all(store: FailingStore, kept: Keeper) -> None:
    """See to it that a logout which an earlier loop left unfinished ends in the running one, once the store is well."""
    store.faults.clear()
    kept.lifecycle.enter()
    await passing(1)
    assert (store.entries, kept.lifecycle.busy) == ({}, False)
    await kept.lifecycle.aclose()


def test_a_logout_that_was_pending_when_its_loop_ended_goes_on_in_the_next() -> None:
    """What was logged out is forgotten in the store although one `asyncio.run` has ended."""
    store = FailingStore()
    kept = sharing(ScriptedLogin(), store, clock=time.monotonic)

    async def first() -> None:
        await kept.obtain()
        store.faults["delete"] = DOWN
        await kept.lifecycle.logout()

    run(first())
    assert kept.lifecycle.busy
    assert not kept.lifecycle.holds_open
    run(logged_out_after_all(store, kept))


def test_a_logout_that_its_loop_cut_off_goes_on_in_the_next() -> None:
    """Also where the first deletion had not ended."""
    store = FailingStore()
    kept = sharing(ScriptedLogin(), store, clock=time.monotonic)

    async def first() -> None:
        await kept.obtain()
        store.faults["delete"] = "hang"
        leaving = asyncio.ensure_future(kept.lifecycle.logout())
        await settle()
        assert not leaving.done()

    run(first())
    run(logged_out_after_all(store, kept))


@pytest.mark.parametrize("fault", ["hang", StoreError("down")])
@virtual_time
async def test_a_logout_does_not_wait_long_for_a_store_that_is_down(fault: Any) -> None:
    """Its caller goes on after some seconds, and the token is gone here at once."""
    store = ScriptedStore()
    kept = sharing(ScriptedLogin(), store)
    await kept.obtain()
    store.faults.update(dict.fromkeys(("load", "lock", "delete", "unlock"), fault))
    leaving = asyncio.ensure_future(kept.lifecycle.logout())
    await settle(2)
    assert kept.state.current is None
    await leaving
    assert now() <= 6
    store.faults.clear()
    await passing(5)
    assert (store.entry, kept.lifecycle.busy) == (None, False)
