"""`RedisStore` on every kind of client and server, each of them real; the permissions it needs; and what is not a Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import redis
from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel

from exterview_auth import ConfigurationError, RedisStore, Token
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from exterview_auth.errors import StoreError
from exterview_auth.stores._redis.client import CONNECTIONS, _inherited
from exterview_auth.stores._redis.errors import COMMAND_TIMEOUT
from tests.kit.redis_clients import COMMANDS, LEASE, RARE_POLLS, admin, cluster, essentials, watched, with_tls
from tests.kit.stores import PASSWORD, assert_one_sentence, eventually, one_login_per_revocation, told

on_redis = pytest.mark.usefixtures("redis_binary", "patient")


@pytest.fixture(autouse=True)
def rare_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a waiter learns, it is notified of."""
    monkeypatch.setattr("exterview_auth.stores._shared.POLL_INTERVAL", RARE_POLLS)


NAME = "application"
"""What an application calls its own connections."""


Served = AbstractAsyncContextManager[tuple[LocalRedis, str]]


@contextlib.asynccontextmanager
async def plain(_directory: Path) -> AsyncIterator[tuple[LocalRedis, str]]:
    """``redis://``."""
    async with LocalRedis() as server:
        yield server, server.url


@contextlib.asynccontextmanager
async def socket(directory: Path) -> AsyncIterator[tuple[LocalRedis, str]]:
    """``unix://``."""
    path = directory / "redis.sock"
    async with LocalRedis("--unixsocket", str(path)) as server:
        yield server, f"unix://{path}?db=1"


@contextlib.asynccontextmanager
async def tls(directory: Path) -> AsyncIterator[tuple[LocalRedis, str]]:
    """``rediss://``."""
    async with with_tls(directory) as certified:
        yield certified.server, certified.url


@contextlib.asynccontextmanager
async def password(_directory: Path) -> AsyncIterator[tuple[LocalRedis, str]]:
    """A URL with the server's password."""
    async with LocalRedis("--requirepass", PASSWORD) as server:
        yield server, f"redis://:{PASSWORD}@{HOST}:{server.port}/2?protocol=3"


@on_redis
@pytest.mark.parametrize("serve", [plain, socket, tls, password], ids=lambda serve: serve.__name__)
async def test_every_kind_of_url_is_served_and_its_connections_are_closed(
    serve: Callable[[Path], Served], tmp_path: Path
) -> None:
    """The stores' section: what was opened for a URL is closed with the store, which can be used again afterwards."""
    async with serve(tmp_path) as (_, url):
        async with RedisStore(url, lease=LEASE) as one, RedisStore(url, lease=LEASE) as two:
            await essentials(one, two)
            await one_login_per_revocation(one, two)
            assert PASSWORD not in repr(one)
        async with Redis.from_url(url) as client:

            async def alone() -> bool:
                return len(await client.client_list()) == 1

            await eventually(alone)
        async with one:
            await one.save("f", Token("again"))
            assert await one.load("f") is not None


class Met(NamedTuple):
    """A server, and what two processes hand to their stores."""

    server: LocalRedis
    one: Any
    two: Any


Meeting = Callable[[Path], AbstractAsyncContextManager[Met]]


def own(serve: Callable[[Path], Served] = plain, kind: Any = Redis, **options: Any) -> Meeting:
    """Return a meeting of two clients of a *kind*, made with *options*."""

    @contextlib.asynccontextmanager
    async def meet(directory: Path) -> AsyncIterator[Met]:
        async with (
            serve(directory) as (server, url),
            kind.from_url(url, client_name=NAME, **options) as one,
            kind.from_url(url, client_name=NAME, **options) as two,
        ):
            yield Met(server, one, two)

    return meet


@contextlib.asynccontextmanager
async def own_sentinel(directory: Path) -> AsyncIterator[Met]:
    """Two clients that ask a Sentinel for the master."""
    async with watched(directory) as (master, sentinel):
        made = [sentinel.master_for("mymaster", client_name=NAME) for _ in range(2)]
        try:
            yield Met(master, *made)
        finally:
            for client in made:
                await client.aclose(close_connection_pool=True)  # the pool is the Sentinel's: a client leaves it open


@contextlib.asynccontextmanager
async def one_for_all(directory: Path) -> AsyncIterator[Met]:
    """One client that both stores use."""
    async with own()(directory) as met:
        yield met._replace(two=met.one)


OWN: dict[str, Meeting] = {
    "plain": own(),
    "decoding": own(decode_responses=True),
    "RESP3": own(protocol=3),
    "RESP3, decoding": own(protocol=3, decode_responses=True),
    "impatient": own(socket_timeout=1),
    "one connection": own(single_connection_client=True),
    "shared": one_for_all,
    "cluster": own(cluster, RedisCluster),
    "sentinel": own_sentinel,
    "TLS": own(tls),
}


