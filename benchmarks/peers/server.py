"""
The API that all peers talk to, in a process of its own: ``python -m benchmarks.peers.server``.

It prints its port, and ends when its standard input does; another origin is at a second port.

``/graphql`` answers 200 to the right key and a living token, else 401. ``/late`` does the same, once it is released.
``/redirect`` sends on to the other origin, which notes the names of the credentials that arrive there. ``/login`` and
``/token`` both issue tokens: JSON to anyone, and OAuth2's client credentials. ``/begin`` revokes all tokens, takes the
settings of the next scene and begins new notes; ``/log`` gives the notes and begins new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from typing import Any

from aiohttp import web

API_KEY = "benchmark-key"
FIXED_TOKEN = "fixed"
CLIENT_ID, CLIENT_SECRET = "benchmark-client", "benchmark-secret"

_CREDENTIALS = ("Authorization", "x-api-key")
_DATA = b'{"data": {"__typename": "Query"}}'
_REFUSAL = b'{"error": "Invalid or expired token"}'


class Api:
    """Tokens that can be revoked, logins that can fail, and counts of what arrives."""

    def __init__(self) -> None:
        self.elsewhere_port = 0
        self._numbers = itertools.count(1)
        self._settings: dict[str, Any] = {}
        self._start()

    def _start(self) -> None:
        self._living = {f"Bearer {FIXED_TOKEN}"}
        self._released, self._held, self._login_began = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._failures_left = self._settings.get("failures", 0)
        self._forget()

    def _forget(self) -> None:
        self._logins = self._wire = 0
        self._elsewhere: list[str] | None = None

    def app(self) -> web.Application:
        """The API's routes, and its controls."""
        app = web.Application()
        app.router.add_post("/graphql", self.graphql)
        app.router.add_post("/late", self.late)
        app.router.add_post("/redirect", self.redirect)
        app.router.add_post("/login", self.login)
        app.router.add_post("/token", self.token)
        app.router.add_post("/begin", self.begin)
        app.router.add_post("/revoke", self.revoke)
        app.router.add_post("/release", self.release)
        app.router.add_get("/held", self.held)
        app.router.add_get("/login-began", self.login_began)
        app.router.add_get("/log", self.log)
        return app

    def elsewhere(self) -> web.Application:
        """The other origin."""
        app = web.Application()
        app.router.add_route("*", "/", self.arrived_elsewhere)
        return app

    async def graphql(self, request: web.Request) -> web.Response:
        """One answer for a living token and the right key, a 401 for anything else."""
        self._wire += 1
        await request.read()
        return self._judged(request)

    async def late(self, request: web.Request) -> web.Response:
        """The same as of the moment of release."""
        self._wire += 1
        await request.read()
        self._held.set()
        await self._released.wait()
        return self._judged(request)

    def _judged(self, request: web.Request) -> web.Response:
        headers = request.headers
        known = headers.get("Authorization") in self._living and headers.get("x-api-key") == API_KEY
        return web.Response(
            status=200 if known else 401, body=_DATA if known else _REFUSAL, content_type="application/json"
        )

    async def redirect(self, request: web.Request) -> web.Response:
        """Off to another origin, method and body kept."""
        self._wire += 1
        await request.read()
        raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{self.elsewhere_port}/")

    async def arrived_elsewhere(self, request: web.Request) -> web.Response:
        """Notes which credentials came along."""
        self._elsewhere = [name for name in _CREDENTIALS if name in request.headers]
        return web.Response(body=_DATA, content_type="application/json")

    async def token(self, request: web.Request) -> web.Response:
        """An OAuth2 token endpoint."""
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        return await self.login(request)

    async def login(self, _: web.Request) -> web.Response:
        """A token, or a failure, after as many seconds as the scene says; earlier tokens go on living."""
        self._logins += 1
        self._login_began.set()
        fails = self._failures_left > 0
        self._failures_left -= fails
        await asyncio.sleep(self._settings.get("seconds", 0.0))
        if fails:
            status = self._settings["status"]
            return web.json_response(
                {"error": "invalid_client" if status == 401 else "temporarily_unavailable"}, status=status
            )
        token = f"token-{next(self._numbers)}"
        self._living.add(f"Bearer {token}")
        return web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": self._settings.get("expires_in", 3600)}
        )

    async def begin(self, request: web.Request) -> web.Response:
        """A new scene."""
        self._settings = await request.json()
        self._start()
        return web.Response()

    async def revoke(self, _: web.Request) -> web.Response:
        """No token but the fixed one lives."""
        self._living = {f"Bearer {FIXED_TOKEN}"}
        return web.Response()

    async def release(self, _: web.Request) -> web.Response:
        """What is held is answered, and nothing is held any more."""
        self._released.set()
        return web.Response()

    async def held(self, _: web.Request) -> web.Response:
        """Answers when a request is held."""
        await self._held.wait()
        return web.Response()

    async def login_began(self, _: web.Request) -> web.Response:
        """Answers when a login has arrived in this scene."""
        await self._login_began.wait()
        return web.Response()

    async def log(self, _: web.Request) -> web.Response:
        """All notes since the last log."""
        notes = {"logins": self._logins, "wire": self._wire, "elsewhere": self._elsewhere}
        self._forget()
        return web.json_response(notes)


async def _listening(stack: contextlib.AsyncExitStack, app: web.Application) -> int:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096, shutdown_timeout=0).start()
    port: int = runner.addresses[0][1]
    return port


async def _serve() -> None:
    api = Api()
    async with contextlib.AsyncExitStack() as stack:
        api.elsewhere_port = await _listening(stack, api.elsewhere())
        print(await _listening(stack, api.app()), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
