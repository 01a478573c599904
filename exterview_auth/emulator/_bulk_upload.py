"""``POST /ats/candidates/bulk-upload``: resumes in, candidates out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from aiohttp import web

from ._data import Dataset
from ._responses import Refusal, json_response
from ._state import EmulatorState
from ._uploads import UploadedFile, parts, read_field, read_file, readable_form

RESUME_TYPES = frozenset({".pdf", ".doc", ".docx"})

_NO_PART_OF_A_NAME = frozenset({"cv", "resume", "final", "copy"})


@dataclass(slots=True)
class _Form:
    files: list[UploadedFile] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


async def answer_bulk_upload(state: EmulatorState, request: web.Request) -> web.Response:
    """What became of each file; nothing is created unless the whole form is in order."""
    form = await _read(request)
    _check(form)
    created, duplicates, skipped = _add_all(state.data, form)
    counts = {"created": len(created), "duplicates": duplicates, "skipped": skipped}
    message = ", ".join(f"{number} {what}" for what, number in counts.items())
    return json_response({"status": 1, "message": f"Resumes processed: {message}", **counts, "candidates": created})


async def _read(request: web.Request) -> _Form:
    form = _Form()
    with readable_form():
        async for name, part in parts(request):
            if name == "files":
                form.files.append(await read_file(part, request))
            else:
                form.fields[name] = await read_field(part)
    return form


def _check(form: _Form) -> None:
    if not form.files:
        raise Refusal(400, "The form has no files")
    if not form.fields.get("jobId", "").strip():
        raise Refusal(400, "The field jobId is missing")
    try:
        json.loads(form.fields.get("resumeScoreBreakdown", "null"))
    except (ValueError, RecursionError):
        raise Refusal(400, "The field resumeScoreBreakdown is not valid JSON") from None


def _add_all(data: Dataset, form: _Form) -> tuple[list[dict[str, Any]], int, int]:
    """The created candidates, and how many files were duplicates or skipped."""
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
            one = data.add_candidate(_person_of(file.filename), job_id, organization_id, datetime.now(UTC))
            created.append({"candidate_unique_id": one.u_id, "email": one.email_address, "jobId": job_id})
    return created, duplicates, skipped


def _person_of(filename: str) -> str:
    """The name that a file such as ``jane_doe-CV.pdf`` tells."""
    words = [
        word for word in re.findall(r"[^\W\d_]+", PurePath(filename).stem) if word.lower() not in _NO_PART_OF_A_NAME
    ]
    return " ".join(words[:3]).title() or "Unnamed Candidate"
