"""The REST bulk upload of resumes, and the limits of multipart bodies."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from exterview_auth.emulator import Emulator, _uploads

PATHS = ["/ats/candidates/bulk-upload", "/ats/candidates/bulk-upload-resumes", "/bulk-upload-resumes"]


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"x-api-key": emulator.api_key, "Authorization": f"Bearer {emulator.issue_token()}"}
    async with aiohttp.ClientSession(emulator.endpoint.removesuffix("graphql"), headers=headers) as session:
        yield session


def form(*files: tuple[str, bytes], **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    defaults = {
        "jobId": "job-1",
        "recruiterId": "r-1",
        "userType": "recruiter",
        "resumeScoreBreakdown": '{"skills": 1}',
    }
    for name, value in {**defaults, **fields}.items():
        data.add_field(name, value)
    for filename, content in files:
        data.add_field("files", content, filename=filename)
    return data


async def upload(http: aiohttp.ClientSession, data: Any, path: str = PATHS[0], **options: Any) -> tuple[int, Any]:
    async with http.post(path, data=data, **options) as response:
        return response.status, await response.json()


@pytest.mark.asyncio
@pytest.mark.parametrize("path", PATHS)
async def test_resumes_become_candidates(emulator: Emulator, http: aiohttp.ClientSession, path: str) -> None:
    """Each new PDF, DOC or DOCX creates a candidate, whom `getCandidates` shows."""
    data = form(("jane_doe-CV.pdf", b"one"), ("42.DOCX", b"two"), organizationId=emulator.organization_id)
    status, answer = await upload(http, data, path)
    assert status == 200
    assert {name: answer[name] for name in ("status", "created", "duplicates", "skipped")} == {
        "status": 1,
        "created": 2,
        "duplicates": 0,
        "skipped": 0,
    }
    assert answer["message"] == "Resumes processed: 2 created, 0 duplicates, 0 skipped"
    query = '{ getCandidates(input: {jobId: "job-1"}) { candidate { uId fullName emailAddress status jobId organizationId } } }'
    async with http.post("graphql", json={"query": query}) as response:
        found = (await response.json())["data"]["getCandidates"]["candidate"]
    assert [one["fullName"] for one in found] == ["Jane Doe", "Unnamed Candidate"]
    assert answer["candidates"] == [
        {"candidate_unique_id": one["uId"], "email": one["emailAddress"], "jobId": "job-1"} for one in found
    ]
    assert {(one["status"], one["organizationId"]) for one in found} == {("Applied", emulator.organization_id)}


@pytest.mark.asyncio
async def test_the_same_content_is_a_duplicate_within_its_job(http: aiohttp.ClientSession) -> None:
    """Duplicates are recognised by content, whatever the name, for each job apart."""
    _, answer = await upload(http, form(("a.pdf", b"same"), ("b.pdf", b"same")))
    assert (answer["created"], answer["duplicates"]) == (1, 1)
    _, answer = await upload(http, form(("c.doc", b"same")))
    assert (answer["created"], answer["duplicates"], answer["candidates"]) == (0, 1, [])
    _, answer = await upload(http, form(("c.doc", b"same"), jobId="job-2"))
    assert (answer["created"], answer["duplicates"]) == (1, 0)


@pytest.mark.asyncio
async def test_other_and_empty_files_are_skipped(http: aiohttp.ClientSession) -> None:
    """What is no PDF, DOC or DOCX, or is empty, is counted and left out."""
    _, answer = await upload(http, form(("a.exe", b"x"), ("pdf", b"x"), ("a.pdf", b"")))
    assert (answer["status"], answer["created"], answer["skipped"]) == (1, 0, 3)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (form(), "The form has no files"),
        (form(("a.pdf", b"x"), jobId=" "), "The field jobId is missing"),
        (form(("a.pdf", b"x"), resumeScoreBreakdown="{"), "The field resumeScoreBreakdown is not valid JSON"),
    ],
)
async def test_incomplete_forms_create_nothing(
    emulator: Emulator, http: aiohttp.ClientSession, data: aiohttp.FormData, error: str
) -> None:
    """A form that is not in order is answered 400 as a whole."""
    assert await upload(http, data) == (400, {"error": error})
    assert len(emulator._state.data.candidates) == 64


@pytest.mark.asyncio
async def test_the_guard_stands_before_the_upload(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """JSON is the wrong content type here, and a dead token is refused."""
    assert await upload(http, json.dumps({}), headers={"Content-Type": "application/json"}) == (
        400,
        {"error": "The Content-Type must be multipart/form-data"},
    )
    emulator.revoke()
    assert (await upload(http, form(("a.pdf", b"x"))))[0] == 401


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        (b"x", {"Content-Type": "multipart/form-data"}, "The multipart body cannot be read"),
        (b"x", BOUNDARY, "The multipart body cannot be read"),
        (b"--b\r\nno header\r\n\r\nx\r\n--b--\r\n", BOUNDARY, "The multipart body cannot be read"),
        (b"--b\r\n\r\nx\r\n--b--\r\n", BOUNDARY, "Each part of the form needs a name"),
        (
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
            BOUNDARY,
            "Each part of the form needs a name",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="jobId"\r\n\r\n\xff\r\n--b--\r\n',
            BOUNDARY,
            "The multipart body cannot be read",
        ),
    ],
)
async def test_broken_multipart_bodies_are_answered_400(
    http: aiohttp.ClientSession, body: bytes, headers: dict[str, str], error: str
) -> None:
    """A body that is no form, or has nameless parts or text that is none, is answered 400."""
    assert await upload(http, body, headers=headers) == (400, {"error": error})


@pytest.mark.asyncio
async def test_sizes_are_limited(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body, a field and a number of parts beyond their limits are refused, announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.pdf"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 1000
        yield b"\r\n--b--\r\n"

    monkeypatch.setattr(_uploads, "MAX_BODY", 20_000)
    too_large = (413, {"error": "The body is larger than 20000 bytes"})
    assert await upload(http, form(("a.pdf", b"x" * 20_000))) == too_large
    assert await upload(http, chunks(), headers=BOUNDARY) == too_large
    monkeypatch.setattr(_uploads, "MAX_FIELD", 100)
    assert (await upload(http, form(("a.pdf", b"x"), jobId="j" * 101)))[0] == 413
    monkeypatch.setattr(_uploads, "MOST_PARTS", 5)
    assert await upload(http, form(("a.pdf", b"x"), ("b.pdf", b"y"))) == (
        400,
        {"error": "The form has more than 4 parts"},
    )
