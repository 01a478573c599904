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

from exterview_auth import ExterviewAuth, LoginContext, Token

from ._server import API_KEY, FIXED_TOKEN

CHECKOUT = Path(__file__).resolve().parent.parent
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

    logins: int
    arrivals: list[Arrival]

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

    async def revoke(self) -> None:
        """Make the newest token a dead one."""
        async with self._controls.post(self.root / "revoke") as response:
            response.raise_for_status()

    async def log(self) -> ServerLog:
        """What arrived since the last log."""
        async with self._controls.get(self.root / "log") as response:
            notes = await response.json()
        return ServerLog(notes["logins"], [Arrival(*request) for request in notes["requests"]])

    def auth(
        self, *, login_seconds: float = 0.0, expires_in: float | None = 3600, gate: asyncio.Event | None = None
    ) -> ExterviewAuth:
        """An owner whose login takes *login_seconds* at the server, after *gate* has opened."""

        async def login(context: LoginContext) -> Token:
            if gate is not None:
                await gate.wait()
            async with context.session.post(self.root / "login", params={"seconds": str(login_seconds)}) as response:
                return Token((await response.json())["token"], expires_in=expires_in)

        return ExterviewAuth(login, api_key=API_KEY, endpoint=self.url, login_timeout=DEADLINE)


@asynccontextmanager
async def api_process() -> AsyncIterator[ApiProcess]:
    """Start the server, and end it afterwards."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks._server",
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        async with ClientSession() as controls:
            yield ApiProcess(int(await server.stdout.readline()), controls)
    finally:
        server.stdin.close()
        await server.wait()
