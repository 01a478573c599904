"""WebSockets: the handshake is signed, renewed and repeated."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exterview_auth import AuthSession
from tests.kit.api import KEY, scene


async def greet(request: web.Request, _body: bytes) -> web.StreamResponse:
    """Answer with a WebSocket that says hello."""
    socket = web.WebSocketResponse(protocols=("chat",))
    await socket.prepare(request)
    await socket.send_str("hello")
    await socket.close()
    return socket


async def hello(client: Any, url: str) -> bool:
    """Return whether the socket at *url* says hello."""
    async with client.ws_connect(url, protocols=("chat",)) as socket:
        assert socket.protocol == "chat"
        return bool((await socket.receive()).data == "hello")


async def test_a_handshake_is_signed_and_a_refused_one_is_repeated() -> None:
    """On a session without our middleware, and on one that has it."""
    async with scene() as at, aiohttp.ClientSession(middlewares=(at.auth,)) as plain:
        at.api.answers["/ws"] = greet
        for client in (at.client, plain, AuthSession(plain, at.auth)):
            assert await hello(client, f"{at.api.base}/ws")
            logins = at.login.count
            at.api.revoke()
            assert await hello(client, f"{at.api.base}/ws")
            assert at.login.count == logins + 1
        assert at.api.arrivals[-1].headers["x-api-key"] == KEY


@pytest.mark.parametrize("test", [None, lambda response: response.status == 401], ids=["fast path", "slow path"])
async def test_an_answered_handshake_accepts_the_token(test: Any) -> None:
    """Any answer but 400, 401 and 5xx, so 101 too."""
    async with scene(is_unauthorized=test) as at:
        at.api.answers["/ws"] = greet
        assert await hello(at.client, "/ws")
        assert (await at.auth._keeper.obtain()).ever_accepted


async def test_a_ws_url_belongs_to_the_origin_and_a_relative_one_to_the_endpoint() -> None:
    """The origin of a WebSocket is the origin of its handshake."""
    async with scene() as at:
        at.api.answers["/ws"] = greet
        assert await hello(at.client, at.api.base.replace("http", "ws") + "/ws")
        assert await hello(at.client, "/ws")


async def test_a_handshake_that_stays_refused_is_aiohttps_own_error() -> None:
    """As from plain aiohttp, and without a secret."""
    async with scene() as at:
        at.api.keys.clear()
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await at.client.ws_connect("/ws")
        assert caught.value.status == 401
        assert "token-1" not in repr(caught.value)
        assert not at.http.closed


async def test_the_wrapped_session_is_as_before() -> None:
    """Its middlewares run for the handshake, and it still works afterwards."""
    seen: list[str] = []

    async def own(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request.url.path)
        return await handler(request)

    async with scene(session={"middlewares": (own,)}) as at:
        at.api.answers["/ws"] = greet
        assert await hello(at.client, "/ws")
        assert (await at.post())[0] == 200
        assert seen == ["/ws", "/graphql"]
