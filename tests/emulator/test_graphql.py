"""``POST /graphql``: the schema, the login and the format of requests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from io import BytesIO
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from graphql import GraphQLError

from exterview_auth.emulator import Emulator, _app
from exterview_auth.emulator._graphql import documents, endpoint

LOGIN = "mutation Login($email: String!, $password: String!) { login(email: $email, password: $password) { token expiresIn } }"

Ask = Callable[..., Coroutine[Any, Any, tuple[int, Any]]]


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"x-api-key": emulator.api_key, "Authorization": f"Bearer {emulator.issue_token()}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session


@pytest_asyncio.fixture
async def ask(emulator: Emulator, http: aiohttp.ClientSession) -> Ask:
    async def ask(query: str, variables: dict[str, Any] | None = None, **more: Any) -> tuple[int, Any]:
        body = {"query": query, "variables": variables, **more}
        async with http.post(emulator.endpoint, json=body) as response:
            return response.status, await response.json()

    return ask


async def without_bearer(emulator: Emulator, content: Any) -> tuple[int, Any]:
    headers = {"x-api-key": emulator.api_key}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(emulator.endpoint, json=content) as response,
    ):
        return response.status, await response.json()


def code(answer: Any) -> Any:
    return answer["errors"][0]["extensions"]["code"]


CANDIDATES = """
query Candidates($input: GetCandidatesInput!) {
  getCandidates(input: $input) {
    totalCount pageNumber pageSize totalPages
    candidate { _id uId fullName emailAddress phoneNumber resumeScore skillsFound status createdAt jobId }
  }
}
"""


@pytest.mark.asyncio
async def test_interviews_are_there_to_be_read(ask: Ask) -> None:
    """The documented query gives interviews with what belongs to them."""
    status, answer = await ask(
        "query { interviews { _id id title status dateAndTime interviewer { name email } candidate { _id fullName } } }"
    )
    first = answer["data"]["interviews"][0]
    assert status == 200
    assert first["id"] == first["_id"]
    assert first["candidate"]["fullName"] in first["title"]
    _, answer = await ask(
        "query($id: String) { interviews(candidateId: $id) { candidate { _id } } }", {"id": first["candidate"]["_id"]}
    )
    assert answer["data"]["interviews"] == [{"candidate": {"_id": first["candidate"]["_id"]}}]
    _, answer = await ask('{ interviews(status: "completed") { status } }')
    assert {one["status"] for one in answer["data"]["interviews"]} == {"Completed"}


@pytest.mark.asyncio
async def test_pages_cover_all_candidates_once(ask: Ask) -> None:
    """Page after page, each candidate comes exactly once, and the counts agree."""
    seen: list[str] = []
    for number in range(1, 8):
        _, answer = await ask(CANDIDATES, {"input": {"pageNumber": number}})
        page = answer["data"]["getCandidates"]
        assert (page["totalCount"], page["pageNumber"], page["pageSize"], page["totalPages"]) == (64, number, 10, 7)
        seen += [one["_id"] for one in page["candidate"]]
    assert len(seen) == len(set(seen)) == 64
    _, answer = await ask(CANDIDATES, {"input": {"pageNumber": 8}})
    assert answer["data"]["getCandidates"]["candidate"] == []


@pytest.mark.asyncio
async def test_filters_narrow_the_candidates_down(emulator: Emulator, ask: Ask) -> None:
    """Organization, job, status and search text each select, and together they select both."""
    _, answer = await ask(CANDIDATES, {"input": {}})
    some = answer["data"]["getCandidates"]["candidate"][0]
    job, status, skill = some["jobId"], some["status"], some["skillsFound"][0]
    both = {"organizationId": emulator.organization_id, "jobId": job, "status": status.lower(), "search": skill.upper()}
    _, answer = await ask(CANDIDATES, {"input": {**both, "pageSize": 100}})
    found = answer["data"]["getCandidates"]["candidate"]
    assert some in found
    for one in found:
        assert (one["jobId"], one["status"]) == (job, status)
        assert skill in one["skillsFound"]
    _, answer = await ask(CANDIDATES, {"input": {"search": found[0]["uId"]}})
    assert [one["_id"] for one in answer["data"]["getCandidates"]["candidate"]] == [found[0]["_id"]]
    for nothing in ({"organizationId": "other"}, {"jobId": "other"}, {"status": "other"}, {"search": "zzz"}):
        _, answer = await ask(CANDIDATES, {"input": nothing})
        assert answer["data"]["getCandidates"]["totalCount"] == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "page", [{"pageNumber": 0}, {"pageNumber": None}, {"pageSize": 0}, {"pageSize": 101}, {"pageSize": None}]
)
async def test_impossible_pages_are_errors(ask: Ask, page: dict[str, Any]) -> None:
    """Pages start at one and have one to a hundred entries."""
    status, answer = await ask(CANDIDATES, {"input": page})
    assert (status, code(answer), answer["data"]) == (200, "BAD_USER_INPUT", None)


@pytest.mark.asyncio
async def test_the_organization_can_be_looked_around_in(emulator: Emulator, ask: Ask) -> None:
    """Jobs, interviewers and the organization tell the ids that the other operations take."""
    _, answer = await ask("{ jobs { id title skills } interviewers { id name } organization { id name } }")
    assert tuple(job["id"] for job in answer["data"]["jobs"]) == emulator.job_ids
    assert answer["data"]["organization"]["id"] == emulator.organization_id
    assert len(answer["data"]["interviewers"]) == 6


ASSIGN = """
mutation Assign($input: AssignInterviewerInput!) {
  assignInterviewer(input: $input) { message result { acknowledged insertedId _id } }
}
"""


@pytest.mark.asyncio
async def test_assigning_an_interviewer_changes_the_candidate(ask: Ask) -> None:
    """The new interview shows up with the candidate, who is interviewing from then on."""
    _, answer = await ask(CANDIDATES, {"input": {"status": "Applied"}})
    candidate = answer["data"]["getCandidates"]["candidate"][0]["_id"]
    _, answer = await ask("{ interviewers { id } }")
    interviewer = answer["data"]["interviewers"][0]["id"]
    wanted = {"candidateId": candidate, "interviewerId": interviewer, "dateAndTime": "2025-04-01T10:00:00Z"}
    _, answer = await ask(ASSIGN, {"input": wanted})
    done = answer["data"]["assignInterviewer"]
    assert done["message"] == "Interviewer assigned successfully"
    assert done["result"]["acknowledged"] is True
    assert done["result"]["insertedId"] == done["result"]["_id"]
    _, answer = await ask(
        "query($id: String) { interviews(candidateId: $id) { id status interviewer { id } interviewerId"
        " candidate { status interviews { id } } } }",
        {"id": candidate},
    )
    last = answer["data"]["interviews"][-1]
    assert (last["id"], last["status"], last["interviewer"]["id"]) == (done["result"]["_id"], "Scheduled", interviewer)
    assert last["candidate"]["status"] == "Interviewing"
    assert last["id"] in [one["id"] for one in last["candidate"]["interviews"]]


@pytest.mark.asyncio
async def test_interviewers_may_come_from_outside(ask: Ask) -> None:
    """An interviewer that the organization does not list is assigned by id."""
    _, answer = await ask(CANDIDATES, {"input": {"status": "Offered"}})
    candidate = answer["data"]["getCandidates"]["candidate"][0]["_id"]
    wanted = {"candidateId": candidate, "interviewerId": "ext-1", "dateAndTime": "2025-04-01T10:00", "status": None}
    assert "errors" not in (await ask(ASSIGN, {"input": wanted}))[1]
    _, answer = await ask(
        "query($id: String) { interviews(candidateId: $id) { interviewer { id } interviewerId status candidate { status } } }",
        {"id": candidate},
    )
    last = answer["data"]["interviews"][-1]
    assert last == {
        "interviewer": None,
        "interviewerId": "ext-1",
        "status": "Scheduled",
        "candidate": {"status": "Offered"},
    }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"candidateId": "nobody"}, "NOT_FOUND"),
        ({"interviewerId": " "}, "BAD_USER_INPUT"),
        ({"dateAndTime": "soon"}, "BAD_USER_INPUT"),
    ],
)
async def test_impossible_assignments_are_errors(ask: Ask, wrong: dict[str, str], expected: str) -> None:
    """An unknown candidate, no interviewer and no date are answered by GraphQL errors and change nothing."""
    _, answer = await ask(CANDIDATES, {"input": {}})
    candidate = answer["data"]["getCandidates"]["candidate"][0]["_id"]
    before = len((await ask("{ interviews { id } }"))[1]["data"]["interviews"])
    wanted = {"candidateId": candidate, "interviewerId": "i", "dateAndTime": "2025-04-01", **wrong}
    status, answer = await ask(ASSIGN, {"input": wanted})
    assert (status, code(answer), answer["data"]) == (200, expected, None)
    assert len((await ask("{ interviews { id } }"))[1]["data"]["interviews"]) == before


@pytest.mark.asyncio
async def test_a_login_needs_no_bearer_and_counts(emulator: Emulator) -> None:
    """The login mutation passes with the API key alone, however the document is written, and other operations do not."""
    variables = {"email": emulator.email.upper(), "password": emulator.password}
    status, answer = await without_bearer(emulator, {"query": LOGIN, "variables": variables})
    assert (status, answer["data"]["login"]["expiresIn"]) == (200, 3600)
    spread = (
        "query Other { jobs { id } } fragment L on Mutation { __typename ... on Mutation { login(email: $email, password: $password)"
        " { tokenType user { name } } } } mutation Go($email: String!, $password: String!) { ...L }"
    )
    content = {"query": spread, "variables": variables, "operationName": "Go"}
    status, answer = await without_bearer(emulator, content)
    assert (status, answer["data"]["login"]["tokenType"]) == (200, "Bearer")
    assert (await without_bearer(emulator, {**content, "operationName": "Other"}))[0] == 400
    assert (await without_bearer(emulator, {"query": "query { __typename }"}))[0] == 400
    assert (await without_bearer(emulator, {"query": "mutation { __typename }"}))[0] == 400
    assert emulator.stats().logins == 2


@pytest.mark.asyncio
async def test_a_login_with_a_dead_bearer_passes(emulator: Emulator, ask: Ask) -> None:
    """A stale token beside the login does not keep anybody out."""
    emulator.revoke()
    status, answer = await ask(LOGIN, {"email": emulator.email, "password": emulator.password})
    assert (status, list(answer)) == (200, ["data"])


@pytest.mark.asyncio
@pytest.mark.parametrize(("email", "password"), [("someone@else.example", None), (None, "wrong"), (None, "wröng")])
async def test_wrong_credentials_are_a_graphql_error(
    emulator: Emulator, email: str | None, password: str | None
) -> None:
    """Status 200 with `UNAUTHENTICATED`, which does not tell what was wrong."""
    variables = {"email": email or emulator.email, "password": password or emulator.password}
    status, answer = await without_bearer(emulator, {"query": LOGIN, "variables": variables})
    assert (status, answer["data"], code(answer)) == (200, None, "UNAUTHENTICATED")
    assert answer["errors"][0]["message"] == "Invalid email or password"
    assert (emulator.stats().logins, emulator.stats().logins_refused) == (1, 1)


@pytest.mark.asyncio
async def test_a_login_beside_other_fields_is_refused(emulator: Emulator, ask: Ask) -> None:
    """What passes without a token must not carry anything else along, nor slip past the login's counter."""
    both = 'mutation { login(email: "a", password: "b") { token } assignInterviewer(input: {candidateId: "c", interviewerId: "i", dateAndTime: "2025-01-01"}) { message } }'
    assert (await without_bearer(emulator, {"query": both}))[0] == 400
    status, answer = await ask(both)
    assert (status, answer["errors"][0]["message"]) == (
        200,
        "login must be sent alone, without other fields beside it",
    )
    assert emulator.stats().logins == 0


