"""
The API that is measured against, in a process of its own: ``python -m benchmarks.harness.server``.

It prints its port, and ends when its standard input does. ``/graphql`` takes the fixed token and the newest one from
``/login``; each request there is noted with its number, its token and its time of arrival (``time.monotonic``, which all
processes of a machine share), each login with its process and its times. ``/revoke`` makes the newest token a dead one, with
``arrivals`` at the last of so many requests, which all wait for it; after ``/hold`` the next login is never answered, and
``/held`` tells whose it is. ``/log`` gives the notes and begins new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import asdict, dataclass

from aiohttp import web

API_KEY = "benchmark-key"
FIXED_TOKEN = "fixed"
NUMBER = "x-number"

_DATA = b'{"data": {"__typename": "Query"}}'
_REFUSAL = b'{"error": "Invalid or expired token"}'


@dataclass
class Login:
    """One login as the server saw it."""

    process: str
    began: float
    ended: float | None = None
    """When its answer was written; ``None`` for one that came to nothing, or goes on."""
    token: str = ""


class Api:
    """Tokens that can be revoked, and a note of each request and login."""

    def __init__(self) -> None:
        self._issued = 0
        self._living = {f"Bearer {FIXED_TOKEN}"}
        self._logins: list[Login] = []
        self._requests: list[tuple[str, str, float]] = []
        self._refused = 0
        self._revoked = 0.0
        self._arrivals_left = 0
        self._gate = asyncio.Event()
        self._gate.set()
        self._holds = False
        self._held: asyncio.Queue[str] = asyncio.Queue()

    def app(self) -> web.Application:
        """The server's routes."""
        app = web.Application()
        app.router.add_post("/graphql", self.graphql)
        app.router.add_post("/login", self.login)
        app.router.add_post("/revoke", self.revoke)
        app.router.add_post("/hold", self.hold)
        app.router.add_get("/held", self.held)
        app.router.add_get("/log", self.log)
        return app

    async def graphql(self, request: web.Request) -> web.Response:
        """One answer for a living token and the right key, a 401 for anything else."""
        authorization = request.headers.get("Authorization", "")
        self._requests.append(
            (request.headers.get(NUMBER, ""), authorization.removeprefix("Bearer "), time.monotonic())
        )
        await request.read()
        if not self._gate.is_set():
            await self._all_arrived()
        known = authorization in self._living and request.headers.get("x-api-key") == API_KEY
        self._refused += not known
        return web.Response(
            status=200 if known else 401, body=_DATA if known else _REFUSAL, content_type="application/json"
        )

    async def _all_arrived(self) -> None:
        self._arrivals_left -= 1
        if self._arrivals_left == 0:
            self._revoke()
        await self._gate.wait()

    async def login(self, request: web.Request) -> web.StreamResponse:
        """
        A new token after as many seconds as the request says; the one before it is dead from then on.

        That of a client which is gone meanwhile comes to nothing.
        """
        note = Login(request.query.get("process", ""), time.monotonic())
        self._logins.append(note)
        if self._holds:
            self._holds = False
            self._held.put_nowait(note.process)
            await asyncio.Event().wait()
        await asyncio.sleep(float(request.query.get("seconds", 0)))
        self._issued += 1
        token = f"token-{self._issued}"
        self._living = {f"Bearer {FIXED_TOKEN}", f"Bearer {token}"}
        response = web.json_response({"token": token})
        await response.prepare(request)
        await response.write_eof()
        note.token, note.ended = token, time.monotonic()
        return response

    async def revoke(self, request: web.Request) -> web.Response:
        """No token but the fixed one lives: now, or once so many requests have arrived."""
        self._arrivals_left = int(request.query.get("arrivals", 0))
        if self._arrivals_left:
            self._gate.clear()
        else:
            self._revoke()
        return web.Response()

    def _revoke(self) -> None:
        self._living = {f"Bearer {FIXED_TOKEN}"}
        self._revoked = time.monotonic()
        self._gate.set()

    async def hold(self, _: web.Request) -> web.Response:
        """The next login is never answered."""
        self._holds = True
        return web.Response()

    async def held(self, _: web.Request) -> web.Response:
        """The process of a login that is held, once there is one."""
        return web.json_response(await self._held.get())

    async def log(self, _: web.Request) -> web.Response:
        """All notes since the last log."""
        answer = {
            "logins": [asdict(login) for login in self._logins],
            "requests": self._requests,
            "refused": self._refused,
            "revoked": self._revoked,
        }
        self._logins, self._requests, self._refused = [], [], 0
        return web.json_response(answer)


async def _serve() -> None:
    runner = web.AppRunner(Api().app(), access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    _, port = runner.addresses[0]
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
