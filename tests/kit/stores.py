"""Stores in tests: owners that share one, what they must do while it fails, and entries that are damaged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import aiohttp
import pytest

from exterview_auth import AuthSession, ConfigurationError, ExterviewAuth, Token
from tests.kit.api import KEY, Api, Login, post, until

ACCOUNT = "user@example.com"

PASSWORD = "s3cret-password"


async def eventually(look: Callable[[], Awaitable[object]], seconds: float = 10.0) -> None:
    """Wait until *look* finds something true."""
    async with asyncio.timeout(seconds):
        while not await look():  # noqa: ASYNC110 - what a server knows is not ours to signal
            await asyncio.sleep(0.01)


async def loaded(store: Any, account: str) -> Token:
    """The token that must be there."""
    token: Token | None = await store.load(account)
    assert token is not None
    return token


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


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    """The texts of all events called *event*."""
    texts = [record.getMessage() for record in caplog.records if record.name == "exterview_auth"]
    return [text for text in texts if text.partition(" ")[0] == event]


async def hears(caplog: pytest.LogCaptureFixture, event: str, times: int = 1, seconds: float = 15.0) -> None:
    """Wait for the event."""
    await until(lambda: len(told(caplog, event)) >= times, seconds)


LONGEST_WAIT = 2.0
"""Seconds that a request waits for a failing store, once per outage."""

MARGIN = 1.5

AT_ONCE = 0.7
"""Seconds within which all is done that waits for no store; less than a silent one takes."""

SECRETS = (PASSWORD, "token-", KEY, ACCOUNT.partition("@")[0] + ":")


async def survives(scene: Fleet, caplog: pytest.LogCaptureFixture, problem: str, *, wait: float = LONGEST_WAIT) -> None:
    """
    Rule 17 while the one store of all owners fails: every request succeeds, each owner logs in for itself.

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


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "damaged": (lambda _: b"\x00\xff damaged", "it is damaged"),
    "truncated": (lambda entry: entry[: len(entry) // 2], "it is damaged"),
    "empty": (lambda _: b"", "it is damaged"),
    "encrypted": (
        lambda _: b"exterview_auth/1 1700000000.000000 gAAAAABlunreadable",
        "it is damaged, or encrypted and the store has no encryption_key",
    ),
    "of the future": (
        lambda _: b'exterview_auth/2 1700000000.000000 {"token":"token-of-the-future"}',
        "a newer version of exterview_auth has written it",
    ),
}
"""What may have become of an entry, and what the log says of it."""


async def is_a_miss(scene: Fleet, caplog: pytest.LogCaptureFixture, problem: str) -> None:
    """One login and one warning for an entry that cannot be read; the next login replaces it for good."""
    assert await scene.revoked() < LONGEST_WAIT + MARGIN
    assert scene.login.count == 2
    (warning,) = told(caplog, "store.unreadable")
    assert f"an entry is ignored: {problem}" in warning
    assert "token-of" not in caplog.text
    assert told(caplog, "store.unavailable") == []
    await scene.revoked()
    assert scene.login.count == 3
    assert len(told(caplog, "store.unreadable")) == 1


def assert_one_sentence(error: ConfigurationError, most: int = 500) -> None:
    """One line of at most so many characters, alone, and without a secret."""
    assert PASSWORD not in repr(error)
    assert "\n" not in str(error)
    assert len(str(error)) < most
    assert error.__cause__ is None
