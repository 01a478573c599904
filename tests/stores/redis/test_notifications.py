"""Notifications from Redis: one connection for all waiters, and what happens when it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from contextvars import ContextVar
from functools import partial

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from exterview_auth import RedisStore
from exterview_auth._cli.demo.redis_server import LocalRedis
from tests.kit.api import until
from tests.kit.clock import settle
from tests.kit.redis_clients import admin
from tests.kit.stores import eventually


async def test_one_connection_serves_all_waiters(redis_url: str) -> None:
    """It is subscribed to the channels that they wait for, and ends with the last of them."""
    async with RedisStore(redis_url) as store, Redis.from_url(redis_url) as client:

        async def listening(connections: int, channels: int) -> bool:
            found = [one for one in await client.client_list() if one["sub"] != "0"]
            return (len(found), len(await client.pubsub_channels())) == (connections, channels)

        async with store._account_lock("a") as one, store._account_lock("a") as two:
            async with store._account_lock("b") as other:
                for lock in (one, two, other):
                    assert await lock.wait_for_change()
                assert await listening(1, 2)
            await eventually(partial(listening, 1, 1))
            assert store._entries.clients.current().changes.connection() is one._backend._subscribed[0]  # type: ignore[attr-defined]
        await eventually(partial(listening, 0, 0))


async def test_a_connection_ends_silently_when_redis_does(
    own_redis: LocalRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """No lost exception; the waiters are woken, and the next one opens another connection."""
    async with RedisStore(own_redis.url) as store:
        async with store._account_lock("a") as lock:
            assert await lock.wait_for_change()
            connection, subscription = lock._backend._subscribed  # type: ignore[attr-defined]
            await own_redis.restart()
            await asyncio.wait_for(subscription.wait(), 20)
            assert connection.ended
        async with store._account_lock("a") as lock:
            assert await lock.wait_for_change()
            connection, _ = lock._backend._subscribed  # type: ignore[attr-defined]
            assert not connection.ended
        assert connection.ended
    gc.collect()
    assert caplog.messages == []


async def test_messages_are_read_in_a_context_of_their_own(redis_url: str) -> None:
    """A caller's context variables are not visible in the task that reads."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[str] = []
    variable.set("a request's")
    async with RedisStore(redis_url) as store, Redis.from_url(redis_url) as client, store._account_lock("a") as lock:
        await lock.wait_for_change()
        connection, _ = lock._backend._subscribed  # type: ignore[attr-defined]
        connection._dispatch = lambda _message: seen.append(variable.get())
        for _ in range(2):  # what takes the first one in was chosen before
            await client.publish(store._entries.keys("a").channel, "saved")
        await until(lambda: bool(seen))
    assert set(seen) == {"none"}


@pytest.mark.usefixtures("redis_binary")
async def test_a_connection_is_not_opened_twice() -> None:
    """It ends while this process is paused and another account begins to wait; both go on, and no connection is lost."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with LocalRedis() as server, RedisStore(server.url) as store, admin(server) as client:

            async def wait_for(account: str) -> None:
                async with store.lock(account):
                    """Held."""

            async def listened_to() -> bool:
                return bool(await client.pubsub_channels())

            for turns in (1, 2):
                async with store.lock("a"), store.lock("b"):
                    first = asyncio.create_task(wait_for("a"))
                    await eventually(listened_to)
                    second = asyncio.create_task(wait_for("b"))
                    await settle(turns)
                    with SyncRedis.from_url(server.url) as standing_still:
                        standing_still.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                await asyncio.gather(first, second)
        gc.collect()
    assert [str(warning.message) for warning in seen] == []


async def test_a_store_that_cannot_subscribe_says_so_and_polls(caplog: pytest.LogCaptureFixture) -> None:
    """Notifications only save time: without them a waiter reads and tries once a second."""
    with caplog.at_level(logging.INFO, "exterview_auth"):
        async with RedisStore("redis://127.0.0.1:1") as store, store._account_lock("a") as lock:
            assert await lock.wait_for_change()
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (
            logging.INFO,
            'store.no_news store="RedisStore(\'redis://127.0.0.1:1\')" problem="Redis cannot be used: it cannot be reached; check that it runs, and the URL\'s host and port"',
        )
    ]
