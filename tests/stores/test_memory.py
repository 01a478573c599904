"""The store in memory: its clock, its bound, and its locks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import pickle
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

import aiohttp
import pytest

from exterview_auth import AuthSession, ConfigurationError, ExterviewAuth, MemoryStore, Token
from exterview_auth.stores import _memory_lock
from tests.kit.api import KEY, Api, post
from tests.kit.stores import content, loaded


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_memory_counts_on_the_injected_clock() -> None:
    """What is left shrinks with the clock, and at its end the token is gone, and its place with it."""
    clock = Clock()
    store = MemoryStore(timer=clock)
    await store.save("a", Token("value", expires_in=60))
    for clock.now, left in ((1000.0, 60), (1045.0, 15), (1059.5, 0.5)):
        found = await loaded(store, "a")
        assert found.expires_in == left
    clock.now = 1060
    assert await store.load("a") is None
    assert len(store) == 0


async def test_memory_keeps_a_refresh_token_beyond_expiry() -> None:
    """A token with a refresh token stays, with no life left, and one of unknown life too, until nobody has saved them for `keep`."""
    clock = Clock()
    store = MemoryStore(timer=clock, keep=5000)
    await store.save("a", Token("value", expires_in=60, refresh_token="r"))
    await store.save("b", Token("value"))
    clock.now += 4999
    found = await loaded(store, "a")
    assert content(found) == ("value", "r")
    assert found.expires_in == 0
    assert content(await store.load("b")) == ("value", None)
    await store.save("b", Token("value"))
    clock.now += 1
    assert await store.load("a") is None
    assert content(await store.load("b")) == ("value", None)
    clock.now += 4999
    assert len(store) == 0


async def test_memory_is_bounded_and_drops_the_least_recently_used() -> None:
    """Both reading and saving are use."""
    store = MemoryStore(3)
    for account in "abc":
        await store.save(account, Token(account))
    await store.load("a")
    await store.save("b", Token("b2"))
    await store.save("d", Token("d"))
    assert len(store) == 3
    assert [content(await store.load(account)) for account in "abcd"] == [("a", None), ("b2", None), None, ("d", None)]
    assert repr(store) == "MemoryStore(maxsize=3, accounts=3)"


@pytest.mark.parametrize("maxsize", [0, -1, 1.5, None, True, "5"])
def test_memory_needs_a_size(maxsize: Any) -> None:
    """A size that holds nothing, or is no number, is a `ConfigurationError`."""
    with pytest.raises(ConfigurationError, match=r"^maxsize must be the number of accounts"):
        MemoryStore(maxsize)
    assert MemoryStore(1)._entries.maxsize == 1


def test_memory_needs_a_clock() -> None:
    """What cannot be called is refused before a token is saved."""
    with pytest.raises(ConfigurationError, match=r"^timer must be a callable, not int$"):
        MemoryStore(timer=5)  # type: ignore[arg-type]  # what is refused


def test_a_lock_may_be_made_before_its_loop_runs() -> None:
    """As that of every other store."""
    lock = MemoryStore().lock("a")

    async def use() -> None:
        async with lock:
            pass

    asyncio.run(use())


def test_memory_is_not_pickled() -> None:
    """A store holds secrets."""
    with pytest.raises(TypeError, match=r"^MemoryStore holds a secret"):
        pickle.dumps(MemoryStore())


@pytest.mark.parametrize("late", [Token("late"), None], ids=["save", "deletion"])
def test_an_owner_whose_loop_was_paused_changes_nothing_newer(
    late: Token | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that lost the lock while nobody ran it has been overtaken: its save is given the newer token, its deletion stays away."""
    monkeypatch.setattr(_memory_lock, "LOOK_INTERVAL", 0.001)
    store = MemoryStore()
    paused, other = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def begin() -> Any:
        await store.save("a", Token("old"))
        lock = store.lock("a")
        await lock.__aenter__()
        await store.load("a")
        return lock

    async def overtake() -> None:
        async with store.lock("a"):
            await store.save("a", Token("newer", refresh_token="r"))

    async def go_on(lock: Any) -> Any:
        left = await (store.delete("a") if late is None else store.save("a", late))
        await lock.__aexit__(None, None, None)
        return left

    context = copy_context()
    lock = paused.run_until_complete(paused.create_task(begin(), context=context))
    other.run_until_complete(overtake())
    left = paused.run_until_complete(paused.create_task(go_on(lock), context=context))
    assert content(left) == (None if late is None else ("newer", "r"))
    assert content(other.run_until_complete(store.load("a"))) == ("newer", "r")
    paused.close()
    other.close()


