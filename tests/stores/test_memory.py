"""The store in memory: its clock, its bound, and its locks."""

from __future__ import annotations

import asyncio
import gc
import pickle
from typing import Any

import pytest

from exterview_auth import ConfigurationError, MemoryStore, Token
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


def test_memory_is_not_pickled() -> None:
    """A store holds secrets."""
    with pytest.raises(TypeError, match=r"^MemoryStore holds a secret"):
        pickle.dumps(MemoryStore())


def test_memorys_locks_belong_to_their_loop() -> None:
    """Rule 20: a lock that an ended loop held is not in the way of the next loop, and nothing of the old loop is kept."""
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


async def test_memorys_locks_go_with_their_last_holder() -> None:
    """A thousand accounts that were locked once leave no lock behind."""
    store = MemoryStore()
    for number in range(1000):
        async with store.lock(str(number)):
            pass
    gc.collect()
    assert len(store._locks[asyncio.get_running_loop()]) == 0
