"""What every store does, one suite for all; then what shared stores do."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from cryptography.fernet import Fernet

from exterview_auth import ConfigurationError, FileStore, MemoryStore, RedisStore, StoreError, Token, TokenStore
from tests.kit.api import until
from tests.kit.redis_clients import LEASE, RARE_POLLS, cease, outlast_lease
from tests.kit.showing import assert_shows_none
from tests.kit.stores import content, eventually, loaded
from tests.kit.tokens import jwt_of

KEY = Fernet.generate_key()


Factory = Callable[..., AbstractAsyncContextManager[Any]]
SHARED = ["file", "file-encrypted", "redis", "redis-encrypted"]

ACCOUNTS = [
    *("https://h.example|user@example.com", "a/b", "../a", "a", "A", "", " "),
    *("ü\u2028", "a\0b", "x" * 500, "*", "a:b{c}"),
]


@contextlib.asynccontextmanager
async def memory(**options: Any) -> AsyncIterator[MemoryStore]:
    """A `MemoryStore`."""
    yield MemoryStore(**options)


def factory(request: pytest.FixtureRequest, directory: Path) -> Factory:
    """How to make stores of a kind in one place: a directory, or the Redis of all tests."""
    kind, _, encrypted = request.param.partition("-")
    if kind == "memory":
        return memory
    options: dict[str, Any] = {"encryption_key": KEY} if encrypted else {}
    if kind == "file":
        return functools.partial(FileStore, directory, **options)
    return functools.partial(RedisStore, request.getfixturevalue("redis_url"), **options)


@pytest.fixture(params=["memory", *SHARED])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Factory:
    """How to make each store in turn."""
    return factory(request, tmp_path)


@pytest.fixture(params=SHARED)
def shared_store(request: pytest.FixtureRequest, tmp_path: Path) -> Factory:
    """How to make each that processes share."""
    return factory(request, tmp_path)


@pytest_asyncio.fixture
async def store(any_store: Factory) -> AsyncIterator[TokenStore]:
    """Each store in turn."""
    async with any_store() as made:
        yield made


class Two(NamedTuple):
    """Two stores in the same place, as two processes have them."""

    one: Any
    other: Any


@pytest_asyncio.fixture
async def two(shared_store: Factory) -> AsyncIterator[Two]:
    """Each shared store in turn, twice, with a short lease."""
    async with shared_store(lease=LEASE) as one, shared_store(lease=LEASE) as other:
        yield Two(one, other)


async def test_a_saved_token_is_loaded(store: TokenStore) -> None:
    """Value and refresh token come back as they were, the life as what is left of it, counted from the saving."""
    assert isinstance(store, TokenStore)
    assert await store.load("a") is None
    await store.save("a", Token("value", expires_in=3600, refresh_token='r é"\n'))
    found = await loaded(store, "a")
    assert content(found) == ("value", 'r é"\n')
    assert found.expires_in is not None
    assert 3590 < found.expires_in <= 3600
    assert not found.counts_from_receipt


@pytest.mark.parametrize("account", [None, 5, b"a", ["a"], {"a": 1}, str], ids=lambda value: type(value).__name__)
async def test_an_account_is_a_text(store: TokenStore, account: Any) -> None:
    """Each method refuses what cannot be one in the same way, whatever the store, and before anything is read."""
    calls: list[Callable[[], Any]] = [
        lambda: store.load(account),
        lambda: store.save(account, Token("value")),
        lambda: store.delete(account),
        lambda: contextlib.AsyncExitStack().enter_async_context(store.lock(account)),
    ]
    for call in calls:
        with pytest.raises(
            ConfigurationError, match=f"^a store knows an account by text, not by {type(account).__name__}$"
        ):
            await call()


@pytest.mark.parametrize("token", [None, "s3cret", b"s3cret", {"access_token": "s3cret"}, Token])
async def test_only_a_token_is_saved(store: TokenStore, token: Any) -> None:
    """Anything else is refused unseen, and what was there stays."""
    await store.save("a", Token("value"))
    with pytest.raises(ConfigurationError, match=f"^save takes a Token, not {type(token).__name__}$") as caught:
        await store.save("a", token)
    assert_shows_none(caught.value, "s3cret")
    assert content(await loaded(store, "a")) == ("value", None)


async def test_what_is_left_outranks_what_a_jwt_says(store: TokenStore) -> None:
    """A JWT saved with a minute left is not given a new hour by being read again."""
    token = Token(jwt_of(exp=time.time() + 3600))
    await store.save("a", token.with_remaining(60))
    found = await loaded(store, "a")
    assert found.expires_in is not None
    assert 50 < found.expires_in <= 60


async def test_the_longest_token_and_life_are_kept(store: TokenStore) -> None:
    """64 Ki characters and ten years are within every store's means."""
    token = Token("x" * 65_536, expires_in=1e18, refresh_token="y" * 65_536)
    await store.save("a", token)
    found = await loaded(store, "a")
    assert content(found) == content(token)
    assert found.expires_in == pytest.approx(token.expires_in, rel=1e-6)


