"""The client's side of the API process: how it is started and controlled, and owners that log in to it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from aiohttp.client import _RequestContextManager
from yarl import URL

from exterview_auth import ExterviewAuth, LoginContext, Token, TokenStore

from .process import CHECKOUT, DEADLINE
from .server import API_KEY, FIXED_TOKEN, Login

KEY_HEADER = {"x-api-key": API_KEY}
STATIC_HEADERS = {"Authorization": f"Bearer {FIXED_TOKEN}", **KEY_HEADER}
QUERY = {"query": "query { __typename }"}


class Arrival(NamedTuple):
    """One request as the server saw it."""

    number: str
    token: str
    time: float


@dataclass(frozen=True)
class Log:
    """What the server saw since the last log."""

    sessions: list[Login]
    arrivals: list[Arrival]
    """Requests to the API itself, without logins."""
    refused: int
    revoked: float
    """When tokens were last revoked."""
    elsewhere: list[str] | None
    """Names of the credentials that reached the other origin; ``None`` if no request did."""

    @property
    def logins(self) -> int:
        """How many logins arrived."""
        return len(self.sessions)

    @property
    def by_token(self) -> Counter[str]:
        """How many requests arrived with each token."""
        return Counter(arrival.token for arrival in self.arrivals)


class Api:
    """The running API. Its controls use their own connections."""

    def __init__(self, port: int, controls: ClientSession, login_timeout: float = DEADLINE) -> None:
        self.root = URL(f"http://127.0.0.1:{port}")
        self.url = self.root / "graphql"
        self.login_url, self.token_url = str(self.root / "login"), str(self.root / "token")
        self.login_timeout = login_timeout
        self._controls = controls

    async def begin(self, **settings: Any) -> None:
        """Begin a new scene: no token is good, the log is empty, and logins go as `server.Settings` say."""
        await self._control("begin", **settings)

    async def revoke(self, *, arrivals: int = 0) -> None:
        """Revoke all tokens; with *arrivals*, when so many requests have arrived, which wait for it."""
        await self._control("revoke", arrivals=arrivals)

    async def hold(self) -> None:
        """Do not answer the next login."""
        await self._control("hold")

    async def held(self) -> str:
        """Wait until a request is held, and return the process that it names."""
        process: str = await self._control("held")
        return process

    async def release(self) -> None:
        """Answer the requests that are held."""
        await self._control("release")

    async def login_began(self) -> None:
        """Wait until a login has arrived in this scene."""
        await self._control("login_began")

    async def log(self) -> Log:
        """Return what arrived since the last log."""
        log = await self._control("log")
        sessions = [Login(**login) for login in log.pop("sessions")]
        return Log(sessions, [Arrival(*request) for request in log.pop("arrivals")], **log)

    async def _control(self, name: str, **arguments: Any) -> Any:
        async with self._controls.post(self.root / "control" / name, json=arguments) as response:
            response.raise_for_status()
            return await response.json()

    async def login(self, session: ClientSession, **params: str) -> tuple[str, int]:
        """Log in through *session*; return a token and its lifetime in seconds."""
        async with session.post(self.login_url, params=params, raise_for_status=True) as response:
            answer = await response.json()
        return answer["access_token"], answer["expires_in"]

    def auth(
        self,
        *,
        login_seconds: float = 0.0,
        gate: asyncio.Event | None = None,
        process: str = "",
        store: TokenStore | None = None,
        account: str | None = None,
    ) -> ExterviewAuth:
        """Return an owner whose login takes *login_seconds* at the server once *gate* is open; the server notes its *process*."""

        async def login(context: LoginContext) -> Token:
            if gate is not None:
                await gate.wait()
            token, seconds = await self.login(context.session, seconds=str(login_seconds), process=process)
            return Token(token, expires_in=seconds)

        return ExterviewAuth(
            login, api_key=API_KEY, endpoint=self.url, login_timeout=self.login_timeout, store=store, account=account
        )


def unlimited() -> TCPConnector:
    """Return a connector that opens as many connections as there are requests, so that all of them are in flight."""
    return TCPConnector(limit=0)


async def answered(request: _RequestContextManager) -> int:
    """Send *request*, read its answer, and return the status."""
    async with request as response:
        await response.read()
        return response.status


@asynccontextmanager
async def opened_api(login_timeout: float = DEADLINE) -> AsyncIterator[Api]:
    """Start the API, and stop it afterwards."""
    command = (sys.executable, "-m", "benchmarks.harness.server")
    server = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT, stdin=PIPE, stdout=PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = int(await server.stdout.readline())
        async with ClientSession(timeout=ClientTimeout(total=DEADLINE)) as controls:
            yield Api(port, controls, login_timeout)
    finally:
        server.stdin.close()
        await server.wait()