async def test_a_deletion_in_memory_removes_only_what_was_looked_at() -> None:
    """What is saved between a look without the lock and the deletion stays."""
    store = MemoryStore()
    await store.save("a", Token("old"))
    context = copy_context()
    run = partial(asyncio.get_running_loop().create_task, context=context)
    async with store.lock("a"):
        waiting = run(store.lock("a").__aenter__())
        await asyncio.sleep(0)
        assert content(await run(store.load("a"))) == ("old", None)
        await store.save("a", Token("newer"))
        await run(store.delete("a"))
        assert content(await store.load("a")) == ("newer", None)
        await run(store.load("a"))
        await run(store.delete("a"))
        assert await store.load("a") is None
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


def test_a_lock_that_an_ended_loop_held_is_not_in_the_way() -> None:
    """The next loop takes the lock, and nothing of the old loop is kept."""
    store = MemoryStore()

    async def hold_and_wait() -> None:
        async def hold() -> None:
            async with store.lock("a"):
                await asyncio.Event().wait()

        tasks = [asyncio.ensure_future(hold()) for _ in range(2)]
        await asyncio.sleep(0)
        assert len(store._locks) == 1
        assert not any(task.done() for task in tasks)

    for _ in range(3):
        asyncio.run(asyncio.wait_for(hold_and_wait(), 20))
        gc.collect()
        assert len(store._locks) == 0


