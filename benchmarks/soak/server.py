"""
The API of the soak, in a process of its own: ``python -m benchmarks.soak.server PORT LIFETIME``; with port 0 it chooses one.

It takes orders from standard input and answers each on standard output, and ends when its input does. A token says for itself whose it is and when it was issued, so that a server which is started
again knows those of the one before: what it must be told is since when tokens are dead, and which API keys are good.

Each answer holds the request's number, the account of its token and a digest of its body. A refusal tells in its ``error``
how often the request was refused, with tokens of which time, and why; a header does too, for handshakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import sys
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from .ports import loopback_port
from .process import serve_orders

LOGIN_SECONDS = 0.06
LONGEST_ANSWER = 0.3
"""Seconds from a request's arrival to its answer at most."""
NUMBER, ACCOUNT, REFUSALS = "x-number", "x-account", "x-refusals"
ALL = "*"
BIG = bytes(range(256)) * 1200

_SIGHTINGS = 20_000
_TOLD = 4


class Tokens:
    """Which tokens and keys are good."""

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime
        self.keys: list[str] = []
        self.dead_since: dict[str, float] = {}

    def issue(self, account: str) -> str:
        """A new token, good for a lifetime."""
        return f"{account}.{time.monotonic_ns()}"

    def fault(self, account: str, issued: float, key: str) -> str:
        """What is wrong with a request's credentials, if anything."""
        if key not in self.keys:
            return "key"
        if issued <= max(self.dead_since.get(ALL, 0.0), self.dead_since.get(account, 0.0)):
            return "revoked"
        return "expired" if time.monotonic() > issued + self.lifetime else ""


