"""What the schema's queries, mutations and subscriptions do; the context is the emulator's state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo

from .._data import Candidate, Dataset, Interview, Job, Person, timestamp
from .._state import EmulatorState
from .._uploads import UploadedFile

LARGEST_PAGE = 100
LONGEST_INTERVAL = 60.0
MOST_ITEMS = 10_000

Info = GraphQLResolveInfo[EmulatorState]


def interviews(
    _root: None, info: Info, *, candidate_id: str | None = None, status: str | None = None
) -> list[Interview]:
    """Return the organization's interviews."""
    data = info.context.data
    found = data.interviews.values() if candidate_id is None else data.interviews_of(candidate_id)
    return [interview for interview in found if _is(status, interview.status)]


def get_candidates(_root: None, info: Info, *, input: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002 - the API's own argument name
    """Return one page of the candidates that match, and how many match."""
    page, size, text = input["page_number"], input["page_size"], input.get("search")
    if page is None or page < 1:
        raise _bad_input("pageNumber must be 1 or more")
    if size is None or not 1 <= size <= LARGEST_PAGE:
        raise _bad_input(f"pageSize must be a number from 1 to {LARGEST_PAGE}")
    found = [
        candidate
        for candidate in info.context.data.candidates.values()
        if _is(input.get("organization_id"), candidate.organization_id)
        and _is(input.get("job_id"), candidate.job_id)
        and _is(input.get("status"), candidate.status)
        and (not text or _contains(candidate, text.strip().casefold()))
    ]
    return {
        "candidate": found[(page - 1) * size : page * size],
        "total_count": len(found),
        "page_number": page,
        "page_size": size,
        "total_pages": -(-len(found) // size),
    }


def jobs(_root: None, info: Info) -> list[Job]:
    """Return the open positions."""
    return list(info.context.data.jobs.values())


def interviewers(_root: None, info: Info) -> list[Person]:
    """Return the organization's own interviewers."""
    return list(info.context.data.interviewers.values())


def organization(_root: None, info: Info) -> dict[str, str]:
    """Return the organization that the API key belongs to."""
    return {"id": info.context.data.organization_id, "name": "Acme Talent"}


def login(_root: None, info: Info, *, email: str, password: str) -> dict[str, Any]:
    """Return a new bearer token for the user's credentials."""
    state = info.context
    if not state.accounts.knows_user(email, password):
        # Exterview's documented refusals have a status; a GraphQL login tells a wrong password with status 200.
        state.refuse_login()
        raise GraphQLError("Invalid email or password", extensions={"code": "UNAUTHENTICATED"})
    return {
        "token": state.issue_token(),
        "expires_in": state.token_lifetime,
        "token_type": "Bearer",
        "user": state.data.recruiter,
    }


def assign_interviewer(_root: None, info: Info, *, input: Mapping[str, Any]) -> dict[str, Any]:  # noqa: A002 - the API's own argument name
    """Add an interview; the interviewer may be from outside the organization."""
    data = info.context.data
    candidate = _candidate(data, input["candidate_id"])
    if not input["interviewer_id"].strip():
        raise _bad_input("interviewerId is empty")
    when = input["date_and_time"]
    try:
        datetime.fromisoformat(when)
    except ValueError:
        raise _bad_input("dateAndTime must be an ISO 8601 date and time, like 2025-03-24T10:00:00Z") from None
    interview = data.add_interview(candidate, input["interviewer_id"], when, input["status"] or "Scheduled")
    return {
        "message": "Interviewer assigned successfully",
        "result": {"acknowledged": True, "inserted_id": interview.id, "id": interview.id},
    }


async def upload_resume(_root: None, info: Info, *, candidate_id: str, file: object) -> dict[str, Any]:
    """Return what arrived, so that the client can compare it with what it sent."""
    candidate = _candidate(info.context.data, candidate_id)
    if not isinstance(file, UploadedFile):
        raise _bad_input("file must be sent by the GraphQL multipart request specification")
    return {
        "candidate_id": candidate.id,
        "filename": file.filename,
        "content_type": file.content_type,
        "size": file.size,
        "sha256": file.sha256,
    }


def candidate_interviews(candidate: Candidate, info: Info) -> list[Interview]:
    """Return the candidate's interviews."""
    return list(info.context.data.interviews_of(candidate.id))


def interview_candidate(interview: Interview, info: Info) -> Candidate:
    """Return the candidate as they are now, not as they were when the interview was added."""
    return info.context.data.candidates[interview.candidate.id]


# Both streams check their arguments before they return the stream: the engine reports what a subscription function raises
# as an error of the operation, while an exception inside the stream would end the connection's task.


def clock(_root: None, _info: Info, *, interval: float | None, count: int | None) -> AsyncIterator[dict[str, Any]]:
    """Return a stream of *count* ticks, the first at once."""
    pause, most = _checked(interval, count)

    async def ticks() -> AsyncIterator[dict[str, Any]]:
        for index in range(most):
            await asyncio.sleep(pause if index else 0.0)
            yield {"index": index, "at": timestamp(datetime.now(UTC))}

    return ticks()


def candidate_scored(
    _root: None, info: Info, *, interval: float | None, count: int | None, job_id: str | None = None
) -> AsyncIterator[Candidate]:
    """Return a stream of the first *count* candidates, of one job or of all."""
    pause, most = _checked(interval, count)
    # A copy, because an upload may add candidates while the stream sleeps.
    candidates = [one for one in info.context.data.candidates.values() if job_id in {None, one.job_id}]

    async def scored() -> AsyncIterator[Candidate]:
        for candidate in candidates[:most]:
            await asyncio.sleep(pause)
            yield candidate

    return scored()


def item(source: Any, _info: Info, **_arguments: Any) -> Any:
    """Return an item of a stream, which is the field's value as it is."""
    return source


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

SUBSCRIPTIONS: dict[str, Callable[..., AsyncIterator[Any]]] = {
    "Subscription.clock": clock,
    "Subscription.candidateScored": candidate_scored,
}


def _candidate(data: Dataset, candidate_id: str) -> Candidate:
    try:
        return data.candidates[candidate_id]
    except KeyError:
        raise GraphQLError(f"There is no candidate {candidate_id!r}", extensions={"code": "NOT_FOUND"}) from None


def _is(wanted: str | None, value: str) -> bool:
    return not wanted or wanted.casefold() == value.casefold()


def _contains(candidate: Candidate, text: str) -> bool:
    searched = (candidate.full_name, candidate.email_address, candidate.u_id, *candidate.skills_found)
    return any(text in field.casefold() for field in searched)


def _checked(interval: float | None, count: int | None) -> tuple[float, int]:
    if interval is None or not 0 <= interval <= LONGEST_INTERVAL:
        raise GraphQLError(f"interval must be a number of seconds from 0 to {LONGEST_INTERVAL:g}")
    if count is None or not 0 <= count <= MOST_ITEMS:
        raise GraphQLError(f"count must be a number from 0 to {MOST_ITEMS}")
    return interval, count


def _bad_input(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})