def test_a_lock_is_taken_from_a_loop_that_never_released_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that was left with the lock in hand keeps it for a while; when it goes on later, it takes nothing from anybody."""
    monkeypatch.setattr(_memory_lock, "LOOK_INTERVAL", 0.1)
    store = MemoryStore()
    left = asyncio.new_event_loop()
    end = asyncio.Event()

    async def hold() -> None:
        async with store.lock("a"):
            await end.wait()

    async def waits() -> None:
        task = asyncio.ensure_future(hold())
        await asyncio.sleep(0)
        assert not task.done()
        leaving.append(task)

    async def take() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25), store.lock("a"):
                pass
        async with asyncio.timeout(20), store.lock("a"):
            left.call_soon(end.set)
            await asyncio.to_thread(left.run_until_complete, leaving[0])  # its late release
            second = asyncio.ensure_future(store.lock("a").__aenter__())
            assert await asyncio.wait([second], timeout=0.05) == (set(), {second}), "the lock was released for another"
            second.cancel()

    leaving: list[asyncio.Task[None]] = []
    left.run_until_complete(waits())
    asyncio.run(take())
    left.close()


@pytest.mark.parametrize("saves", ["under the lock", "after it", ""])
def test_a_save_after_a_pause_replaces_nothing_newer(monkeypatch: pytest.MonkeyPatch, saves: str) -> None:
    """A loop whose lock was taken meanwhile gets the token that another owner saved, which stays; if there is one."""
    monkeypatch.setattr(_memory_lock, "LOOK_INTERVAL", 0.01)
    store, later = MemoryStore(), Token("token-2", refresh_token="refresh-2")
    left = asyncio.new_event_loop()

    async def hold() -> Token | None:
        async with store.lock("a"):
            await store.save("a", Token("token-0"))
            await end.wait()
            return await store.save("a", Token("token-1", refresh_token="refresh-1"))

    async def begin() -> asyncio.Task[Token | None]:
        task = asyncio.ensure_future(hold())
        await asyncio.sleep(0)
        return task

    async def take() -> None:
        async with asyncio.timeout(20), store.lock("a"):
            if saves == "under the lock":
                assert await store.save("a", later) is None
        if saves == "after it":
            assert await store.save("a", later) is None

    end = asyncio.Event()
    task = left.run_until_complete(begin())
    asyncio.run(take())
    left.call_soon(end.set)
    told = left.run_until_complete(task)
    left.close()
    kept = asyncio.run(store.load("a"))
    assert kept is not None
    assert (None if told is None else told.value, kept.value) == (("token-2",) * 2 if saves else (None, "token-1"))


async def test_a_task_that_outlives_the_lock_saves_as_anybody() -> None:
    """It is not inside it any more."""
    store, end = MemoryStore(), asyncio.Event()

    async def late() -> Token | None:
        await end.wait()
        return await store.save("a", Token("token-2"))

    async with store.lock("a"):
        task = asyncio.ensure_future(late())
        await asyncio.sleep(0)
    async with store.lock("a"):
        await store.save("a", Token("token-1"))
        end.set()
        assert await task is None


def test_a_lock_excludes_tasks_of_all_threads_and_cancels_cleanly() -> None:
    """Eight threads with a loop each: one task at a time is inside, whoever is cancelled while it waits, and all come to an end."""
    store = MemoryStore()
    inside, peaks, entered = [0], [0], [0]

    async def use(number: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.001 * (number % 5) if number % 3 else 60), store.lock("a"):
                inside[0] += 1
                peaks[0] = max(peaks[0], inside[0])
                entered[0] += 1
                try:
                    await asyncio.sleep(0.0005)
                finally:
                    inside[0] -= 1

    async def many() -> None:
        await asyncio.gather(*(use(number) for number in range(30)))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert peaks == [1]
    assert entered[0] >= 80
    gc.collect()
    assert len(store._locks) == 0


def test_owners_of_several_threads_log_in_once() -> None:
    """One store, one account, a loop in each of eight threads: one login, and all get its token."""
    store, logins, found = MemoryStore(), [0], []
    together = threading.Barrier(8)

    async def login(_: object) -> Token:
        logins[0] += 1
        await asyncio.sleep(0.05)
        return Token(f"token-{logins[0]}")

    async def ask() -> None:
        async with ExterviewAuth(login, api_key="k", store=store, account="a") as auth:
            together.wait(60)
            found.append(str((await auth.token()).value))

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (logins, found) == ([1], ["token-1"] * 8)


async def test_four_threads_of_requests_share_one_login_per_revocation() -> None:
    """Owners on four loops send a storm each, over real sockets, and one of them logs in for all."""
    async with Api() as api:
        store, logins, together = MemoryStore(), [], threading.Barrier(4)

        async def login(_: object) -> Token:
            logins.append(threading.get_ident())
            await asyncio.sleep(0.02)
            return Token(api.issue(), expires_in=3600)

        async def storm() -> set[int]:
            owner = ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, store=store, account="a")
            async with aiohttp.ClientSession() as http, owner as auth:
                client, statuses = AuthSession(http, auth), set()
                for _ in range(3):
                    together.wait(60)
                    statuses |= {status for status, _ in await asyncio.gather(*(post(client, "") for _ in range(25)))}
                    if together.wait(60) == 0:
                        api.revoke()
                return statuses

        with ThreadPoolExecutor(4) as threads:
            loop = asyncio.get_running_loop()
            found = await asyncio.gather(*(loop.run_in_executor(threads, asyncio.run, storm()) for _ in range(4)))
        assert found == [{200}] * 4
        assert len(logins) == 3


def test_four_threads_leave_the_cache_sound() -> None:
    """Entries that are saved, dropped and over meanwhile are counted once, also where threads change places in the middle."""
    before = sys.getswitchinterval()
    store, ended = MemoryStore(maxsize=16), []

    async def use(number: int) -> None:
        for turn in range(3000):
            account = str((turn * 7 + number) % 40)
            await store.save(account, Token("value", expires_in=0.0005 * (turn % 5)))
            await store.load(account)
            if turn % 11 == 0:
                await store.delete(account)
        ended.append(number)

    threads = [threading.Thread(target=lambda each=number: asyncio.run(use(each))) for number in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        sys.setswitchinterval(before)
    assert sorted(ended) == [0, 1, 2, 3]
    for account in range(40):
        asyncio.run(store.save(str(account), Token("value")))
    assert len(store) == 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
async def test_a_forked_child_has_locks_of_its_own() -> None:
    """What a task of the parent holds, the child does not wait for."""
    store = MemoryStore()
    async with store.lock("a"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, of threads that the child lacks
            child = os.fork()
        if child == 0:
            with store._guarded():
                os._exit(len(store._locks))
        assert await asyncio.to_thread(os.waitpid, child, 0) == (child, 0)


async def test_memorys_locks_go_with_their_last_holder() -> None:
    """A thousand accounts that were locked once leave no lock behind."""
    store = MemoryStore()
    for number in range(1000):
        async with store.lock(str(number)):
            pass
    gc.collect()
    assert len(store._locks) == 0
