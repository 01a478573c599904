"""Servers of every kind that a store may meet, each a real `redis-server`, and what every one of them has to do."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import shutil
import socket
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel

from exterview_auth import AuthSession, ExterviewAuth, Token
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from exterview_auth.stores._entry import StoredToken
from exterview_auth.stores._lock import POLL_INTERVAL
from tests.kit.api import KEY, Api, Login, post, until

ACCOUNT = "user@example.com"
PASSWORD = "s3cret-password"
COMMANDS = (
    "+eval",
    *("+get", "+set", "+del", "+pexpire", "+time"),
    *("+publish", "+subscribe", "+unsubscribe"),
)
"""All that a user of Redis must be allowed to run."""
LEASE = 0.3
"""Seconds; short, so that a test sees it kept."""


# -- servers -------------------------------------------------------------------------------------------------------------


def value_of(found: StoredToken) -> str | None:
    """The token's text."""
    return None if found.token is None else found.token.value


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
    certificate, key = _certificate(directory)
    port = free_port()
    options = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(certificate))
    async with LocalRedis(*options, "--tls-cert-file", str(certificate), "--tls-key-file", str(key)) as server:
        yield Certified(server, port, certificate)


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[LocalRedis]:
    """A cluster of one node that has all slots."""
    async with LocalRedis("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        async with admin(server) as node:
            await node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)

            async def is_ready() -> bool:
                return b"cluster_state:ok" in await node.execute_command("CLUSTER", "INFO")

            await eventually(is_ready)
        yield server


@contextlib.asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[tuple[LocalRedis, Any]]:
    """A master, and a Sentinel that knows it as ``mymaster``."""
    program, port, rules = shutil.which("redis-server"), free_port(), directory / "sentinel.conf"
    assert program is not None
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


async def eventually(look: Callable[[], Awaitable[object]], seconds: float = 10.0) -> None:
    """Wait until *look* finds something true."""
    async with asyncio.timeout(seconds):
        while not await look():  # noqa: ASYNC110 - what a server knows is not ours to signal
            await asyncio.sleep(0.01)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


def _certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


# -- what every store does ----------------------------------------------------------------------------------------------


