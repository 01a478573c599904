"""An API on a loopback socket that does what a test says, and records what arrives."""

from __future__ import annotations

import asyncio
import contextlib
import email
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, Self, cast

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy

from exterview_auth import AuthSession, ExterviewAuth, LoginContext, Token

KEY = "organization-key"
QUERY = {"query": "{ __typename }"}

Handler = Callable[[web.Request, bytes], Awaitable[web.StreamResponse | None]]
Signature = tuple[str | None, str | None]
SIGNED: Signature = ("Bearer token-1", KEY)
"""The credentials of a request with the first token."""
UNSIGNED: Signature = (None, None)


class Arrival(NamedTuple):
    """One request as the server saw it."""

    path: str
    status: int
    token: str
    body: bytes
    headers: CIMultiDictProxy[str]


class Part(NamedTuple):
    """One field of a form."""

    name: str
    file_name: str | None
    content_type: str | None
    content: bytes


def form_of(arrival: Arrival) -> list[Part]:
    """Return the fields of a form that has arrived."""
    head = f"Content-Type: {arrival.headers['Content-Type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + arrival.body)
    assert message.get_content_type() == "multipart/form-data"
    return [
        Part(
            str(part.get_param("name", header="Content-Disposition")),
            part.get_filename(),
            part["Content-Type"],
            cast("bytes", part.get_payload(decode=True)),
        )
        for part in message.walk()
        if not part.is_multipart()
    ]


class Api:
    """
    Answers every path: 401 unless key and token are good, else the JSON ``{"data": {"__typename": "Query"}}``.

    ``answers[path]`` replaces the answer to an authorised request, ``refusals[path]`` the answer to a refused one.
    """

    def __init__(self) -> None:
        self.prefix = ""
        """What each token begins with."""
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
        """Return a new good token."""
        token = f"{self.prefix}token-{next(self._numbers)}"
        self.tokens.add(token)
        return token

    def revoke(self) -> None:
        """Refuse every token that was issued."""
        self.tokens.clear()

    def since(self, mark: int) -> list[tuple[int, str]]:
        """Return status and token of each arrival after the first *mark*."""
        return [(arrival.status, arrival.token) for arrival in self.arrivals[mark:]]

    @property
    def signatures(self) -> list[Signature]:
        """Both credentials of each arrival."""
        return [(each.headers.get("Authorization"), each.headers.get("x-api-key")) for each in self.arrivals]

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
        self.arrivals.append(Arrival(request.path, 200 if good else 401, token, body, headers))
        response = await handler(request, body) if handler is not None else None
        if response is None:
            payload = {"data": {"__typename": "Query"}} if good else {"error": "Missing or invalid token"}
            response = web.json_response(payload, status=200 if good else 401)
        self.arrivals[position] = self.arrivals[position]._replace(status=response.status)
        return response


# -- answers ------------------------------------------------------------------------------------------------------------


def answering(
    status: int = 200, payload: Any = b"", *, headers: dict[str, str] | None = None, close: bool = False
) -> Handler:
    """Return a handler that always gives this answer; *payload* is JSON, or bytes as they are."""

    async def answer(_request: web.Request, _body: bytes) -> web.Response:
        if isinstance(payload, bytes):
            response = web.Response(body=payload, status=status, headers=headers)
        else:
            response = web.json_response(payload, status=status, headers=headers)
        if close:
            response.force_close()
        return response

    return answer


def leads_to(target: str, status: int = 307) -> Handler:
    """Return a handler that redirects."""
    return answering(status, headers={"Location": target})


