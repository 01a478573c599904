"""`RedisStore` on every kind of client and server, each of them real; the permissions it needs; and what is not a Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import redis
from redis.asyncio import ConnectionPool, Redis, RedisCluster

from exterview_auth import ConfigurationError, RedisStore, Token
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from exterview_auth.errors import StoreError
from exterview_auth.stores._redis.client import CONNECTIONS, _inherited
from exterview_auth.stores._redis.errors import COMMAND_TIMEOUT
from tests.kit.redis_clients import COMMANDS, LEASE, admin, cluster, essentials, watched, with_tls
from tests.kit.stores import PASSWORD, assert_one_sentence, eventually, one_login_per_revocation

on_redis = pytest.mark.usefixtures("redis_binary")

NAME = "application"
"""What an application calls its own connections."""


class Met(NamedTuple):
    """A server, and what two processes hand to their stores."""

    server: LocalRedis
    one: Any
    two: Any


Meeting = Callable[[Path], AbstractAsyncContextManager[Met]]


def own(**options: Any) -> Meeting:
    """Two clients made with *options*."""

    @contextlib.asynccontextmanager
    async def meet(_directory: Path) -> AsyncIterator[Met]:
        async with LocalRedis() as server, contextlib.AsyncExitStack() as stack:
            made = [Redis.from_url(server.url, client_name=NAME, **options) for _ in range(2)]
            yield Met(server, *[await stack.enter_async_context(client) for client in made])

    return meet


@contextlib.asynccontextmanager
async def own_cluster(_directory: Path) -> AsyncIterator[Met]:
    """Two clients of a cluster."""
    async with (
        cluster() as server,
        RedisCluster.from_url(server.url, client_name=NAME) as one,
        RedisCluster.from_url(server.url, client_name=NAME) as two,
    ):
        yield Met(server, one, two)


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
async def own_tls(directory: Path) -> AsyncIterator[Met]:
    """Two clients on TLS."""
    async with with_tls(directory) as certified:
        options: dict[str, Any] = {
            "host": HOST,
            "port": certified.port,
            "ssl": True,
            "ssl_ca_certs": str(certified.authority),
        }
        async with Redis(client_name=NAME, **options) as one, Redis(client_name=NAME, **options) as two:
            yield Met(certified.server, one, two)


@contextlib.asynccontextmanager
async def one_for_all(directory: Path) -> AsyncIterator[Met]:
    """One client that both stores use."""
    async with own()(directory) as met:
        yield met._replace(two=met.one)


OWN: dict[str, Meeting] = {
    "plain": own(),
    "decoding": own(decode_responses=True),
    "decoding, with escapes": own(decode_responses=True, encoding_errors="surrogateescape"),
    "RESP3": own(protocol=3),
    "RESP3, decoding": own(protocol=3, decode_responses=True),
    "RESP2": own(protocol=2),
    "impatient": own(socket_timeout=0.2),
    "one connection": own(single_connection_client=True),
    "shared": one_for_all,
    "cluster": own_cluster,
    "sentinel": own_sentinel,
    "TLS": own_tls,
}


@pytest.mark.asyncio
@on_redis
@pytest.mark.parametrize("meet", OWN.values(), ids=OWN)
async def test_an_applications_own_client_is_taken_as_it_is_and_never_closed(meet: Meeting, tmp_path: Path) -> None:
    """The stores' section: tokens, leases, news, the fence and one login, and the client's connections stay open."""
    async with meet(tmp_path) as met, admin(met.server) as client:
        one, two = RedisStore(met.one, lease=LEASE), RedisStore(met.two, lease=LEASE)
        await essentials(one, two)
        await one_login_per_revocation(one, two)
        connections = await named(client)
        assert connections
        for store in (one, two):
            await store.aclose()
            await store.aclose()
        assert await named(client) == connections
        assert await met.one.ping()
        assert repr(one) == "RedisStore('a client of the application')"


async def named(client: Any) -> set[str]:
    """The application's own connections, those that listen left out: they end with who waits."""
    return {one["id"] for one in await client.client_list() if one["name"] == NAME and one["sub"] == "0"}


@contextlib.asynccontextmanager
async def plain_url(_directory: Path) -> AsyncIterator[Met]:
    """``redis://``."""
    async with LocalRedis() as server:
        yield Met(server, server.url, server.url)


@contextlib.asynccontextmanager
async def socket_url(directory: Path) -> AsyncIterator[Met]:
    """``unix://``."""
    path = directory / "redis.sock"
    async with LocalRedis("--unixsocket", str(path)) as server:
        yield Met(server, f"unix://{path}?db=1", f"unix://{path}?db=1")


@contextlib.asynccontextmanager
async def tls_url(directory: Path) -> AsyncIterator[Met]:
    """``rediss://``."""
    async with with_tls(directory) as certified:
        yield Met(certified.server, certified.url, certified.url)


@contextlib.asynccontextmanager
async def password_url(_directory: Path) -> AsyncIterator[Met]:
    """A URL with the server's password."""
    async with LocalRedis("--requirepass", PASSWORD) as server:
        url = f"redis://:{PASSWORD}@{HOST}:{server.port}/2?protocol=3"
        yield Met(server, url, url)


