"""aiohttp's own errors out of `AuthSession.graphql`: of the class that callers catch, and nothing of the answer in them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest

from exterview_auth import AuthSession, ExterviewAuth, StaticLogin
from tests.kit.raw_server import raw_server
from tests.kit.showing import assert_shows_none

TOKEN, SIGNATURE = "t0ken-s3cr3t-0123456789", "s1g-s3cr3t"


async def failure(answer: bytes, **arguments: Any) -> BaseException:
    """The error of a query that a bare socket answers with these bytes."""

    async def on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with raw_server(on) as port, aiohttp.ClientSession(**arguments) as http:
        endpoint = f"http://127.0.0.1:{port}/graphql?sig={SIGNATURE}"
        async with ExterviewAuth(StaticLogin(TOKEN), api_key="k3y-s3cr3t", endpoint=endpoint) as auth:
            with pytest.raises((aiohttp.ClientError, IndexError, UnicodeError)) as caught:
                await AuthSession(http, auth).graphql("{ a }")
    return caught.value


REDIRECT = b"HTTP/1.1 307 X\r\nContent-Length: 0\r\nLocation: "
ECHO = TOKEN.encode()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 " + ECHO + b"\r\n\r\n", aiohttp.ClientResponseError),
        (b"HTTP/1.1 200 X\r\nbad " + ECHO + b"\r\n\r\n", aiohttp.ClientResponseError),
        (b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + ECHO + b"\r\n", aiohttp.ClientResponseError),
        (b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\n" + ECHO, aiohttp.ClientPayloadError),
        (REDIRECT + b"http://[" + ECHO + b"\r\n\r\n", aiohttp.InvalidUrlRedirectClientError),
        (REDIRECT + b"//[]@" + ECHO + b"\r\n\r\n", aiohttp.InvalidUrlRedirectClientError),
        (REDIRECT + b"http://" + ECHO + b"..b/\r\n\r\n", aiohttp.InvalidUrlRedirectClientError),
        (REDIRECT + b"ftp://x/" + ECHO + b"\r\n\r\n", aiohttp.NonHttpUrlRedirectClientError),
        (REDIRECT + b"/graphql?sig=" + SIGNATURE.encode() + b"\r\nConnection: close\r\n\r\n", aiohttp.TooManyRedirects),
        (b"", aiohttp.ServerDisconnectedError),
        (b"HTTP/1.1 200 X\r\nX: " + ECHO, aiohttp.ServerDisconnectedError),
    ],
    ids=["status line", "header", "chunk", "cut", "bad host", "no host", "dots", "ftp", "loop", "closed", "cut header"],
)
async def test_an_error_of_aiohttp_holds_nothing_of_the_answer(answer: bytes, kind: type[Exception]) -> None:
    """The class stays what callers catch, without the lines, addresses and queries that it would quote."""
    error = await failure(answer)
    assert type(error) is kind
    assert error.__context__ is error.__cause__ is None
    assert_shows_none(error, TOKEN, SIGNATURE, "k3y-s3cr3t")
    assert "s3cr3t" not in f"{error} {error!r} {error.args} {vars(error)}"
    assert "\n" not in str(error)


async def test_an_error_of_a_connection_stays_as_it_is() -> None:
    """A refused connection and a timeout are aiohttp's own, with their causes."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}/graphql?sig={SIGNATURE}"
        async with (
            aiohttp.ClientSession() as http,
            ExterviewAuth(StaticLogin(TOKEN), api_key="k", endpoint=endpoint) as auth,
        ):
            with pytest.raises(aiohttp.ClientConnectorError) as refused:
                await AuthSession(http, auth).graphql("{ a }")
    assert isinstance(refused.value.__cause__, OSError)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    "error", [IndexError("own"), UnicodeError("own"), aiohttp.ClientError("own"), LookupError("own")]
)
async def test_an_error_of_the_applications_middleware_comes_out(error: Exception) -> None:
    """It is not aiohttp's, whatever its class."""

    async def fails(_request: object, _handler: object) -> Any:
        raise error

    async with (
        aiohttp.ClientSession(middlewares=(fails,)) as http,
        ExterviewAuth(StaticLogin(TOKEN), api_key="k", endpoint="http://localhost:1") as auth,
    ):
        with pytest.raises(type(error)) as caught:
            await AuthSession(http, auth).graphql("{ a }")
    assert caught.value is error


async def test_a_status_that_the_application_raises_comes_out() -> None:
    """A middleware that raises for a status knows what it shows."""

    async def raises(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await handler(request)
        response.raise_for_status()
        return response

    error = await failure(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", middlewares=(raises,))
    assert isinstance(error, aiohttp.ClientResponseError)
    assert (error.status, error.message) == (418, "Teapot")


@pytest.mark.parametrize("url", ["http://[", "//[]@", "http://[]@/", "http:///path", "https:path"])
async def test_what_is_no_url_is_refused_as_by_aiohttp(url: str) -> None:
    """An ``IndexError`` of yarl is no answer to a wrong argument, and what names a scheme is no path of the API."""
    async with (
        aiohttp.ClientSession() as http,
        ExterviewAuth(StaticLogin(TOKEN), api_key="k", endpoint="http://localhost:1") as auth,
    ):
        api = AuthSession(http, auth)
        for call in (api.get, api.ws_connect):
            with pytest.raises(aiohttp.InvalidUrlClientError):
                await call(url)
