"""A request whose body takes a while to begin is signed when it begins: aiohttp holds its head back until then."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from exterview_auth import (
    ClosedError,
    ConfigurationError,
    CredentialsRejectedError,
    ExterviewAuth,
    LoginContext,
    Token,
)
from exterview_auth._aiohttp.internals.requests import first_line_of
from tests.kit.api import KEY, PLAIN, Scene, post, scene, signed_in, until
from tests.kit.raw_server import raw_server

PARTS = [b"one", b"two", b"three"]
WHOLE = b"".join(PARTS)


class Stream:
    """A body that begins when ``over`` is set; ``begun`` is set when aiohttp asks for it."""

    def __init__(self) -> None:
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun.set()
        await self.over.wait()
        for part in PARTS:
            yield part


class Piped(aiohttp.Payload):
    """A payload of known size that takes a while."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._size = len(WHOLE)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError

    async def write(self, writer: Any) -> None:
        async for part in self._value:
            await writer.write(part)


@contextlib.asynccontextmanager
async def making(
    at: Scene, stream: Stream | None = None, **options: Any
) -> AsyncIterator[tuple[Stream, asyncio.Task[Any]]]:
    """A request whose body, *stream* or what holds it, is being made."""
    stream = stream or Stream()
    task = asyncio.create_task(at.post(**{"data": stream, **options}))
    await stream.begun.wait()
    yield stream, task


@pytest.mark.parametrize(
    "meanwhile", ["invalidated", "refused to another", "logged out", "expired", "expired for others"]
)
@PLAIN
async def test_a_token_that_dies_while_a_body_is_made_is_not_sent(
    meanwhile: str, monkeypatch: pytest.MonkeyPatch, *, plain: bool
) -> None:
    """The request waits for the login that runs, or starts it, and its only body arrives with the next token."""
    now = 1000.0
    monkeypatch.setattr("exterview_auth._auth.boot_time", lambda: now)
    async with signed_in(plain=plain, refresh_ahead=0) as at, making(at) as (stream, slow):
        others: list[asyncio.Task[Any]] = []
        at.login.gate.clear()
        if meanwhile == "invalidated":
            at.auth.invalidate(await at.auth.token())
        elif meanwhile == "logged out":
            await at.auth.logout()
        elif meanwhile.startswith("expired"):
            now += 3600
        if meanwhile == "refused to another":
            at.api.revoke()
        if meanwhile.endswith(("another", "others")):
            others.append(asyncio.create_task(at.post()))
            await until(lambda: at.login.count == 2)
        mark = len(at.api.arrivals)
        stream.over.set()
        await until(lambda: at.auth.stats().waiting == 1 + len(others))
        assert len(at.api.arrivals) == mark
        at.login.gate.set()
        assert [status for status, _ in await asyncio.gather(slow, *others)] == [200] * (1 + len(others))
        assert {token for _, token in at.api.since(mark)} == {"token-2"}
        assert [arrival.body for arrival in at.api.arrivals[mark:]].count(WHOLE) == 1
        assert at.login.count == 2


@pytest.mark.parametrize("replaced", [False, True])
async def test_the_head_goes_with_the_first_bytes(monkeypatch: pytest.MonkeyPatch, *, replaced: bool) -> None:
    """As aiohttp writes them: after a separate head, a connection that closes would leave an error that nobody retrieves."""
    if not isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        pytest.skip(
            "this loop's transports cannot be watched, because they are not Python's own: run it without uvloop"
        )
    pieces: list[bytes] = []
    transport_kind: Any = vars(asyncio.selector_events)["_SelectorSocketTransport"]

    def noting(name: str, joined: Callable[[Any], bytes]) -> None:
        real = getattr(transport_kind, name)

        def write(transport: Any, data: Any) -> None:
            pieces.append(joined(data))
            real(transport, data)

        monkeypatch.setattr(transport_kind, name, write)

    noting("write", bytes)
    noting("writelines", b"".join)
    async with signed_in() as at, making(at) as (stream, task):
        if replaced:
            at.auth.invalidate(await at.auth.token())
            await at.auth.token()
        pieces.clear()
        stream.over.set()
        assert (await task)[0] == 200
    (head,) = {piece for piece in pieces if piece.startswith(b"POST ")}
    assert PARTS[0] in head