URLS: dict[str, Meeting] = {"redis": plain_url, "unix": socket_url, "rediss": tls_url, "password": password_url}


@pytest.mark.asyncio
@on_redis
@pytest.mark.parametrize("meet", URLS.values(), ids=URLS)
async def test_every_kind_of_url_is_served_and_its_connections_are_closed(meet: Meeting, tmp_path: Path) -> None:
    """The stores' section: what was opened for a URL is closed with the store, which can be used again afterwards."""
    async with meet(tmp_path) as met:
        async with RedisStore(met.one, lease=LEASE) as one, RedisStore(met.two, lease=LEASE) as two:
            await essentials(one, two)
            await one_login_per_revocation(one, two)
            assert PASSWORD not in repr(one)
        async with Redis.from_url(met.one) as client:
            await only_itself(client)
        await one.save("f", Token("again"))
        async with one:
            assert await one.load("f") is not None


async def only_itself(client: Any) -> None:
    """Wait until the server knows no connection but that of *client*."""

    async def alone() -> bool:
        return len(await client.client_list()) == 1

    await eventually(alone)


@pytest.mark.asyncio
@on_redis
async def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    """``rediss://`` means TLS that is looked at: without the authority nothing is sent, and the sentence is clear."""
    async with with_tls(tmp_path) as certified:
        async with RedisStore(f"rediss://{HOST}:{certified.port}/0") as store:
            with pytest.raises(StoreError, match=r"^Redis cannot be used: it cannot be reached$"):
                await store.save("a", Token("value"))
        async with admin(certified.server) as client:
            assert await client.keys() == []


KEYS, CHANNELS = "~exterview_auth:*", "&exterview_auth:*"

RULES = (KEYS, CHANNELS, *COMMANDS)

TOLD = "Redis cannot be used: the user's ACL lacks a command, key or channel; see the README for those needed"


async def allow(client: Any, user: str, rules: Iterable[str]) -> None:
    """A *user* that may do what *rules* say, and no more."""
    await client.execute_command("ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}", *rules)


@pytest.mark.asyncio
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


@pytest.mark.asyncio
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
        async with one.account_lock("f") as lock:
            calls = (
                partial(one.load, "f"),
                partial(one.save, "f", Token("x")),
                partial(one.delete, "f"),
                lock.try_acquire,
            )
            assert {await problem(call) for call in calls} <= {"", TOLD}, missing
    log = [entry for entry in await client.execute_command("ACL", "LOG", 1000) if entry[b"username"] == user.encode()]
    denied = {(entry[b"reason"].decode(), entry[b"object"].decode()) for entry in log}
    kind = {KEYS: "key", CHANNELS: "channel"}.get(missing, "command")
    assert {reason for reason, _ in denied} == {kind}, missing
    assert kind != "command" or denied == {(kind, missing.removeprefix("+"))}


async def problem(call: Callable[[], Awaitable[Any]]) -> str:
    """What *call* complains of."""
    try:
        await call()
    except StoreError as failure:
        return str(failure)
    return ""


NO_URLS = (
    *("", "redis", "localhost:6379", "redis//h", "redis://[::1", "redis://h:port", "redis://h:99999"),
    *("http://h", "https://h", "valkey://h", "redis+sentinel://h", "file:///tmp/x"),
    *(f"redis://user:{PASSWORD}@h:port", f"http://user:{PASSWORD}@h", f"redis://user:{PASSWORD}/x@h"),
    *(
        f"redis://h?password={PASSWORD}&db=x",
        "redis://h?socket_timeout=soon",
        f"redis://:{PASSWORD}@h?unknown_option=1",
    ),
    *(f"rediss://:{PASSWORD}@h?ssl_cert_reqs=unheard-of", f"redis://user:12/{PASSWORD}@h"),
)


@pytest.mark.parametrize("url", NO_URLS)
def test_a_url_that_cannot_serve_is_refused_at_once(url: str) -> None:
    """One clear sentence at construction, and nothing of the URL in it."""
    with pytest.raises(
        ConfigurationError, match=r"^(RedisStore needs a URL such as|the URL of RedisStore has) "
    ) as caught:
        RedisStore(url)
    assert_one_sentence(caught.value, 200)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "client",
    [
        *(None, 5, b"redis://h", ["redis://h"], object(), Redis, Redis.from_url, redis.Redis(), redis.Redis),
        *(ConnectionPool.from_url(f"redis://:{PASSWORD}@h"), redis.RedisError(f"redis://:{PASSWORD}@h")),
    ],
    ids=lambda client: type(client).__name__,
)
def test_an_invalid_client_is_refused_at_once(client: Any) -> None:
    """A class, a pool, a client that would block the loop, and anything else."""
    with pytest.raises(ConfigurationError, match=r"^RedisStore needs a (URL|client)") as caught:
        RedisStore(client)
    assert_one_sentence(caught.value, 200)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("missing", ["eval", "execute_command"])
