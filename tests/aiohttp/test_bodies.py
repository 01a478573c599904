"""Which objects make bodies, which of them are JSON to the API, and how long making one may take."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import BytesPayload, ClientTimeout, FormData, JsonPayload, MultipartWriter, StringPayload
from multidict import MultiDict

from exterview_auth._aiohttp.bodies import is_factory, made_by, name_json
from exterview_auth._secret import Secret
from tests.kit.api import scene


async def stream() -> AsyncIterator[bytes]:
    """A generator function: each call makes a body."""
    yield b"one"


FACTORIES = [lambda: b"x", stream, functools.partial(io.BytesIO, b"x"), io.BytesIO]
NOT_FACTORIES = [None, b"x", "x", io.BytesIO(), FormData(), BytesPayload(b"x"), {"a": "b"}, [("a", "b")]]


@pytest.mark.parametrize(
    ("data", "makes"), [*((data, True) for data in FACTORIES), *((data, False) for data in NOT_FACTORIES)]
)
def test_a_callable_makes_bodies_and_a_form_is_one(data: object, *, makes: bool) -> None:
    """Functions, generator functions, partials and classes are factories; a form can be called, but is a body."""
    assert is_factory(data) is makes


async def test_a_factory_may_be_async() -> None:
    """What a factory returns is awaited if possible, and each call makes a new body."""
    made: list[bytes] = []

    async def later() -> bytes:
        made.append(b"x")
        return b"later"

    assert await made_by(lambda: b"now") == b"now"
    assert await made_by(later) == b"later"
    assert await made_by(lambda: later()) == b"later"  # noqa: PLW0108 - the form that users write
    assert len(made) == 2
    assert isinstance(await made_by(io.BytesIO), io.BytesIO)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        *((data, True) for data in (b"x", "x", bytearray(b"x"), io.BytesIO(), BytesPayload(b"x"))),
        *((data, False) for data in ({"a": "b"}, MultiDict(a="b"), [("a", "b")], (("a", "b"),), FormData())),
        *((data, False) for data in (None, StringPayload("x"), JsonPayload({}), MultipartWriter)),
    ],
    ids=lambda data: type(data).__name__,
)
async def test_a_body_without_a_type_is_json_to_the_api(data: object, *, named: bool) -> None:
    """Bytes and text become ``application/json``; forms, multipart bodies and payloads with a type do not."""
    async with aiohttp.ClientSession() as http:
        arguments = {"data": data() if data is MultipartWriter else data}
        name_json(http, arguments, seen=True)
    assert ("headers" in arguments) is named


@pytest.mark.parametrize("data", ["ü", "ü".encode(), Secret("ü")], ids=["str", "bytes", "Secret"])
async def test_a_text_that_nobody_has_seen_names_its_type_itself(data: str | bytes) -> None:
    """Without a copy of the headers, and the bytes are aiohttp's."""
    async with aiohttp.ClientSession() as http:
        arguments: dict[str, Any] = {"data": data, "headers": {"X-Mine": "1"}}
        name_json(http, arguments, seen=False)
    assert (await arguments["data"].as_bytes(), arguments["data"].content_type) == ("ü".encode(), "application/json")
    assert arguments["headers"] == {"X-Mine": "1"}


@pytest.mark.parametrize("data", ["", b"", bytearray(b"x"), io.BytesIO()], ids=lambda data: type(data).__name__)
async def test_any_other_body_is_named_in_the_headers(data: Any) -> None:
    """Aiohttp asks whether a body is empty, and a stream is the caller's to close."""
    async with aiohttp.ClientSession() as http:
        arguments: dict[str, Any] = {"data": data}
        name_json(http, arguments, seen=False)
    assert arguments == {"data": data, "headers": {"Content-Type": "application/json"}}


@pytest.mark.parametrize("body", [5, object(), {"a"}, iter(b"x")], ids=lambda body: type(body).__name__)
async def test_what_is_no_body_gets_aiohttps_own_error(body: Any) -> None:
    """The caller learns from a factory what it learns without one."""
    async with scene() as at:
        for data in (body, lambda: body):
            with pytest.raises(TypeError, match="Only io"):
                await at.post(data=data)


async def never() -> bytes:
    """A factory that hangs."""
    await asyncio.Event().wait()
    return b""


async def in_a_moment() -> bytes:
    """A slow factory."""
    await asyncio.sleep(0.01)
    return b"{}"


@pytest.mark.parametrize(
    ("session", "options"),
    [
        ({"timeout": ClientTimeout(total=0.05)}, {}),
        ({}, {"timeout": ClientTimeout(total=0.05)}),
        ({}, {"timeout": 0.05}),
        ({"timeout": ClientTimeout(total=None)}, {"timeout": ClientTimeout(total=0.05)}),
    ],
)
async def test_the_first_body_is_made_within_the_requests_time(session: Any, options: Any) -> None:
    """Every request ends within its own timeout, however that was given."""
    async with scene(session=session) as at:
        with pytest.raises(TimeoutError):
            await at.post(data=never, **options)
        assert at.api.arrivals == []


@pytest.mark.parametrize("limit", [ClientTimeout(total=0), ClientTimeout(total=None), ClientTimeout(), None])
async def test_no_limit_is_no_limit_for_the_first_body_either(limit: Any) -> None:
    """Zero and ``None`` mean as long as it takes, as for aiohttp."""
    async with scene(session={"timeout": ClientTimeout(total=0.001)}) as at:
        with contextlib.suppress(TimeoutError):  # the login's own request has the session's
            await at.auth.token()
        assert (await at.post(data=in_a_moment, timeout=limit))[0] == 200
