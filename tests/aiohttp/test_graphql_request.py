"""A GraphQL request's body, as JSON and as a form with files."""

from __future__ import annotations

import copy
import functools
import io
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile, SpooledTemporaryFile, TemporaryFile
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import anyio
import pytest
from aiohttp import PAYLOAD_REGISTRY, BytesPayload, ClientSession, FormData, web
from aiohttp.test_utils import TestServer
from starlette.datastructures import Headers, UploadFile

from exterview_auth import ConfigurationError
from exterview_auth._aiohttp.graphql_request import multipart, operation, written
from tests.kit.api import Part, answering, form_of, revoked, scene

# -- the request --------------------------------------------------------------------------------------------------------


def test_a_request_names_only_what_was_given() -> None:
    """Variables and operation name are left out if they are None; empty ones are sent."""
    assert operation("{ a }", None, None) == {"query": "{ a }"}
    assert operation("{ a }", {}, "") == {"query": "{ a }", "variables": {}, "operationName": ""}
    assert operation("{ a }", {"b": 1}, "Q") == {"query": "{ a }", "variables": {"b": 1}, "operationName": "Q"}


def test_a_requests_variables_are_a_copy() -> None:
    """What the caller changes later is not sent."""
    variables = {"b": 1}
    body = operation("{ a }", variables, None)
    variables["b"] = 2
    assert body["variables"] == {"b": 1}


@pytest.mark.parametrize(
    ("query", "variables"), [("", None), (" \n", None), (None, None), (b"{ a }", None), ("{ a }", [1]), ("{ a }", "b")]
)
def test_a_request_of_the_wrong_kind_is_refused(query: Any, variables: Any) -> None:
    """An empty or missing document, and variables that are not a mapping, are a `ConfigurationError`."""
    with pytest.raises(ConfigurationError, match=r"^(query must be a GraphQL document|variables must be a mapping)"):
        operation(query, variables, None)


# -- files --------------------------------------------------------------------------------------------------------------


async def parts(body: dict[str, Any], files: dict[str, Any], **options: Any) -> list[Part]:
    """Return name, file name, content type and content of each part that arrives."""
    async with scene() as at:
        assert (await at.post(data=multipart(body, files, **options)))[0] == 200
    return form_of(at.api.arrivals[-1])


async def test_files_are_sent_as_the_multipart_specification_says() -> None:
    """First ``operations`` with nulls, then ``map``, then the files in order, each with name and type."""
    named = io.BytesIO(b"%PDF")
    named.name = "/home/me/cv.pdf"
    files = {
        "variables.file": named,
        "variables.list.1": b"raw",
        "variables.a.b": ("b.txt", b"text"),
        "variables.c": ("c", b"c", "x/y"),
    }
    body = {"query": "mutation { a }", "variables": {"file": None, "list": [None, None], "k": 1}}
    operations, mapped, *rest = await parts(body, files)
    assert operations[0:3] == ("operations", None, "application/json")
    sent = {"file": None, "list": [None, None], "k": 1, "a": {"b": None}, "c": None}
    assert json.loads(operations[3]) == {"query": "mutation { a }", "variables": sent}
    assert mapped[0:3] == ("map", None, "application/json")
    assert json.loads(mapped[3]) == {str(number): [path] for number, path in enumerate(files)}
    assert rest == [
        ("0", "cv.pdf", "application/pdf", b"%PDF"),
        ("1", "1", "application/octet-stream", b"raw"),
        ("2", "b.txt", "text/plain", b"text"),
        ("3", "c", "x/y", b"c"),
    ]


async def test_files_use_the_sessions_own_json() -> None:
    """Both JSON parts are written by the serializer that was given."""
    found = await parts({"query": "{ a }"}, {"variables.f": b"x"}, dumps=functools.partial(json.dumps, indent=1))
    assert all(b"\n" in content for *_, content in found[:2])


def test_the_callers_variables_are_not_changed() -> None:
    """Nulls are put into copies, so that the same variables can be sent again."""
    body = operation("{ a }", {"in": {"files": [1, 2], "k": {"d": 1}}, "file": 3}, None)
    before = copy.deepcopy(body)
    multipart(body, {"variables.in.files.0": b"", "variables.in.k.new": b"", "variables.file": b""})
    assert body == before


@pytest.mark.parametrize(
    "path", ["", "variables", "variables.", "variables..a", "file", "query.a", ".variables.a", 5, None]
)
def test_a_path_that_names_no_variable_is_refused(path: Any) -> None:
    """Keys of ``files`` are paths below ``variables``; the error quotes the wrong one."""
    with pytest.raises(ConfigurationError, match=r"^the keys of files must be paths such as") as caught:
        multipart({"query": "{ a }"}, {path: b""})
    assert repr(path) in str(caught.value)