async def essentials(one: Any, two: Any) -> None:
    """*one* and *two* stand for two processes, with leases of `LEASE`: what they keep, exclude, hear and fence off."""
    parts = [part(one, two) for part in (_keeps, _excludes_and_hears, _goes_on_hearing, _fences)]
    for outcome in await asyncio.gather(*parts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _keeps(one: Any, two: Any) -> None:
    await one.save("e", Token("value", expires_in=60, refresh_token="refresh"))
    found = await two.load("e")
    assert (found.value, found.refresh_token) == ("value", "refresh")
    assert 50 < found.expires_in <= 60
    await one.delete("e")
    assert await two.load("e") is None


async def _excludes_and_hears(one: Any, two: Any) -> None:
    """The lease is kept for as long as the holder lives, and who waits hears of a save, and of the lock that is free."""
    async with two.account_lock("a") as second:
        async with one.account_lock("a") as first:
            assert await first.try_acquire()
            await asyncio.sleep(2 * LEASE)
            assert not await second.try_acquire(), "the lease was not kept"
            await second.wait_for_change()  # it listens from now on
            async with hearing(second):
                await first.save(Token("new"))
        async with asyncio.timeout(5):
            while not await second.try_acquire():
                await second.wait_for_change()
        assert value_of(await second.read()) == "new"


async def _goes_on_hearing(one: Any, two: Any) -> None:
    """One who no longer waits takes nothing from those who wait for other accounts."""
    async with one.account_lock("b") as first, two.account_lock("b") as second:
        assert await first.try_acquire()
        assert not await second.try_acquire()
        await second.wait_for_change()
        async with one.account_lock("c") as other, two.account_lock("c") as leaving:
            assert await other.try_acquire()
            assert not await leaving.try_acquire()
            await leaving.wait_for_change()
        async with hearing(second):
            await first.save(Token("new"))


async def _fences(one: Any, two: Any) -> None:
    """Whoever was paused beyond its lease does not overwrite what was saved meanwhile, and gets it."""
    async with one.account_lock("d") as paused:
        assert await paused.try_acquire()
        assert value_of(await paused.read()) is None
        await cease(paused)
        async with asyncio.timeout(10), taken(two, "d") as second:
            await second.read()
            assert await second.save(Token("newer")) is None
        kept = await paused.save(Token("late"))
        assert kept is not None
        assert kept.value == "newer"
    assert (await one.load("d")).value == "newer"


@contextlib.asynccontextmanager
async def taken(store: Any, account: str) -> AsyncIterator[Any]:
    """A turn of *store*, as soon as it can be had."""
    while True:
        async with store.account_lock(account) as lock:
            if await lock.try_acquire():
                yield lock
                return
        await asyncio.sleep(0.02)


async def cease(lock: Any) -> None:
    """Have the holder of *lock* show no more sign of life, as if it were paused."""
    keeping: asyncio.Task[None] = lock._renewing
    keeping.cancel()
    await asyncio.wait([keeping])


@contextlib.asynccontextmanager
async def hearing(lock: Any) -> AsyncIterator[None]:
    """*lock* hears of what the body does, and not before; well before it would look by itself."""
    waiting = asyncio.ensure_future(lock.wait_for_change())
    await asyncio.sleep(0.02)
    quiet, began = not waiting.done(), time.monotonic()
    try:
        yield
    finally:
        await waiting
    assert quiet, "there was no news"
    assert time.monotonic() - began < POLL_INTERVAL / 2, "it was not told"


# -- owners -------------------------------------------------------------------------------------------------------------


class Fleet(NamedTuple):
    """Owners of one account, each with a store of its own: so many processes."""

    api: Api
    login: Login
    stores: tuple[Any, ...]
    owners: list[ExterviewAuth]
    clients: list[AuthSession]

    @property
    def account(self) -> str:
        """Its name in a store."""
        return f"{self.api.base}|{ACCOUNT}"

    async def storm(self, requests: int = 5) -> float:
        """So many requests through each owner, all of which succeed; how many seconds the slowest took."""
        began = time.monotonic()
        url = self.api.endpoint
        answers = await asyncio.gather(*(post(client, url) for client in self.clients * requests))
        assert {status for status, _ in answers} == {200}
        return time.monotonic() - began

    async def revoked(self, requests: int = 5) -> float:
        """The same after every token was revoked."""
        self.api.revoke()
        return await self.storm(requests)


@contextlib.asynccontextmanager
async def fleet(*stores: Any, **options: Any) -> AsyncIterator[Fleet]:
    """An owner for each of *stores*."""
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(Api())
        login = options.pop("login", None) or Login(api, seconds=0.02)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        options = {"api_key": KEY, "endpoint": api.endpoint, "account": ACCOUNT, **options}
        owners = [await stack.enter_async_context(ExterviewAuth(login, store=store, **options)) for store in stores]
        yield Fleet(api, login, stores, owners, [AuthSession(http, owner) for owner in owners])


async def one_login_per_revocation(one: Any, two: Any) -> None:
    """Two owners with one account: a login at the start, and one for each revocation, whoever makes it."""
    async with fleet(one, two) as scene:
        await scene.storm()
        assert scene.login.count == 1
        await scene.revoked()
        assert scene.login.count == 2
        assert sum(owner.stats().store_failures for owner in scene.owners) == 0


# -- events -------------------------------------------------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    """The texts of all events called *event*."""
    texts = [record.getMessage() for record in caplog.records if record.name == "exterview_auth"]
    return [text for text in texts if text.partition(" ")[0] == event]


async def hears(caplog: pytest.LogCaptureFixture, event: str, times: int = 1, seconds: float = 15.0) -> None:
    """Wait for the event."""
    await until(lambda: len(told(caplog, event)) >= times, seconds)


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """The body takes no longer."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < seconds, f"{took:.2f} s"


# -- an outage ----------------------------------------------------------------------------------------------------------

LONGEST_WAIT = 2.0
"""Seconds that a request waits for a sick store, once per outage."""
MARGIN = 1.5
AT_ONCE = 0.7
"""Seconds within which all is done that waits for no store; less than a silent one takes."""
SECRETS = (PASSWORD, "token-", KEY, ACCOUNT.partition("@")[0] + ":")


async def survives(scene: Fleet, caplog: pytest.LogCaptureFixture, problem: str, *, wait: float = LONGEST_WAIT) -> None:
    """
    Rule 17 while the one store of all owners is sick: every request succeeds, each owner logs in for itself.

    A request waits once, the next not at all; and one warning says *problem*.
    """
    logins, each = scene.login.count, len(scene.owners)
    assert await scene.revoked() < wait + MARGIN
    assert scene.login.count == logins + each
    assert await scene.revoked() < AT_ONCE
    assert scene.login.count == logins + 2 * each
    assert_one_warning(caplog, problem)


def assert_one_warning(caplog: pytest.LogCaptureFixture, problem: str) -> None:
    """One outage is told once, in one sentence, and nothing that is told holds a secret."""
    (warning,) = told(caplog, "store.unavailable")
    assert problem in warning
    assert "\n" not in warning
    assert len(warning) < 250
    assert not [secret for secret in SECRETS if secret in caplog.text]


async def heals(scene: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """
    Without a restart the store is used again: one login per revocation, and no further warning.

    What was got in the outage is kept in the end, whatever the store held before it: a refresh token must not be lost.
    """
    await hears(caplog, "store.recovered")

    async def is_kept() -> bool:
        stored = await scene.stores[0].load(scene.account)
        return stored is not None and stored.value in scene.api.tokens

    await eventually(is_kept)
    logins = scene.login.count
    await scene.revoked()
    assert scene.login.count == logins + 1
    assert len(told(caplog, "store.unavailable")) == len(told(caplog, "store.recovered")) == 1


def nothing_is_left() -> None:
    """No task of ours outlives its owner."""
    running = [task.get_coro() for task in asyncio.all_tasks()]
    assert [
        one for one in running if "/exterview_auth/" in getattr(one, "cr_code", compile("", "", "exec")).co_filename
    ] == []