async def test_a_save_replaces_what_was_there(store: TokenStore) -> None:
    """Nothing of the token before shows through, neither its refresh token nor its life: an unknown life stays unknown."""
    await store.save("a", Token("old", expires_in=3600, refresh_token="r"))
    await store.save("a", Token("new"))
    found = await loaded(store, "a")
    assert content(found) == ("new", None)
    assert (found.expires_in, found.expires_at) == (None, None)


async def test_a_token_that_is_over_is_not_handed_out_as_good(store: TokenStore) -> None:
    """A save of a token with no life left replaces what was there, and gives nothing, or what has no life left."""
    await store.save("a", Token("old", expires_in=3600))
    await store.save("a", Token("over").with_remaining(0))
    found = await store.load("a")
    assert found is None or (found.value == "over" and found.expires_in == 0)


async def test_a_refresh_token_outlives_its_token(store: TokenStore) -> None:
    """A refresh token must not be lost with the life of the token that it came with."""
    await store.save("a", Token("over", refresh_token="r").with_remaining(0))
    found = await loaded(store, "a")
    assert content(found) == ("over", "r")
    assert found.expires_in == 0


async def test_an_entry_that_nobody_saves_again_is_forgotten(any_store: Factory) -> None:
    """A refresh token, and a token without an end, are kept for `keep` seconds after the last save."""
    async with any_store(keep=60) as store:
        await store.save("a", Token("one", expires_in=3600, refresh_token="r"))
        await store.save("b", Token("two"))
        assert content(await store.load("a")) == ("one", "r")
        assert content(await store.load("b")) == ("two", None)
    async with any_store(keep=0.3) as store:
        await store.save("a", Token("one", expires_in=3600, refresh_token="r"))
        await store.save("b", Token("two"))

        async def are_forgotten() -> bool:
            return (await store.load("a"), await store.load("b")) == (None, None)

        await eventually(are_forgotten)


async def test_a_deleted_token_is_gone(store: TokenStore) -> None:
    """Deleting forgets the account's token alone, and is fine where there is none."""
    await store.save("a", Token("one", refresh_token="r"))
    await store.save("b", Token("two"))
    await store.delete("a")
    await store.delete("a")
    assert await store.load("a") is None
    assert content(await store.load("b")) == ("two", None)
    await store.save("a", Token("three"))
    assert content(await store.load("a")) == ("three", None)


async def test_no_two_accounts_share_a_token(store: TokenStore) -> None:
    """Accounts are told apart whatever characters their names have, by case too."""
    for number, account in enumerate(ACCOUNTS):
        await store.save(account, Token(f"token-{number}"))
    for number, account in enumerate(ACCOUNTS):
        assert content(await store.load(account)) == (f"token-{number}", None)


async def test_a_store_shows_no_token(store: TokenStore) -> None:
    """The repr of a store holds no token."""
    await store.save("a", Token("s3cret-one", refresh_token="s3cret-two"))
    assert type(store).__name__ in repr(store)
    assert "s3cret" not in repr(store)


