"""A server, an owner that logs in with a password, and a session."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import aiohttp

from exterview_auth import AuthSession, ExterviewAuth, PasswordLogin

from ._raw_server import RawServer
from ._row import Outcome
from ._stage import EMAIL, PASSWORD, Counted, Met, Stage, crowd, post


class Site(NamedTuple):
    """What most rows need."""

    stage: Stage
    server: RawServer
    login: Counted
    auth: ExterviewAuth
    http: aiohttp.ClientSession
    client: AuthSession
    others: list[asyncio.Future[int]]
    """Requests whose result does not count, kept until the row ends."""

    async def post(self, path: str = "/graphql", **options: Any) -> int:
        """Return the status of a request."""
        return await post(self.client, path, **options)

    async def met_by(self, callers: int = 5, longest: float = 12.0, **options: Any) -> Met:
        """Return what so many concurrent callers get."""
        return await crowd((self.post(**options) for _ in range(callers)), longest)

    async def warm(self) -> None:
        """Log in, and do not count that login."""
        assert await self.post() == 200
        self.login.count = 0

    async def outcome(self, met: Met, *left: str) -> Outcome:
        """Return what is seen after the fault."""
        logins = self.login.count
        then, later = await self.stage.afterwards(self.post)
        return Outcome(met.got, met.seconds, logins, then, later, left=left)


async def site(
    stage: Stage,
    server: AbstractAsyncContextManager[RawServer] | None = None,
    login: Any = None,
    connector: aiohttp.BaseConnector | None = None,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> Site:
    """Return a site with *login* instead of the password's, this session, and an owner with *options*."""
    raw = await stage.open(server or RawServer())
    counted = Counted(login or PasswordLogin(EMAIL, PASSWORD))
    http = stage.session(connector=connector, headers=headers, timeout=aiohttp.ClientTimeout(total=20))
    auth = stage.owner(counted, raw.endpoint, **options)
    return Site(stage, raw, counted, auth, http, AuthSession(http, auth), [])