@pytest.mark.parametrize("test", [None, lambda response: response.status == 401], ids=["fast path", "slow path"])
@pytest.mark.parametrize("kind", ["stream", "named length", "payload", "compressed", "factory"])
@PLAIN
async def test_a_token_that_is_replaced_while_a_body_is_made_is_not_sent(kind: str, test: Any, *, plain: bool) -> None:
    """Whatever makes the body, and whether its length is known."""
    async with signed_in(plain=plain, is_unauthorized=test) as at:
        stream = Stream()
        options: dict[str, Any] = {"data": stream}
        if kind == "named length":
            options["headers"] = {"Content-Length": str(len(WHOLE))}
        elif kind == "payload":
            options["data"] = Piped(stream)
        elif kind == "compressed":
            options["compress"] = True
        elif kind == "factory" and not plain:
            options["data"] = lambda: stream
        async with making(at, stream, **options) as (_, slow):
            at.auth.invalidate(await at.auth.token())
            assert (await at.auth.token()).value == "token-2"
            stream.over.set()
            assert (await slow)[0] == 200
        assert at.api.since(0) == [(200, "token-2")]
        assert at.api.arrivals[0].body == WHOLE
        assert (at.login.count, at.auth.stats().unauthorized) == (2, 0)


async def test_a_file_that_cannot_be_read_yet_is_signed_when_it_can() -> None:
    """A pipe without a writer, as ``gzip resumes | upload`` begins."""
    reader, out = os.pipe()
    async with signed_in() as at:
        with os.fdopen(reader, "rb") as body:
            slow = asyncio.create_task(at.post(data=body))
            await until(lambda: bool(at.auth._middleware.signed.unanswered))
            for _ in range(10):
                await asyncio.sleep(0)
            at.auth.invalidate(await at.auth.token())
            assert (await at.auth.token()).value == "token-2"
            os.write(out, WHOLE)
            os.close(out)
            assert (await slow)[0] == 200
    assert [(arrival.token, arrival.body) for arrival in at.api.arrivals] == [("token-2", WHOLE)]


async def test_a_body_still_arrives_in_the_pieces_in_which_it_is_made() -> None:
    """A stream is a stream; nothing is collected for the signature's sake."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def early(request: web.Request, _body: bytes) -> web.Response:
        async for chunk in request.content.iter_any():
            arrived.put_nowait(chunk)
        return web.Response()

    async def body() -> AsyncIterator[bytes]:
        for part in PARTS:
            yield part
            assert await arrived.get() == part

    async with signed_in() as at:
        at.api.answers["/early"] = at.api.refusals["/early"] = early
        at.api.revoke()  # only a refusal's body is left to its handler
        assert (await at.post("/early", data=body()))[0] == 200


@pytest.mark.parametrize("error", [CredentialsRejectedError("no"), ClosedError])
async def test_a_login_that_fails_ends_a_request_whose_body_has_begun(error: Any) -> None:
    """With the same error as any other request that waits, and nothing is sent."""
    async with signed_in() as at, making(at) as (stream, slow):
        at.login.gate.clear()
        at.auth.invalidate(await at.auth.token())
        stream.over.set()
        await until(lambda: at.auth.stats().waiting == 1)
        if error is ClosedError:
            await at.auth.aclose()
        else:
            at.login.error = error
            at.login.gate.set()
        with pytest.raises(error if isinstance(error, type) else type(error)):
            await slow
        assert at.api.arrivals == []
        assert at.auth._middleware.signed.unanswered == {}


async def broken() -> AsyncIterator[bytes]:
    """A body that fails."""
    yield b"one"
    raise ValueError("no more")


async def test_a_body_that_fails_is_aiohttps_own_error() -> None:
    """The fault table: as from a plain session."""
    async with signed_in() as at:
        with pytest.raises(aiohttp.ClientConnectionError, match="Failed to send bytes"):
            await at.post(data=broken())
        assert (await at.post())[0] == 200


async def test_a_request_that_is_cancelled_while_its_body_waits_leaves_nothing() -> None:
    """Neither a waiter nor a task; the login goes on."""
    async with signed_in() as at, making(at) as (stream, slow):
        at.login.gate.clear()
        at.auth.invalidate(await at.auth.token())
        stream.over.set()
        await until(lambda: at.auth.stats().waiting == 1)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        await until(lambda: at.auth.stats().waiting == 0)
        at.login.gate.set()
        assert (await at.auth.token()).value == "token-2"


async def test_traces_see_the_head_that_is_sent() -> None:
    """Tracing works as before, and learns of the last signature."""
    heads: list[str] = []

    async def on_head(_session: Any, _context: Any, parameters: aiohttp.TraceRequestHeadersSentParams) -> None:
        heads.append(parameters.headers["Authorization"])

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(on_head)
    async with signed_in(session={"trace_configs": [trace]}) as at, making(at) as (stream, slow):
        at.auth.invalidate(await at.auth.token())
        await at.auth.token()
        stream.over.set()
        assert (await slow)[0] == 200
        assert heads[-1] == "Bearer token-2"


async def status_of_a_stream(http: aiohttp.ClientSession, at: Scene) -> int:
    """Return the status of a request whose owner's token is invalidated before its body begins."""
    stream = Stream()
    slow = asyncio.create_task(post(http, at.api.endpoint, data=stream))
    await stream.begun.wait()
    at.auth.invalidate(await at.auth.token())
    stream.over.set()
    return (await slow)[0]


