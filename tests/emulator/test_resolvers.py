"""The schema's queries and mutations, and the data behind them."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator
from tests.kit.emulator import answer

CANDIDATES = """
query Candidates($input: GetCandidatesInput!) {
  getCandidates(input: $input) {
    totalCount pageNumber pageSize totalPages
    candidate { _id uId fullName emailAddress phoneNumber resumeScore skillsFound status createdAt jobId }
  }
}
"""
ASSIGN = """
mutation Assign($input: AssignInterviewerInput!) {
  assignInterviewer(input: $input) { message result { acknowledged insertedId _id } }
}
"""
INTERVIEWS = """
query Interviews($id: String) {
  interviews(candidateId: $id) { id status interviewer { id } interviewerId candidate { status interviews { id } } }
}
"""


async def ask(api: ClientSession, query: str, **variables: Any) -> Any:
    status, content, _ = await answer(api.post("/graphql", json={"query": query, "variables": variables}))
    assert status == 200
    return content


async def data(api: ClientSession, query: str, **variables: Any) -> Any:
    """Return the one field of an answer without errors."""
    content = await ask(api, query, **variables)
    (field,) = content.pop("data").values()
    assert content == {}
    return field


async def candidates(api: ClientSession, **wanted: Any) -> list[Any]:
    return list((await data(api, CANDIDATES, input=wanted))["candidate"])


async def test_interviews_are_there_to_be_read(api: ClientSession) -> None:
    """The documented query gives interviews with what belongs to them, of one candidate or of one status."""
    query = "{ interviews { _id id title status dateAndTime interviewer { name email } candidate { _id fullName } } }"
    first = (await data(api, query))[0]
    assert first["id"] == first["_id"]
    assert first["candidate"]["fullName"] in first["title"]
    query = "query($id: String) { interviews(candidateId: $id) { candidate { _id } } }"
    candidate = {"_id": first["candidate"]["_id"]}
    assert await data(api, query, id=candidate["_id"]) == [{"candidate": candidate}]
    found = await data(api, '{ interviews(status: "completed") { status } }')
    assert {one["status"] for one in found} == {"Completed"}


async def test_pages_cover_all_candidates_once(api: ClientSession) -> None:
    """Page after page, each candidate comes exactly once, and the counts agree."""
    seen: list[str] = []
    for number in range(1, 8):
        page = await data(api, CANDIDATES, input={"pageNumber": number})
        assert (page["totalCount"], page["pageNumber"], page["pageSize"], page["totalPages"]) == (64, number, 10, 7)
        seen += [one["_id"] for one in page["candidate"]]
    assert len(seen) == len(set(seen)) == 64
    assert await candidates(api, pageNumber=8) == []


async def test_filters_narrow_the_candidates_down(emulator: Emulator, api: ClientSession) -> None:
    """Organization, job, status and search text each select, and together they select both."""
    some = (await candidates(api))[0]
    job, status, skill = some["jobId"], some["status"], some["skillsFound"][0]
    both = {"organizationId": emulator.organization_id, "jobId": job, "status": status.lower(), "search": skill.upper()}
    found = await candidates(api, **both, pageSize=100)
    assert some in found
    for one in found:
        assert (one["jobId"], one["status"], skill in one["skillsFound"]) == (job, status, True)
    assert await candidates(api, search=some["uId"]) == [some]
    for name in ("organizationId", "jobId", "status", "search"):
        assert await candidates(api, **{name: "other"}) == []


@pytest.mark.parametrize(
    "page", [{"pageNumber": 0}, {"pageNumber": None}, {"pageSize": 0}, {"pageSize": 101}, {"pageSize": None}]
)
async def test_impossible_pages_are_errors(api: ClientSession, page: dict[str, Any]) -> None:
    """Pages start at one and have one to a hundred entries."""
    content = await ask(api, CANDIDATES, input=page)
    assert (content["errors"][0]["extensions"]["code"], content["data"]) == ("BAD_USER_INPUT", None)


async def test_the_organization_can_be_looked_around_in(emulator: Emulator, api: ClientSession) -> None:
    """Jobs, interviewers and the organization have the ids that the other operations take."""
    assert tuple(job["id"] for job in await data(api, "{ jobs { id title skills } }")) == emulator.job_ids
    assert (await data(api, "{ organization { id name } }"))["id"] == emulator.organization_id
    assert len(await data(api, "{ interviewers { id name } }")) == 6


async def test_assigning_an_interviewer_changes_the_candidate(api: ClientSession) -> None:
    """The new interview shows up with the candidate, who is interviewing from then on."""
    candidate = (await candidates(api, status="Applied"))[0]["_id"]
    interviewer = (await data(api, "{ interviewers { id } }"))[0]["id"]
    wanted = {"candidateId": candidate, "interviewerId": interviewer, "dateAndTime": "2025-04-01T10:00:00Z"}
    done = await data(api, ASSIGN, input=wanted)
    last = (await data(api, INTERVIEWS, id=candidate))[-1]
    assert done == {
        "message": "Interviewer assigned successfully",
        "result": {"acknowledged": True, "insertedId": last["id"], "_id": last["id"]},
    }
    assert (last["status"], last["interviewer"]["id"]) == ("Scheduled", interviewer)
    assert last["candidate"]["status"] == "Interviewing"
    assert last["id"] in [one["id"] for one in last["candidate"]["interviews"]]


async def test_interviewers_may_come_from_outside(api: ClientSession) -> None:
    """An interviewer that the organization does not list is assigned by id; a candidate further on keeps their status."""
    candidate = (await candidates(api, status="Offered"))[0]["_id"]
    wanted = {"candidateId": candidate, "interviewerId": "ext-1", "dateAndTime": "2025-04-01T10:00", "status": None}
    await data(api, ASSIGN, input=wanted)
    last = (await data(api, INTERVIEWS, id=candidate))[-1]
    assert (last["interviewer"], last["interviewerId"], last["status"]) == (None, "ext-1", "Scheduled")
    assert last["candidate"]["status"] == "Offered"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"candidateId": "nobody"}, "NOT_FOUND"),
        ({"interviewerId": " "}, "BAD_USER_INPUT"),
        ({"dateAndTime": "soon"}, "BAD_USER_INPUT"),
    ],
)
async def test_impossible_assignments_are_errors(
    emulator: Emulator, api: ClientSession, wrong: dict[str, str], expected: str
) -> None:
    """An unknown candidate, no interviewer and no date are answered by GraphQL errors and change nothing."""
    before = dict(emulator._state.data.interviews)
    candidate = (await candidates(api))[0]["_id"]
    wanted = {"candidateId": candidate, "interviewerId": "i", "dateAndTime": "2025-04-01", **wrong}
    content = await ask(api, ASSIGN, input=wanted)
    assert (content["errors"][0]["extensions"]["code"], content["data"]) == (expected, None)
    assert emulator._state.data.interviews == before