@on_redis
@pytest.mark.parametrize("meet", OWN.values(), ids=OWN)
async def test_an_applications_own_client_is_taken_as_it_is_and_never_closed(meet: Meeting, tmp_path: Path) -> None:
    """The stores' section: tokens, leases, news, the fence and one login, and the client's connections stay open."""
    async with meet(tmp_path) as met, admin(met.server) as client:

        async def named() -> set[str]:  # except subscriptions, which end with their last waiter
            return {one["id"] for one in await client.client_list() if one["name"] == NAME and one["sub"] == "0"}

        one, two = RedisStore(met.one, lease=LEASE), RedisStore(met.two, lease=LEASE)
        await essentials(one, two)
        await one_login_per_revocation(one, two)
        connections = await named()
        assert connections
        for store in (one, two):
            await store.aclose()
            await store.aclose()
        assert await named() == connections
        assert await met.one.ping()
        assert repr(one) == "RedisStore('a client of the application')"


@on_redis
async def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    """``rediss://`` means TLS that is looked at: without the authority nothing is sent, and the sentence is clear."""
    async with with_tls(tmp_path) as certified, admin(certified.server) as client:
        async with RedisStore(f"rediss://{HOST}:{certified.port}/0") as store:
            with pytest.raises(
                StoreError,
                match=r"^Redis cannot be used: its certificate is not trusted; put ssl_ca_certs into the URL$",
            ):
                await store.save("a", Token("value"))
        assert await client.keys() == []


KEYS, CHANNELS = "~exterview_auth:*", "&exterview_auth:*"

RULES = (KEYS, CHANNELS, *COMMANDS)

TOLD = (
    "Redis cannot be used: the user's ACL lacks a command, key or channel (NOPERM); grant what help(RedisStore) lists"
)


async def allow(client: Any, user: str, rules: Iterable[str]) -> None:
    """A *user* that may do what *rules* say, and no more."""
    await client.execute_command("ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}", *rules)


@on_redis
async def test_these_commands_keys_and_channels_are_enough() -> None:
    """A user of Redis with them alone can do all that a store does, from a URL and in an application's client."""
    async with LocalRedis() as server, admin(server) as client:
        await allow(client, "app", RULES)
        url = f"redis://app:{PASSWORD}@{HOST}:{server.port}/0"
        async with RedisStore(url, lease=LEASE) as one, RedisStore(url, lease=LEASE) as two:
            await essentials(one, two)
            await one_login_per_revocation(one, two)
        assert await client.execute_command("ACL", "LOG") == []
        await client.flushall()
        async with Redis.from_url(url) as its_own:
            await essentials(RedisStore(its_own, lease=LEASE), RedisStore(its_own, lease=LEASE))


