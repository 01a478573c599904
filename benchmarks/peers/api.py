"""The client's side of the peers' API: its life, its controls, and logins to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from ..harness.api import DEADLINE, QUERY, server_process
from .server import API_KEY, CLIENT_ID, CLIENT_SECRET, FIXED_TOKEN

__all__ = [
    "API_KEY",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "KEY_HEADER",
    "QUERY",
    "STATIC_HEADERS",
    "Api",
    "Log",
    "api_process",
    "unlimited",
]

KEY_HEADER = {"x-api-key": API_KEY}
STATIC_HEADERS = {"Authorization": f"Bearer {FIXED_TOKEN}", **KEY_HEADER}


@dataclass(frozen=True)
class Log:
    """What the server saw since the last log."""

    logins: int
    wire: int
    """Requests at the API itself, logins apart."""
    elsewhere: list[str] | None
    """Names of the credentials that reached the other origin; ``None`` if no request did."""


class Api:
    """
    The running API. Its controls go over connections of their own.

    *login_timeout* is for this library: within it, an unavailable login is tried again. The peers have nothing like it.
    """

    def __init__(self, root: str, controls: ClientSession, login_timeout: float) -> None:
        self.root = root
        self.login_timeout = login_timeout
        self.login_url, self.token_url = f"{root}/login", f"{root}/token"
        self._controls = controls

    async def begin(
        self, *, seconds: float = 0.0, expires_in: int = 3600, status: int = 200, failures: int = 0
    ) -> None:
        """A new scene: no token lives, and of the logins to come the first *failures* end with *status*."""
        settings = {"seconds": seconds, "expires_in": expires_in, "status": status, "failures": failures}
        async with self._controls.post(f"{self.root}/begin", json=settings) as response:
            response.raise_for_status()

    async def revoke(self) -> None:
        """No token lives any more."""
        await self._control("POST", "revoke")

    async def release(self) -> None:
        """Answer the late request."""
        await self._control("POST", "release")

    async def held(self) -> None:
        """Wait until the late request has arrived."""
        await self._control("GET", "held")

    async def login_began(self) -> None:
        """Wait until a login has arrived in this scene."""
        await self._control("GET", "login-began")

    async def _control(self, method: str, name: str) -> None:
        async with self._controls.request(method, f"{self.root}/{name}") as response:
            response.raise_for_status()

    async def log(self) -> Log:
        """What arrived since the last log."""
        async with self._controls.get(f"{self.root}/log") as response:
            return Log(**await response.json())

    async def login(self, session: ClientSession) -> tuple[str, int]:
        """A token and its seconds, for peers that take a callable."""
        async with session.post(self.login_url, raise_for_status=True) as response:
            answer = await response.json()
        return answer["access_token"], answer["expires_in"]


def unlimited() -> TCPConnector:
    """As many connections as there are requests: all of them are in flight."""
    return TCPConnector(limit=0)


@asynccontextmanager
async def api_process(*, login_timeout: float) -> AsyncIterator[Api]:
    """Start the server, and end it afterwards."""
    timeout = ClientTimeout(total=DEADLINE)
    async with server_process("benchmarks.peers.server") as port, ClientSession(timeout=timeout) as controls:
        yield Api(f"http://127.0.0.1:{port}", controls, login_timeout)
