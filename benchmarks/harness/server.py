"""
The API that is measured against, in a separate process: ``python -m benchmarks.harness.server``.

It prints its port and ends when its standard input ends. ``/graphql`` answers 200 to a good token with the right API key, and
401 to anything else. ``/late`` does the same, but only after ``release``. ``/redirect`` sends the request to another origin,
which notes the credentials that arrive there. ``/login`` and ``/token`` issue tokens: the first to anybody, the second for
OAuth2 client credentials.

``/control/NAME`` calls the method ``do_NAME``. Times are ``time.monotonic``, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

API_KEY = "benchmark-key"
FIXED_TOKEN = "fixed"
CLIENT_ID, CLIENT_SECRET = "benchmark-client", "benchmark-secret"
NUMBER = "x-number"

_DATA = b'{"data": {"__typename": "Query"}}'
_REFUSAL = b'{"error": "Invalid or expired token"}'


@dataclass
class Login:
    """One login as the server saw it."""

    process: str
    began: float
    ended: float | None = None
    """When its answer was written; ``None`` if it failed or is still running."""
    token: str = ""


@dataclass(frozen=True)
class Settings:
    """How logins go: how long they take, and how many of the next ones fail with which status; and how long requests take."""

    seconds: float = 0.0
    expires_in: int = 3600
    failures: int = 0
    status: int = 200
    one_session: bool = False
    """Whether a login ends the tokens before it; it does until a scene begins."""
    answer_after: float = 0.0
    """Seconds after which a request to ``/graphql`` is answered."""


class Api:
    """Tokens that can be revoked, and a log of each request and login."""

    def __init__(self) -> None:
        self.elsewhere_port = 0
        self._numbers = itertools.count(1)
        self._revoked = 0.0
        self._arrivals_left = 0
        self._all_arrived = asyncio.Event()
        self._begin(Settings(one_session=True))

    def _begin(self, settings: Settings) -> None:
        self._settings, self._failures_left = settings, settings.failures
        self._good = {f"Bearer {FIXED_TOKEN}"}
        self._hold_next = False
        # Requests held in an earlier scene must not count in this one.
        self._held: asyncio.Queue[str] = asyncio.Queue()
        self._released, self._login_began = asyncio.Event(), asyncio.Event()
        self._forget()

    def _forget(self) -> None:
        self._logins: list[Login] = []
        self._requests: list[tuple[str, str, float]] = []
        self._refused = 0
        self._elsewhere: list[str] | None = None

    def app(self) -> web.Application:
        """Return the API with its controls."""
        app = web.Application()
        app.router.add_post("/graphql", self._graphql)
        app.router.add_post("/late", self._late)
        app.router.add_post("/redirect", self._redirect)
        app.router.add_post("/login", self._login)
        app.router.add_post("/token", self._token)
        app.router.add_post("/control/{name}", self._control)
        return app

    def elsewhere(self) -> web.Application:
        """Return the other origin."""
        app = web.Application()
        app.router.add_route("*", "/", self._arrived_elsewhere)
        return app

    # -- requests ---------------------------------------------------------------------------------------------------

    async def _graphql(self, request: web.Request) -> web.Response:
        await self._note(request)
        if self._arrivals_left:
            # All requests of a storm must be refused with the same token: each waits here until the last one has arrived,
            # and only then is the token revoked.
            self._arrivals_left -= 1
            if self._arrivals_left == 0:
                self._revoke()
            await self._all_arrived.wait()
        if self._settings.answer_after:
            await asyncio.sleep(self._settings.answer_after)
        return self._judged(request)

    async def _late(self, request: web.Request) -> web.Response:
        await self._note(request)
        self._held.put_nowait("")
        await self._released.wait()
        return self._judged(request)

    async def _redirect(self, request: web.Request) -> web.Response:
        await self._note(request)
        raise web.HTTPTemporaryRedirect(f"http://127.0.0.1:{self.elsewhere_port}/")

    async def _note(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self._requests.append((request.headers.get(NUMBER, ""), token, time.monotonic()))
        await request.read()

    def _judged(self, request: web.Request) -> web.Response:
        headers = request.headers
        known = headers.get("Authorization") in self._good and headers.get("x-api-key") == API_KEY
        self._refused += not known
        return web.Response(
            status=200 if known else 401, body=_DATA if known else _REFUSAL, content_type="application/json"
        )

    async def _arrived_elsewhere(self, request: web.Request) -> web.Response:
        self._elsewhere = [name for name in ("Authorization", "x-api-key") if name in request.headers]
        return web.Response(body=_DATA, content_type="application/json")

    # -- logins -----------------------------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.StreamResponse:
        if (await request.post()).get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        return await self._login(request)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        """Answer after as many seconds as the request or the settings say. If the client is gone by then, no token is issued."""
        note = Login(request.query.get("process", ""), time.monotonic())
        self._logins.append(note)
        self._login_began.set()
        # A held login shows which process logs in, so that this process can be killed.
        if self._hold_next:
            self._hold_next = False
            self._held.put_nowait(note.process)
            await self._released.wait()
        fails = self._failures_left > 0
        self._failures_left -= fails
        await asyncio.sleep(float(request.query.get("seconds", self._settings.seconds)))
        if fails:
            error = "invalid_client" if self._settings.status == 401 else "temporarily_unavailable"
            return web.json_response({"error": error}, status=self._settings.status)
        return await self._issue(request, note)

    async def _issue(self, request: web.Request, note: Login) -> web.StreamResponse:
        token = f"token-{next(self._numbers)}"
        if self._settings.one_session:
            self._good = {f"Bearer {FIXED_TOKEN}"}
        self._good.add(f"Bearer {token}")
        # The answer is written here and not by aiohttp, because the time of its last byte is what wake-ups are measured from.
        response = web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": self._settings.expires_in}
        )
        await response.prepare(request)
        await response.write_eof()
        note.token, note.ended = token, time.monotonic()
        return response

    # -- controls ---------------------------------------------------------------------------------------------------

    async def _control(self, request: web.Request) -> web.Response:
        do = getattr(self, f"do_{request.match_info['name']}")
        return web.json_response(await do(**await request.json()))

    async def do_begin(self, **settings: Any) -> None:
        """Begin a new scene: revoke all tokens but the fixed one, and empty the log."""
        self._begin(Settings(**settings))

    async def do_revoke(self, arrivals: int = 0) -> None:
        """Revoke all tokens but the fixed one; with *arrivals*, when so many requests have arrived, which wait for it."""
        self._arrivals_left = arrivals
        self._all_arrived.clear()
        if not arrivals:
            self._revoke()

    def _revoke(self) -> None:
        self._good = {f"Bearer {FIXED_TOKEN}"}
        self._revoked = time.monotonic()
        self._all_arrived.set()

    async def do_hold(self) -> None:
        """Do not answer the next login before `do_release`."""
        self._hold_next = True

    async def do_held(self) -> str:
        """Wait until a request is held, and return the process that it names."""
        return await self._held.get()

    async def do_release(self) -> None:
        """Answer what is held in this scene, and hold nothing more."""
        self._released.set()

    async def do_login_began(self) -> None:
        """Wait until a login has arrived in this scene."""
        await self._login_began.wait()

    async def do_log(self) -> dict[str, Any]:
        """Return the log, and begin a new one."""
        log = {
            "sessions": [asdict(login) for login in self._logins],
            "arrivals": self._requests,
            "refused": self._refused,
            "revoked": self._revoked,
            "elsewhere": self._elsewhere,
        }
        self._forget()
        return log


async def _listening(stack: contextlib.AsyncExitStack, app: web.Application) -> int:
    # A login whose client has gone must not issue a token that ends the others; the backlog holds a storm's connections, which
    # all arrive at once.
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
