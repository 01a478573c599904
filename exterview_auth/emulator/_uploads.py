"""
File uploads: multipart forms, and ``POST /ats/candidates/bulk-upload`` (resumes in, candidates out).

A form is read part by part. A file is measured and hashed while it arrives and never held in memory, so that any number of
clients can upload at once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http import HttpProcessingError

from ._answers import BULK_UPLOAD
from ._data import Dataset
from ._journal import answering
from ._responses import Refusal, json_response
from ._state import EmulatorState

MAX_BODY = 64 * 1024 * 1024
"""The largest body of a request, in bytes."""

MAX_FIELD = 1024 * 1024
"""The largest part that is not a file, in bytes."""

MOST_PARTS = 1000

RESUME_TYPES = frozenset({".pdf", ".doc", ".docx"})

_CHUNK = 2**20
"""More bytes than a connection buffers. Of a longer piece, aiohttp would put the end back, and warn that this is deprecated."""

# Words in file names of resumes that do not belong to the person's name.
_NOT_NAMES = frozenset({"cv", "resume", "final", "copy"})


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that has arrived completely."""

    filename: str
    content_type: str
    size: int
    sha256: str


@dataclass(slots=True)
class _BulkForm:
    files: list[UploadedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


async def answer_bulk_upload(state: EmulatorState, request: web.Request) -> web.Response:
    """Answer with what became of each file; nothing is created unless the whole form is in order."""
    # Before the form is read: an upload that a reset overtakes adds no candidate to the data that begins with it.
    form, data = _BulkForm(), state.data
    with readable_form():
        async for name, part in parts(request):
            if name == "files":
                form.files.append(await read_file(part, request))
            else:
                form.fields[name] = await read_field(part)
    # Only now, when all of it has arrived: a client that repeats an upload after a 400 must not find half of it there.
    _check(form)
    canned = state.answers.of(BULK_UPLOAD)
    if canned is not None:
        return json_response(canned["data"])
    created, duplicates, skipped = _add_candidates(data, form)
    if skipped:
        # The API's answer does not say why.
        answering().reason = f"Skipped files: {skipped}; a resume is a .pdf, .doc or .docx that is not empty"
    counts = {"created": len(created), "duplicates": duplicates, "skipped": skipped}
    message = ", ".join(f"{number} {what}" for what, number in counts.items())
    return json_response({"status": 1, "message": f"Resumes processed: {message}", **counts, "candidates": created})


def _check(form: _BulkForm) -> None:
    if not form.files:
        raise Refusal(400, "The form has no files")
    if not form.fields.get("jobId", "").strip():
        raise Refusal(400, "The field jobId is missing")
    try:
        json.loads(form.fields.get("resumeScoreBreakdown", "null"))
    except (ValueError, RecursionError):
        raise Refusal(400, "The field resumeScoreBreakdown is not valid JSON") from None


def _add_candidates(data: Dataset, form: _BulkForm) -> tuple[list[dict[str, Any]], int, int]:
    """Return the created candidates, and how many files were duplicates or skipped."""
    job_id = form.fields["jobId"].strip()
    organization_id = form.fields.get("organizationId", "").strip() or data.organization_id
    created, duplicates, skipped = [], 0, 0
    for file in form.files:
        if PurePath(file.filename).suffix.lower() not in RESUME_TYPES or file.size == 0:
            skipped += 1
        elif (job_id, file.sha256) in data.resume_hashes:
            duplicates += 1
        else:
            data.resume_hashes.add((job_id, file.sha256))
            one = data.add_candidate(_name_in(file.filename), job_id, organization_id, datetime.now(UTC))
            created.append({"candidate_unique_id": one.u_id, "email": one.email_address, "jobId": job_id})
    return created, duplicates, skipped


def _name_in(filename: str) -> str:
    """Return ``Jane Doe`` for ``jane_doe-CV.pdf``: the parser of resumes reads no more of a file than its name."""
    words = re.findall(r"[^\W\d_]+", PurePath(filename).stem)
    return " ".join([word for word in words if word.lower() not in _NOT_NAMES][:3]).title() or "Unnamed Candidate"


@contextmanager
def readable_form() -> Iterator[None]:
    """Raise the 400 if the body turns out not to be a multipart form, or its text not to be UTF-8."""
    try:
        yield
    except (ValueError, HttpProcessingError):
        raise Refusal(400, "The multipart body cannot be read") from None


async def parts(request: web.Request) -> AsyncIterator[tuple[str, BodyPartReader]]:
    """Yield the form's parts with their names, one after the other; each must be read before the next."""
    require_size(request.content_length or 0)
    reader = await request.multipart()
    for _ in range(MOST_PARTS):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or not part.name:
            raise Refusal(400, "Each part of the form needs a name")
        yield part.name, part
    raise Refusal(400, f"The form has more than {MOST_PARTS - 1} parts")


async def read_field(part: BodyPartReader) -> str:
    """Return the text of a part that is not a file."""
    content = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        content += chunk
        if len(content) > MAX_FIELD:
            raise Refusal(413, f"A field of the form is larger than {MAX_FIELD} bytes")
    return content.decode()


async def read_file(part: BodyPartReader, request: web.Request) -> UploadedFile:
    """Read a file of *request* to its end."""
    digest, size = hashlib.sha256(), 0
    while chunk := await part.read_chunk(_CHUNK):
        # aiohttp's own limit counts what a handler reads as a whole, not a form that is read in parts.
        require_size(request.content.total_bytes)
        size += len(chunk)
        digest.update(chunk)
    content_type = part.headers.get(hdrs.CONTENT_TYPE, "application/octet-stream")
    return UploadedFile(part.filename or "", content_type, size, digest.hexdigest())


def require_size(size: int) -> None:
    """Raise the 413 for a body of more than `MAX_BODY` bytes."""
    if size > MAX_BODY:
        raise Refusal(413, f"The body is larger than {MAX_BODY} bytes")
