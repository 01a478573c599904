"""The storm that the chart shows: steady requests, in the middle of which every token is revoked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, ClientSession, TCPConnector

from ..harness.api import DEADLINE, QUERY, ApiProcess
from ..harness.server import API_KEY, NUMBER
from .states import Course, Notes, State

WAY = 0.02
"""Seconds added in each direction, as a network takes them: the server is on this machine and answers at once."""


@dataclass(frozen=True)
class Size:
    """How many requests begin at equal distances within how many seconds, over how many connections."""

    requests: int
    seconds: float
    connections: int
    login_seconds: float

    @property
    def before(self) -> int:
        """How many requests begin before the revocation."""
        return self.requests * 3 // 10


class Naive:
    """What a few lines do: each request that meets a 401 logs in for itself and is sent again. No lock."""

    def __init__(self, api: ApiProcess, logins: ClientSession, seconds: float) -> None:
        self._url = api.root / "login"
        self._logins = logins
        self._seconds = seconds
        self._token = ""

    async def login(self) -> None:
        """Fetch a token for all requests, over connections of its own."""
        async with self._logins.post(self._url, params={"seconds": str(self._seconds)}) as response:
            self._token = (await response.json())["token"]

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request*, and once more after a login of its own where it is refused."""
        response = await handler(self._signed(request))
        if response.status == 401:
            await response.read()
            await self.login()
            response = await handler(self._signed(request))
        return response

    def _signed(self, request: ClientRequest) -> ClientRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        request.headers["x-api-key"] = API_KEY
        return request


@asynccontextmanager
async def naive(api: ApiProcess, size: Size) -> AsyncIterator[ClientMiddlewareType]:
    """The naive middleware, logged in."""
    async with ClientSession(connector=TCPConnector(limit=0)) as logins:
        middleware = Naive(api, logins, size.login_seconds)
        await middleware.login()
        yield middleware


@asynccontextmanager
async def ours(api: ApiProcess, size: Size) -> AsyncIterator[ClientMiddlewareType]:
    """`ExterviewAuth`, logged in."""
    async with api.auth(login_seconds=size.login_seconds) as auth:
        await auth.token()
        yield auth


class Watch:
    """The innermost middleware: the network's way, and a note of each attempt."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request*."""
        number = request.headers[NUMBER]
        self._notes.move(number, State.UNDER_WAY)
        await asyncio.sleep(WAY)
        response = await handler(request)
        await asyncio.sleep(WAY)
        if response.status == 401:
            self._notes.move(number, State.REFUSED)
        return response


async def storm(api: ApiProcess, size: Size, middleware: ClientMiddlewareType) -> Course:
    """All requests through *middleware*; the revocation comes after the first of them."""
    notes = Notes()
    await api.log()
    async with (
        ClientSession(
            connector=TCPConnector(limit=size.connections), middlewares=(middleware, Watch(notes))
        ) as session,
        asyncio.timeout(DEADLINE),
    ):
        await _requests(session, api, size, notes)
    return notes.course(await api.log())


async def _requests(session: ClientSession, api: ApiProcess, size: Size, notes: Notes) -> None:
    began = time.monotonic()
    tasks = []
    for number in range(size.requests):
        await asyncio.sleep(began + number * size.seconds / size.requests - time.monotonic())
        if number == size.before:
            await api.revoke()
        tasks.append(asyncio.create_task(_ask(session, api, notes, str(number))))
    await asyncio.gather(*tasks)


async def _ask(session: ClientSession, api: ApiProcess, notes: Notes, number: str) -> None:
    notes.move(number, State.HELD)
    async with session.post(api.url, json=QUERY, headers={NUMBER: number}) as response:
        await response.read()
    notes.move(number, State.ANSWERED if response.status == 200 else State.FAILED)
