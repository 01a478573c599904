"""A Redis that is sick: what a request gets, how long it waits, how many logins are made, and that it heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Self

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from exterview_auth import RedisStore, Token
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from exterview_auth.errors import StoreError
from tests.kit.api import until
from tests.kit.clock import settle
from tests.kit.redis_clients import (
    ACCOUNT,
    AT_ONCE,
    LONGEST_WAIT,
    MARGIN,
    PASSWORD,
    Fleet,
    admin,
    assert_one_warning,
    eventually,
    fleet,
    heals,
    nothing_is_left,
    survives,
    told,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("redis_binary")]

UNREACHABLE = "Redis cannot be used: it cannot be reached"
SILENT = "Redis cannot be used: it does not answer in time"


@pytest.fixture(autouse=True)
def all_events(caplog: pytest.LogCaptureFixture) -> None:
    """Every event is looked at."""
    caplog.set_level(logging.DEBUG, "exterview_auth")


@contextlib.asynccontextmanager
async def two_owners(url: str, **options: Any) -> AsyncIterator[Fleet]:
    """Two owners of one store: an outage is one for both."""
    async with RedisStore(url) as store, fleet(store, store, **options) as scene:
        yield scene
    nothing_is_left()


async def nothing_locked(client: Any) -> None:
    """No lock is left behind."""

    async def none() -> bool:
        return not await client.keys("*:lock")

    await eventually(none)


# -- between the store and Redis ----------------------------------------------------------------------------------------

Happening = Callable[[], Awaitable[object]]


class Wire:
    """
    A relay in front of *server*: holds answers up for ``delay`` seconds, and lets something happen before a command.

    ``before[part]`` is awaited once, before the first piece that holds *part* is handed on.
    """

    def __init__(self, server: LocalRedis) -> None:
        self.delay = 0.0
        self.before: dict[bytes, Happening] = {}
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, HOST, 0)
        self.url = f"redis://{HOST}:{self._listener.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(HOST, self._server.port)
            answers = asyncio.ensure_future(self._answers(there, writer))
            try:
                while piece := await reader.read(65536):
                    await self._happen(piece)
                    back.write(piece)
            finally:
                back.close()
                await asyncio.wait([answers])
        writer.close()
        self._tasks.discard(task)

    async def _happen(self, piece: bytes) -> None:
        for part in [part for part in self.before if part in piece]:
            await self.before.pop(part)()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                await asyncio.sleep(self.delay)
                writer.write(piece)
        writer.close()


LOAD, SAVE, LOCK, WAIT = b"return {get(KEYS[1]), now}", b"'saved'", b"\r\nSET\r\n", b"SUBSCRIBE"
"""What the commands look like on the wire."""


# -- it is not there ----------------------------------------------------------------------------------------------------


async def test_absent_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 17: each owner logs in for itself at once, one warning says so, and the store is used as soon as it is there."""
    async with LocalRedis() as server:
        await server.stop()
        async with two_owners(server.url) as scene:
            await survives(scene, caplog, UNREACHABLE, wait=0)
            await server.restart()
            await heals(scene, caplog)
            async with admin(server) as client:
                await nothing_locked(client)