@on_redis
async def test_each_of_them_is_needed() -> None:
    """Without any one of them something fails, Redis says that it was that, and the store that it is the ACL."""
    async with LocalRedis() as server, admin(server) as client:
        few = asyncio.Semaphore(3)  # a busy machine must not be taken for a refusal

        async def tried(rule: str) -> None:
            async with few:
                await goes_without(rule, server, client)

        for outcome in await asyncio.gather(*map(tried, RULES), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome


async def goes_without(missing: str, server: LocalRedis, client: Any) -> None:
    """The essentials do not work for a user without the one rule, all others granted."""
    user = f"not{missing}"
    await allow(client, user, (rule for rule in RULES if rule != missing))
    url = f"redis://{HOST}:{server.port}/0?username={quote(user)}&password={PASSWORD}"
    options: dict[str, Any] = {"lease": LEASE, "namespace": f"exterview_auth:{user}"}
    async with RedisStore(url, **options) as one, RedisStore(url, **options) as two:
        with pytest.raises((StoreError, AssertionError)):
            await essentials(one, two)
        async with one._account_lock("f") as lock:
            calls = one.load("f"), one.save("f", Token("x")), one.delete("f"), lock.try_acquire()
            got = await asyncio.gather(*calls, return_exceptions=True)
            failures = {repr(failure) for failure in got if isinstance(failure, BaseException)}
            assert failures <= {repr(StoreError(TOLD))}, missing
    log = [entry for entry in await client.execute_command("ACL", "LOG", 1000) if entry[b"username"] == user.encode()]
    denied = {(entry[b"reason"].decode(), entry[b"object"].decode()) for entry in log}
    kind = {KEYS: "key", CHANNELS: "channel"}.get(missing, "command")
    assert {reason for reason, _ in denied} == {kind}, missing
    assert kind != "command" or denied == {(kind, missing.removeprefix("+"))}


def client_of(*hosts: str, **options: Any) -> Any:
    """Return a client of a Sentinel that is looked for on *hosts*."""
    return Sentinel([(host, 1) for host in hosts]).master_for("mymaster", **options)  # type: ignore[no-untyped-call]  # redis-py's own


EXPOSED: list[Callable[[], Any]] = [
    *(lambda: "redis://h", lambda: f"redis://user:{PASSWORD}@192.0.2.1:1/2", lambda: "redis://[2001:db8::1]"),
    *(lambda: Redis(host="h"), lambda: Redis.from_url("redis://h"), lambda: RedisCluster("h", 1)),
    *(lambda: client_of("h"), lambda: client_of("127.0.0.1", "h"), lambda: "redis://localhost.example"),
]
PRIVATE: list[Callable[[], Any]] = [
    *(lambda: "redis://", lambda: "redis://localhost:1", lambda: "redis://127.0.0.5", lambda: "redis://[::1]:1"),
    *(lambda: "rediss://h", lambda: "unix:///run/redis.sock", Redis, lambda: Redis(host="h", ssl=True)),
    *(lambda: Redis(unix_socket_path="/run/redis.sock"), lambda: RedisCluster("h", 1, ssl=True)),
    *(lambda: RedisCluster("localhost", 1), lambda: client_of("localhost"), lambda: client_of("h", ssl=True)),
    lambda: SimpleNamespace(eval=Redis.eval, execute_command=Redis.execute_command),
]


@pytest.mark.parametrize(("make", "count"), [*((each, 1) for each in EXPOSED), *((each, 0) for each in PRIVATE)])
async def test_redis_without_tls_on_another_host_is_warned_of_once(
    make: Callable[[], Any], count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Tokens in clear on the network cause one event per store, when it is first used, and no secret shows in it."""
    store = RedisStore(make())
    assert told(caplog, "store.insecure_transport") == []
    for _ in range(3):
        store._entries.clients.current()
        await store.aclose()
    warnings = told(caplog, "store.insecure_transport")
    assert len(warnings) == count
    for warning in warnings:
        assert f"store={repr(store)!r}" in warning
        assert warning.endswith("hint='tokens cross the network unencrypted; use rediss:// (TLS)'")
        assert PASSWORD not in warning
    assert {record.levelname for record in caplog.records} <= {"WARNING"}


NO_URLS = (
    *("", "redis", "localhost:6379", "redis//h", "redis://[::1", "redis://h:port", "redis://h:99999"),
    *("http://h", "valkey://h", "redis+sentinel://h", "file:///tmp/x", f"http://user:{PASSWORD}@h"),
    *(f"redis://user:{PASSWORD}@h:port", f"redis://user:{PASSWORD}/x@h", f"rediss://:{PASSWORD}@h?ssl_cert_reqs=x"),
    *(
        f"redis://h?password={PASSWORD}&db=x",
        "redis://h?socket_timeout=soon",
        f"redis://:{PASSWORD}@h?unknown_option=1",
    ),
)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        *((url, r"this is not one \(\w+Error\)") for url in NO_URLS),
        (f"redis://:12/{PASSWORD}@h", "there is an @ after its host: percent-encode the password"),
        (f"unix://:12/{PASSWORD}@/tmp/x", "there is an @ after its host: percent-encode the password"),
        (f"unix://:12?{PASSWORD}@/tmp/x", "there is an @ after its host: percent-encode the password"),
    ],
)
def test_a_url_that_cannot_serve_is_refused_at_once(url: str, problem: str) -> None:
    """One clear sentence at construction that says what to look for, and nothing of the URL in it."""
    with pytest.raises(ConfigurationError, match=rf"^RedisStore needs a URL such as .*; {problem}$") as caught:
        RedisStore(url)
    assert_one_sentence(caught.value, 200)
    assert caught.value.__context__ is None


def test_the_path_of_a_socket_may_have_an_at_sign() -> None:
    """It is a name of the file system, and what stands before it is hidden."""
    assert repr(RedisStore("unix:///tmp/a@b")) == "RedisStore('unix:///tmp/a@b')"
    assert repr(RedisStore(f"unix://ada:{PASSWORD}@/tmp/a@b")) == "RedisStore('unix:///tmp/a@b')"


NO_CLIENT = (
    r"URL \(.*\) or a redis\.asyncio client, not \w+",
    r"client, not the class Redis; make an instance",
    r"client of redis\.asyncio; this one would block the event loop",
)


@pytest.mark.parametrize(
    "client",
    [
        *(None, 5, b"redis://h", ["redis://h"], object(), Redis, Redis.from_url, redis.Redis(), redis.Redis),
        *(ConnectionPool.from_url(f"redis://:{PASSWORD}@h"), redis.RedisError(f"redis://:{PASSWORD}@h")),
        *(SimpleNamespace(eval=Redis.eval), SimpleNamespace(execute_command=Redis.execute_command)),
    ],
    ids=lambda client: type(client).__name__,
)
def test_an_invalid_client_is_refused_at_once(client: Any) -> None:
    """A class, a pool, a client that would block the loop, half a client, and anything else."""
    with pytest.raises(ConfigurationError, match=f"^RedisStore needs a ({'|'.join(NO_CLIENT)})$") as caught:
        RedisStore(client)
    assert_one_sentence(caught.value, 200)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("closes", [False, True])
async def test_a_forked_child_has_connections_of_its_own(closes: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter of the test
    """Those of a URL are kept for the parent, also if the child closes first; an application's client cannot be shared."""
    store, used, unused = RedisStore("redis://h"), RedisStore(Redis(host="h")), RedisStore(Redis(host="h"))
    parents = store._entries.clients.current()
    assert store._entries.clients.current() is parents
    used._entries.clients.current()
    other = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    if closes:
        await store.aclose()
        await used.aclose()
    child = store._entries.clients.current()
    assert child.client is not parents.client
    assert parents in [kept for each in _inherited for kept in each.values()]  # type: ignore[attr-defined]  # kept alive
    assert store._entries.clients.current() is child
    assert unused._entries.clients.current() is unused._entries.clients.current()
    with pytest.raises(StoreError, match="its client was used before the fork; make one in each process"):
        used._entries.clients.current()
    await store.aclose()
    assert store._entries.clients.current() is not child


def test_a_connection_made_from_a_url_has_neither_bounds_nor_repetitions_of_its_own() -> None:
    """A lock that was taken is not to be taken again; who waits for a connection waits as long as for a command."""
    store = RedisStore("redis://h:6390/2")

    async def pool() -> Any:
        return store._entries.clients.current().client.connection_pool

    made = asyncio.run(pool())
    assert (made.max_connections, made.timeout) == (CONNECTIONS, COMMAND_TIMEOUT) == (64, 1)
    connection = made.connection_class(**made.connection_kwargs)
    assert (connection.host, connection.port, connection.db) == ("h", 6390, 2)
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (None, None)
    assert connection.socket_keepalive is True
    assert (connection.retry.get_retries(), connection.protocol, connection.driver_info) == (0, 2, None)


@pytest.mark.parametrize("namespace", ["", None, 5, b"x", "a{b", "a}b"])
def test_a_namespace_is_text_that_a_cluster_can_hash_around(namespace: Any) -> None:
    """All keys of an account lie in one slot of a cluster."""
    with pytest.raises(ConfigurationError, match=r"^namespace must be printable text without braces"):
        RedisStore("redis://h", namespace=namespace)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://user:{PASSWORD}@h:1/2", "redis://h:1"),
        (f"rediss://:p@{PASSWORD}@h/0", "rediss://h"),
        (f"redis://h/0?username=user&password={PASSWORD}", "redis://h"),
        (f"unix://user:{PASSWORD}@/run/redis.sock?password={PASSWORD}", "unix:///run/redis.sock"),
        ("unix:///run/redis@1.sock", "unix:///run/redis@1.sock"),  # in a path, an @ is not a password's
    ],
)
def test_a_store_shows_where_it_connects_to_and_no_credentials(url: str, shown: str) -> None:
    """What stands in a log says which server, and no more."""
    store = RedisStore(url)
    assert repr(store) == str(store) == f"RedisStore({shown!r})"


