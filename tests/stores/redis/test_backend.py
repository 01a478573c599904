"""The account's lock on Redis: its lease."""

from __future__ import annotations

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