class Api:
    """The routes, and what is counted."""

    def __init__(self, lifetime: float, port: int) -> None:
        self.port = port
        self._tokens = Tokens(lifetime)
        self._counts = Counter[str]()
        self._refused: OrderedDict[str, list[tuple[float, float, str]]] = OrderedDict()
        self._logging_in = Counter[str]()
        self._retry_after: float | None = None
        self._draw = random.Random(1)
        self._routes: dict[str, Callable[[web.Request], Any]] = {
            "/graphql": self._graphql,
            "/echo": self._echo,
            "/big": self._big,
            "/ws": self._websocket,
        }

    def app(self) -> web.Application:
        """All paths."""
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/{path}", self._serve)
        return app

    # -- orders -----------------------------------------------------------------------------------------------------

    async def do_admit(self, orders: dict[str, Any]) -> dict[str, Any]:
        """From now on these *keys* are good, and tokens *dead_since* are not."""
        self._tokens.keys, self._tokens.dead_since = orders["keys"], orders["dead_since"]
        return {"port": self.port}

    async def do_logins(self, orders: dict[str, Any]) -> dict[str, Any]:
        """Logins get a 503 that asks for *retry_after* seconds (0: says nothing of it), or with ``None`` are served."""
        self._retry_after = orders["retry_after"]
        return {}

    async def do_count(self, _: dict[str, Any]) -> dict[str, Any]:
        """What was counted since the last time."""
        counts = dict(self._counts)
        self._counts.clear()
        return counts

    # -- requests ---------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        route = self._routes.get(request.path)
        if route is None:
            return web.json_response({"error": "no such path"}, status=404)
        self._counts["requests"] += 1
        answer: web.StreamResponse = await route(request)
        return answer

    def _refusal(self, request: web.Request, number: str, wanted: str) -> web.Response | None:
        """The answer to a request that is not let in."""
        for name in ("Authorization", "x-api-key", NUMBER):
            if len(request.headers.getall(name, [])) > 1:
                return web.json_response({"error": f"{name} is doubled"}, status=400)
        account, _, issued = request.headers.get("Authorization", "").removeprefix("Bearer ").partition(".")
        if not issued.isdecimal():
            return web.json_response({"error": "no token"}, status=400)
        if account != wanted:
            return web.json_response({"error": f"the token of {account} for a request of {wanted}"}, status=409)
        fault = self._tokens.fault(account, int(issued) / 1e9, request.headers.get("x-api-key", ""))
        return self._refuse(number, int(issued) / 1e9, fault) if fault else None

    def _refuse(self, number: str, issued: float, fault: str) -> web.Response:
        self._counts["refused"] += 1
        seen = self._refused.setdefault(number, [])
        seen.append((issued, time.monotonic(), fault))
        if len(self._refused) > _SIGHTINGS:
            self._refused.popitem(last=False)
        told = json.dumps(seen[-_TOLD:])
        return web.json_response({"error": told}, status=401, headers={REFUSALS: told})

    async def _echo(self, request: web.Request) -> web.Response:
        """Refused before its body is read, as many servers do."""
        number, wanted = request.headers.get(NUMBER, ""), request.headers.get(ACCOUNT, "")
        refusal = self._refusal(request, number, wanted)
        if refusal is not None:
            return refusal
        body = await _content(request)
        return await self._answer(number, wanted, body)

    async def _graphql(self, request: web.Request) -> web.Response:
        operation, body = await _operation(request)
        variables = operation.get("variables", {})
        if "password" in variables:
            return await self._login(request, variables["email"])
        refusal = self._refusal(request, variables["number"], variables["account"])
        return refusal or await self._answer(variables["number"], variables["account"], body)

    async def _big(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request, request.headers.get(NUMBER, ""), request.headers.get(ACCOUNT, ""))
        return refusal or web.Response(body=request.headers[NUMBER].encode() + BIG)

    async def _answer(self, number: str, account: str, body: bytes) -> web.Response:
        await asyncio.sleep(self._draw.uniform(0, LONGEST_ANSWER))
        return web.json_response({"data": _echo_of(number, account, body)})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        number, account = request.headers.get(NUMBER, ""), request.headers.get(ACCOUNT, "")
        refusal = self._refusal(request, number, account)
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_json(_echo_of(number, account, message.data.encode()))
        return socket

    async def _login(self, request: web.Request, account: str) -> web.Response:
        self._counts["login attempts"] += 1
        if self._retry_after is not None:
            headers = {"Retry-After": f"{self._retry_after:.0f}"} if self._retry_after else {}
            return web.json_response({"error": "Service Unavailable"}, status=503, headers=headers)
        if request.headers.get("x-api-key") not in self._tokens.keys:
            self._counts["logins rejected"] += 1
            return web.json_response({"error": "Invalid API key"}, status=401)
        self._logging_in[account] += 1
        self._counts["logins at once"] = max(self._counts["logins at once"], self._logging_in[account])
        try:
            await asyncio.sleep(LOGIN_SECONDS)
        finally:
            self._logging_in[account] -= 1
        self._counts["logins"] += 1
        login = {"token": self._tokens.issue(account), "expiresIn": self._tokens.lifetime}
        return web.json_response({"data": {"login": login}})


def _echo_of(number: str, account: str, body: bytes) -> dict[str, Any]:
    return {"number": number, "account": account, "digest": zlib.crc32(body)}


async def _content(request: web.Request) -> bytes:
    """The body; of a form, its file."""
    if not request.content_type.startswith("multipart/"):
        return await request.read()
    file = (await request.post())["file"]
    assert isinstance(file, web.FileField)
    with contextlib.closing(file.file):
        return file.file.read()


async def _operation(request: web.Request) -> tuple[dict[str, Any], bytes]:
    """A GraphQL operation, and the file that came with it."""
    if not request.content_type.startswith("multipart/"):
        operation: dict[str, Any] = json.loads(await request.read())
        return operation, b""
    form = await request.post()
    file, text = form["0"], form["operations"]
    assert isinstance(file, web.FileField)
    assert isinstance(text, bytearray)  # a field of another type than text
    with contextlib.closing(file.file):
        return json.loads(text), file.file.read()


async def _main(port: int, lifetime: float) -> None:
    logging.disable()  # clients that go away in the middle are part of it; an answer of 500 is noticed by who gets it
    api = Api(lifetime, port or loopback_port())
    runner = web.AppRunner(api.app(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", api.port, backlog=1024).start()
    await serve_orders(api)
    await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
