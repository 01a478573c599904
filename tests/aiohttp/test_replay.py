"""Bodies arrive byte-identical on the replay, and what cannot be sent twice is not."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import FormData, MultipartWriter, web

from exterview_auth import LoginContext, Token
from tests.kit.api import QUERY, Scene, post, scene, until

BLOB = bytes(range(256)) * 1000
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


def form() -> FormData:
    """A form with a file."""
    data = FormData()
    data.add_field("operations", json.dumps({"query": "mutation"}))
    data.add_field("0", io.BytesIO(BLOB), filename="a.bin", content_type="application/octet-stream")
    return data


def writer() -> MultipartWriter:
    """A multipart body by aiohttp's own writer."""
    multipart = MultipartWriter("form-data")
    multipart.append_json({"a": 1}).set_content_disposition("form-data", name="json")
    multipart.append(BLOB).set_content_disposition("form-data", name="blob")
    return multipart


def at_an_offset() -> io.BytesIO:
    """A file that was read a little."""
    file = io.BytesIO(BLOB)
    file.seek(100)
    return file


async def chunks() -> AsyncIterator[bytes]:
    """A body that can be sent once."""
    for _ in range(3):
        yield b"part"


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "bytes": lambda: {"data": BLOB, "headers": MULTIPART},
    "text": lambda: {"data": '{"é": 1}'},
    "json": lambda: {"json": {"a": [1, 2, {"b": None}]}},
    "bytesio": lambda: {"data": io.BytesIO(BLOB), "headers": MULTIPART},
    "offset": lambda: {"data": at_an_offset(), "headers": MULTIPART},
    "form": lambda: {"data": form()},
    "writer": lambda: {"data": writer()},
    "factory of bytes": lambda: {"data": lambda: BLOB, "headers": MULTIPART},
    "factory of a stream": lambda: {"data": chunks, "headers": MULTIPART},
    "compressed": lambda: {"data": BLOB, "headers": MULTIPART, "compress": "deflate"},
    "expecting": lambda: {"data": BLOB, "headers": MULTIPART, "expect100": True},
    "nothing": lambda: {"data": None},
}


async def refused_once(at: Scene, **options: Any) -> list[bytes]:
    """The bodies of the two sendings of a request that meets a revoked token."""
    await at.post()
    at.api.revoke()
    mark = len(at.api.arrivals)
    assert (await at.post(**options))[0] == 200
    sent = at.api.arrivals[mark:]
    assert [arrival.status for arrival in sent] == [401, 200]
    return [arrival.body for arrival in sent]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_arrives_byte_identical(kind: str) -> None:
    """Rule 12, lesson 20: whatever its kind, whole and from where it began."""
    async with scene() as at:
        first, second = await refused_once(at, **BODIES[kind]())
        assert first == second
        assert len(second) > 5 or kind == "nothing"
        if kind == "offset":
            assert second == BLOB[100:]


@pytest.mark.asyncio
async def test_a_file_on_disk_is_sent_again_from_where_it_stood(tmp_path: Path) -> None:
    """Lesson 49: from its offset, in a form and by itself."""
    path = tmp_path / "resume.pdf"
    path.write_bytes(b"resume " * 50_000)
    async with scene() as at:
        with path.open("rb") as file:
            file.seek(7)
            first, second = await refused_once(at, data=file, headers=MULTIPART)
            assert first == second == path.read_bytes()[7:]
        data = FormData()
        with path.open("rb") as file:
            data.add_field("file", file, filename="resume.pdf", content_type="application/pdf")
            first, second = await refused_once(at, data=data)
            assert first == second
            assert second.count(b"resume ") == 50_000


@pytest.mark.asyncio
async def test_a_factory_of_forms_gets_a_boundary_for_each_attempt() -> None:
    """Rule 12: a new form with a new boundary, its content type with it; each attempt has a body of its own."""
    made: list[FormData] = []

    def make() -> FormData:
        made.append(form())
        return made[-1]

    async with scene() as at:
        first, second = await refused_once(at, data=make)
        assert len(made) == 2
        assert len(first) == len(second)
        types = [arrival.headers["Content-Type"] for arrival in at.api.arrivals[-2:]]
        assert types[0] != types[1]
        assert all(kind.startswith("multipart/form-data; boundary=") for kind in types)


@pytest.mark.asyncio
async def test_a_factory_may_be_async_and_its_error_is_the_callers() -> None:
    """The fault table: a body factory that raises ends its own request, and nothing else."""

    async def make() -> bytes:
        return b"{}"

    def broken() -> bytes:
        raise ValueError("no body today")

    async with scene() as at:
        assert await refused_once(at, data=make) == [b"{}", b"{}"]
        with pytest.raises(ValueError, match="no body today"):
            await at.post(data=broken)
        assert (await at.post())[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["generator", "pipe"])
