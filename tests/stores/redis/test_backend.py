"""The account's lock on Redis: its lease."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from exterview_auth import RedisStore


async def test_a_lock_ends_with_its_lease(redis_url: str) -> None:
    """Lesson 29: whoever dies under the lock holds it for a lease; whoever lives begins it anew, while it is its own."""
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


@pytest.mark.parametrize("stranger", [False, True])
async def test_a_lock_without_an_expiry_ends_after_a_lease(redis_url: str, *, stranger: bool) -> None:
    """The contract, stores: a holder that shows no life for a lease is not waited for; one that renews it keeps the lock."""
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
