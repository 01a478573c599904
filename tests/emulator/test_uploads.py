"""The REST bulk upload of resumes, and the limits of multipart bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import aiohttp
import pytest
from aiohttp import ClientSession, MultipartReader, StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from exterview_auth import ConfigurationError
from exterview_auth.emulator import Emulator, _uploads
from tests.kit.emulator import answer

REQUEST = make_mocked_request("POST", "/")
PATHS = ["/ats/candidates/bulk-upload", "/ats/candidates/bulk-upload-resumes", "/bulk-upload-resumes"]


def form(*files: tuple[str, bytes], **changed: str) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    fields = {"jobId": "job-1", "recruiterId": "r-1", "userType": "recruiter", "resumeScoreBreakdown": '{"skills": 1}'}
    for name, value in {**fields, **changed}.items():
        data.add_field(name, value)
    for filename, content in files:
        data.add_field("files", content, filename=filename)
    return data


async def upload(api: ClientSession, data: Any, path: str = PATHS[0], **options: Any) -> tuple[int, Any]:
    return (await answer(api.post(path, data=data, **options))).body


async def counts(api: ClientSession, data: Any) -> tuple[int, int, int]:
    status, content = await upload(api, data)
    assert (status, content["status"], len(content["candidates"])) == (200, 1, content["created"])
    return content["created"], content["duplicates"], content["skipped"]


@pytest.mark.parametrize("path", PATHS)
async def test_resumes_become_candidates(emulator: Emulator, api: ClientSession, path: str) -> None:
    """Each new PDF, DOC or DOCX creates a candidate, whom `getCandidates` shows."""
    data = form(("jane_doe-CV.pdf", b"one"), ("42.DOCX", b"two"), organizationId=emulator.organization_id)
    uploaded = await upload(api, data, path)
    query = '{ getCandidates(input: {jobId: "job-1"}) { candidate { uId fullName emailAddress status jobId organizationId } } }'
    found = (await answer(api.post("/graphql", json={"query": query}))).content["data"]["getCandidates"]["candidate"]
    assert [one["fullName"] for one in found] == ["Jane Doe", "Unnamed Candidate"]
    assert {(one["status"], one["organizationId"]) for one in found} == {("Applied", emulator.organization_id)}
    candidates = [{"candidate_unique_id": one["uId"], "email": one["emailAddress"], "jobId": "job-1"} for one in found]
    numbers = {"created": 2, "duplicates": 0, "skipped": 0}
    message = "Resumes processed: 2 created, 0 duplicates, 0 skipped"
    assert uploaded == (200, {"status": 1, "message": message, **numbers, "candidates": candidates})


async def test_the_same_content_is_a_duplicate_within_its_job(api: ClientSession) -> None:
    """Duplicates are recognised by content, whatever the name, for each job apart."""
    assert await counts(api, form(("a.pdf", b"same"), ("b.pdf", b"same"))) == (1, 1, 0)
    assert await counts(api, form(("c.doc", b"same"))) == (0, 1, 0)
    assert await counts(api, form(("c.doc", b"same"), jobId="job-2")) == (1, 0, 0)


async def test_other_and_empty_files_are_skipped(emulator: Emulator, api: ClientSession) -> None:
    """Other types than PDF, DOC and DOCX, and empty files, are counted and left out; the journal says why."""
    assert await counts(api, form(("a.exe", b"x"), ("pdf", b"x"), ("a.pdf", b""))) == (0, 0, 3)
    reason = "Skipped files: 3; a resume is a .pdf, .doc or .docx that is not empty"
    assert (emulator.journal[-1].status, emulator.journal[-1].reason) == (200, reason)
    await counts(api, form(("a.pdf", b"x")))
    assert emulator.journal[-1].reason is None


async def test_an_answer_of_ones_own(emulator: Emulator, api: ClientSession) -> None:
    """`answer` takes the name that the journal shows; the form must be in order, and no candidate is created."""
    emulator.answer("bulk-upload", data={"created": 17})
    assert await upload(api, form(("a.pdf", b"x"))) == (200, {"created": 17})
    assert (await upload(api, form()))[0] == 400
    emulator.answer("bulk-upload")
    assert await counts(api, form(("a.pdf", b"x"))) == (1, 0, 0)
    with pytest.raises(
        ConfigurationError, match="bulk-upload is not a GraphQL operation: give its whole answer as data"
    ):
        emulator.answer("bulk-upload", data={}, errors=["busy"])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (form(), "The form has no files"),
        (form(("a.pdf", b"x"), jobId=" "), "The field jobId is missing"),
        (form(("a.pdf", b"x"), resumeScoreBreakdown="{"), "The field resumeScoreBreakdown is not valid JSON"),
    ],
)
async def test_incomplete_forms_create_nothing(
    emulator: Emulator, api: ClientSession, data: aiohttp.FormData, error: str
) -> None:
    """A form that is not in order is answered 400 as a whole."""
    assert await upload(api, data) == (400, {"error": error})
    assert len(emulator._state.data.candidates) == 64


async def test_the_guard_stands_before_the_upload(emulator: Emulator, api: ClientSession) -> None:
    """JSON is the wrong content type here, and a revoked token is refused."""
    wrong = await upload(api, "{}", headers={"Content-Type": "application/json"})
    assert wrong == (400, {"error": "The Content-Type must be multipart/form-data"})
    emulator.revoke()
    assert (await upload(api, form(("a.pdf", b"x"))))[0] == 401


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}
UNREADABLE = "The multipart body cannot be read"
NAMELESS = "Each part of the form needs a name"


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (None, UNREADABLE),
        (b"no header\r\n\r\nx", UNREADABLE),
        (b'Content-Disposition: form-data; name="jobId"\r\n\r\n\xff', UNREADABLE),
        (b"\r\nx", NAMELESS),
        (b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--", NAMELESS),
    ],
)
async def test_broken_multipart_bodies_are_answered_400(api: ClientSession, part: bytes | None, error: str) -> None:
    """A body that is not a form, nameless parts, text that is not UTF-8 and a form without a boundary are answered 400."""
    body = b"x" if part is None else b"--b\r\n" + part + b"\r\n--b--\r\n"
    assert await upload(api, body, headers=BOUNDARY) == (400, {"error": error})
    no_boundary = {"Content-Type": "multipart/form-data"}
    assert await upload(api, body, headers=no_boundary) == (400, {"error": UNREADABLE})


async def test_sizes_are_limited(api: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body, a field and a number of parts beyond their limits are refused, announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.pdf"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 1000
        yield b"\r\n--b--\r\n"

    monkeypatch.setattr(_uploads, "MAX_BODY", 20_000)
    too_large = (413, {"error": "The body is larger than 20000 bytes"})
    assert await upload(api, form(("a.pdf", b"x" * 20_000))) == too_large
    assert await upload(api, chunks(), headers=BOUNDARY) == too_large
    monkeypatch.setattr(_uploads, "MAX_FIELD", 100)
    assert (await upload(api, form(("a.pdf", b"x"), jobId="j" * 101)))[0] == 413
    monkeypatch.setattr(_uploads, "MOST_PARTS", 5)
    too_many = (400, {"error": "The form has more than 4 parts"})
    assert await upload(api, form(("a.pdf", b"x"), ("b.pdf", b"y"))) == too_many


@pytest.mark.parametrize("size", [10_000, 200_000])
@pytest.mark.parametrize("read", [_uploads.read_field, lambda part: _uploads.read_file(part, REQUEST)])
async def test_a_part_that_arrives_in_uneven_pieces_is_read_without_a_warning(read: Any, size: int) -> None:
    """Two pieces that are shorter than the boundary, then all that a connection can buffer."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(mock.Mock(BaseProtocol, _reading_paused=False), 2**16, loop=loop)
    reader = MultipartReader({"Content-Type": "multipart/form-data; boundary=" + "B" * 50}, stream)
    stream.feed_data(b"--" + b"B" * 50 + b'\r\nContent-Disposition: form-data; name="one"\r\n\r\n')
    part = await reader.next()
    reading = asyncio.create_task(read(part))
    for piece in (b"ab", b"cd", b"x" * size + b"\r\n--" + b"B" * 50 + b"--\r\n"):
        for _ in range(5):  # until what has come is read
            await asyncio.sleep(0)
        stream.feed_data(piece)
    found = await reading
    assert (len(found) if isinstance(found, str) else found.size) == size + 4
