"""Servers of every kind that a store may meet, each a real one, and what a store must do on every one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel

from exterview_auth import RedisStore, Token
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from tests.kit.api import until
from tests.kit.certificates import certificate
from tests.kit.redis_server import redis_binary, tls_binary
from tests.kit.stores import content, eventually

COMMANDS = (
    "+eval",
    *("+get", "+set", "+del", "+pexpire", "+time"),
    *("+publish", "+subscribe", "+unsubscribe"),
)
"""All that a user of Redis must be allowed to run."""

LEASE = 1.2
"""Seconds; short, so that a test sees it kept, and three times as long as a busy machine stops its holder."""
NOTIFIED = 3.0
"""Seconds within which a waiter is notified; with `RARE_POLLS` in place of ``POLL_INTERVAL`` it finds nothing by itself."""
RARE_POLLS = 60.0


@contextlib.asynccontextmanager
async def admin(server: LocalRedis) -> AsyncIterator[Any]:
    """The default user of *server*, for what a test arranges and looks at."""
    async with Redis.from_url(server.url) as client:
        yield client


class Certified(NamedTuple):
    """A server that speaks TLS too, and the certificate to trust."""

    server: LocalRedis
    port: int
    authority: Path

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"rediss://{HOST}:{self.port}/0?ssl_ca_certs={self.authority}"


@contextlib.asynccontextmanager
async def with_tls(directory: Path) -> AsyncIterator[Certified]:
    """A server with a certificate of its own for the loopback address."""
    authority, key = certificate(directory)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(authority)]
    options += ["--tls-cert-file", str(authority), "--tls-key-file", str(key)]
    async with LocalRedis(*options, program=tls_binary()) as server:
        yield Certified(server, port, authority)


@contextlib.asynccontextmanager
async def cluster(_directory: Path) -> AsyncIterator[tuple[LocalRedis, str]]:
    """A cluster of one node that has all slots."""
    async with LocalRedis("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        async with admin(server) as node:
            await node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

            async def is_ready() -> bool:
                return b"cluster_state:ok" in await node.execute_command("CLUSTER", "INFO")

            await eventually(is_ready)
        yield server, server.url


@contextlib.asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[tuple[LocalRedis, Any]]:
    """A master, and a Sentinel that knows it as ``mymaster``."""
    program, port, rules = redis_binary(), free_port(), directory / "sentinel.conf"
    async with LocalRedis() as master:
        rules.write_text(
            f"port {port}\nbind {HOST}\ndir {directory}\nsentinel monitor mymaster {HOST} {master.port} 1\n"
        )
        process = await asyncio.create_subprocess_exec(program, rules, "--sentinel", stdout=DEVNULL, stderr=DEVNULL)
        sentinel: Any = Sentinel([(HOST, port)])  # type: ignore[no-untyped-call]  # redis-py's own

        async def knows_the_master() -> bool:
            try:
                return bool(await sentinel.discover_master("mymaster"))
            except MasterNotFoundError:
                return False

        try:
            await eventually(knows_the_master)
            yield master, sentinel
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
            process.kill()
            await process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def essentials(one: Any, two: Any) -> None:
    """*one* and *two* stand for two processes, with leases of `LEASE`: what they keep, exclude, are notified of and fence off."""
    # Connections first: opening one on TLS blocks the loop for a while.
    loads = (store.load(str(number)) for store in (one, two) for number in range(8))
    await asyncio.gather(*loads, return_exceptions=True)
    parts = [part(one, two) for part in (_keeps, _excludes_and_notifies, _goes_on_notifying, _fences)]
    for outcome in await asyncio.gather(*parts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _keeps(one: Any, two: Any) -> None:
    await one.save("e", Token("value", expires_in=60, refresh_token="refresh"))
    found = await two.load("e")
    assert content(found) == ("value", "refresh")
    assert 50 < found.expires_in <= 60
    await one.delete("e")
    assert await two.load("e") is None


async def _excludes_and_notifies(one: Any, two: Any) -> None:
    """The lease is renewed for as long as the holder lives; a waiter is notified of a save, and of a release."""
    async with two._account_lock("a") as second:
        async with one._account_lock("a") as first:
            assert await first.try_acquire()
            await outlast_lease(first)
            assert not await second.try_acquire(), "the lease was not kept"
            await second.wait_for_change()  # it is subscribed from now on
            async with notified(second):
                await first.write(Token("new"))
        async with asyncio.timeout(20):
            while not await second.try_acquire():
                await second.wait_for_change()
        assert content((await second.read()).token) == ("new", None)


async def _goes_on_notifying(one: Any, two: Any) -> None:
    """A waiter that leaves takes nothing from the waiters for other accounts."""
    async with one._account_lock("b") as first, two._account_lock("b") as second:
        assert await first.try_acquire()
        assert not await second.try_acquire()
        await second.wait_for_change()
        async with one._account_lock("c") as other, two._account_lock("c") as leaving:
            assert await other.try_acquire()
            assert not await leaving.try_acquire()
            await leaving.wait_for_change()
        async with notified(second):
            await first.write(Token("new"))


async def _fences(one: Any, two: Any) -> None:
    """A holder that was paused beyond its lease does not overwrite what was saved meanwhile, and gets that token."""
    async with one._account_lock("d") as paused:
        assert await paused.try_acquire()
        assert (await paused.read()).token is None
        await cease(paused)
        async with asyncio.timeout(20), taken(two, "d") as second:
            await second.read()
            assert await second.write(Token("newer")) is None
        assert content(await paused.write(Token("late"))) == ("newer", None)
    assert content(await one.load("d")) == ("newer", None)


@contextlib.asynccontextmanager
async def taken(store: Any, account: str) -> AsyncIterator[Any]:
    """The account's lock in *store*, as soon as it is free."""
    while True:
        async with store._account_lock(account) as lock:
            if await lock.try_acquire():
                yield lock
                return
        await asyncio.sleep(0.02)


async def cease(lock: Any) -> None:
    """Stop renewing the lease of *lock*, as if its holder were paused."""
    keeping: asyncio.Task[None] = lock._renewing
    keeping.cancel()
    await asyncio.wait([keeping])


async def outlast_lease(lock: Any) -> None:
    """Wait until the lease of *lock* has been renewed so often that it has lasted for longer than one lease."""
    kept: list[bool] = []
    renew_lease = lock._backend.renew_lease

    async def counted() -> bool:
        held: bool = False
        try:
            held = await renew_lease()
        finally:
            kept.append(held)
        return held

    lock._backend.renew_lease = counted
    await until(lambda: len(kept) == 4 or not all(kept))
    assert all(kept), "the lease was not kept"


@contextlib.asynccontextmanager
async def notified(lock: Any) -> AsyncIterator[None]:
    """*lock* is notified of what the body does, not earlier, and before its next poll."""
    waiting = asyncio.ensure_future(lock.wait_for_change())
    await asyncio.sleep(0.02)
    quiet, told = not waiting.done(), set[Any]()
    try:
        yield
        told, _ = await asyncio.wait([waiting], timeout=NOTIFIED)
    finally:
        waiting.cancel()
        await asyncio.wait([waiting])
    assert quiet, "it was notified too early"
    assert told, "it was not notified"


def every_call(store: RedisStore) -> list[Callable[[], Awaitable[object]]]:
    """What reads, what writes and what locks, each to be called any number of times."""
    return [
        partial(store.load, "a"),
        partial(store.save, "a", Token("x")),
        partial(store.delete, "a"),
        store._account_lock("a").try_acquire,
    ]
