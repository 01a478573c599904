"""Which bodies can be sent twice, and how a factory's is made anew."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import BytesPayload, ClientTimeout, FormData, JsonPayload, MultipartWriter, StringPayload, web
from multidict import MultiDict

from exterview_auth._aiohttp import bodies as _body
from tests.kit import api


class Seen:
    """What a loopback server got."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.headers.get("Content-Type", ""), await request.read()))
        return web.Response()


async def through(
    middleware: Callable[[aiohttp.ClientRequest], Awaitable[None]], **options: Any
) -> list[tuple[str, bytes]]:
    """What arrives from one POST that *middleware* sees before it is sent."""

    async def around(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        await middleware(request)
        return await handler(request)

    seen = Seen()
    app = web.Application()
    app.router.add_post("/", seen.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession(middlewares=(around,)) as http, http.post(url, **options) as response:
            assert response.status == 200
    finally:
        await runner.cleanup()
    return seen.requests


async def stream() -> AsyncIterator[bytes]:
    """A body that exists once."""
    yield b"one"
    yield b"two"


# -- factories -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [lambda: b"x", stream, functools.partial(io.BytesIO, b"x"), io.BytesIO],
    ids=["lambda", "generator", "partial", "class"],
)
def test_a_callable_makes_bodies(data: object) -> None:
    """Functions, generator functions, partials and classes are factories."""
    assert _body.is_factory(data)


@pytest.mark.parametrize(
    "data",
    [None, b"x", "x", io.BytesIO(), FormData(), BytesPayload(b"x"), {"a": "b"}, [("a", "b")]],
    ids=lambda data: type(data).__name__,
)
def test_a_body_is_no_factory(data: object) -> None:
    """Forms are callable, but are bodies; so is everything that cannot be called."""
    assert not _body.is_factory(data)


@pytest.mark.asyncio
async def test_a_factory_may_be_async() -> None:
    """What a factory returns is awaited where it can be, and a new body is made each time."""
    made: list[bytes] = []

    async def later() -> bytes:
        made.append(b"x")
        return b"later"

    assert await _body.made_by(lambda: b"now") == b"now"
    assert await _body.made_by(later) == b"later"
    assert await _body.made_by(lambda: later()) == b"later"  # noqa: PLW0108 - the form that users write
    assert len(made) == 2
    assert isinstance(await _body.made_by(io.BytesIO), io.BytesIO)


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [lambda: b"new body", stream], ids=["bytes", "stream"])
async def test_a_replaced_body_arrives_alone(make: _body.BodyFactory) -> None:
    """The factory's new body replaces the old one, of another length, and keeps the content type."""
    requests = await through(
        lambda request: _body.replace(request, make), data=b"old", headers={"Content-Type": "text/x"}
    )
    assert requests == [("text/x", b"".join([part async for part in stream()]) if make is stream else b"new body")]


@pytest.mark.asyncio
async def test_a_replaced_form_brings_its_own_boundary() -> None:
    """Rule 12: the content type of a new form is the one with its boundary, not the first form's."""

    def make() -> FormData:
        form = FormData()
        form.add_field("files", b"%PDF", filename="a.pdf", content_type="application/pdf")
        return form

    [(kind, body)] = await through(lambda request: _body.replace(request, make), data=make())
    boundary = kind.partition("boundary=")[2]
    assert kind.startswith("multipart/form-data; boundary=")
    assert body.startswith(f"--{boundary}\r\n".encode())
    assert body.count(b"%PDF") == 1


@pytest.mark.asyncio
async def test_a_replaced_mapping_is_a_form() -> None:
    """A factory may return what aiohttp takes for a form; the old content type goes."""
    [(kind, body)] = await through(
        lambda request: _body.replace(request, lambda: {"a": "b"}), data=b"", headers={"Content-Type": "text/x"}
    )
    assert kind.startswith("application/x-www-form-urlencoded")
    assert body == b"a=b"


# -- what can be sent again ----------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("data", "again"),
    [(b"x", True), ("x", True), (None, True), ({"a": "b"}, True), (io.BytesIO(b"x"), True), (stream, False)],
    ids=["bytes", "text", "nothing", "form", "file", "stream"],
)
async def test_only_a_stream_that_was_begun_is_gone(data: Any, again: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """Rule 12: after it was sent, everything but a stream can be sent again; before, everything can."""
    states: list[bool] = []
    kept: list[aiohttp.ClientRequest] = []

    async def note(request: aiohttp.ClientRequest) -> None:
        kept.append(request)
        states.append(_body.can_be_sent_again(request))

    await through(note, data=data() if data is stream else data)
    assert states == [True]
    assert _body.can_be_sent_again(kept[0]) is again


# -- the content type that nobody named ----------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("data", "named"),
    [
        *((data, True) for data in (b"x", "x", bytearray(b"x"), io.BytesIO(), BytesPayload(b"x"))),
        *((data, False) for data in ({"a": "b"}, MultiDict(a="b"), [("a", "b")], (("a", "b"),), FormData())),
        *((data, False) for data in (None, StringPayload("x"), JsonPayload({}), MultipartWriter)),
    ],
    ids=lambda data: type(data).__name__,
)
async def test_what_has_no_type_is_json_to_the_api(data: object, *, named: bool) -> None:
    """Rule 13: bytes and text become ``application/json``; forms, multipart bodies and payloads with a type are not renamed."""
    async with aiohttp.ClientSession() as http:
        arguments = {"data": data() if data is MultipartWriter else data}
        _body.name_json(http, arguments)
    assert ("headers" in arguments) is named


async def never() -> bytes:
    """A factory that hangs."""
    await asyncio.Event().wait()
    return b""


async def in_a_moment() -> bytes:
    """One that takes its time."""
    await asyncio.sleep(0.01)
    return b"{}"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("session", "request_"),
    [
        ({"timeout": ClientTimeout(total=0.05)}, {}),
        ({}, {"timeout": ClientTimeout(total=0.05)}),
        ({}, {"timeout": 0.05}),
        ({"timeout": ClientTimeout(total=None)}, {"timeout": ClientTimeout(total=0.05)}),
    ],
)
async def test_the_first_body_is_made_within_the_requests_time(
    session: dict[str, Any], request_: dict[str, Any]
) -> None:
    """Rule 6: every request ends within its own timeout, however that was given."""
    async with api.scene(session=session) as here:
        with pytest.raises(TimeoutError):
            await here.post(data=never, **request_)
        assert here.api.arrivals == []


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [ClientTimeout(total=0), ClientTimeout(total=None), ClientTimeout(), None])
async def test_no_limit_is_no_limit_for_the_first_body_either(limit: Any) -> None:
    """Zero and ``None`` mean as long as it takes, as for aiohttp."""
    async with api.scene(session={"timeout": ClientTimeout(total=0.001)}) as here:
        with contextlib.suppress(TimeoutError):  # the login's own request has the session's
            await here.auth.token()
        assert (await here.post(data=in_a_moment, timeout=limit))[0] == 200