def endless(status: int, chunk: bytes = b"x", pause: float = 0.02) -> Handler:
    """Return a handler whose answer does not end by itself."""

    async def answer(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while True:
                await response.write(chunk)
                await asyncio.sleep(pause)
        return response

    return answer


def held(over: asyncio.Event, reached: asyncio.Event | None = None) -> Handler:
    """Return a handler that answers as usual after *over*; *reached* is set when a request is held."""

    async def hold(_request: web.Request, _body: bytes) -> None:
        if reached is not None:
            reached.set()
        await over.wait()

    return hold


async def cut(request: web.Request, _body: bytes) -> None:
    """End the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()


teapot = answering(418)
"""The refusal of an API that has an unusual status for it."""


def is_teapot(response: aiohttp.ClientResponse) -> bool:
    """Return whether *response* is that refusal."""
    return response.status == 418


async def is_teapot_async(response: aiohttp.ClientResponse) -> bool:
    """The same, awaited."""
    return is_teapot(response)


TEAPOT_TESTS = (is_teapot_async, is_teapot)


# -- an owner and its client --------------------------------------------------------------------------------------------


class Login:
    """Issues the API's tokens, and counts. It can be held up, fail, or do something *first*."""

    def __init__(self, api: Api, *, seconds: float = 0.0, expires_in: float | None = 3600) -> None:
        self.api = api
        self.seconds = seconds
        self.expires_in = expires_in
        self.gate = asyncio.Event()
        self.gate.set()
        self.first: Callable[[LoginContext], Awaitable[object]] | None = None
        self.error: BaseException | None = None
        self.contexts: list[LoginContext] = []

    async def __call__(self, context: LoginContext) -> Token:
        self.contexts.append(context)
        await self.gate.wait()
        await asyncio.sleep(self.seconds)
        if self.first is not None:
            await self.first(context)
        if self.error is not None:
            raise self.error
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
    client: Any
    """An `AuthSession`, or the session itself with the owner as its middleware."""

    async def post(self, path: str = "/graphql", **options: Any) -> tuple[int, Any]:
        """Return status and JSON of a POST through the client."""
        return await post(self.client, self.api.base + path, **options)

    async def statuses(self, number: int, path: str = "/graphql", **options: Any) -> set[int]:
        """Return the statuses of so many concurrent POSTs."""
        return {status for status, _ in await asyncio.gather(*(self.post(path, **options) for _ in range(number)))}


PLAIN = pytest.mark.parametrize("plain", [True, False], ids=["middleware", "session"])
"""A test for both clients: the owner as a middleware, and `AuthSession`."""


@contextlib.asynccontextmanager
async def scene(
    *,
    session: dict[str, Any] | None = None,
    connections: int | None = None,
    plain: bool = False,
    seconds: float = 0.0,
    **options: Any,
) -> AsyncIterator[Scene]:
    """
    An API, an owner with *options*, and a session with *session* and at most so many *connections*.

    *plain*: the client is the session itself, with the owner as its middleware.
    """
    async with Api() as api:
        login = Login(api, seconds=seconds)
        options = {"login": login, "api_key": KEY, "endpoint": api.endpoint, **options}
        owner = ExterviewAuth(options.pop("login"), **options)
        arguments = dict(session or {})
        if connections is not None:
            arguments["connector"] = aiohttp.TCPConnector(limit=connections)
        if plain:
            arguments["middlewares"] = (owner,)
        async with aiohttp.ClientSession(**arguments) as http, owner as auth:
            yield Scene(api, login, auth, http, http if plain else AuthSession(http, auth))


@contextlib.asynccontextmanager
async def signed_in(**options: Any) -> AsyncIterator[Scene]:
    """A scene whose first token has served one request, which does not count among the arrivals."""
    async with scene(**options) as at:
        assert (await at.post())[0] == 200
        at.api.arrivals.clear()
        yield at


@contextlib.asynccontextmanager
async def revoked(**options: Any) -> AsyncIterator[Scene]:
    """A scene whose first token has served one request, and is refused from now on."""
    async with signed_in(**options) as at:
        at.api.revoke()
        yield at


async def post(client: Any, url: Any, **options: Any) -> tuple[int, Any]:
    """Return status and JSON of a POST, by default of the smoke test's query."""
    if not {"json", "data"} & set(options):
        options["json"] = QUERY
    async with client.post(url, **options) as response:
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else text


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for *condition*, and fail if it does not become true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is a server's or a counter, not ours to signal
            await asyncio.sleep(0.002)
