"""
The API of the soak, in a separate process: ``python -m benchmarks.soak.server PORT LIFETIME``; for port 0 it chooses one.

It takes orders (see `harness.process`). A token contains its account and when it was issued, so that a restarted server knows
the tokens of the one before: it only needs to learn since when tokens are revoked, and which API keys are good.

Each answer holds the request's number, the account of its token and a digest of its body. The ``error`` of a refusal says how
often the request was refused, when those tokens were issued, and why; a header repeats it, for handshakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import socket
import sys
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from ..harness.process import serve_orders

LOGIN_SECONDS = 0.06
LONGEST_ANSWER = 0.3
"""Seconds from a request's arrival to its answer, at most."""
NUMBER, ACCOUNT, REFUSALS = "x-number", "x-account", "x-refusals"
ALL = "*"
BIG = bytes(range(256)) * 1200

_REMEMBERED = 20_000
_LISTED = 4
_PORTS = range(20_000, 32_000)
"""Below those that a system lends to outgoing connections: while the server is down, one of them could take its port."""


class Api:
    """The routes and counters."""

    def __init__(self, lifetime: float, port: int) -> None:
        self.port = port
        self._lifetime = lifetime
        self._keys: list[str] = []
        self._revoked_since: dict[str, float] = {}
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
        """Return the server."""
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/{path}", self._serve)
        return app

    # -- orders -----------------------------------------------------------------------------------------------------

    async def do_admit(self, keys: list[str], revoked_since: dict[str, float]) -> dict[str, Any]:
        """Accept these *keys*, and no token that was issued before its account's time in *revoked_since*."""
        self._keys, self._revoked_since = keys, revoked_since
        return {"port": self.port}

    async def do_logins(self, retry_after: float | None) -> None:
        """Answer logins with a 503 that asks for *retry_after* seconds (0: for none); ``None``: serve them."""
        self._retry_after = retry_after

    async def do_count(self) -> dict[str, Any]:
        """Return what was counted since the last time."""
        counts, self._counts = self._counts, Counter()
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
        """Return the answer to a request that is not accepted."""
        for name in ("Authorization", "x-api-key", NUMBER):
            if len(request.headers.getall(name, [])) > 1:
                return web.json_response({"error": f"{name} is doubled"}, status=400)
        account, _, nanoseconds = request.headers.get("Authorization", "").removeprefix("Bearer ").partition(".")
        if not nanoseconds.isdecimal():
            return web.json_response({"error": "no token"}, status=400)
        if account != wanted:
            return web.json_response({"error": f"the token of {account} for a request of {wanted}"}, status=409)
        issued = int(nanoseconds) / 1e9
        fault = self._fault(account, issued, request.headers.get("x-api-key", ""))
        return self._refuse(number, issued, fault) if fault else None

    def _fault(self, account: str, issued: float, key: str) -> str:
        if key not in self._keys:
            return "key"
        if issued <= max(self._revoked_since.get(ALL, 0.0), self._revoked_since.get(account, 0.0)):
            return "revoked"
        return "expired" if time.monotonic() > issued + self._lifetime else ""

    def _refuse(self, number: str, issued: float, fault: str) -> web.Response:
        self._counts["refused"] += 1
        # The history of refusals lets the judge decide whether the caller should have got this 401.
        seen = self._refused.setdefault(number, [])
        seen.append((issued, time.monotonic(), fault))
        if len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)
        listed = json.dumps(seen[-_LISTED:])
        return web.json_response({"error": listed}, status=401, headers={REFUSALS: listed})

    async def _echo(self, request: web.Request) -> web.Response:
        # The refusal comes before the body is read, as from many servers.
        number, account = _named(request)
        refusal = self._refusal(request, number, account)
        return refusal or await self._answer(number, account, await _content(request))

    async def _graphql(self, request: web.Request) -> web.Response:
        operation, body = await _operation(request)
        variables = operation.get("variables", {})
        if "password" in variables:
            return await self._login(request, variables["email"])
        refusal = self._refusal(request, variables["number"], variables["account"])
        return refusal or await self._answer(variables["number"], variables["account"], body)

    async def _big(self, request: web.Request) -> web.Response:
        refusal = self._refusal(request, *_named(request))
        return refusal or web.Response(body=request.headers[NUMBER].encode() + BIG)

    async def _answer(self, number: str, account: str, body: bytes) -> web.Response:
        await asyncio.sleep(self._draw.uniform(0, LONGEST_ANSWER))
        return web.json_response({"data": _echo_of(number, account, body)})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        number, account = _named(request)
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
        if request.headers.get("x-api-key") not in self._keys:
            self._counts["logins rejected"] += 1
            return web.json_response({"error": "Invalid API key"}, status=401)
        self._logging_in[account] += 1
        self._counts["logins at once"] = max(self._counts["logins at once"], self._logging_in[account])
        try:
            await asyncio.sleep(LOGIN_SECONDS)
        finally:
            self._logging_in[account] -= 1
        self._counts["logins"] += 1
        login = {"token": f"{account}.{time.monotonic_ns()}", "expiresIn": self._lifetime}
        return web.json_response({"data": {"login": login}})


def _named(request: web.Request) -> tuple[str, str]:
    return request.headers.get(NUMBER, ""), request.headers.get(ACCOUNT, "")


def _echo_of(number: str, account: str, body: bytes) -> dict[str, Any]:
    return {"number": number, "account": account, "digest": zlib.crc32(body)}


async def _content(request: web.Request) -> bytes:
    """Return the body; of a form, its file."""
    if not request.content_type.startswith("multipart/"):
        return await request.read()
    file = (await request.post())["file"]
    assert isinstance(file, web.FileField)
    with contextlib.closing(file.file):
        return file.file.read()


async def _operation(request: web.Request) -> tuple[dict[str, Any], bytes]:
    """Return a GraphQL operation, and its file."""
    if not request.content_type.startswith("multipart/"):
        operation: dict[str, Any] = json.loads(await request.read())
        return operation, b""
    form = await request.post()
    file, text = form["0"], form["operations"]
    assert isinstance(file, web.FileField)
    assert isinstance(text, bytearray)  # a field of another type than text
    with contextlib.closing(file.file):
        return json.loads(text), file.file.read()


def loopback_port() -> int:
    """Return a port that is free now, and stays free until the server is back on it."""
    for port in random.sample(_PORTS, 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise OSError("no free port for the soak's API")


async def _main(port: int, lifetime: float) -> None:
    logging.disable()  # clients that leave in the middle are expected; an answer of 500 is noticed by the client
    api = Api(lifetime, port or loopback_port())
    runner = web.AppRunner(api.app(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", api.port, backlog=1024).start()
    await serve_orders(api)
    await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