WITHOUT = """
import sys
sys.modules[{missing!r}] = None  # importing it raises ModuleNotFoundError
from exterview_auth import *
try:
    {call}
except ConfigurationError as problem:
    print(problem, MemoryStore(), sep=chr(10))
"""


@pytest.mark.parametrize(
    ("missing", "extra", "call"),
    [
        ("redis", "redis", "RedisStore('redis://h')"),
        ("cryptography", "crypto", "RedisStore('redis://h', encryption_key='k' * 43 + '=')"),
        ("cryptography", "crypto", "FileStore('.'), FileStore('.', encryption_key='k' * 43 + '=')"),
    ],
)
def test_without_a_library_the_store_names_the_extra(missing: str, extra: str, call: str, tmp_path: Path) -> None:
    """Contract, names: the extra is what this store or its encryption needs, and nothing else."""
    code = WITHOUT.format(missing=missing, call=call)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    problem, memory = ran.stdout.splitlines()
    assert re.fullmatch(rf"\w+ needs {missing}: install exterview_auth with its extra `{extra}`", problem)
    assert memory.startswith("MemoryStore(")


def test_loops_that_have_ended_are_forgotten() -> None:
    """Each `asyncio.run` has connections of its own, and none of those before is kept."""
    clients = RedisStore("redis://h")._entries.clients

    async def here() -> Any:
        return clients.current()

    made = [asyncio.run(here()) for _ in range(3)]
    assert len({id(each) for each in made}) == 3
    assert list(clients._by_loop.values()) == made[2:]