async def test_a_lock_excludes(store: TokenStore) -> None:
    """At most one holds an account's lock, and each who wants it gets it."""
    holders, peak, served = 0, 0, 0

    async def hold() -> None:
        nonlocal holders, peak, served
        async with store.lock("a"):
            holders += 1
            peak = max(peak, holders)
            await asyncio.sleep(0.001)
            holders -= 1
            served += 1

    await asyncio.wait_for(asyncio.gather(*(hold() for _ in range(5))), 20)
    assert (peak, served) == (1, 5)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_lock_object_is_entered_once(store: TokenStore, *, at_once: bool) -> None:
    """It would let two tasks in, or none: the second use is refused and says what to do, and the first goes on."""
    lock = store.lock("a")
    again = pytest.raises(StoreError, match=r"entered before; call the store's lock\(\) for each async with")
    async with lock:
        if at_once:
            with again:
                await lock.__aenter__()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1), store.lock("a"):
                    pass
    if not at_once:
        with again:
            await lock.__aenter__()
    async with asyncio.timeout(20), store.lock("a"):
        pass


async def test_locks_of_different_accounts_are_apart(store: TokenStore) -> None:
    """One account's login holds up no other's, and a held lock does not hold up reading and saving."""
    async with store.lock("a"), asyncio.timeout(20), store.lock("b"):
        await store.save("a", Token("value"))
        assert content(await store.load("a")) == ("value", None)
        await store.delete("a")


async def test_an_error_under_a_lock_frees_it(store: TokenStore) -> None:
    """What is raised under the lock goes through, and the next holder gets it."""
    with pytest.raises(ZeroDivisionError):
        async with store.lock("a"):
            raise ZeroDivisionError
    async with asyncio.timeout(20), store.lock("a"):
        pass


@pytest.mark.parametrize("released_first", [False, True])
async def test_a_crowd_that_is_cancelled_leaves_the_lock_free(store: TokenStore, *, released_first: bool) -> None:
    """A hundred waiters are cancelled at once, also in the middle of a release: the lock excludes, and is free then."""
    inside = 0

    async def hold() -> None:
        nonlocal inside
        async with store.lock("a"):
            inside += 1
            assert inside == 1
            try:
                await asyncio.sleep(0.001)
            finally:
                inside -= 1

    async with store.lock("a"):
        inside += 1
        crowd = [asyncio.create_task(hold()) for _ in range(100)]
        await asyncio.sleep(0.2)
        if not released_first:
            await cancelled(crowd)
            crowd = [asyncio.create_task(hold())]
            await asyncio.sleep(0.01)
        inside -= 1
    await cancelled(crowd)
    await asyncio.wait_for(hold(), 20)


async def cancelled(crowd: list[asyncio.Task[None]]) -> None:
    """Cancel all of *crowd*; none of them has failed."""
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)
    assert not [task.exception() for task in crowd if not task.cancelled() and task.exception()]


async def served(two: Two, known: str, woken: list[bool]) -> str:
    """What a waiter at the other store gets: another token than *known*, or the lock; *woken* has an item for each time."""
    async with two.other._account_lock("a") as lock:
        while not await lock.try_acquire():
            woken.append(await lock.wait_for_change())
            found = await two.other.load("a")
            if found is not None and found.value != known:
                return str(found.value)
    return "the lock"


async def test_without_a_lock_the_last_one_to_save_wins(two: Two) -> None:
    """The protocol: a save replaces what was there, whoever had saved it."""
    for store, value in ((two.one, "1"), (two.other, "2"), (two.one, "3")):
        assert await store.save("a", Token(value)) is None
        assert content(await two.other.load("a")) == (value, None)


async def test_a_lock_excludes_the_other_process(two: Two) -> None:
    """At most one holds it; it is kept for longer than its lease, and free at its end."""
    async with two.one._account_lock("a") as held, two.other._account_lock("a") as lock:
        assert await held.try_acquire()
        assert not await lock.try_acquire()
        await outlast_lease(held)
        async with two.other._account_lock("a") as later:
            assert not await later.try_acquire()
    async with asyncio.timeout(20), two.other.lock("a"), two.one._account_lock("a") as lock:
        assert not await lock.try_acquire()