async def test_a_body_that_can_be_sent_once_is_sent_once(kind: str) -> None:
    """Rule 12: its 401 comes back untouched and at once; the login has begun, and the next request waits for it."""
    async with scene() as at:
        await at.post()
        at.api.revoke()
        at.login.gate.clear()
        body: Any = chunks()
        if kind == "pipe":
            reader, out = os.pipe()
            os.write(out, b"partpartpart")
            os.close(out)
            body = os.fdopen(reader, "rb")
        mark = len(at.api.arrivals)
        assert await at.post(data=body, headers=MULTIPART) == (401, {"error": "Missing or invalid token"})
        if kind == "pipe":
            body.close()
        assert [arrival.body for arrival in at.api.arrivals[mark:]] == [b"partpartpart"]
        await until(lambda: at.login.count == 2)
        following = asyncio.create_task(at.post())
        at.login.gate.set()
        assert (await following)[0] == 200
        assert [status for status, _ in at.api.since(mark)] == [401, 200]


@pytest.mark.asyncio
async def test_a_refusal_instead_of_100_continue_is_replayed() -> None:
    """Rule 12: the body that was held back is sent with the new token."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"Bearer good" not in head:
                writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
                continue
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            bodies.append(await reader.readexactly(3))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            break
        writer.close()

    async def login(context: LoginContext) -> Token:
        return Token("stale" if context.previous is None else "good")

    bodies: list[bytes] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/graphql"
    async with server, scene(login=login, endpoint=endpoint) as at:
        assert (await asyncio.wait_for(post(at.client, endpoint, data=b"abc", expect100=True), 10))[0] == 200
        assert bodies == [b"abc"]


@pytest.mark.asyncio
async def test_a_refusal_in_mid_upload_is_replayed_whole() -> None:
    """Lesson 22: the server answers before it has read the body, and closes."""
    large = io.BytesIO(BLOB * 40)

    async def early(_request: web.Request, _body: bytes) -> web.Response:
        response = web.json_response({"error": "no"}, status=401)
        response.force_close()
        return response

    async with scene() as at:
        await at.post()
        at.api.refusals["/early"] = early
        at.api.revoke()
        assert (await at.post("/early", data=large, headers=MULTIPART))[0] == 200
        assert at.api.arrivals[-1].body == BLOB * 40


@pytest.mark.asyncio
async def test_an_unexpected_early_refusal_of_a_stream_is_not_replayed() -> None:
    """Lesson 49: a stream of which one chunk was drawn is never sent again."""
    sent = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        sent.set()
        await asyncio.sleep(30)
        yield b"never"

    async def early(_request: web.Request, _body: bytes) -> web.Response:
        await sent.wait()
        return web.json_response({"error": "no"}, status=401)

    async with scene() as at:
        await at.post()
        at.api.refusals["/early"] = early
        at.api.revoke()
        mark = len(at.api.arrivals)
        assert (await asyncio.wait_for(at.post("/early", data=slow(), headers=MULTIPART), 10))[0] == 401
        assert len(at.api.since(mark)) == 1


@pytest.mark.asyncio
async def test_content_types_are_what_the_api_takes() -> None:
    """Rule 13: JSON for what nobody named, also for bytes, text and no body; forms and named types stay."""
    async with scene(session={"headers": {"X-Extra": "1"}}) as at:

        async def type_of(**options: Any) -> str:
            await at.post(**options)
            return at.api.arrivals[-1].headers["Content-Type"]

        for data in (b"{}", "{}", io.BytesIO(b"{}"), None, lambda: b"{}"):
            assert await type_of(data=data) == "application/json"
        assert (await type_of(data=form())).startswith("multipart/form-data; boundary=")
        assert (await type_of(data=writer())).startswith("multipart/form-data; boundary=")
        assert await type_of(data={"a": "b"}) == "application/x-www-form-urlencoded"
        assert await type_of(data=b"x", headers={"content-type": "text/csv"}) == "text/csv"
        async with at.client.get(at.api.endpoint):
            assert at.api.arrivals[-1].headers["Content-Type"] == "application/json"
        async with aiohttp.ClientSession(middlewares=(at.auth,)) as plain:
            await post(plain, at.api.endpoint, data=b"x")
            assert at.api.arrivals[-1].headers["Content-Type"] == "application/octet-stream"
            async with plain.get(at.api.endpoint):
                assert at.api.arrivals[-1].headers["Content-Type"] == "application/json"


@pytest.mark.asyncio
async def test_a_session_that_names_a_content_type_keeps_it() -> None:
    """Rule 13: a default header of the session is the caller's word too."""
    async with scene(session={"headers": {"Content-Type": "application/graphql"}}) as at:
        await at.post(data=b"{}")
        assert at.api.arrivals[-1].headers["Content-Type"] == "application/graphql"


@pytest.mark.asyncio
async def test_what_other_origins_get_is_left_alone() -> None:
    """Rule 10: no content type of ours, no credentials of ours."""
    async with scene() as at, scene() as other:
        other.api.tokens.add("theirs")
        headers = {"Authorization": "Bearer theirs", "x-api-key": "organization-key"}
        await post(at.client, other.api.endpoint, data=b"x", headers=headers)
        assert other.api.arrivals[-1].headers["Content-Type"] == "application/octet-stream"
        assert other.api.arrivals[-1].status == 200
        assert QUERY