async def test_another_owners_signature_is_left_alone() -> None:
    """An owner further in has signed over ours: what its head says is no business of ours."""
    async with signed_in(plain=True) as at:

        async def login(_: LoginContext) -> Token:
            return Token(at.api.issue())

        async with ExterviewAuth(login, api_key=KEY, endpoint=at.api.endpoint) as inner:
            await inner.token()
            async with aiohttp.ClientSession(middlewares=(at.auth, inner)) as http:
                assert await status_of_a_stream(http, at) == 200
    assert at.api.since(0) == [(200, "token-2")]
    assert at.login.count == 1


async def test_the_applications_own_signature_is_left_alone() -> None:
    """A middleware further in may write a header of its own over ours: then no token of ours is waited for."""

    async def impersonate(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers["Authorization"] = "Bearer own"
        return await handler(request)

    async with signed_in(plain=True) as at:
        at.api.tokens.add("own")
        async with aiohttp.ClientSession(middlewares=(at.auth, impersonate)) as http:
            assert await status_of_a_stream(http, at) == 200
    assert (at.api.since(0), at.login.count) == ([(200, "own")], 1)


@pytest.mark.parametrize("dies", [False, True])
async def test_a_body_begins_only_when_the_server_lets_it(*, dies: bool) -> None:
    """``Expect: 100-continue`` sends the head first, with a token that is alive then, and a refusal is replayed."""
    heads: list[bytes] = []
    bodies: list[bytes] = []
    stream = Stream()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            assert not stream.begun.is_set()
            if b"Bearer good" not in head:
                writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
                continue
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            stream.over.set()
            bodies.append(await reader.readuntil(b"0\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            break

    async def login(context: LoginContext) -> Token:
        return Token("stale" if context.previous is None else "good")

    async def kill(_session: Any, _context: Any, _parameters: Any) -> None:
        if dies and at.auth.stats().logins == 1:
            at.auth.invalidate(await at.auth.token())  # after the head was written down, before it is written

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(kill)
    async with contextlib.AsyncExitStack() as stack:
        endpoint = f"http://127.0.0.1:{await stack.enter_async_context(raw_server(serve))}/graphql"
        options: dict[str, Any] = {"login": login, "endpoint": endpoint, "session": {"trace_configs": [trace]}}
        at = await stack.enter_async_context(scene(**options))
        assert (await asyncio.wait_for(post(at.client, endpoint, data=stream, expect100=True), 20))[0] == 200
    assert [b"Bearer stale" in head for head in heads] == ([False] if dies else [True, False])
    assert bodies == [b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"]


def test_an_aiohttp_that_holds_no_head_back_is_named() -> None:
    """A head that cannot be signed again says so, and is not sent."""
    with pytest.raises(ConfigurationError, match=r"has no StreamWriter\._headers_buf"):
        first_line_of(cast("AbstractStreamWriter", SimpleNamespace()))
