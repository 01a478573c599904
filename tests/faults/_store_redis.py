"""A Redis that fails, each time a real one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from exterview_auth import PasswordLogin, RedisStore
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from tests.kit.redis_clients import admin
from tests.kit.stores import DAMAGES
from tests.kit.wire import LOAD, LOCK, SAVE, Wire

from ._row import Outcome, Play, Row
from ._sharing import KEY, UNKNOWN_KEY, Sharing, another_saves, outage, sharing
from ._stage import EMAIL, PASSWORD, Stage

PLACE = "store"
Act = Callable[[Any], Awaitable[object]]


def harmed(
    harm: Callable[[LocalRedis, Sharing], contextlib.AbstractAsyncContextManager[None]],
    *options: str,
    warm: bool = True,
    login_timeout: float = 5.0,
    **store: Any,
) -> Play:
    """A server to which this happens."""

    async def arrange(stage: Stage) -> tuple[Sharing, contextlib.AbstractAsyncContextManager[None]]:
        server = await stage.open(LocalRedis(*options))
        await let_in(server)
        url = f"redis://app:{PASSWORD}@{HOST}:{server.port}/0"
        at = await sharing(stage, RedisStore(url, **store), login_timeout=login_timeout)
        return at, harm(server, at)

    return outage(arrange, warm=warm)


@contextlib.asynccontextmanager
async def down(server: LocalRedis, _at: Sharing) -> AsyncIterator[None]:
    """It is dead, and comes back."""
    await server.kill()
    yield
    await server.restart()
    await let_in(server)


async def let_in(server: LocalRedis) -> None:
    """The user that the store connects as."""
    async with admin(server) as client:
        await client.execute_command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", "&*", "+@all")


@contextlib.asynccontextmanager
async def frozen(server: LocalRedis, _at: Sharing) -> AsyncIterator[None]:
    """It takes connections and answers nothing."""
    server.pause()
    yield
    server.resume()


def told(harm: Act, heal: Act) -> Callable[[LocalRedis, Sharing], contextlib.AbstractAsyncContextManager[None]]:
    """What an administrator does; everybody else has to connect anew."""

    @contextlib.asynccontextmanager
    async def happens(server: LocalRedis, _at: Sharing) -> AsyncIterator[None]:
        async with admin(server) as client:
            await harm(client)
            await client.client_kill_filter(skipme=True)
            yield
            await heal(client)

    return happens


def spoiled(damage: str) -> Play:
    """The token's value is not what it should be."""
    change = DAMAGES[damage]

    @contextlib.asynccontextmanager
    async def happens(server: LocalRedis, _at: Sharing) -> AsyncIterator[None]:
        async with admin(server) as client:
            (key,) = await client.keys("*:token")
            await client.set(key, change(await client.get(key)))
        yield

    return harmed(happens)


def encrypted_otherwise(server: LocalRedis, at: Sharing) -> contextlib.AbstractAsyncContextManager[None]:
    """Another process has saved with a key that these owners do not have."""
    return another_saves(at, RedisStore(server.url, encryption_key=UNKNOWN_KEY))


def over_a_wire(harm: Callable[[LocalRedis, Wire], contextlib.AbstractAsyncContextManager[None]]) -> Play:
    """The same with something between the store and the server."""

    async def arrange(stage: Stage) -> tuple[Sharing, contextlib.AbstractAsyncContextManager[None]]:
        server = await stage.open(LocalRedis())
        wire = await stage.open(Wire(server))
        return await sharing(stage, RedisStore(wire.url), login_timeout=5.0), harm(server, wire)

    return outage(arrange)


def dies_during(command: bytes) -> Play:
    """It dies when the command arrives."""

    @contextlib.asynccontextmanager
    async def happens(server: LocalRedis, wire: Wire) -> AsyncIterator[None]:
        wire.before[command] = server.kill
        yield
        assert not wire.before
        await server.restart()

    return over_a_wire(happens)


@contextlib.asynccontextmanager
async def late(_server: LocalRedis, wire: Wire) -> AsyncIterator[None]:
    """Every answer takes two seconds."""
    wire.delay = 2.0
    yield
    wire.delay = 0.0


def during_login(act: Callable[[LocalRedis], Awaitable[object]]) -> Play:
    """The lock is taken, and lost with everything else before anything is saved."""

    async def play(stage: Stage) -> Outcome:
        server = await stage.open(LocalRedis())
        acts = [act]

        async def login(context: Any) -> Any:
            if context.previous is not None and acts:
                await acts.pop()(server)
            return await PasswordLogin(EMAIL, PASSWORD)(context)

        at = await sharing(stage, RedisStore(server.url), login, login_timeout=5.0)
        await at.met_by_all()
        outcome = await at.outcome(await at.revoked())
        return outcome._replace(left=(*outcome.left, *("nothing happened",) * bool(acts)))

    return play


async def flush(server: LocalRedis) -> None:
    """Everything is gone."""
    async with admin(server) as client:
        await client.flushall()


def _outage(fault: str, play: Play, logins: int | tuple[int, int] = 2) -> Row:
    return Row(PLACE, f"{fault}, Redis", play, within=6.0, logins=logins, saves=True, tells="store.unavailable")


def _miss(fault: str, play: Play) -> Row:
    return Row(PLACE, f"{fault}, Redis", play, within=3.5, saves=True, tells="store.unreadable")


full = told(lambda client: client.config_set("maxmemory", "1"), lambda client: client.config_set("maxmemory", "0"))
replica = told(lambda client: client.replicaof(HOST, 1), lambda client: client.replicaof("NO", "ONE"))
locked_out = told(
    lambda client: client.execute_command("ACL", "SETUSER", "app", "resetpass", ">another"),
    lambda client: client.execute_command("ACL", "SETUSER", "app", f">{PASSWORD}"),
)
crowded = told(lambda client: client.config_set("maxclients", 1), lambda client: client.config_set("maxclients", 1000))

ROWS = (
    _outage("absent at the start", harmed(down, warm=False)),
    _outage("dies while idle", harmed(down)),
    *(
        _outage(f"dies during {name}", dies_during(command), (1, 3))
        for name, command in (("load", LOAD), ("save", SAVE), ("lock", LOCK))
    ),
    _outage("stops answering", harmed(frozen)),
    _outage("stops answering for longer than login_timeout", harmed(frozen, login_timeout=1.0)),
    _outage("answers in 2 s", over_a_wire(late)),
    _miss("value damaged", spoiled("damaged")),
    _miss("value truncated", spoiled("truncated")),
    _miss("value encrypted with an unknown key", harmed(encrypted_otherwise, encryption_key=KEY)),
    _miss("value from a future version", spoiled("of the future")),
    Row(PLACE, "FLUSHALL, Redis", during_login(flush), within=6.0, logins=(1, 2), saves=True),
    _outage("maxmemory reached", harmed(full, "--maxmemory-policy", "noeviction")),
    _outage("read-only replica", harmed(replica)),
    _outage("wrong password", harmed(locked_out)),
    _outage("connection limit", harmed(crowded)),
    Row(
        PLACE,
        "restart between lock and save, Redis",
        during_login(LocalRedis.restart),
        within=6.0,
        logins=(1, 2),
        saves=True,
    ),
)