@pytest.mark.parametrize(
    "path", ["variables.list.2", "variables.list.x", "variables.list.-1", "variables.text.a", "variables.list.0.a.b"]
)
def test_a_path_without_a_place_is_refused(path: str) -> None:
    """An index beyond the list, or a step into a text, is a `ConfigurationError` that quotes the path."""
    body = {"query": "{ a }", "variables": {"list": ["t", None], "text": "t"}}
    with pytest.raises(ConfigurationError, match=f"^files names '{path}', but variables has no such place"):
        multipart(body, {path: b""})


def upload_of_starlette(directory: Path) -> Any:
    """What a FastAPI or Starlette handler is given."""
    headers = Headers({"content-type": "application/pdf"})
    return UploadFile(cast("BinaryIO", SpooledTemporaryFile()), filename="cv.pdf", headers=headers)


def opened_by_pathlib(directory: Path) -> Any:
    return (directory / "cv.pdf").open("wb+")


def opened_by_number(directory: Path) -> Any:
    return os.fdopen(os.open(directory / "other.pdf", os.O_CREAT | os.O_RDWR), "rb+")


def named_temporary(directory: Path) -> Any:
    return NamedTemporaryFile(dir=directory, prefix="cv", suffix=".pdf")


def spooled_on_disk(directory: Path) -> Any:
    return SpooledTemporaryFile(max_size=1, dir=str(directory))


FILES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "starlette": (upload_of_starlette, "cv.pdf", "application/pdf"),
    "starlette, without name and type": (lambda _: UploadFile(io.BytesIO()), "file", "application/octet-stream"),
    "pathlib": (opened_by_pathlib, "cv.pdf", "application/pdf"),
    "a number": (opened_by_number, "file", "application/octet-stream"),
    "named temporary": (named_temporary, r"cv.+\.pdf", "application/pdf"),
    "temporary": (lambda _: TemporaryFile(), "file", "application/octet-stream"),  # noqa: SIM115 - the request closes it
    "spooled": (lambda _: SpooledTemporaryFile(), "file", "application/octet-stream"),  # noqa: SIM115 - as above
    "spooled, on disk": (spooled_on_disk, "file", "application/octet-stream"),
    "a wrapper in a wrapper": (
        lambda directory: SimpleNamespace(file=named_temporary(directory), filename="cv.pdf"),
        "cv.pdf",
        "application/pdf",
    ),
}


@pytest.mark.parametrize("given", ["file", "tuple"])
@pytest.mark.parametrize(("make", "name", "kind"), FILES.values(), ids=list(FILES))
async def test_a_file_may_be_wrapped(make: Any, name: str, kind: str, given: str, tmp_path: Path) -> None:
    """The file inside is sent, and again after a refusal, with the name and the type that the wrapper knows."""
    content = b"%PDF" * 1000
    wrapper = make(tmp_path)
    file = wrapper
    while not hasattr(file, "seek") or isinstance(file, UploadFile):
        file = file.file
    file.write(b"skipped" + content)
    file.seek(len("skipped"))
    async with revoked() as at:
        files = {"variables.file": wrapper if given == "file" else ("own.txt", wrapper, "text/x-own")}
        await at.client.graphql("mutation { a }", files=files)
        assert [arrival.status for arrival in at.api.arrivals] == [401, 200]
        for arrival in at.api.arrivals:
            [(_, sent_as, sent_type, sent)] = [part for part in form_of(arrival) if part[0] == "0"]
            assert sent == content
            if given == "tuple":
                assert (sent_as, sent_type) == ("own.txt", "text/x-own")
            else:
                assert re.fullmatch(name, sent_as or "")
                assert sent_type == kind


async def test_an_upload_of_an_aiohttp_server_is_passed_on() -> None:
    """Its handlers get the file in a record that is no file itself."""
    async with scene() as at:

        async def pass_on(request: web.Request) -> web.Response:
            form = await request.post()
            return web.json_response(
                await at.client.graphql("mutation { a }", files={"variables.file": form["resume"]})
            )

        app = web.Application()
        app.router.add_post("/", pass_on)
        async with TestServer(app) as server, ClientSession() as visitor:
            form = FormData()
            form.add_field("resume", b"%PDF", filename="cv.pdf", content_type="application/x-pdf")
            async with visitor.post(server.make_url("/"), data=form) as response:
                assert await response.json() == {"__typename": "Query"}
        [(_, *sent)] = [part for part in form_of(at.api.arrivals[-1]) if part[0] == "0"]
        assert sent == ["cv.pdf", "application/x-pdf", b"%PDF"]


async def test_what_aiohttp_can_send_is_sent(tmp_path: Path) -> None:
    """The stream of an answer and a file that is read asynchronously, once; and a kind that the application registers."""

    class Own:
        def read(self) -> bytes:
            return b"own"

    class OwnPayload(BytesPayload):
        def __init__(self, value: Own, **options: Any) -> None:
            super().__init__(value.read(), **options)

    PAYLOAD_REGISTRY.register(OwnPayload, Own)
    async with scene() as at:
        at.api.answers["/cv.pdf"] = answering(200, b"%PDF")
        (tmp_path / "later.txt").write_bytes(b"one\ntwo")
        async with at.client.get("/cv.pdf") as download, await anyio.open_file(tmp_path / "later.txt", "rb") as later:
            files = {"variables.a": ("cv.pdf", download.content), "variables.b": later, "variables.c": Own()}
            await at.client.graphql("mutation { a }", files=files)
        sent = [(name, content) for _, name, _, content in form_of(at.api.arrivals[-1])[2:]]
        assert sent == [("cv.pdf", b"%PDF"), ("later.txt", b"one\ntwo"), ("c", b"own")]


