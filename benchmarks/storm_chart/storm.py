"""The storm that the chart shows: steady requests, during which every token is revoked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, ClientSession, TCPConnector

from ..harness.api import QUERY, Api, answered, unlimited
from ..harness.process import DEADLINE
from ..harness.server import API_KEY, NUMBER
from .states import Course, Notes, State

WAY = 0.02
"""Seconds added in each direction, as by a network: the server is on this machine and answers at once."""


@dataclass(frozen=True)
class Size:
    """How many requests begin, at equal distances within so many seconds, over so many connections."""

    requests: int
    seconds: float
    connections: int
    login_seconds: float

    @property
    def before(self) -> int:
        """How many requests begin before the revocation."""
        return self.requests * 3 // 10


class Naive:
    """A middleware of a few lines: each request that gets a 401 logs in and is sent again, without a lock."""

    def __init__(self, api: Api, logins: ClientSession, seconds: float) -> None:
        self._api = api
        self._logins = logins
        self._seconds = seconds
        self._token = ""

    async def login(self) -> None:
        """Fetch a token for all requests, over separate connections."""
        self._token, _ = await self._api.login(self._logins, seconds=str(self._seconds))

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request*; if it is refused, log in and send it again."""
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
async def naive(api: Api, size: Size) -> AsyncIterator[ClientMiddlewareType]:
    """Open the naive middleware, logged in."""
    async with ClientSession(connector=unlimited()) as logins:
        middleware = Naive(api, logins, size.login_seconds)
        await middleware.login()
        yield middleware


@asynccontextmanager
async def ours(api: Api, size: Size) -> AsyncIterator[ClientMiddlewareType]:
    """Open `ExterviewAuth`, logged in."""
    async with api.auth(login_seconds=size.login_seconds) as auth:
        await auth.token()
        yield auth


class Watch:
    """The innermost middleware: adds the network's delay, and notes each attempt."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request*."""
        number = request.headers[NUMBER]
        self._notes.move(number, State.IN_FLIGHT)
        await asyncio.sleep(WAY)
        response = await handler(request)
        await asyncio.sleep(WAY)
        if response.status == 401:
            self._notes.move(number, State.REFUSED)
        return response


async def storm(api: Api, size: Size, middleware: ClientMiddlewareType) -> Course:
    """Send all requests through *middleware*; tokens are revoked after some of them."""
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


async def _requests(session: ClientSession, api: Api, size: Size, notes: Notes) -> None:
    began = time.monotonic()
    tasks = []
    for number in range(size.requests):
        # Against the clock and not from one to the next: delays must not add up.
        await asyncio.sleep(began + number * size.seconds / size.requests - time.monotonic())
        if number == size.before:
            await api.revoke()
        tasks.append(asyncio.create_task(_ask(session, api, notes, str(number))))
    await asyncio.gather(*tasks)


async def _ask(session: ClientSession, api: Api, notes: Notes, number: str) -> None:
    notes.move(number, State.HELD)
    status = await answered(session.post(api.url, json=QUERY, headers={NUMBER: number}))
    notes.move(number, State.ANSWERED if status == 200 else State.FAILED)