@pytest.mark.asyncio
async def test_a_restricted_key_may_log_in(emulator: Emulator) -> None:
    """Only what comes after the login is answered 403."""
    variables = {"email": emulator.email, "password": emulator.password}
    async with (
        aiohttp.ClientSession(headers={"x-api-key": emulator.restricted_api_key}) as http,
        http.post(emulator.endpoint, json={"query": LOGIN, "variables": variables}) as response,
    ):
        assert (response.status, "errors" in await response.json()) == (200, False)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ jobs {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { clock { at } }", "BAD_REQUEST"),
        ("{" + "jobs{id}" * 10_000 + "}", "GRAPHQL_PARSE_FAILED"),
    ],
)
async def test_wrong_documents_are_graphql_errors(ask: Ask, query: str, expected: str) -> None:
    """What the engine refuses is answered 200 with `errors` and no data."""
    status, answer = await ask(query)
    assert (status, list(answer), code(answer)) == (200, ["errors"], expected)


@pytest.mark.asyncio
async def test_wrong_variables_and_names_are_graphql_errors(ask: Ask) -> None:
    """A missing variable and an unknown operation are execution errors."""
    assert "errors" in (await ask(CANDIDATES))[1]
    assert "errors" in (await ask("query A { __typename }", operationName="B"))[1]


