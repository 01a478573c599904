"""What the schema's queries and mutations do; the context is the `EmulatorState`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo

from ._data import Candidate, Dataset, Interview, Job, Person
from ._state import EmulatorState
from ._uploads import UploadedFile

LARGEST_PAGE = 100


def interviews(
    _root: None, info: GraphQLResolveInfo[EmulatorState], *, candidate_id: str | None = None, status: str | None = None
) -> list[Interview]:
    """The organization's appointments."""
    data = info.context.data
    found = data.interviews.values() if candidate_id is None else data.interviews_of(candidate_id)
    return [interview for interview in found if _is(status, interview.status)]


def get_candidates(_root: None, info: GraphQLResolveInfo[EmulatorState], *, input: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002 - the API's own argument name
    """One page of those who match, and how many do."""
    page, size = input["page_number"], input["page_size"]
    if page is None or page < 1:
        raise _bad_input("pageNumber starts at 1")
    if size is None or not 1 <= size <= LARGEST_PAGE:
        raise _bad_input(f"pageSize is a number from 1 to {LARGEST_PAGE}")
    found = [candidate for candidate in info.context.data.candidates.values() if _matches(candidate, input)]
    return {
        "candidate": found[(page - 1) * size : page * size],
        "total_count": len(found),
        "page_number": page,
        "page_size": size,
        "total_pages": -(-len(found) // size),
    }


def jobs(_root: None, info: GraphQLResolveInfo[EmulatorState]) -> list[Job]:
    """The open positions."""
    return list(info.context.data.jobs.values())


def interviewers(_root: None, info: GraphQLResolveInfo[EmulatorState]) -> list[Person]:
    """The organization's own interviewers."""
    return list(info.context.data.interviewers.values())


def organization(_root: None, info: GraphQLResolveInfo[EmulatorState]) -> dict[str, str]:
    """The one that the API key belongs to."""
    return {"id": info.context.data.organization_id, "name": "Acme Talent"}


def login(_root: None, info: GraphQLResolveInfo[EmulatorState], *, email: str, password: str) -> dict[str, Any]:
    """A new bearer token for the user's credentials."""
    state = info.context
    if not state.accounts.knows_user(email, password):
        state.counters.logins_refused += 1
        raise GraphQLError("Invalid email or password", extensions={"code": "UNAUTHENTICATED"})
    return {
        "token": state.issue_token(),
        "expires_in": state.token_lifetime,
        "token_type": "Bearer",
        "user": state.data.recruiter,
    }


def assign_interviewer(
    _root: None, info: GraphQLResolveInfo[EmulatorState], *, input: Mapping[str, Any]
) -> dict[str, Any]:  # noqa: A002 - the API's own argument name
    """A new appointment; interviewers from outside the organization are welcome."""
    data = info.context.data
    candidate = _candidate(data, input["candidate_id"])
    if not input["interviewer_id"].strip():
        raise _bad_input("interviewerId is empty")
    when = _iso_8601(input["date_and_time"])
    interview = data.add_interview(candidate, input["interviewer_id"], when, input["status"] or "Scheduled")
    return {
        "message": "Interviewer assigned successfully",
        "result": {"acknowledged": True, "inserted_id": interview.id, "id": interview.id},
    }


async def upload_resume(
    _root: None, info: GraphQLResolveInfo[EmulatorState], *, candidate_id: str, file: object
) -> dict[str, Any]:
    """What arrived, so that the client can compare."""
    candidate = _candidate(info.context.data, candidate_id)
    if not isinstance(file, UploadedFile):
        raise _bad_input("file is sent by the GraphQL multipart request specification")
    return {
        "candidate_id": candidate.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "size": file.size,
        "sha256": file.sha256,
    }


def candidate_interviews(candidate: Candidate, info: GraphQLResolveInfo[EmulatorState]) -> list[Interview]:
    """The candidate's appointments."""
    return list(info.context.data.interviews_of(candidate.id))


def interview_candidate(interview: Interview, info: GraphQLResolveInfo[EmulatorState]) -> Candidate:
    """The candidate as they are now, not as they were when the appointment was made."""
    return info.context.data.candidates[interview.candidate.id]


RESOLVERS: dict[str, Callable[..., Any]] = {
    "Query.interviews": interviews,
    "Query.getCandidates": get_candidates,
    "Query.jobs": jobs,
    "Query.interviewers": interviewers,
    "Query.organization": organization,
    "Mutation.login": login,
    "Mutation.assignInterviewer": assign_interviewer,
    "Mutation.uploadResume": upload_resume,
    "Candidate.interviews": candidate_interviews,
    "Interview.candidate": interview_candidate,
}


def _candidate(data: Dataset, candidate_id: str) -> Candidate:
    try:
        return data.candidates[candidate_id]
    except KeyError:
        raise GraphQLError(f"There is no candidate {candidate_id!r}", extensions={"code": "NOT_FOUND"}) from None


def _matches(candidate: Candidate, wanted: Mapping[str, Any]) -> bool:
    if not _is(wanted.get("organization_id"), candidate.organization_id) or not _is(
        wanted.get("job_id"), candidate.job_id
    ):
        return False
    return _is(wanted.get("status"), candidate.status) and _contains(candidate, wanted.get("search"))


def _is(wanted: str | None, value: str) -> bool:
    return not wanted or wanted.casefold() == value.casefold()


def _contains(candidate: Candidate, text: str | None) -> bool:
    searched = (candidate.full_name, candidate.email_address, candidate.u_id, *candidate.skills_found)
    return not text or any(text.strip().casefold() in field.casefold() for field in searched)


def _iso_8601(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise _bad_input("dateAndTime is an ISO 8601 date and time, like 2025-03-24T10:00:00Z") from None
    return text


def _bad_input(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})
