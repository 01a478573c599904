"""An API on a loopback socket that does what a test says, and writes down what arrives."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Self

import aiohttp
from aiohttp import web

from exterview_auth import AuthSession, ExterviewAuth, LoginContext, Token

KEY = "organization-key"
QUERY = {"query": "{ __typename }"}

Handler = Callable[[web.Request, bytes], Awaitable[web.StreamResponse | None]]


class Arrival(NamedTuple):
    """One request as the server saw it."""

    path: str
    status: int
    token: str
    body: bytes
    headers: dict[str, str]


class Api:
    """
    Answers every path: 401 unless key and token are good, else the JSON ``{"data": {"__typename": "Query"}}``.

    ``answers[path]`` replaces the answer to an authorised request, ``refusals[path]`` that to a refused one.
    """

    def __init__(self) -> None:
        self.tokens: set[str] = set()
        self.keys = {KEY}
        self.arrivals: list[Arrival] = []
        self.answers: dict[str, Handler] = {}
        self.refusals: dict[str, Handler] = {}
        self.connections: set[Any] = set()
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.endpoint = f"{self.base}/graphql"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()

    def issue(self) -> str:
        """A new good token."""
        token = f"token-{next(self._numbers)}"
        self.tokens.add(token)
        return token

    def revoke(self) -> None:
        """No token is good any more."""
        self.tokens.clear()

    def since(self, mark: int) -> list[tuple[int, str]]:
        """Status and token of what arrived after the first *mark*."""
        return [(arrival.status, arrival.token) for arrival in self.arrivals[mark:]]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        headers = request.headers
        for name in ("Authorization", "x-api-key"):
            assert len(headers.getall(name, [])) <= 1, f"{name} is doubled"
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        good = token in self.tokens and headers.get("x-api-key") in self.keys
        body = b"" if request.path.endswith("/early") and not good else await request.read()
        handler = (self.answers if good else self.refusals).get(request.path)
        position = len(self.arrivals)
        self.arrivals.append(Arrival(request.path, 200 if good else 401, token, body, dict(headers)))
        response = await handler(request, body) if handler is not None else None
        if response is None:
            payload = {"data": {"__typename": "Query"}} if good else {"error": "Missing or invalid token"}
            response = web.json_response(payload, status=200 if good else 401)
        self.arrivals[position] = self.arrivals[position]._replace(status=response.status)
        return response


class Login:
    """Issues the API's tokens; may be held up, and counts."""

    def __init__(self, api: Api, *, seconds: float = 0.0, expires_in: float | None = 3600) -> None:
        self.api = api
        self.seconds = seconds
        self.expires_in = expires_in
        self.gate = asyncio.Event()
        self.gate.set()
        self.contexts: list[LoginContext] = []

    async def __call__(self, context: LoginContext) -> Token:
        self.contexts.append(context)
        await self.gate.wait()
        await asyncio.sleep(self.seconds)
        return Token(self.api.issue(), expires_in=self.expires_in)

    @property
    def count(self) -> int:
        """How many logins were begun."""
        return len(self.contexts)


class Scene(NamedTuple):
    """What most tests need."""

    api: Api
    login: Login
    auth: ExterviewAuth
    http: aiohttp.ClientSession
    client: AuthSession

    async def post(self, path: str = "/graphql", **options: Any) -> tuple[int, Any]:
        """Status and JSON of a POST through `AuthSession`."""
        return await post(self.client, self.api.base + path, **options)


@contextlib.asynccontextmanager
async def scene(*, session: dict[str, Any] | None = None, seconds: float = 0.0, **options: Any) -> AsyncIterator[Scene]:
    """An API, an owner with *options*, and a session made with *session*."""
    async with Api() as api:
        login = Login(api, seconds=seconds)
        options.setdefault("endpoint", api.endpoint)
        options.setdefault("api_key", KEY)
        owner = ExterviewAuth(options.pop("login", login), **options)
        async with aiohttp.ClientSession(**(session or {})) as http, owner as auth:
            yield Scene(api, login, auth, http, AuthSession(http, auth))


async def teapot(_request: web.Request, _body: bytes) -> web.Response:
    """A refusal of an API with a status of its own."""
    return web.Response(status=418)


def is_teapot(response: aiohttp.ClientResponse) -> bool:
    """What knows it."""
    return response.status == 418


async def is_teapot_async(response: aiohttp.ClientResponse) -> bool:
    """The same, awaited."""
    return is_teapot(response)


TEAPOT_TESTS = (is_teapot_async, is_teapot)


async def post(client: Any, url: Any, **options: Any) -> tuple[int, Any]:
    """Status and JSON of a POST, of the smoke test's query where no body is given."""
    if not {"json", "data"} & set(options):
        options["json"] = QUERY
    async with client.post(url, **options) as response:
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else text


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for *condition*, and fail if it does not come."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is a server's or a counter, not ours to signal
            await asyncio.sleep(0.002)


async def nobody_is_sent_with_a_dead_token(at: Scene) -> None:
    """Rule 4: while the login for a refused token runs, 20 new requests wait; all are sent with the next one."""
    at.api.revoke()
    at.login.gate.clear()
    first = asyncio.create_task(at.post())
    await until(lambda: at.login.count == 2)
    mark = len(at.api.arrivals)
    rest = [asyncio.create_task(at.post()) for _ in range(20)]
    await until(lambda: at.auth.stats().waiting == 21)
    assert len(at.api.arrivals) == mark
    at.login.gate.set()
    assert {status for status, _ in await asyncio.gather(first, *rest)} == {200}
    assert {token for _, token in at.api.since(mark)} == {"token-2"}
