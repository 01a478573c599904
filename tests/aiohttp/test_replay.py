"""Bodies arrive byte-identical on the replay, and a body that cannot be sent twice is sent once."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import operator
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import FormData, MultipartWriter, web

from exterview_auth import ClosedError, ConfigurationError, LoginContext, Token
from tests.kit.api import Arrival, Scene, leads_to, post, revoked, scene, signed_in, until
from tests.kit.raw_server import raw_server

BLOB = bytes(range(256)) * 1000
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


def form() -> FormData:
    """Return a form with a file."""
    data = FormData()
    data.add_field("operations", json.dumps({"query": "mutation"}))
    data.add_field("0", io.BytesIO(BLOB), filename="a.bin", content_type="application/octet-stream")
    return data


def writer() -> MultipartWriter:
    """Return a multipart body by aiohttp's own writer."""
    multipart = MultipartWriter("form-data")
    multipart.append_json({"a": 1}).set_content_disposition("form-data", name="json")
    multipart.append(BLOB).set_content_disposition("form-data", name="blob")
    return multipart


def at_an_offset() -> io.BytesIO:
    """Return a file of which a little was read."""
    file = io.BytesIO(BLOB)
    file.seek(100)
    return file


async def chunks() -> AsyncIterator[bytes]:
    """A body that can be sent once."""
    for _ in range(3):
        yield b"part"


async def later() -> bytes:
    """An async body factory."""
    return b"later"


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
    "factory of a mapping": lambda: {"data": lambda: {"answer": "yes"}},
    "async factory": lambda: {"data": later},
    "compressed": lambda: {"data": BLOB, "headers": MULTIPART, "compress": "deflate"},
    "expecting": lambda: {"data": BLOB, "headers": MULTIPART, "expect100": True},
    "nothing": lambda: {"data": None},
}


async def sent_twice(at: Scene, **options: Any) -> list[Arrival]:
    """Return the two arrivals of a request that meets a revoked token."""
    at.api.revoke()
    mark = len(at.api.arrivals)
    assert (await at.post(**options))[0] == 200
    sent = at.api.arrivals[mark:]
    assert [arrival.status for arrival in sent] == [401, 200]
    return sent


# -- bodies that can be sent twice --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BODIES)
async def test_a_body_arrives_byte_identical(kind: str) -> None:
    """Whatever its kind, whole and from where it began, with its content type."""
    async with signed_in() as at:
        first, second = await sent_twice(at, **BODIES[kind]())
        assert first.body == second.body
        assert first.headers["Content-Type"] == second.headers["Content-Type"]
        assert len(second.body) >= 5 or kind == "nothing"
        if kind == "offset":
            assert second.body == BLOB[100:]


async def test_a_file_on_disk_is_sent_again_from_where_it_stood(tmp_path: Path) -> None:
    """From its offset, in a form and by itself."""
    path = tmp_path / "resume.pdf"
    path.write_bytes(b"resume " * 50_000)
    async with signed_in() as at:
        with path.open("rb") as file:
            file.seek(7)
            first, second = await sent_twice(at, data=file, headers=MULTIPART)
            assert first.body == second.body == path.read_bytes()[7:]
        data = FormData()
        with path.open("rb") as file:
            data.add_field("file", file, filename="resume.pdf", content_type="application/pdf")
            first, second = await sent_twice(at, data=data)
            assert first.body == second.body
            assert second.body.count(b"resume ") == 50_000


async def test_a_factory_of_forms_makes_a_new_boundary_for_each_attempt() -> None:
    """A new form has a new boundary, and brings its content type along."""
    async with signed_in() as at:
        first, second = await sent_twice(at, data=form)
        kinds = [arrival.headers["Content-Type"] for arrival in (first, second)]
        assert kinds[0] != kinds[1]
        for arrival, kind in zip((first, second), kinds, strict=True):
            name, _, boundary = kind.partition("; boundary=")
            assert name == "multipart/form-data"
            assert arrival.body.startswith(f"--{boundary}\r\n".encode())
            assert arrival.body.count(BLOB) == 1


