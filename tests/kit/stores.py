"""Stores in tests: what they hold, owners that share one, and entries that are damaged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from exterview_auth import (
    AuthSession,
    ExterviewAuth,
    ExterviewAuthError,
    FileStore,
    MemoryStore,
    RedisStore,
    Token,
)
from tests.kit.api import KEY, Api, Login, post

ACCOUNT = "user@example.com"

PASSWORD = "s3cret-password"


async def eventually(look: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    """Wait until *look* finds something true."""
    async with asyncio.timeout(seconds):
        while not await look():  # noqa: ASYNC110 - what a server knows is not ours to signal
            await asyncio.sleep(0.01)


async def loaded(store: Any, account: str) -> Token:
    """Return the token that must be there."""
    token: Token | None = await store.load(account)
    assert token is not None
    return token


def content(token: Token | None) -> tuple[str, str | None] | None:
    """Return the token's texts."""
    return None if token is None else (token.value, token.refresh_token)


class Fleet(NamedTuple):
    """Owners of one account, each with a store of its own: so many processes."""

    api: Api
    login: Login
    owners: list[ExterviewAuth]
    clients: list[AuthSession]

    async def storm(self) -> None:
        """Send five requests through each owner, all of which succeed."""
        answers = await asyncio.gather(*(post(client, self.api.endpoint) for client in self.clients * 5))
        assert {status for status, _ in answers} == {200}


@contextlib.asynccontextmanager
async def fleet(*stores: Any) -> AsyncIterator[Fleet]:
    """An owner for each of *stores*."""
    async with Api() as api, aiohttp.ClientSession() as http, contextlib.AsyncExitStack() as stack:
        login = Login(api, seconds=0.02)
        options: dict[str, Any] = {"api_key": KEY, "endpoint": api.endpoint, "account": ACCOUNT}
        owners = [await stack.enter_async_context(ExterviewAuth(login, store=store, **options)) for store in stores]
        yield Fleet(api, login, owners, [AuthSession(http, owner) for owner in owners])


async def one_login_per_revocation(one: Any, two: Any) -> None:
    """Two owners with one account: a login at the start, and one for each revocation, whoever makes it."""
    async with fleet(one, two) as scene:
        for logins in (1, 2):
            await scene.storm()
            assert scene.login.count == logins
            scene.api.revoke()
        assert sum(owner.stats().store_failures for owner in scene.owners) == 0


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    """Return the texts of all events called *event*."""
    texts = [record.getMessage() for record in caplog.records if record.name == "exterview_auth"]
    return [text for text in texts if text.partition(" ")[0] == event]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "damaged": lambda _: b"\x00\xff damaged",
    "truncated": lambda entry: entry[: len(entry) // 2],
    "of the future": lambda _: b'exterview_auth/3 {"token":"token-of-the-future"}',
}
"""What may have become of an entry."""


def assert_one_sentence(error: ExterviewAuthError, most: int = 500) -> None:
    """Check for one line of at most so many characters, alone, and without a secret."""
    assert PASSWORD not in repr(error)
    assert "\n" not in str(error)
    assert len(str(error)) < most
    assert error.__cause__ is None


class KeepingStore:
    """The four methods that the contract asks for, with `Token` objects kept as they are."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    async def load(self, account: str) -> Token | None:
        found: Token | None = self.entries.get(account)
        return found

    async def save(self, account: str, token: Token) -> None:
        self.entries[account] = token

    async def delete(self, account: str) -> None:
        self.entries.pop(account, None)

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        yield


class RebuildingStore(KeepingStore):
    """Keeps texts and numbers, as a store on a database does: who issued a token is not among them."""

    async def load(self, account: str) -> Token | None:
        found = self.entries.get(account)
        if found is None:
            return None
        token = Token(found[0], expires_in=found[1], refresh_token=found[2])
        return token if found[1] else token.with_remaining(0)

    async def save(self, account: str, token: Token) -> None:
        self.entries[account] = (str(token.value), token.expires_in, token.refresh_token)


STORE_MAKERS: dict[str, Callable[[str, Path], Any]] = {
    "memory": lambda _redis, _path: MemoryStore(),
    "file": lambda _redis, path: FileStore(path / "tokens"),
    "redis": lambda redis, _path: RedisStore(redis),
    "keeping": lambda _redis, _path: KeepingStore(),
    "rebuilding": lambda _redis, _path: RebuildingStore(),
}
"""Every kind of store, in a Redis at a URL or in a directory."""
