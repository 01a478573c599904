"""The requests of the demo: half queries, a quarter mutations, a quarter resume uploads."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import aiohttp

from exterview_auth import AuthSession

BULK_UPLOAD = "/ats/candidates/bulk-upload"

_RESUMES = 40
"""Different files; the bulk upload answers a second one like it as a duplicate."""

# Queries, a mutation and an upload: every kind of body that must be sent again after a refusal.
_INTERVIEWS = "query ($candidate: String) { interviews(candidateId: $candidate) { id title } }"
_CANDIDATES = """query ($input: GetCandidatesInput!) {
  getCandidates(input: $input) { candidate { _id uId fullName emailAddress resumeScore skillsFound status createdAt } }
}"""
_ASSIGN = """mutation ($input: AssignInterviewerInput!) {
  assignInterviewer(input: $input) { message result { acknowledged insertedId _id } }
}"""
_UPLOAD = """mutation ($candidate: String!, $file: Upload!) {
  uploadResume(candidateId: $candidate, file: $file) { filename size sha256 }
}"""


class RequestKind(StrEnum):
    """What a request of the demo is."""

    QUERY = "query"
    MUTATION = "mutation"
    UPLOAD = "upload"


class WrongAnswerError(Exception):
    """The API answered 200, but not with what was asked for."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the requests are about."""

    organization_id: str
    job_ids: tuple[str, ...]
    candidate_ids: tuple[str, ...]


async def candidate_ids(api: AuthSession) -> tuple[str, ...]:
    """Return the candidates that exist before the demo."""
    data = await api.graphql(_CANDIDATES, {"input": {"pageSize": 50}})
    return tuple(candidate["_id"] for candidate in data["getCandidates"]["candidate"])


class Workload:
    """The demo's requests by number: sends them through *api*, and compares each answer with what was asked."""

    def __init__(self, api: AuthSession, catalogue: Catalogue) -> None:
        self._api = api
        self._catalogue = catalogue

    async def send(self, number: int) -> None:
        """Send request *number*; raises `WrongAnswerError`, or what the session raises."""
        _, send = self.MIX[number % len(self.MIX)]
        await send(self, number)

    async def _candidates(self, number: int) -> None:
        page = {"organizationId": self._catalogue.organization_id, "pageNumber": 1 + number % 5, "pageSize": 10}
        data = await self._api.graphql(_CANDIDATES, {"input": page})
        _expect(len(data["getCandidates"]["candidate"]) == page["pageSize"], "getCandidates")

    async def _interviews(self, number: int) -> None:
        data = await self._api.graphql(_INTERVIEWS, {"candidate": self._candidate(number)})
        _expect(isinstance(data["interviews"], list), "interviews")

    async def _assign(self, number: int) -> None:
        appointment = {
            "candidateId": self._candidate(number),
            "interviewerId": f"interviewer-{number}",
            "dateAndTime": f"2030-01-{1 + number % 28:02}T{number % 24:02}:00:00Z",
            "status": "Scheduled",
        }
        data = await self._api.graphql(_ASSIGN, {"input": appointment})
        _expect(data["assignInterviewer"]["result"]["acknowledged"] is True, "assignInterviewer")

    async def _upload(self, number: int) -> None:
        resume = resume_of(number)
        data = await self._api.graphql(
            _UPLOAD, {"candidate": self._candidate(number), "file": None}, files={"variables.file": io.BytesIO(resume)}
        )
        _expect(data["uploadResume"]["sha256"] == hashlib.sha256(resume).hexdigest(), "uploadResume")

    async def _bulk_upload(self, number: int) -> None:
        form = aiohttp.FormData()
        form.add_field(
            "files",
            io.BytesIO(resume_of(number)),
            filename=f"resume-{number % _RESUMES}.pdf",
            content_type="application/pdf",
        )
        form.add_field("jobId", self._catalogue.job_ids[number % len(self._catalogue.job_ids)])
        form.add_field("recruiterId", "recruiter-1")
        form.add_field("organizationId", self._catalogue.organization_id)
        form.add_field("userType", "recruiter")
        form.add_field("resumeScoreBreakdown", json.dumps({"skills": 60, "experience": 40}))
        async with self._api.post(BULK_UPLOAD, data=form) as response:
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
        _expect(answer["status"] == 1, "bulk upload")

    def _candidate(self, number: int) -> str:
        return self._catalogue.candidate_ids[number % len(self._catalogue.candidate_ids)]

    # Request number n is of kind n modulo 8: every prefix of the numbers has nearly the same mix.
    MIX: ClassVar[tuple[tuple[RequestKind, Callable[[Workload, int], Awaitable[None]]], ...]] = (
        (RequestKind.QUERY, _candidates),
        (RequestKind.UPLOAD, _upload),
        (RequestKind.QUERY, _candidates),
        (RequestKind.MUTATION, _assign),
        (RequestKind.QUERY, _interviews),
        (RequestKind.UPLOAD, _bulk_upload),
        (RequestKind.QUERY, _candidates),
        (RequestKind.MUTATION, _assign),
    )


def mix_of(requests: int) -> dict[RequestKind, int]:
    """Return how many of the first *requests* are of each kind."""
    rounds, rest = divmod(requests, len(Workload.MIX))
    kinds = [kind for kind, _ in Workload.MIX]
    return {kind: rounds * kinds.count(kind) + kinds[:rest].count(kind) for kind in RequestKind}


def resume_of(number: int) -> bytes:
    """Return a file of about four kilobytes."""
    return b"%PDF-1.4\n" + f"% resume {number % _RESUMES}\n".encode() * 256 + b"%%EOF\n"


def _expect(holds: bool, what: str) -> None:  # noqa: FBT001 - like an assert
    if not holds:
        raise WrongAnswerError(f"the answer to {what} is not what was asked for")