class ReadsLater:
    """A file whose ``read`` is awaited, and that is nothing else that aiohttp knows."""

    name = "cv.pdf"

    async def read(self) -> bytes:
        return b""


class Reads:
    """A file that can be read, and that aiohttp does not know either."""

    file = "cv.pdf"

    def read(self) -> bytes:
        return b""


@pytest.mark.parametrize("duck", [ReadsLater(), Reads(), SimpleNamespace(file=Reads()), Path("cv.pdf"), "cv.pdf"])
async def test_what_aiohttp_cannot_send_is_refused(duck: Any) -> None:
    """One sentence with the path and what to give, instead of aiohttp's TypeError."""
    sentence = rf"^files holds {type(duck).__name__} for 'variables\.file'; give a file object, bytes, or \(name, file\[, type\]\)$"
    async with scene() as at:
        for file in (duck, ("cv.pdf", duck)):
            with pytest.raises(ConfigurationError, match=sentence):
                await at.client.graphql("mutation { a }", files={"variables.file": file})
        assert at.api.arrivals == []


@pytest.mark.parametrize("file", [("name.pdf",), (), None, 5], ids=repr)
def test_a_file_of_the_wrong_kind_is_refused(file: Any) -> None:
    """Anything else is the program's mistake, and every error is an `ExterviewAuthError`."""
    with pytest.raises(ConfigurationError, match="files"):
        multipart({"query": "{ a }"}, {"variables.file": file})


@pytest.mark.parametrize(
    "file",
    [
        ("a\r\nb", b""),
        ("a\0", b""),
        ("a\ud800", b""),
        (5, b""),
        (10**5000, b""),
        ("a", b"", "bad type"),
        ("a", b"", "a/b\r\nX: y"),
        ("a", b"", 5),
        ("a", b"", "ä/b"),
    ],
    ids=lambda file: ascii(file) if file[0] != 10**5000 else "long",
)
def test_a_name_or_type_that_no_header_can_hold_is_refused(file: Any) -> None:
    """One sentence that names the path, before anything is sent."""
    with pytest.raises(ConfigurationError, match=r"the file for 'variables\.file'") as caught:
        multipart({"query": "{ a }"}, {"variables.file": file})
    assert str(caught.value).isprintable()


def test_a_closed_file_is_refused() -> None:
    """It was sent before, and cannot be read again."""
    file = io.BytesIO(b"a")
    file.close()
    with pytest.raises(ConfigurationError, match=r"^the file for 'variables\.file' is closed"):
        multipart({"query": "{ a }"}, {"variables.file": file})


def test_files_that_are_no_mapping_and_endless_indexes_are_refused() -> None:
    """One sentence, and a short one."""
    with pytest.raises(ConfigurationError, match="files must be a mapping, not list"):
        multipart({"query": "{ a }"}, ["a"])  # type: ignore[arg-type]  # a wrong use
    with pytest.raises(ConfigurationError, match="but variables has no such place") as caught:
        multipart({"query": "{ a }", "variables": {"l": [1]}}, {f"variables.l.{'9' * 5000}": b""})
    assert len(str(caught.value)) < 200


def recursive() -> dict[str, Any]:
    variables: dict[str, Any] = {}
    variables["a"] = variables
    return variables


def deep() -> list[Any]:
    inner: list[Any] = []
    for _ in range(100_000):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "value",
    [object(), {("s3cr3t",): 1}, recursive(), deep(), b"s3cr3t", math.nan, 10**5000],
    ids=lambda v: type(v).__name__,
)
@pytest.mark.parametrize("write", [written, lambda body: multipart(body, {"variables.f": b""})])
def test_variables_that_are_no_json_are_refused(value: Any, write: Any) -> None:
    """One sentence, without a variable in it."""
    with pytest.raises(ConfigurationError, match=r"^variables cannot be written as JSON") as caught:
        write(operation("{ a }", {"a": value, "f": None}, None))
    assert caught.value.__context__ is None
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "writer",
    [functools.partial(json.dumps, ensure_ascii=False), lambda body: json.dumps(body, ensure_ascii=False).encode()],
    ids=["text", "bytes"],
)
def test_variables_that_a_sessions_own_json_cannot_write_are_refused(writer: Any) -> None:
    """Half a surrogate pair has no UTF-8 form, whoever encodes it."""
    for body in ({"a": "\ud800"}, {"a": object()}):
        with pytest.raises(ConfigurationError, match=r"^variables cannot be written as JSON"):
            written(operation("{ a }", body, None), writer)