@pytest.mark.parametrize(
    ("status", "bodies"), [(302, [b"resume", b"", b""]), (303, [b"resume", b"", b""]), (307, [b"resume"] * 3)]
)
async def test_a_redirect_that_drops_the_body_is_replayed_without_one(status: int, bodies: list[bytes]) -> None:
    """A factory makes a body only for a hop that has one."""
    async with signed_in() as at:

        async def lead(_request: web.Request, _body: bytes) -> web.Response:
            at.api.revoke()  # so that the hop is refused
            return web.Response(status=status, headers={"Location": "/result"})

        at.api.answers["/submit"] = lead
        mark = len(at.api.arrivals)
        assert (await at.post("/submit", data=lambda: b"resume"))[0] == 200
        assert [arrival.body for arrival in at.api.arrivals[mark:]] == bodies


# What a factory may make, and the content type and the kind of length that aiohttp and `AuthSession` give such a body.
MADE: dict[str, tuple[Callable[[], Any], str, str]] = {
    "nothing": (lambda: None, "application/json", "Content-Length"),
    "bytes": (lambda: b"{}", "application/json", "Content-Length"),
    "text": (lambda: "é", "application/json", "Content-Length"),
    "file": (lambda: io.BytesIO(b"{}"), "application/json", "Content-Length"),
    "stream": (lambda: chunks(), "application/json", "Transfer-Encoding"),  # noqa: PLW0108 - defined below
    "form": (form, "multipart/form-data", "Content-Length"),
    "writer": (writer, "multipart/", "Content-Length"),
    "mapping": (lambda: {"a": "b"}, "application/x-www-form-urlencoded", "Content-Length"),
    "payload": (lambda: aiohttp.StringPayload("a,b", content_type="text/csv"), "text/csv", "Content-Length"),
}


def in_turn(*makes: Callable[[], Any]) -> Callable[[], Any]:
    """Return a body factory that makes a body of each kind in turn."""
    return map(operator.call, makes).__next__


@pytest.mark.parametrize("first", MADE)
async def test_what_describes_a_body_comes_and_goes_with_it(first: str) -> None:
    """Nothing of the old body stays in the head, whatever the factory makes next."""
    async with signed_in() as at:
        for second, (make, kind, length) in MADE.items():
            _, again = await sent_twice(at, data=in_turn(MADE[first][0], make))
            headers = again.headers
            assert headers["Content-Type"].startswith(kind), second
            assert ("boundary=" in headers["Content-Type"]) is (second in {"form", "writer"})
            assert {"Content-Length", "Transfer-Encoding"} & headers.keys() == {length}, second


@pytest.mark.parametrize("compressed", [(b"", b"{}"), (b"{}", None), (b"{}", b"{}")], ids=["empty", "nothing", "bytes"])
async def test_a_compressed_body_is_named_as_such_alone(compressed: tuple[Any, Any]) -> None:
    """Compression, chunks and lengths are those of the body that is sent."""
    first, second = compressed
    async with signed_in() as at:
        _, again = await sent_twice(at, data=in_turn(lambda: first, lambda: second), compress=True)
        assert again.body == (second or b"")
        assert again.headers.get("Content-Encoding") == (None if second is None else "deflate")
        assert ("Transfer-Encoding" in again.headers) is (second is not None)
        _, again = await sent_twice(at, data=in_turn(lambda: first, lambda: second), chunked=True)
        assert again.body == (second or b"")
        assert again.headers["Transfer-Encoding"] == "chunked"


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", "text/x-own"])
async def test_a_content_type_that_the_caller_set_is_every_bodys(kind: str) -> None:
    """Also where a body would have said the same, or another one would say more."""
    async with signed_in() as at:
        for first, second in itertools.product(MADE, repeat=2):
            factory = in_turn(MADE[first][0], MADE[second][0])
            sent = await sent_twice(at, data=factory, headers={"content-type": kind})
            assert [arrival.headers["Content-Type"] for arrival in sent] == [kind, kind]


