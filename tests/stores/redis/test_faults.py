"""A Redis that fails: what a request gets, how long it waits, how many logins there are, and that it heals by itself. See also the fault table."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from exterview_auth import RedisStore, Token
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from exterview_auth.errors import StoreError
from tests.kit.api import until
from tests.kit.redis_clients import admin
from tests.kit.stores import (
    ACCOUNT,
    AT_ONCE,
    DAMAGES,
    LONGEST_WAIT,
    MARGIN,
    PASSWORD,
    Fleet,
    assert_one_warning,
    eventually,
    fleet,
    heals,
    is_a_miss,
    nothing_is_left,
    survives,
    told,
)
from tests.kit.wire import Wire

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


async def pause(server: LocalRedis) -> None:
    """It answers no more, and its connections stay."""
    server.pause()


async def resume(server: LocalRedis) -> None:
    """It goes on."""
    server.resume()


OUTAGES = {
    "absent at the start": (False, LocalRedis.stop, LocalRedis.restart, UNREACHABLE, 0.0),
    "dies while idle": (True, LocalRedis.kill, LocalRedis.restart, UNREACHABLE, 0.0),
    "stops answering": (True, pause, resume, SILENT, LONGEST_WAIT),
}


@pytest.mark.parametrize(("used", "harm", "heal", "problem", "wait"), OUTAGES.values(), ids=OUTAGES)
async def test_it_is_away(
    *,
    used: bool,
    harm: Callable[[LocalRedis], Awaitable[None]],
    heal: Callable[[LocalRedis], Awaitable[None]],
    problem: str,
    wait: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Rule 17: each owner logs in for itself, one warning says so, and the store is used as soon as it is there again."""
    async with LocalRedis() as server:
        async with two_owners(server.url) as scene:
            if used:
                await scene.storm()
            await harm(server)
            await survives(scene, caplog, problem, wait=wait)
            await heal(server)
            await heals(scene, caplog)
        async with admin(server) as client:
            await nothing_locked(client)


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


async def test_slow_answers_do_not_add_up() -> None:
    """Each command in its time, but all together in no more than a request waits for a failing store."""
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
async def test_it_refuses_saves(harm: Act, heal: Act, problem: str, caplog: pytest.LogCaptureFixture) -> None:
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


Spoil = Callable[[Any, bytes], Awaitable[None]]


async def change_its_type(client: Any, key: bytes) -> None:
    await client.delete(key)
    await client.rpush(key, "token-of-a-list")


def changed(change: Callable[[bytes], bytes]) -> Spoil:
    """Change an entry in Redis."""

    async def spoil(client: Any, key: bytes) -> None:
        await client.set(key, change(await client.get(key)))

    return spoil


ODD: dict[str, tuple[Spoil, str]] = {
    **{name: (changed(change), problem) for name, (change, problem) in DAMAGES.items()},
    "of another type": (change_its_type, "it is damaged"),
}


@pytest.mark.parametrize(("spoil", "problem"), ODD.values(), ids=ODD)
async def test_a_value_that_cannot_be_read_is_a_miss(
    spoil: Spoil, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: one login, one warning, and the entry is replaced by one that all can read."""
    async with LocalRedis() as server, admin(server) as client, two_owners(server.url) as scene:
        await scene.storm()
        (key,) = await client.keys("*:token")
        await spoil(client, key)
        await is_a_miss(scene, caplog, problem)
        assert (await client.get(key)).startswith(b"exterview_auth/1 ")
