"""The client's side of the API process: its life, its controls, and a login to it."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession
from yarl import URL

from exterview_auth import ExterviewAuth, LoginContext, Token, TokenStore

from .server import API_KEY, FIXED_TOKEN, Login

CHECKOUT = Path(__file__).resolve().parents[2]
STATIC_HEADERS = {"Authorization": f"Bearer {FIXED_TOKEN}", "x-api-key": API_KEY}
QUERY = {"query": "query { __typename }"}
DEADLINE = 60.0
"""Seconds after which a benchmark that hangs ends in an error."""


@dataclass(frozen=True)
class Arrival:
    """One request as the server saw it."""

    number: str
    token: str
    time: float


@dataclass(frozen=True)
class ServerLog:
    """What the server saw since the last log."""

    sessions: list[Login]
    arrivals: list[Arrival]
    refused: int
    revoked: float
    """When a token was revoked the last time."""

    @property
    def logins(self) -> int:
        """How many logins arrived."""
        return len(self.sessions)

    @property
    def by_token(self) -> Counter[str]:
        """How many requests arrived with each token."""
        return Counter(arrival.token for arrival in self.arrivals)


class ApiProcess:
    """The running API. Its controls go over connections of their own."""

    def __init__(self, port: int, controls: ClientSession) -> None:
        self.root = URL(f"http://127.0.0.1:{port}")
        self.url = self.root / "graphql"
        self._controls = controls

    async def revoke(self, *, arrivals: int = 0) -> None:
        """Make the newest token a dead one; with *arrivals*, when so many requests have arrived, which wait for it."""
        async with self._controls.post(self.root / "revoke", params={"arrivals": str(arrivals)}) as response:
            response.raise_for_status()

    async def hold(self) -> None:
        """Never answer the next login."""
        async with self._controls.post(self.root / "hold") as response:
            response.raise_for_status()

    async def held(self) -> str:
        """The process whose login is held, once there is one."""
        async with self._controls.get(self.root / "held") as response:
            process: str = await response.json()
        return process

    async def log(self) -> ServerLog:
        """What arrived since the last log."""
        async with self._controls.get(self.root / "log") as response:
            notes = await response.json()
        sessions = [Login(**login) for login in notes["logins"]]
        arrivals = [Arrival(*request) for request in notes["requests"]]
        return ServerLog(sessions, arrivals, notes["refused"], notes["revoked"])

    def auth(
        self,
        *,
        login_seconds: float = 0.0,
        expires_in: float | None = 3600,
        gate: asyncio.Event | None = None,
        process: str = "",
        store: TokenStore | None = None,
        account: str | None = None,
    ) -> ExterviewAuth:
        """An owner whose login takes *login_seconds* at the server, after *gate* has opened; the server notes its *process*."""

        async def login(context: LoginContext) -> Token:
            if gate is not None:
                await gate.wait()
            params = {"seconds": str(login_seconds), "process": process}
            async with context.session.post(self.root / "login", params=params) as response:
                return Token((await response.json())["token"], expires_in=expires_in)

        return ExterviewAuth(
            login, api_key=API_KEY, endpoint=self.url, login_timeout=DEADLINE, store=store, account=account
        )


@asynccontextmanager
async def server_process(module: str) -> AsyncIterator[int]:
    """Start *module*, which prints its port and ends when its standard input does; the port."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield int(await server.stdout.readline())
    finally:
        server.stdin.close()
        await server.wait()


@asynccontextmanager
async def api_process() -> AsyncIterator[ApiProcess]:
    """Start the API, and end it afterwards."""
    async with server_process("benchmarks.harness.server") as port, ClientSession() as controls:
        yield ApiProcess(port, controls)