async def test_a_payloads_own_headers_go_with_it() -> None:
    """The checksum of one body says nothing of the next."""

    def summed(sum_: str) -> aiohttp.BytesPayload:
        return aiohttp.BytesPayload(sum_.encode(), headers={"X-Sum": sum_})

    async with signed_in() as at:
        sent = await sent_twice(at, data=in_turn(lambda: summed("a"), lambda: summed("b")))
        assert [arrival.headers["X-Sum"] for arrival in sent] == ["a", "b"]
        _, again = await sent_twice(at, data=in_turn(lambda: summed("a"), form))
        assert "X-Sum" not in again.headers


async def test_a_content_type_that_a_middleware_set_stays() -> None:
    """The application decides, wherever it does."""

    async def name(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers["Content-Type"] = "text/x-own"
        return await handler(request)

    async with signed_in(session={"middlewares": (name,)}) as at:
        _, again = await sent_twice(at, data=in_turn(form, lambda: b"{}"))
        assert again.headers["Content-Type"] == "text/x-own"


async def test_a_redirect_after_a_replay_describes_the_body_that_it_carries() -> None:
    """The hop carries the body that the factory made last."""
    async with signed_in() as at:
        at.api.answers["/submit"] = leads_to("/result")
        at.api.revoke()
        mark = len(at.api.arrivals)
        assert (await at.post("/submit", data=in_turn(lambda: b"{}", form)))[0] == 200
        hop = at.api.arrivals[-1]
        assert [arrival.status for arrival in at.api.arrivals[mark:]] == [401, 307, 200]
        boundary = hop.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
        assert hop.body.startswith(f"--{boundary}\r\n".encode())


class SlowBody:
    """A body factory whose second body, a replay's, is made when ``over`` is set."""

    def __init__(self) -> None:
        self.count = 0
        self.making, self.over = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> bytes:
        self.count += 1
        if self.count == 2:
            self.making.set()
            await self.over.wait()
        return b"{}"


@pytest.mark.parametrize("meanwhile", ["invalidated", "refused to another", "logged out", "expired"])
async def test_a_replay_whose_token_dies_while_its_body_is_made_is_signed_with_the_next(meanwhile: str) -> None:
    """It waits for the login that runs, or starts it, and its token is not sent again."""
    body = SlowBody()
    async with revoked() as at:
        slow = asyncio.create_task(at.post(data=body))
        await body.making.wait()
        assert (await at.auth.token()).value == "token-2"
        at.login.gate.clear()
        other = None
        if meanwhile == "invalidated":
            at.auth.invalidate(await at.auth.token())
        elif meanwhile == "refused to another":
            at.api.revoke()
            other = asyncio.create_task(at.post())
            await until(lambda: at.login.count == 3)
        elif meanwhile == "logged out":
            await at.auth.logout()
        else:
            issued = at.auth._keeper.state.current
            assert issued is not None
            issued.expires = at.auth._keeper.state.usable_until = 0.0
        mark = len(at.api.arrivals)
        body.over.set()
        await until(lambda: at.auth.stats().waiting == (1 if other is None else 2))
        at.login.gate.set()
        assert (await slow)[0] == 200
        assert other is None or (await other)[0] == 200
        assert {token for _, token in at.api.since(mark)} == {"token-3"}
        assert (at.login.count, body.count) == (3, 2)


@pytest.mark.parametrize(("closed", "error"), [("owner", ClosedError), ("session", aiohttp.ClientConnectionError)])
async def test_a_replay_whose_owner_or_session_is_closed_while_its_body_is_made_is_not_sent(
    closed: str, error: type[Exception]
) -> None:
    """It ends as a request that waits for its token does."""
    body = SlowBody()
    async with revoked() as at:
        slow = asyncio.create_task(at.post(data=body))
        await body.making.wait()
        await (at.auth.aclose() if closed == "owner" else at.http.close())
        body.over.set()
        with pytest.raises(error):
            await slow
        assert len(at.api.arrivals) == 1


def broken() -> bytes:
    """A body factory that fails."""
    raise ValueError("no body today")


async def cancels() -> bytes:
    """A body factory that cancels itself."""
    raise asyncio.CancelledError


@pytest.mark.parametrize(("make", "error"), [(broken, ValueError), (cancels, ConfigurationError)])
async def test_a_factorys_error_ends_its_own_request_alone(make: Any, error: type[Exception]) -> None:
    """The fault table: the caller gets it, and the next request is served."""
    async with scene() as at:
        with pytest.raises(error):
            await at.post(data=make)
        assert (await at.post())[0] == 200


async def test_a_refusal_instead_of_100_continue_is_replayed() -> None:
    """The body that was held back is sent with the new token."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"Bearer good" not in head:
                writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
                continue
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            bodies.append(await reader.readexactly(3))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            break

    async def login(context: LoginContext) -> Token:
        return Token("stale" if context.previous is None else "good")

    bodies: list[bytes] = []
    async with raw_server(serve) as port, scene(login=login, endpoint=f"http://127.0.0.1:{port}/graphql") as at:
        assert (await asyncio.wait_for(post(at.client, "", data=b"abc", expect100=True), 20))[0] == 200
        assert bodies == [b"abc"]


# -- bodies that cannot -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["generator", "pipe"])
async def test_a_body_that_can_be_sent_once_is_sent_once(kind: str) -> None:
    """Its 401 comes back untouched and immediately; the login has begun, and the next request waits for it."""
    async with revoked() as at:
        at.login.gate.clear()
        body: Any = chunks()
        if kind == "pipe":
            reader, out = os.pipe()
            os.write(out, b"partpartpart")
            os.close(out)
            body = os.fdopen(reader, "rb")
        assert await at.post(data=body, headers=MULTIPART) == (401, {"error": "Missing or invalid token"})
        if kind == "pipe":
            body.close()
        assert [arrival.body for arrival in at.api.arrivals] == [b"partpartpart"]
        await until(lambda: at.login.count == 2)
        following = asyncio.create_task(at.post())
        at.login.gate.set()
        assert (await following)[0] == 200
        assert [status for status, _ in at.api.since(0)] == [401, 200]


async def test_an_early_refusal_of_a_stream_is_not_replayed() -> None:
    """A stream is never sent again once a chunk of it was taken."""
    taken = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        taken.set()
        await asyncio.sleep(30)
        yield b"never"

    async def early(_request: web.Request, _body: bytes) -> web.Response:
        await taken.wait()
        return web.json_response({"error": "no"}, status=401)

    async with revoked() as at:
        at.api.refusals["/early"] = early
        assert (await asyncio.wait_for(at.post("/early", data=slow(), headers=MULTIPART), 20))[0] == 401
        assert len(at.api.arrivals) == 1


# -- the content type ---------------------------------------------------------------------------------------------------


async def test_content_types_are_what_the_api_takes() -> None:
    """JSON if nobody names one, also for bytes, text and no body; forms and named types stay."""
    async with scene() as at, aiohttp.ClientSession(middlewares=(at.auth,)) as plain:

        async def kind_of(client: Any, **options: Any) -> str:
            await post(client, at.api.endpoint, **options)
            return at.api.arrivals[-1].headers["Content-Type"]

        for data in (b"{}", "{}", io.BytesIO(b"{}"), None, lambda: b"{}"):
            assert await kind_of(at.client, data=data) == "application/json"
        for multipart in (form(), writer()):
            assert (await kind_of(at.client, data=multipart)).startswith("multipart/form-data; boundary=")
        assert await kind_of(at.client, data={"a": "b"}) == "application/x-www-form-urlencoded"
        assert await kind_of(at.client, data=b"x", headers={"content-type": "text/csv"}) == "text/csv"
        assert await kind_of(plain, data=b"x") == "application/octet-stream"
        for client in (at.client, plain):
            async with client.get(at.api.endpoint):
                assert at.api.arrivals[-1].headers["Content-Type"] == "application/json"


async def test_a_session_that_names_a_content_type_keeps_it() -> None:
    """The caller also decides by a default header of the session."""
    async with scene(session={"headers": {"Content-Type": "application/graphql"}}) as at:
        await at.post(data=b"{}")
        assert at.api.arrivals[-1].headers["Content-Type"] == "application/graphql"
