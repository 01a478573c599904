"""What a Redis refuses, each time a real one: its own word, and what to do, in one sentence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from exterview_auth import RedisStore, Token
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from exterview_auth.errors import StoreError
from exterview_auth.stores._redis.entries import RedisKeys
from tests.kit.redis_clients import admin, free_port
from tests.kit.stores import PASSWORD, assert_one_sentence, eventually
from tests.kit.wire import answering

Refusing = Callable[[Path], AbstractAsyncContextManager[str]]


def started(*options: str, credentials: str = "") -> Refusing:
    """A server with these *options*."""

    @contextlib.asynccontextmanager
    async def serve(_directory: Path) -> AsyncIterator[str]:
        async with LocalRedis(*options) as server:
            yield f"redis://{credentials}{HOST}:{server.port}/0"

    return serve


def told(*commands: str) -> Refusing:
    """A server that an administrator has given these *commands*."""

    @contextlib.asynccontextmanager
    async def serve(_directory: Path) -> AsyncIterator[str]:
        async with LocalRedis() as server, admin(server) as client:
            for command in commands:
                await client.execute_command(*command.split())
            yield f"redis://app:{PASSWORD}@{HOST}:{server.port}/0" if "SETUSER" in commands[0] else server.url

    return serve


def answers(text: str) -> Refusing:
    """What no server here says by itself."""

    @contextlib.asynccontextmanager
    async def serve(_directory: Path) -> AsyncIterator[str]:
        async with answering(b"-%s\r\n" % text.encode()) as server:
            yield server.url

    return serve


@contextlib.asynccontextmanager
async def with_a_full_disk(directory: Path) -> AsyncIterator[str]:
    """It cannot save its data, because its directory is gone."""
    place = directory / "data"
    place.mkdir()
    async with LocalRedis("--save", "900 1", directory=place) as server, admin(server) as client:
        place.rmdir()
        with contextlib.suppress(Exception):
            await client.bgsave()

        async def failed() -> bool:
            return bool((await client.info("persistence"))["rdb_last_bgsave_status"] == "err")

        await eventually(failed)
        yield server.url


@contextlib.asynccontextmanager
async def busy(_directory: Path) -> AsyncIterator[str]:
    """Another client's script does not end."""
    async with LocalRedis("--lua-time-limit", "1") as server, admin(server) as client, admin(server) as another:
        endless = asyncio.ensure_future(another.execute_command("EVAL", "while true do end", 0))

        async def is_busy() -> bool:
            with contextlib.suppress(Exception):
                await client.ping()
                return False
            return True

        await eventually(is_busy)
        yield server.url
        await client.execute_command("SCRIPT", "KILL")
        await asyncio.wait([endless])
        endless.exception()


@contextlib.asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[LocalRedis, Any, LocalRedis, Any]]:
    """Two nodes of a cluster that know each other, and their administrators."""
    buses = [str(free_port()) for _ in range(2)]
    first, second = (LocalRedis("--cluster-enabled", "yes", "--cluster-port", bus) for bus in buses)
    async with first, second, admin(first) as one, admin(second) as two:
        await one.execute_command("CLUSTER", "MEET", HOST, second.port, buses[1])

        async def have_met() -> bool:
            found = [await each.execute_command("CLUSTER", "NODES") for each in (one, two)]
            return all(nodes.count(b" connected") == 2 and b"handshake" not in nodes for nodes in found)

        await eventually(have_met)
        yield first, one, second, two


async def up(client: Any) -> None:
    """Wait until a node finds its cluster complete."""

    async def is_up() -> bool:
        return b"cluster_state:ok" in await client.execute_command("CLUSTER", "INFO")

    await eventually(is_up)


@contextlib.asynccontextmanager
async def moved(_directory: Path) -> AsyncIterator[str]:
    """Another node has all slots."""
    async with two_nodes() as (first, one, _, two):
        await two.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await up(one)
        yield first.url


@contextlib.asynccontextmanager
async def moving(_directory: Path) -> AsyncIterator[str]:
    """The node is handing the account's slot on to another."""
    async with two_nodes() as (first, one, _, two):
        await one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await up(one)
        slot = key_slot(RedisKeys.of("exterview_auth", "a").entry.encode())
        await one.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", await two.execute_command("CLUSTER", "MYID"))
        yield first.url


CASES: dict[str, tuple[Refusing, str]] = {
    "READONLY": (told(f"REPLICAOF {HOST} 1"), "give the URL of its master"),
    "MASTERDOWN": (
        told("CONFIG SET replica-serve-stale-data no", f"REPLICAOF {HOST} 1"),
        "give the URL of the master",
    ),
    "LOADING": (answers("LOADING Redis is loading the dataset in memory"), "wait until it has finished"),
    "NOAUTH": (started("--requirepass", PASSWORD), "put it into the URL"),
    "WRONGPASS": (started("--requirepass", PASSWORD, credentials=":wr0ng@"), "correct them in the URL"),
    "NOPERM": (told(f"ACL SETUSER app on >{PASSWORD} ~* &* +get"), "grant what help\\(RedisStore\\) lists"),
    "OOM": (told("CONFIG SET maxmemory 1"), "raise maxmemory, or check maxmemory-policy"),
    "MISCONF": (with_a_full_disk, "check its log and its disk"),
    "NOREPLICAS": (told("CONFIG SET min-replicas-to-write 1"), "check them, and min-replicas-to-write"),
    "BUSY": (busy, "end that one with SCRIPT KILL"),
    "MOVED": (moved, "give RedisStore a RedisCluster client"),
    "ASK": (moving, "give RedisStore a RedisCluster client"),
    "TRYAGAIN": (answers("TRYAGAIN Multiple keys request during rehashing of slot"), "wait until it has finished"),
    "CLUSTERDOWN": (started("--cluster-enabled", "yes"), "check CLUSTER INFO: each slot needs a master that runs"),
    "NOSCRIPT": (answers("NOSCRIPT No matching script."), "let a proxy before it pass EVAL on as it is"),
    "EVAL": (started("--rename-command", "EVAL", ""), "enable it"),
    "WRONGTYPE": (answers(f"WRONGTYPE {PASSWORD}"), "check its log"),
    "ERR": (answers(f"ERR {PASSWORD}"), "check its log"),
}
"""By its word: a server that refuses what a store sends, and what to do about it."""


@pytest.mark.usefixtures("redis_binary")
@pytest.mark.parametrize("word", CASES)
async def test_a_refusal_is_the_servers_word_and_what_to_do(word: str, tmp_path: Path) -> None:
    """Who reads the log knows what to look for; nothing that was sent shows."""
    refusing, what_to_do = CASES[word]
    async with refusing(tmp_path) as url, RedisStore(url) as store:
        with pytest.raises(StoreError, match=rf"^Redis cannot be used: .*\b{word}\b.*; {what_to_do}$") as caught:
            await store.save("a", Token(PASSWORD))
        assert_one_sentence(caught.value, 160)
        assert caught.value.__context__ is None
