"""Where a row is played: a clock to move, owners and sessions that end with it, and checks of what they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar
from unittest import mock

import aiohttp
import pytest

from exterview_auth import AuthSession, ExterviewAuth
from exterview_auth._clock import boot_time
from tests.kit.api import KEY, QUERY, until
from tests.kit.stores import eventually

T = TypeVar("T")
Got = int | BaseException
Send = Callable[[], Awaitable[int]]

EMAIL, PASSWORD = "user@example.com", "s3cret-password"
SECRETS = re.compile(rf"token-\d|refresh-\d|{KEY}|{PASSWORD}")
LOGIN_TIMEOUT = 2.0
LATCH_SECONDS = 61.0
"""No latch holds for longer."""


class Clock:
    """The machine's clock, moved forward by as much as a row wants."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return boot_time() + self.ahead

    def forward(self, seconds: float) -> None:
        """Move the clock."""
        self.ahead += seconds


class Met(NamedTuple):
    """What concurrent callers got, and how long the slowest waited."""

    got: list[Got]
    seconds: float


class StillWaitingError(AssertionError):
    """A caller got nothing, long after it should have."""


async def crowd(calls: Iterable[Awaitable[int]], longest: float = 12.0) -> Met:
    """Run all *calls* concurrently; one that takes longer than *longest* ends in `StillWaitingError`."""
    took = [0.0]

    async def timed(call: Awaitable[int]) -> int:
        began = time.monotonic()
        try:
            async with asyncio.timeout(longest) as limit:
                return await call
        except TimeoutError:
            if limit.expired():
                raise StillWaitingError from None
            raise
        finally:
            took.append(time.monotonic() - began)

    got = await asyncio.gather(*(timed(call) for call in calls), return_exceptions=True)
    return Met(got, max(took))


async def one(call: Awaitable[int]) -> Got:
    """Return what a single caller gets."""
    return (await crowd([call])).got[0]


async def post(client: AuthSession, url: str = "/graphql", **options: Any) -> int:
    """Return the status of a request, whose answer is read to its end."""
    if "data" not in options:
        options.setdefault("json", QUERY)
    async with client.post(url, **options) as response:
        await response.read()
        return response.status


async def comes_true(look: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> bool:
    """Return whether *look* returns true within so many seconds."""
    with contextlib.suppress(TimeoutError):
        await eventually(look, seconds)
        return True
    return False


class Stage:
    """The place and time of one row."""

    def __init__(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.directory = self.place = directory
        self.caplog = caplog
        self.clock = Clock()
        self.left: list[str] = []
        self._stack = contextlib.AsyncExitStack()
        self._sessions: list[aiohttp.ClientSession] = []

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._handler = self._loop.get_exception_handler()
        self._loop.set_exception_handler(lambda _, context: self.left.append(str(context)))
        self._stack.enter_context(mock.patch("exterview_auth._auth.boot_time", self.clock))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            if exc_info[0] is None:
                await self._nothing_is_held()
        finally:
            await self._stack.aclose()
        if exc_info[0] is None:
            await self._nothing_runs()
        self._loop.set_exception_handler(self._handler)

    async def open(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter *context* until the row ends."""
        return await self._stack.enter_async_context(context)

    def open_now(self, context: contextlib.AbstractContextManager[T]) -> T:
        """Enter *context*, which is not async."""
        return self._stack.enter_context(context)

    def on_exit(self, call: Callable[[], object]) -> None:
        """Call *call* when the row ends."""
        self._stack.callback(call)

    def session(self, **options: Any) -> aiohttp.ClientSession:
        """Return a session that must give all its connections back."""
        session = aiohttp.ClientSession(**options)
        self._stack.push_async_callback(session.close)
        self._sessions.append(session)
        return session

    def owner(self, login: Any, endpoint: str, **options: Any) -> ExterviewAuth:
        """Return an owner that does not wait long."""
        options = {"endpoint": endpoint, "api_key": KEY, "login_timeout": LOGIN_TIMEOUT, **options}
        auth = ExterviewAuth(login, **options)
        self._stack.push_async_callback(auth.aclose)
        return auth

    async def afterwards(self, send: Send) -> tuple[Got, Got | None]:
        """Return what the next request gets, and if that is an error, the next one after a latch's time."""
        then = await one(send())
        if isinstance(then, int):
            return then, None
        self.clock.forward(LATCH_SECONDS)
        return then, await one(send())

    async def _nothing_is_held(self) -> None:
        connectors = [session.connector for session in self._sessions if session.connector is not None]
        with contextlib.suppress(TimeoutError):
            await until(lambda: not any(connector._acquired for connector in connectors), 20)
        self.left += [f"connections held: {connector._acquired}" for connector in connectors if connector._acquired]

    async def _nothing_runs(self) -> None:
        def others() -> set[asyncio.Task[Any]]:
            return asyncio.all_tasks() - {asyncio.current_task()}

        with contextlib.suppress(TimeoutError):
            await until(lambda: not others(), 20)
        self.left += [f"still running: {task}" for task in others()]


class Counted:
    """A login that counts how often it begins."""

    def __init__(self, login: Callable[[Any], Awaitable[Any]]) -> None:
        self.login = login
        self.identity = EMAIL
        self.count = 0

    async def __call__(self, context: Any) -> Any:
        self.count += 1
        return await self.login(context)
