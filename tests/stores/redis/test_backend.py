"""The account's lock on Redis: its lease."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from exterview_auth import RedisStore, Token
from tests.kit.stores import content


async def test_a_lock_ends_with_its_lease(redis_url: str) -> None:
    """Whoever dies under the lock holds it for a lease; whoever lives begins it anew, while it is its own."""
    async with RedisStore(redis_url, lease=60) as store, Redis.from_url(redis_url) as client:
        key = store._entries.keys("a").lock
        async with store._account_lock("a") as lock:
            assert await lock.try_acquire()
            assert 59_000 < await client.pttl(key) <= 60_000
            await client.pexpire(key, 5000)
            assert await lock._backend.renew_lease()
            assert await client.pttl(key) > 59_000
            await client.set(key, "another's")
            assert not await lock._backend.renew_lease()
        assert await client.get(key) == b"another's"


@pytest.mark.parametrize("lost", ["the lock", "everything"])
async def test_a_holder_takes_a_lock_that_has_vanished_again(redis_url: str, lost: str) -> None:
    """A holder that shows life keeps the lock, also if Redis has come back without its data."""
    async with RedisStore(redis_url, lease=60) as store, Redis.from_url(redis_url) as client:
        keys = store._entries.keys("a")
        await store.save("a", Token("old"))
        async with store._account_lock("a") as holder, store._account_lock("a") as other:
            assert await holder.try_acquire()
            await holder.read()
            await (client.delete(keys.lock) if lost == "the lock" else client.flushdb())
            assert await holder._backend.renew_lease()
            assert 59_000 < await client.pttl(keys.lock) <= 60_000
            assert not await other.try_acquire()
        assert await client.exists(keys.lock) == 0


async def test_a_holder_that_was_overtaken_takes_no_lock_again(redis_url: str) -> None:
    """It would replace what the next holder saved and released."""
    async with (
        RedisStore(redis_url, lease=60) as store,
        Redis.from_url(redis_url) as client,
        store._account_lock("a") as holder,
    ):
        assert await holder.try_acquire()
        await holder.read()
        await client.delete(store._entries.keys("a").lock)
        await store.save("a", Token("newer"))
        assert not await holder._backend.renew_lease()
        assert content(await holder.write(Token("late"))) == ("newer", None)


async def test_a_released_lock_is_not_taken_again(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The release comes after a renewal that is on its way."""
    async with RedisStore(redis_url, lease=60) as store, Redis.from_url(redis_url) as client:
        keys, lock = store._entries.keys("a"), store._account_lock("a")
        assert await lock.try_acquire()
        await client.delete(keys.lock)
        on_its_way, go_on, send = asyncio.Event(), asyncio.Event(), store._entries._eval

        async def slow(script: str, *arguments: Any) -> Any:
            on_its_way.set()
            await go_on.wait()
            return await send(script, *arguments)

        monkeypatch.setattr(store._entries, "_eval", slow)
        renewing = asyncio.ensure_future(lock._backend.renew_lease())
        await on_its_way.wait()
        releasing = asyncio.ensure_future(lock.release())
        await asyncio.sleep(0)
        go_on.set()
        assert await renewing
        await releasing
        assert await client.exists(keys.lock) == 0


@pytest.mark.parametrize("stranger", [False, True])
async def test_a_lock_without_an_expiry_ends_after_a_lease(redis_url: str, *, stranger: bool) -> None:
    """A holder that shows no life for a lease is not waited for; one that renews it keeps the lock."""
    async with RedisStore(redis_url, lease=0.6) as store, Redis.from_url(redis_url) as client:
        key = store._entries.keys("a").lock
        async with store._account_lock("a") as holder, store._account_lock("a") as waiter:
            if stranger:
                await client.rpush(key, "a list")
            else:
                assert await holder.try_acquire()
                assert holder._renewing is not None
                holder._renewing.cancel()
                await client.persist(key)
            began = asyncio.get_running_loop().time()
            async with asyncio.timeout(20):
                while not await waiter.try_acquire():
                    if await waiter.wait_for_change():
                        await waiter.read()
            assert asyncio.get_running_loop().time() - began >= 0.5


async def test_a_read_changes_no_lock_that_ends(redis_url: str) -> None:
    """A lease that is longer than the reader's stays as long; a read outside a lock's scope changes none at all."""
    async with RedisStore(redis_url, lease=5) as store, Redis.from_url(redis_url) as client:
        key = store._entries.keys("a").lock
        await client.set(key, "another's", px=60_000)
        async with store._account_lock("a") as lock:
            await lock.read()
        assert await client.pttl(key) > 59_000
        await client.persist(key)
        await store.load("a")
        assert await client.pttl(key) == -1
