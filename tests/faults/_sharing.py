"""Two owners of one account with one store, and what a failing store costs them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, NamedTuple

from cryptography.fernet import Fernet

from exterview_auth import AuthSession, FileStore, PasswordLogin, RedisStore, Token
from exterview_auth.errors import StoreError
from tests.kit.api import until
from tests.kit.stores import told

from ._raw_server import RawServer
from ._row import Outcome, Play
from ._stage import EMAIL, PASSWORD, Counted, Got, Met, Stage, comes_true, crowd, post

Harm = AbstractContextManager[object] | AbstractAsyncContextManager[object]
KEY, UNKNOWN_KEY = Fernet.generate_key().decode(), Fernet.generate_key().decode()
CALLERS = 3
"""Of each owner."""


class Sharing(NamedTuple):
    """What the rows about stores need."""

    stage: Stage
    server: RawServer
    login: Counted
    store: Any
    clients: tuple[AuthSession, ...]

    @property
    def account(self) -> str:
        """Its name in the store."""
        return f"{self.server.origin}|{EMAIL}"

    async def met_by_all(self) -> Met:
        """What the callers of both owners get."""
        return await crowd(post(client) for client in self.clients * CALLERS)

    async def revoked(self) -> Met:
        """The same, their token being refused; logins are counted from here on."""
        self.server.tokens.clear()
        self.login.count = 0
        return await self.met_by_all()

    async def outcome(self, met: Met, *left: str) -> Outcome:
        """What is seen after the store was healed: it is used, and shared, and nobody holds its lock."""
        logins = self.login.count
        await self._recovered()
        saved = await self._newest_is_saved()
        again = await self.revoked()
        alone = ("the store is not shared again",) * (self.login.count != 1)
        return Outcome(
            met.got,
            met.seconds,
            logins,
            _worst(again),
            saved=saved,
            left=(*left, *alone, *await locked(self.store, self.account)),
        )

    async def _recovered(self) -> None:
        caplog = self.stage.caplog
        await until(lambda: len(told(caplog, "store.unavailable")) == len(told(caplog, "store.recovered")))

    async def _newest_is_saved(self) -> bool:
        async def is_saved() -> bool:
            with contextlib.suppress(StoreError):
                stored = await self.store.load(self.account)
                good = stored is not None and stored.value in self.server.tokens
                return good and stored.refresh_token == stored.value.replace("token", "refresh")
            return False

        return await comes_true(is_saved)


async def locked(store: Any, account: str) -> list[str]:
    """What is wrong where the lock is not free."""
    try:
        async with asyncio.timeout(20), store.lock(account):
            return []
    except TimeoutError:
        return ["the lock is held"]


def _worst(met: Met) -> Got:
    """An error where there is one."""
    return next((got for got in met.got if got != 200), 200)


async def sharing(stage: Stage, store: Any, login: Any = None, **options: Any) -> Sharing:
    """Two owners of *store*, which is closed after them."""
    await stage.open(contextlib.aclosing(store))
    server = await stage.open(RawServer())
    counted = Counted(login or PasswordLogin(EMAIL, PASSWORD))
    owners = [stage.owner(counted, server.endpoint, store=store, **options) for _ in range(2)]
    http = stage.session()
    return Sharing(stage, server, counted, store, tuple(AuthSession(http, owner) for owner in owners))


@contextlib.asynccontextmanager
async def another_saves(at: Sharing, store: FileStore | RedisStore) -> AsyncIterator[None]:
    """Another process has saved, with a *store* whose key these owners do not have."""
    async with store:
        await store.save(at.account, Token("token-0", expires_in=3600, refresh_token="refresh-0"))
    yield


def outage(arrange: Callable[[Stage], Awaitable[tuple[Sharing, Harm]]], *, warm: bool = True) -> Play:
    """All tokens are revoked while the store is harmed; *warm*: it served before."""

    async def play(stage: Stage) -> Outcome:
        at, harm = await arrange(stage)
        if warm:
            await at.met_by_all()
        async with contextlib.AsyncExitStack() as harmed:
            if isinstance(harm, AbstractAsyncContextManager):
                await harmed.enter_async_context(harm)
            else:
                harmed.enter_context(harm)
            met = await at.revoked()
        return await at.outcome(met)

    return play