async def test_many_short_holders_in_a_row_are_not_one_frozen_holder(two: Two) -> None:
    """However long one waits behind others that come and go, the lock excludes."""
    holders = overlaps = served = 0

    async def hold(store: Any) -> None:
        nonlocal holders, overlaps, served
        for _ in range(6):
            async with store.lock("a"):
                holders += 1
                overlaps += holders > 1
                await asyncio.sleep(LEASE / 40)
                holders -= 1
                served += 1

    await asyncio.wait_for(asyncio.gather(*(hold(store) for store in two for _ in range(8))), 40)
    assert (overlaps, served) == (0, 96)  # two leases and a half


@pytest.mark.parametrize("saves", [True, False], ids=["save", "release"])
async def test_a_waiter_is_woken(two: Two, monkeypatch: pytest.MonkeyPatch, *, saves: bool) -> None:
    """It learns of a new token while the lock is still held, and of the release after a failed login, not at its next poll."""
    monkeypatch.setattr("exterview_auth.stores._shared.POLL_INTERVAL", RARE_POLLS)
    await two.one.save("a", Token("old"))
    woken: list[bool] = []
    async with two.one.lock("a"):
        waiting = asyncio.ensure_future(served(two, "old", woken))
        await until(lambda: bool(woken))
        await asyncio.sleep(0.1)
        if saves:
            await two.one.save("a", Token("new"))
            assert await asyncio.wait_for(waiting, 10) == "new"
    assert await asyncio.wait_for(waiting, 10) == ("new" if saves else "the lock")


