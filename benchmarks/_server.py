"""
The API that is measured against, in a process of its own: ``python -m benchmarks._server``.

It prints its port, and ends when its standard input does. ``/graphql`` takes the fixed token and the newest one from
``/login``; each request there is noted with its number, its token and its time of arrival (``time.monotonic``, which all
processes of a machine share). ``/revoke`` makes the newest token a dead one, ``/log`` gives the notes and begins new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

from aiohttp import web

API_KEY = "benchmark-key"
FIXED_TOKEN = "fixed"
NUMBER = "x-number"

_DATA = b'{"data": {"__typename": "Query"}}'
_REFUSAL = b'{"error": "Invalid or expired token"}'


class Api:
    """Tokens that can be revoked, and a note of each request."""

    def __init__(self) -> None:
        self._issued = 0
        self._living = {f"Bearer {FIXED_TOKEN}"}
        self._logins = 0
        self._requests: list[tuple[str, str, float]] = []

    def app(self) -> web.Application:
        """The server's routes."""
        app = web.Application()
        app.router.add_post("/graphql", self.graphql)
        app.router.add_post("/login", self.login)
        app.router.add_post("/revoke", self.revoke)
        app.router.add_get("/log", self.log)
        return app

    async def graphql(self, request: web.Request) -> web.Response:
        """One answer for a living token and the right key, a 401 for anything else."""
        authorization = request.headers.get("Authorization", "")
        self._requests.append(
            (request.headers.get(NUMBER, ""), authorization.removeprefix("Bearer "), time.monotonic())
        )
        await request.read()
        known = authorization in self._living and request.headers.get("x-api-key") == API_KEY
        return web.Response(
            status=200 if known else 401, body=_DATA if known else _REFUSAL, content_type="application/json"
        )

    async def login(self, request: web.Request) -> web.Response:
        """A new token after as many seconds as the request says; the one before it is dead from then on."""
        self._logins += 1
        await asyncio.sleep(float(request.query.get("seconds", 0)))
        self._issued += 1
        token = f"token-{self._issued}"
        self._living = {f"Bearer {FIXED_TOKEN}", f"Bearer {token}"}
        return web.json_response({"token": token})

    async def revoke(self, _: web.Request) -> web.Response:
        """No token but the fixed one lives."""
        self._living = {f"Bearer {FIXED_TOKEN}"}
        return web.Response()

    async def log(self, _: web.Request) -> web.Response:
        """How many logins there were, and each request to the API, since the last log."""
        answer = {"logins": self._logins, "requests": self._requests}
        self._logins, self._requests = 0, []
        return web.json_response(answer)


async def _serve() -> None:
    runner = web.AppRunner(Api().app(), access_log=None)
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
