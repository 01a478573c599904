"""Two servers behind one address: after a failover, connections that were open lead to the old master, now a replica."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from exterview_auth import RedisStore, Token
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from exterview_auth.errors import StoreError
from tests.kit.api import until
from tests.kit.redis_clients import admin, every_call
from tests.kit.stores import eventually, fleet, told
from tests.kit.wire import Wire, answering

pytestmark = pytest.mark.usefixtures("redis_binary")


class Pair(NamedTuple):
    """The master, its replica, and the one address of both."""

    master: LocalRedis
    replica: LocalRedis
    address: Wire

    async def fail_over(self) -> None:
        """Exchange both, as a managed Redis does: whoever connects from now on reaches the new master."""
        async with admin(self.master) as old, admin(self.replica) as new:
            await new.replicaof("NO", "ONE")
            self.address.server = self.replica
            await old.replicaof(HOST, self.replica.port)


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """A master, and a replica that has its data."""
    at_once = "--repl-diskless-sync-delay", "0"
    async with LocalRedis(*at_once) as master, LocalRedis(*at_once) as replica, Wire(master) as address:
        async with admin(replica) as client:
            await client.replicaof(HOST, master.port)

            async def follows() -> bool:
                return bool((await client.info("replication"))["master_link_status"] == "up")

            await eventually(follows)
        yield Pair(master, replica, address)


Stores = Callable[[str], AbstractAsyncContextManager[list[RedisStore]]]


@contextlib.asynccontextmanager
async def of_urls(url: str) -> AsyncIterator[list[RedisStore]]:
    """Stores that make their own clients."""
    async with RedisStore(url) as one, RedisStore(url) as two:
        yield [one, two]


def of_clients(**options: Any) -> Stores:
    """Stores on an application's clients."""

    @contextlib.asynccontextmanager
    async def made(url: str) -> AsyncIterator[list[RedisStore]]:
        async with Redis.from_url(url, **options) as one, Redis.from_url(url, **options) as two:
            yield [RedisStore(one), RedisStore(two)]

    return made


@pytest.mark.parametrize("stores", [of_urls, of_clients()], ids=["URL", "client"])
async def test_a_failover_behind_one_address_is_not_noticed(stores: Stores, caplog: pytest.LogCaptureFixture) -> None:
    """The answer of a replica ends the connections to it, and what it refused is sent to the new master."""
    async with pair() as servers, stores(servers.address.url) as both, fleet(*both) as scene:
        await scene.storm()
        await servers.fail_over()
        for logins in (2, 3):
            scene.api.revoke()
            await scene.storm()
            assert scene.login.count == logins
        assert told(caplog, "store.unavailable") == []
        async with admin(servers.replica) as client:
            (entry,) = await asyncio.gather(*map(client.get, await client.keys("*:token")))
        assert b"token-3" in entry


async def test_a_client_of_one_connection_heals(caplog: pytest.LogCaptureFixture) -> None:
    """It replaces its connection after one more command: each owner logs in for itself once, and the store recovers."""
    caplog.set_level("INFO", "exterview_auth")
    stores = of_clients(single_connection_client=True)
    async with pair() as servers, stores(servers.address.url) as both, fleet(*both) as scene:
        await scene.storm()
        await servers.fail_over()
        scene.api.revoke()
        await scene.storm()
        assert scene.login.count <= 3
        await until(lambda: len(told(caplog, "store.recovered")) == len(told(caplog, "store.unavailable")), 10)
        logins = scene.login.count
        scene.api.revoke()
        await scene.storm()
        assert scene.login.count == logins + 1


async def test_a_lease_goes_on_at_the_new_master(caplog: pytest.LogCaptureFixture) -> None:
    """A holder keeps the lock through a failover, saves under it, and a waiter for the lock adopts that token."""
    async with pair() as servers, of_urls(servers.address.url) as both, fleet(*both) as scene:
        scene.login.gate.clear()
        storm = asyncio.ensure_future(scene.storm())
        async with admin(servers.master) as client:
            await eventually(client.pubsub_channels)
        await servers.fail_over()
        scene.login.gate.set()
        await storm
        assert scene.login.count == 1
        assert told(caplog, "store.unavailable") == []


REFUSALS = {
    "READONLY": b"READONLY You can't write against a read only replica. script: 1f, on @user_script:4.",
    "READONLY, Redis 6": (
        b"ERR Error running script (call to f_1): @user_script:4: @user_script: 4: -READONLY You can't write against a"
        b" read only replica."
    ),
    "MASTERDOWN": b"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "LOADING": b"LOADING Redis is loading the dataset in memory",
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_every_refusal_of_the_wrong_server_ends_its_connections(refusal: bytes) -> None:
    """The address has moved meanwhile: reads, locks and writes reach the other server, and none of them fails."""
    async with (
        answering(b"-%s\r\n" % refusal) as wrong,
        LocalRedis() as right,
        Wire(wrong) as address,
        RedisStore(address.url) as store,
    ):
        for call in every_call(store):
            address.server = wrong
            with pytest.raises(StoreError):
                await call()
            address.server = right
            await call()
            await store.aclose()


async def test_another_refusal_ends_no_connection() -> None:
    """What no other server would do either is asked of none, and a connection is kept."""
    async with answering(b"-OOM command not allowed\r\n") as server, Wire(server) as address:
        async with RedisStore(address.url) as store:
            for _ in range(3):
                with pytest.raises(StoreError):
                    await store.save("a", Token("x"))
        assert address.opened == 1