def test_half_a_client_is_refused(missing: str) -> None:
    """An object that runs commands and has no scripts, or the other way round, is not a client of Redis."""

    class Half:
        async def execute_command(self) -> None: ...

        async def eval(self) -> None: ...

    delattr(Half, missing)
    with pytest.raises(ConfigurationError, match=r"^RedisStore needs a URL .* or a redis\.asyncio client, not Half$"):
        RedisStore(Half())


@pytest.mark.asyncio
async def test_a_forked_child_has_connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 20: those made from a URL are left to the parent, untouched; an application's client cannot be shared with it."""
    store, used, unused = RedisStore("redis://h"), RedisStore(Redis(host="h")), RedisStore(Redis(host="h"))
    parents = store._entries.clients.current()
    assert store._entries.clients.current() is parents
    used._entries.clients.current()
    other = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    child = store._entries.clients.current()
    assert child.client is not parents.client
    assert parents in [kept for each in _inherited for kept in each.values()]  # type: ignore[attr-defined]  # kept alive
    assert store._entries.clients.current() is child
    assert unused._entries.clients.current() is unused._entries.clients.current()
    with pytest.raises(StoreError, match="its client was used before the fork; make one in each process"):
        used._entries.clients.current()
    await store.aclose()
    assert store._entries.clients.current() is not child


@pytest.mark.asyncio
async def test_a_forked_child_that_closes_first_leaves_all_to_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 20: closing is no use; the parent's connection is kept alive, and its client still cannot be shared."""
    store, used = RedisStore("redis://h"), RedisStore(Redis(host="h"))
    parents = store._entries.clients.current()
    used._entries.clients.current()
    other = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    await store.aclose()
    await used.aclose()
    assert parents in [kept for each in _inherited for kept in each.values()]  # type: ignore[attr-defined]  # kept alive
    assert store._entries.clients.current().client is not parents.client
    with pytest.raises(StoreError, match="its client was used before the fork"):
        used._entries.clients.current()


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
    ],
)
def test_a_store_shows_where_it_connects_to_and_no_credentials(url: str, shown: str) -> None:
    """What stands in a log says which server, and no more."""
    store = RedisStore(url)
    assert repr(store) == str(store) == f"RedisStore({shown!r})"


WITHOUT = """
import sys
from importlib.abc import MetaPathFinder


class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Missing())
import exterview_auth
{program}
"""


def without(missing: str, program: str) -> str:
    """What *program* prints where *missing* is not installed."""
    code = WITHOUT.format(missing=missing, program=program)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    return ran.stdout.strip()


def test_without_redis_the_package_is_imported_and_the_store_names_the_extra() -> None:
    """Contract, names: the extra is what the store needs, and only the store."""
    program = """
from exterview_auth import *
assert hasattr(exterview_auth, "RedisStore")
try:
    RedisStore("redis://h")
except ConfigurationError as missing:
    print(type(missing).__name__, missing)
print(exterview_auth.MemoryStore())
"""
    told, memory = without("redis", program).splitlines()
    assert told.startswith("ConfigurationError RedisStore needs redis")
    assert "pip install 'exterview-auth[redis]'" in told
    assert memory.startswith("MemoryStore(")


@pytest.mark.parametrize("store", ["RedisStore('redis://h'", "FileStore('.'"])
def test_without_cryptography_an_encryption_key_names_the_extra(store: str) -> None:
    """Contract, names: encryption at rest is an extra; a store without a key needs none."""
    program = f"""
import os, tempfile
os.chdir(tempfile.mkdtemp())
{store.partition("'")[0].removesuffix("(")} = exterview_auth.{store.partition("(")[0]}
{store})
try:
    {store}, encryption_key="{"k" * 43}=")
except exterview_auth.ConfigurationError as problem:
    print(problem)
"""
    assert without("cryptography", program) == (
        "encryption_key needs cryptography; run: pip install 'exterview-auth[crypto]'"
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://h", "this is not one (ValueError)"),
        (f"redis://h?unknown={PASSWORD}", "this is not one (TypeError)"),
        (f"redis://:12/{PASSWORD}@h", "there is an @ after its host: percent-encode the password"),
    ],
)
def test_the_error_says_what_is_wrong_with_a_url(url: str, problem: str) -> None:
    """One sentence that says what to look for."""
    with pytest.raises(ConfigurationError) as caught:
        RedisStore(url)
    assert problem in str(caught.value)


def test_a_socket_may_have_any_name() -> None:
    """In the path of a file an @ is no password's."""
    assert repr(RedisStore("unix:///run/redis@1.sock")) == "RedisStore('unix:///run/redis@1.sock')"


def test_loops_that_have_ended_are_forgotten() -> None:
    """Rule 20: each `asyncio.run` has connections of its own, and none of those before is kept."""
    clients = RedisStore("redis://h")._entries.clients

    async def here() -> Any:
        return clients.current()

    made = [asyncio.run(here()) for _ in range(3)]
    assert len({id(each) for each in made}) == 3
    assert list(clients._by_loop.values()) == made[2:]