@pytest.mark.asyncio
async def test_deep_nesting_is_refused(ask: Ask) -> None:
    """A document or a body that would exhaust the stack is answered like every other wrong one."""
    status, answer = await ask("{a" * 9000)
    assert (status, list(answer)) == (200, ["errors"])


def test_an_engine_that_runs_out_of_stack_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    """graphql-core before 3.3 raises RecursionError where later ones give a GraphQLError."""

    def parse(*_arguments: Any, **_options: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(documents, "parse", parse)
    document = documents.document("{ neverSeenBefore }")
    assert [str(error) for error in document.errors] == ["The document is nested too deeply."]
    assert document.kind_of(None) is documents.OperationKind.OTHER
    assert isinstance(document.errors[0], GraphQLError)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content", "error"),
    [
        ([{"query": "{__typename}"}], "The body must be a JSON object with a query; batches are not supported"),
        ({}, "The query is missing"),
        ({"query": " "}, "The query is missing"),
        ({"query": 1}, "The query is missing"),
        ({"query": "{__typename}", "variables": []}, "The variables must be a JSON object"),
        ({"query": "{__typename}", "operationName": 1}, "The operationName must be a string"),
    ],
)
async def test_malformed_requests_are_answered_400(
    emulator: Emulator, http: aiohttp.ClientSession, content: Any, error: str
) -> None:
    """A body that is no GraphQL request is answered 400, with the API's error body."""
    async with http.post(emulator.endpoint, json=content) as response:
        assert (response.status, await response.json()) == (400, {"error": error})


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xff", b"[" * 100_000])
async def test_bodies_that_are_no_json_are_answered_400(
    emulator: Emulator, http: aiohttp.ClientSession, body: bytes
) -> None:
    """Broken, undecodable and absurd JSON gets one answer."""
    async with http.post(emulator.endpoint, data=body, headers={"Content-Type": "application/json"}) as response:
        assert (response.status, await response.json()) == (400, {"error": "The body is not valid JSON"})


@pytest.mark.asyncio
async def test_an_unreadable_encoding_is_answered_400(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A body that does not have the encoding that it names cannot be read."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with http.post(emulator.endpoint, data=b"no gzip", headers=headers) as response:
        assert (response.status, await response.json()) == (400, {"error": "The body cannot be read"})


@pytest.mark.asyncio
async def test_a_body_beyond_the_limit_is_answered_413(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON is read up to the limit and no further, whether its size was announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1000

    monkeypatch.setattr(_app, "MAX_BODY", 20_000)
    too_large = (413, {"error": "The body is larger than 20000 bytes"})
    async with Emulator() as emulator:
        headers = {"x-api-key": emulator.api_key, "Content-Type": "application/json"}
        for body in (chunks(), b" " * 20_001):
            async with (
                aiohttp.ClientSession(headers=headers) as http,
                http.post(emulator.endpoint, data=body) as response,
            ):
                assert (response.status, await response.json()) == too_large


def test_requests_without_an_operation_name_may_leave_it_empty() -> None:
    """An empty name is none."""
    assert endpoint.graphql_request({"query": "{__typename}", "operationName": ""}).operation_name is None


UPLOAD = """
mutation Upload($id: String!, $file: Upload!) {
  uploadResume(candidateId: $id, file: $file) { candidateId filename contentType size sha256 }
}
"""


def form(operations: Any, mapping: Any, **files: bytes) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, content in (("operations", operations), ("map", mapping)):
        if content is not None:
            data.add_field(name, content if isinstance(content, str) else json.dumps(content))
    for name, content in files.items():
        data.add_field(name, BytesIO(content), filename=f"{name}.pdf", content_type="application/pdf")
    return data


async def some_candidate(ask: Ask) -> str:
    _, answer = await ask(CANDIDATES, {"input": {}})
    return str(answer["data"]["getCandidates"]["candidate"][0]["_id"])


@pytest.mark.asyncio
async def test_an_uploaded_file_arrives_byte_by_byte(emulator: Emulator, http: aiohttp.ClientSession, ask: Ask) -> None:
    """The answer to a multipart request carries name, type, size and digest of exactly what was sent."""
    candidate, content = await some_candidate(ask), bytes(range(256)) * 4000
    operations = {"query": UPLOAD, "variables": {"id": candidate, "file": None}}
    data = form(operations, {"cv": ["variables.file"]}, cv=content)
    async with http.post(emulator.endpoint, data=data) as response:
        answer = await response.json()
    assert answer["data"]["uploadResume"] == {
        "candidateId": candidate,
        "filename": "cv.pdf",
        "contentType": "application/pdf",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.mark.asyncio
async def test_files_are_placed_inside_lists(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A path of the map may lead through lists; unused variables are fine."""
    operations = {"query": "query { __typename }", "variables": {"files": [None, None]}}
    data = form(operations, {"a": ["variables.files.0", "variables.files.1"]}, a=b"x")
    async with http.post(emulator.endpoint, data=data) as response:
        assert await response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.asyncio
async def test_an_upload_that_is_no_file_is_an_error(ask: Ask) -> None:
    """Text in the place of a file, and an unknown candidate, are GraphQL errors."""
    _, answer = await ask(UPLOAD, {"id": await some_candidate(ask), "file": "text"})
    assert code(answer) == "BAD_USER_INPUT"
    _, answer = await ask(UPLOAD, {"id": "nobody", "file": "text"})
    assert code(answer) == "NOT_FOUND"


QUERY = {"query": "{__typename}", "variables": {"file": None, "text": "t", "list": [None]}}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (form(None, {}), "The part 'operations' is missing"),
        (form(QUERY, None), "The part 'map' is missing"),
        (form(QUERY, None, a=b"x"), "The parts must come in the order operations, map, files"),
        (form("{", {}), "The part 'operations' is not valid JSON"),
        (form(QUERY, "["), "The part 'map' is not valid JSON"),
        (form(QUERY, []), "The part 'map' must be an object of lists of paths"),
        (form(QUERY, {"a": "variables.file"}), "The part 'map' must be an object of lists of paths"),
        (form(QUERY, {"a": [1]}), "The part 'map' must be an object of lists of paths"),
        (form(QUERY, {"a": ["variables.file"]}), "The file 'a' of the map is missing"),
        (form(QUERY, {"a": ["variables.text"]}, a=b"x"), "The operations have no null at 'variables.text'"),
        (form(QUERY, {"a": ["variables.gone"]}, a=b"x"), "The operations do not contain 'variables.gone'"),
        (form(QUERY, {"a": ["variables.list.7"]}, a=b"x"), "The operations do not contain 'variables.list.7'"),
        (form(QUERY, {"a": ["variables.list.x"]}, a=b"x"), "The operations do not contain 'variables.list.x'"),
        (form(QUERY, {"a": ["query.file"]}, a=b"x"), "The operations do not contain 'query.file'"),
        (form([QUERY], {}), "The body must be a JSON object with a query; batches are not supported"),
    ],
)
async def test_malformed_multipart_requests_are_answered_400(
    emulator: Emulator, http: aiohttp.ClientSession, data: aiohttp.FormData, error: str
) -> None:
    """Each way to break the multipart request specification is told apart."""
    async with http.post(emulator.endpoint, data=data) as response:
        assert (response.status, await response.json()) == (400, {"error": error})


@pytest.mark.asyncio
async def test_an_upload_with_a_dead_token_is_refused_before_it_is_read(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """The 401 comes although the body is no multipart form at all."""
    emulator.revoke()
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with http.post(emulator.endpoint, data=b"nothing", headers=headers) as response:
        assert response.status == 401
