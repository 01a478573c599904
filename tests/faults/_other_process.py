"""Another process that shares the account, and an owner in this one beside it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

from exterview_auth import AuthSession, ExterviewAuth, OAuth2Login
from exterview_auth._cli.demo.redis_server import LocalRedis
from tests.kit.api import until
from tests.kit.workers import ACCOUNT, Fleet, Realm, Worker, WorkerPool

from ._row import Outcome, Play
from ._sharing import locked
from ._stage import Met, Stage, comes_true, crowd, post

LEASE = 1.0


class Beside(NamedTuple):
    """Another process, and an owner in this one, at the same API."""

    stage: Stage
    realm: Realm
    fleet: Fleet
    other: Worker
    auth: ExterviewAuth
    client: AuthSession

    async def post(self) -> int:
        """Send a request from this process; return its status."""
        return await post(self.client)

    async def met_by(self, callers: int = 5) -> Met:
        """Return what so many concurrent callers of this process get."""
        return await crowd(self.post() for _ in range(callers))

    async def other_logs_in(self, requests: int = 5) -> Any:
        """Have the other process take the lock, and its login not answered; return what its requests will get."""
        self.realm.hold_logins(1)
        order = self.other.begin("send", requests=requests)
        await until(lambda: len(self.realm.logins) == 1)
        return order

    async def all_wait(self, callers: int = 5) -> None:
        """Wait until so many callers of this process wait."""
        await until(lambda: self.auth.stats().waiting == callers)

    async def outcome(self, met: Met, *left: str) -> Outcome:
        """Return what is seen after the fault; the first login was before it."""
        logins = len(self.realm.logins) - 1
        then, later = await self.stage.afterwards(self.post)
        saved = await self._newest_is_saved()
        async with self.fleet.store() as store:
            left = (*left, *await locked(store, self.realm.account))
        return Outcome(met.got, met.seconds, logins, then, later, saved, left)

    async def _newest_is_saved(self) -> bool:
        async def is_saved() -> bool:
            stored = await self.fleet.stored()
            return stored is not None and stored.value == f"token-{len(self.realm.logins)}"

        return await comes_true(is_saved)


@contextlib.asynccontextmanager
async def beside(stage: Stage, place: str) -> AsyncIterator[Beside]:
    """Another process, and an owner in this one, with a store at *place*."""
    pool = WorkerPool()
    async with Realm() as realm:
        fleet = Fleet(pool, realm, place, lease=LEASE)
        try:
            (other,) = await fleet.join(1)
            store = await stage.open(fleet.store())
            login = OAuth2Login(
                f"{realm.origin}/token", "client", client_secret="secret", headers={"X-Pid": str(os.getpid())}
            )
            options: dict[str, Any] = {"store": store, "account": ACCOUNT, "login_timeout": 10.0}
            auth = stage.owner(login, f"{realm.origin}/graphql", **options)
            yield Beside(stage, realm, fleet, other, auth, AuthSession(stage.session(), auth))
        finally:
            realm.release_logins()
            await fleet.leave()
            await pool.close()


def on_files(scenario: Callable[[Beside], Awaitable[Outcome]]) -> Play:
    """Return *scenario* with a directory."""

    async def play(stage: Stage) -> Outcome:
        return await scenario(await stage.open(beside(stage, str(stage.directory / "tokens"))))

    return play


def on_redis(scenario: Callable[[Beside], Awaitable[Outcome]]) -> Play:
    """Return *scenario* with a Redis."""

    async def play(stage: Stage) -> Outcome:
        server = await stage.open(LocalRedis())
        return await scenario(await stage.open(beside(stage, server.url)))

    return play