async def test_it_dies_while_idle(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 17: connections that were good are not any more, and that costs one login each."""
    async with LocalRedis() as server, two_owners(server.url) as scene:
        await scene.storm()
        await server.kill()
        await survives(scene, caplog, UNREACHABLE, wait=0)
        await server.restart()
        await heals(scene, caplog)


@pytest.mark.parametrize("during", [LOAD, LOCK, SAVE], ids=["load", "lock", "save"])
async def test_it_dies_under_a_command(during: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: whichever command it is that finds no end, requests go on and one warning is told."""
    async with LocalRedis() as server, Wire(server) as wire, two_owners(wire.url) as scene:
        await scene.storm()
        wire.before[during] = server.kill
        assert await scene.revoked() < LONGEST_WAIT + MARGIN
        assert scene.login.count <= 3
        assert_one_warning(caplog, UNREACHABLE)
        await server.restart()
        await heals(scene, caplog)


async def test_it_dies_while_somebody_waits_for_the_lock(caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: who waits for another's login makes its own at once, and does not wait for a lock that is gone."""
    async with LocalRedis() as server, two_owners(server.url) as scene:
        scene.login.gate.clear()
        storm = asyncio.ensure_future(scene.storm())
        async with admin(server) as client:
            await waits_for_the_lock(client)
        assert scene.login.count == 1
        await server.kill()
        await until(lambda: scene.login.count == 2, LONGEST_WAIT + MARGIN)
        scene.login.gate.set()
        await storm
        assert scene.login.count == 2
        assert_one_warning(caplog, UNREACHABLE)
        await server.restart()
        await heals(scene, caplog)


async def waits_for_the_lock(client: Any) -> None:
    """Return when somebody listens for the end of another's login."""
    await eventually(client.pubsub_channels)


async def test_a_connection_that_listens_is_not_opened_twice() -> None:
    """Rule 21: it ends while this process stands still and another account begins to wait; both go on, and none is lost."""
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


# -- it is slow ---------------------------------------------------------------------------------------------------------


async def test_it_stops_answering(caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: a frozen server costs two seconds once, and is used again when it goes on."""
    async with LocalRedis() as server, two_owners(server.url) as scene:
        await scene.storm()
        server.pause()
        await survives(scene, caplog, SILENT)
        server.resume()
        await heals(scene, caplog)


async def test_it_is_frozen_from_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: the same where the connection is made and nothing comes."""
    async with LocalRedis() as server, two_owners(server.url) as scene:
        server.pause()
        await survives(scene, caplog, SILENT)
        server.resume()
        await heals(scene, caplog)


async def test_it_answers_in_two_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: what answers too late is as good as silent."""
    async with LocalRedis() as server, Wire(server) as wire, two_owners(wire.url) as scene:
        await scene.storm()
        wire.delay = 2.0
        await survives(scene, caplog, SILENT)
        wire.delay = 0.0
        await heals(scene, caplog)


async def test_slow_answers_do_not_add_up() -> None:
    """Each command in its time, but all together in no more than a request waits for a sick store."""
    async with LocalRedis() as server, Wire(server) as wire, two_owners(wire.url) as scene:
        wire.delay = 0.7
        assert await scene.storm() < LONGEST_WAIT + MARGIN


async def test_only_a_probe_waits_for_a_silent_store() -> None:
    """Two seconds once, and again at the next probe at most, however many revocations there are."""
    async with LocalRedis() as server, two_owners(server.url, max_logins=(1000, 1.0)) as scene:
        await scene.storm()
        server.pause()
        waits, began = [], time.monotonic()
        while time.monotonic() - began < 3:
            waits.append(await scene.revoked(requests=1))
        server.resume()
    assert 1 <= len([wait for wait in waits if wait > AT_ONCE]) <= 3
    assert len(waits) > 20
    assert max(waits) < LONGEST_WAIT + MARGIN


# -- it loses what it held ----------------------------------------------------------------------------------------------


async def flush(server: LocalRedis) -> None:
    """Everything is gone."""
    async with admin(server) as client:
        await client.flushall()


@pytest.mark.parametrize("lose", [flush, LocalRedis.restart], ids=["FLUSHALL", "restart"])
async def test_everything_is_lost_between_lock_and_save(
    lose: Callable[[LocalRedis], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: at most one login more, every request succeeds, and what was saved last is shared by all."""
    async with LocalRedis() as server, two_owners(server.url) as scene:
        scene.login.gate.clear()
        storm = asyncio.ensure_future(scene.storm())
        await until(lambda: scene.login.count == 1)
        async with admin(server) as client:
            await waits_for_the_lock(client)
        await lose(server)
        scene.login.gate.set()
        assert await storm < LONGEST_WAIT + MARGIN
        logins = scene.login.count
        assert logins <= 2
        await is_kept(server)
        await scene.revoked()
        assert scene.login.count == logins + 1
        async with admin(server) as client:
            await nothing_locked(client)
        assert len(told(caplog, "store.unavailable")) == len(told(caplog, "store.recovered")) <= 1


async def is_kept(server: LocalRedis) -> None:
    """Wait until a token is in the store."""
    async with admin(server) as client:
        await eventually(partial(client.keys, "*:token"))


async def test_its_scripts_are_flushed(caplog: pytest.LogCaptureFixture) -> None:
    """SCRIPT FLUSH at any time, under a lock too, is not noticed by anybody."""
    async with LocalRedis() as server, two_owners(server.url) as scene, admin(server) as client:
        await scene.storm()
        for login in (2, 3):
            await client.script_flush()
            scene.login.gate.clear()
            storm = asyncio.ensure_future(scene.revoked())
            await until(lambda: scene.login.count == login)  # noqa: B023 - it is awaited here
            await client.script_flush()
            scene.login.gate.set()
            await storm
        assert scene.login.count == 3
        await nothing_locked(client)
        assert told(caplog, "store.unavailable") == []
        assert sum(owner.stats().store_failures for owner in scene.owners) == 0


# -- it does not take what it is given ----------------------------------------------------------------------------------

Act = Callable[[Any], Awaitable[object]]
REFUSALS: dict[str, tuple[Act, Act, str]] = {
    "maxmemory": (
        lambda client: client.config_set("maxmemory", "1"),
        lambda client: client.config_set("maxmemory", "0"),
        "Redis cannot be used: it is out of memory; see maxmemory and maxmemory-policy",
    ),
    "read-only replica": (
        lambda client: client.replicaof(HOST, 1),
        lambda client: client.replicaof("NO", "ONE"),
        "Redis cannot be used: it is a read-only replica; give the URL of its master",
    ),
    "no write permission": (
        lambda client: client.execute_command("ACL", "SETUSER", "app", "-set"),
        lambda client: client.execute_command("ACL", "SETUSER", "app", "+set"),
        "Redis cannot be used: the user's ACL lacks a command, key or channel; see the README for those needed",
    ),
    "another password": (
        lambda client: client.execute_command("ACL", "SETUSER", "app", "resetpass", ">another"),
        lambda client: client.execute_command("ACL", "SETUSER", "app", f">{PASSWORD}"),
        "Redis cannot be used: it refuses the user or password; see the URL's",
    ),
}


@pytest.mark.parametrize(("harm", "heal", "problem"), REFUSALS.values(), ids=REFUSALS)
async def test_it_refuses_what_it_is_given(
    harm: Act, heal: Act, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: full, read-only, without permission; and that one can still read it makes no second outage of it."""
    async with LocalRedis("--maxmemory-policy", "noeviction") as server, admin(server) as client:
        await client.execute_command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        async with two_owners(f"redis://app:{PASSWORD}@{HOST}:{server.port}/0") as scene:
            await scene.storm()
            await harm(client)
            await client.client_kill_filter(skipme=True)
            await survives(scene, caplog, problem, wait=0)
            failures = sum(owner.stats().store_failures for owner in scene.owners)
            await until(lambda: sum(owner.stats().store_failures for owner in scene.owners) >= failures + 2)
            assert_one_warning(caplog, problem)
            assert told(caplog, "store.recovered") == []
            await heal(client)
            await heals(scene, caplog)
            await nothing_locked(client)


async def test_it_has_no_connection_left(caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: beyond ``maxclients`` a connection is refused, and that is a sick store like any other."""
    async with LocalRedis() as server, Redis.from_url(server.url, single_connection_client=True) as client:
        await client.config_set("maxclients", 1)
        async with two_owners(server.url) as scene:
            await survives(scene, caplog, "Redis cannot be used: it has no connection left; see maxclients", wait=0)
            await client.config_set("maxclients", 1000)
            await heals(scene, caplog)


@pytest.mark.parametrize(
    ("credentials", "problem"),
    [
        ("", "it needs a password; put it into the URL"),
        (":wr0ng@", "it refuses the user or password; see the URL's"),
        ("user:wr0ng@", "it refuses the user or password; see the URL's"),
    ],
    ids=["none", "wrong", "unknown user"],
)
async def test_the_password_is_missing_or_wrong(
    credentials: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: each method says so in one sentence without the password, and an owner goes on without the store."""
    async with LocalRedis("--requirepass", PASSWORD) as server:
        async with RedisStore(f"redis://{credentials}{HOST}:{server.port}/0") as store, fleet(store, store) as scene:
            calls: list[Callable[[], Awaitable[object]]] = [
                partial(store.load, ACCOUNT),
                partial(store.save, ACCOUNT, Token("token-x")),
                partial(store.delete, ACCOUNT),
                store.account_lock(ACCOUNT).try_acquire,
            ]
            for call in calls:
                with pytest.raises(StoreError) as caught:
                    await call()
                assert str(caught.value) == f"Redis cannot be used: {problem}"
                assert caught.value.__cause__ is None
                assert isinstance(
                    caught.value.__context__, StoreError | None
                )  # never the client's own, which may quote
            await scene.storm()
            await survives(scene, caplog, problem, wait=0)
        assert "wr0ng" not in caplog.text
        nothing_is_left()


# -- it holds something else --------------------------------------------------------------------------------------------


async def put(client: Any, key: bytes, value: bytes) -> None:
    """An entry made by somebody else."""
    await client.set(key, value)


async def damage(client: Any, key: bytes) -> None:
    await put(client, key, b"\x00\xff damaged")


async def truncate(client: Any, key: bytes) -> None:
    value = await client.get(key)
    assert value is not None
    await put(client, key, value[: len(value) // 2])


async def empty(client: Any, key: bytes) -> None:
    await put(client, key, b"")


async def encrypt(client: Any, key: bytes) -> None:
    await put(client, key, b"exterview_auth/1 1700000000.000000 gAAAAABlunreadable")


async def from_the_future(client: Any, key: bytes) -> None:
    await put(client, key, b'exterview_auth/2 1700000000.000000 {"token":"token-of-the-future"}')


async def change_its_type(client: Any, key: bytes) -> None:
    await client.delete(key)
    await client.rpush(key, "token-of-a-list")


ODD = {
    "damaged": (damage, "it is damaged"),
    "truncated": (truncate, "it is damaged"),
    "empty": (empty, "it is damaged"),
    "encrypted": (encrypt, "it is damaged, or encrypted and the store has no encryption_key"),
    "of the future": (from_the_future, "a newer version of exterview_auth has written it"),
    "of another type": (change_its_type, "it is damaged"),
}


@pytest.mark.parametrize(("spoil", "problem"), ODD.values(), ids=ODD)
async def test_a_value_that_cannot_be_read_is_a_miss(
    spoil: Callable[[Any, bytes], Awaitable[None]], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: one login, one warning, and the entry is replaced by one that all can read."""
    async with LocalRedis() as server, admin(server) as client, two_owners(server.url) as scene:
        await scene.storm()
        (key,) = await client.keys("*:token")
        await spoil(client, key)
        await scene.revoked()
        assert scene.login.count == 2
        (warning,) = told(caplog, "store.unreadable")
        assert f"an entry is ignored: {problem}" in warning
        assert "token-of" not in caplog.text
        assert told(caplog, "store.unavailable") == []
        assert (await client.get(key)).startswith(b"exterview_auth/1 ")
        await scene.revoked()
        assert scene.login.count == 3
        assert len(told(caplog, "store.unreadable")) == 1