async def test_a_save_between_the_attempt_and_the_subscription_is_seen(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiter that did not get the lock reads once more before it waits: no change falls between."""
    monkeypatch.setattr("exterview_auth.stores._shared.POLL_INTERVAL", RARE_POLLS)
    monkeypatch.setattr("exterview_auth.stores._file.backend.POLL_DELAYS", (RARE_POLLS,))
    async with two.one.lock("a"), two.other._account_lock("a") as lock:
        assert not await lock.try_acquire()
        async with asyncio.timeout(20):
            assert await lock.wait_for_change()


async def test_many_wait_at_one_store_and_all_are_woken(two: Two) -> None:
    """Owners of one process wait side by side; those of other accounts are not disturbed for ever."""
    async with two.one.lock("a"), two.one.lock("b"):
        calls: list[list[bool]] = [[] for _ in range(20)]
        waiting = [asyncio.ensure_future(served(two, "", woken)) for woken in calls]
        await until(lambda: all(calls))
        await two.one.save("a", Token("new"))
        assert set(await asyncio.wait_for(asyncio.gather(*waiting), 10)) == {"new"}


@pytest.mark.parametrize("looked", [False, True])
async def test_a_paused_holder_does_not_overwrite_a_newer_token(two: Two, *, looked: bool) -> None:
    """After its lease another has the lock; its late save changes nothing, and it is given the newer token."""
    await two.one.save("a", Token("old"))
    async with two.one._account_lock("a") as paused:
        assert await paused.try_acquire()
        if looked:
            assert content((await paused.read()).token) == ("old", None)
        await cease(paused)
        async with asyncio.timeout(20), two.other.lock("a"):
            await two.other.load("a")
            assert await two.other.save("a", Token("newer", expires_in=60, refresh_token="r")) is None
        # What somebody else in the paused process sees of it meanwhile is not the holder's look.
        await two.one.load("a")
        kept = await paused.write(Token("late"))
        assert content(kept) == ("newer", "r")
        assert 50 < kept.expires_in <= 60
        assert content(await two.one.load("a")) == ("newer", "r")


@pytest.mark.parametrize("held", [True, False], ids=["the lock was lost", "the lock was never had"])
async def test_a_deletion_removes_only_what_was_looked_at(two: Two, *, held: bool) -> None:
    """What another owner saved since the look stays; an application's own deletion, under no lock, deletes whatever is there."""
    await two.one.save("a", Token("old"))
    lock = two.one.lock("a")
    context = copy_context()
    context.run(lock.open_scope)
    delete = partial(asyncio.get_running_loop().create_task, context=context)
    async with lock.attempt as paused:
        if held:
            assert await paused.try_acquire()
            await cease(paused)
        assert content(await delete(two.one.load("a"))) == ("old", None)
        async with asyncio.timeout(20), two.other.lock("a"):
            await two.other.save("a", Token("newer", refresh_token="r"))
        await delete(two.one.delete("a"))
        assert content(paused.refused.token) == ("newer", "r")
        assert content(await two.one.load("a")) == ("newer", "r")
        await delete(two.one.load("a"))
        await delete(two.one.delete("a"))
        assert (paused.refused, await two.other.load("a")) == (None, None)
    await two.one.save("a", Token("any"))
    await two.other.delete("a")
    assert await two.one.load("a") is None


async def test_a_look_before_the_lock_was_acquired_binds_what_follows(two: Two) -> None:
    """What another owner saved between the look and the lock stays; a look under the lock, or a write, ends that."""
    await two.one.save("a", Token("old"))
    async with two.one._account_lock("a") as late:
        assert content((await late.read()).token) == ("old", None)
        await two.other.save("a", Token("newer"))
        assert await late.try_acquire()
        for change in (None, Token("late")):
            assert content(await late.write(change)) == ("newer", None)
        await late.read()
        await two.other.save("a", Token("newest"))
        assert await late.write(Token("holders")) is None
    async with two.one._account_lock("a") as late:
        await late.read()
        assert await late.try_acquire()
        for change in (Token("first"), Token("second"), None):
            assert await late.write(change) is None
    assert await two.one.load("a") is None


async def test_a_save_under_the_protocols_lock_is_fenced_too(two: Two) -> None:
    """The four methods alone give the same: load and save inside ``async with store.lock(...)``, and not beside it."""
    async with two.one.lock("a"):
        await two.one.load("a")
        await cease(two.one._lock_around("a"))
        async with asyncio.timeout(20), two.other.lock("a"):
            assert await two.other.save("a", Token("newer")) is None
        assert content(await two.one.save("a", Token("late"))) == ("newer", None)
    assert await two.one.save("a", Token("later")) is None
    assert content(await two.other.load("a")) == ("later", None)


async def test_a_task_that_outlives_the_lock_is_not_under_it(two: Two) -> None:
    """What it saves later replaces what is there, as any save without a lock."""
    go_on = asyncio.Event()

    async def later() -> Any:
        await go_on.wait()
        return await two.one.save("a", Token("later"))

    async with two.one.lock("a"):
        await two.one.load("a")
        task = asyncio.ensure_future(later())
        await asyncio.sleep(0)
    await two.other.save("a", Token("meanwhile"))
    go_on.set()
    assert await task is None
    assert content(await two.other.load("a")) == ("later", None)


async def test_a_store_is_closed_under_a_lock_and_used_again(two: Two) -> None:
    """The release opens a connection that the next closing ends."""
    async with two.one.lock("a"):
        await two.one.aclose()
    await two.one.save("a", Token("x"))
    await two.one.aclose()
    async with asyncio.timeout(20), two.other.lock("a"):
        assert content(await two.other.load("a")) == ("x", None)


async def test_a_paused_holder_does_not_free_the_lock_of_the_next(two: Two) -> None:
    """What is no longer its own it does not give back."""
    async with two.one._account_lock("a") as paused:
        assert await paused.try_acquire()
        await cease(paused)
        async with two.other._account_lock("a") as next_one:
            await until_taken(next_one)
            await paused.__aexit__(None, None, None)
            async with two.one._account_lock("a") as late:
                assert not await late.try_acquire()


async def test_a_paused_holder_saves_if_nobody_else_has(two: Two) -> None:
    """A rotated refresh token is not lost because its process was paused: only another owner's token stays; the new holder replaces it."""
    await two.one.save("a", Token("old"))
    async with two.one._account_lock("a") as paused:
        assert await paused.try_acquire()
        await paused.read()
        await cease(paused)
        async with two.other._account_lock("a") as next_one:
            await until_taken(next_one)
            await two.other.load("a")
            for late in (Token("first"), Token("late", refresh_token="rotated")):
                assert await paused.write(late) is None
                assert content(await two.other.load("a")) == content(late)
            assert await two.other.save("a", Token("newest")) is None
        assert content(await paused.write(Token("later"))) == ("newest", None)
    assert content(await two.one.load("a")) == ("newest", None)


async def test_a_missing_entry_is_not_a_newer_one(two: Two) -> None:
    """A store that was emptied under the lock accepts the holder's token."""
    await two.one.save("a", Token("old"))
    async with two.one.lock("a"):
        await two.one.load("a")
        await two.other.delete("a")
        assert await two.one.save("a", Token("new")) is None
    assert content(await two.other.load("a")) == ("new", None)


async def until_taken(lock: Any) -> None:
    """Wait for the lock."""
    async with asyncio.timeout(20):
        while not await lock.try_acquire():
            await lock.wait_for_change()


@pytest.mark.parametrize("lease", [0, -1, "5", None, True, math.nan, math.inf, 1e9])
def test_a_lease_is_a_number_of_seconds(tmp_path: Path, lease: Any) -> None:
    """What no lease can be is a `ConfigurationError`, of either store."""
    for make in (lambda: FileStore(tmp_path, lease=lease), lambda: RedisStore("redis://127.0.0.1:1/0", lease=lease)):
        with pytest.raises(ConfigurationError, match=r"^lease must be a number of seconds from 0\.1 to 3600"):
            make()


@pytest.mark.parametrize("keep", [0, -1, "5", None, True, math.nan, math.inf, 1e12])
def test_keep_is_a_number_of_seconds(tmp_path: Path, keep: Any) -> None:
    """What no time can be is a `ConfigurationError`, of every store."""
    makes: list[Callable[[], object]] = [
        lambda: MemoryStore(keep=keep),
        lambda: FileStore(tmp_path, keep=keep),
        lambda: RedisStore("redis://127.0.0.1:1/0", keep=keep),
    ]
    for make in makes:
        with pytest.raises(ConfigurationError, match=r"^keep must be a positive number of seconds"):
            make()


def test_a_file_store_shows_its_directory(tmp_path: Path) -> None:
    """And whether it encrypts."""
    place = tmp_path / "tokens"
    assert repr(FileStore(place)) == f"FileStore({str(place)!r})"
    assert repr(FileStore(place, encryption_key=KEY)) == f"FileStore({str(place)!r}, encrypted)"


async def test_a_paused_holder_of_the_protocols_lock_saves_if_nobody_else_has(two: Two) -> None:
    """A pause that nobody has used costs nothing: what was loaded under the lock is still what is there."""
    await two.one.save("a", Token("old"))
    async with two.one.lock("a"):
        assert content(await two.one.load("a")) == ("old", None)
        await cease(two.one._lock_around("a"))
        async with two.other._account_lock("a") as next_one:
            await until_taken(next_one)
            assert await two.one.save("a", Token("new")) is None
            assert content(await two.other.load("a")) == ("new", None)


async def test_under_two_locks_both_are_held(two: Two) -> None:
    """What is saved under an outer lock is fenced inside an inner one too, and after it."""
    async with two.one.lock("a"):
        outer = two.one._lock_around("a")
        async with two.one.lock("b"):
            assert two.one._lock_around("a") is outer is not None
            assert two.one._lock_around("b") is not None
        assert (two.one._lock_around("a"), two.one._lock_around("b")) == (outer, None)
    assert two.one._lock_around("a") is None


HANGING = """
import asyncio, os, sys, threading
from exterview_auth import FileStore, Token

async def main():
    store = FileStore(sys.argv[1])
    hangs = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fsync(_handle):
        loop.call_soon_threadsafe(hangs.set)
        threading.Event().wait()

    os.fsync = fsync
    saving = asyncio.ensure_future(store.save("a", Token("T")))
    await hangs.wait()
    saving.cancel()
    await store.aclose()

asyncio.run(main())
"""


def test_a_file_system_that_hangs_does_not_hold_up_the_end_of_the_process(tmp_path: Path) -> None:
    """Nothing hangs, ever: a call that was given up is not waited for at exit."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGING, tmp_path / "tokens"], check=True, timeout=30, capture_output=True
    )
    assert ended.stderr == b""
