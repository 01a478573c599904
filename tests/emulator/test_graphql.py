"""``POST /graphql``: the login, the format of requests, and what the engine refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator, _app
from exterview_auth.emulator._graphql import documents, endpoint
from tests.kit.emulator import LOGIN, answer, log_in

JSON = {"Content-Type": "application/json"}


async def ask(api: ClientSession, query: str, **more: Any) -> tuple[int, Any]:
    return (await answer(api.post("/graphql", json={"query": query, **more}))).body


async def without_bearer(emulator: Emulator, **content: Any) -> tuple[int, Any]:
    async with ClientSession(headers={"x-api-key": emulator.api_key}) as http:
        return (await answer(http.post(emulator.endpoint, json=content))).body


def code(content: Any) -> Any:
    return content["errors"][0]["extensions"]["code"]


async def test_a_login_needs_no_bearer_and_counts(emulator: Emulator, http: ClientSession) -> None:
    """The login mutation passes with the API key alone, however the document is written, and other operations do not."""
    status, content, _ = await log_in(emulator, http, email=emulator.email.upper())
    assert (status, content["data"]["login"]["expiresIn"]) == (200, 3600)
    spread = (
        "query Other { jobs { id } } fragment L on Mutation { __typename ... on Mutation { login(email: $email, password: $password)"
        " { tokenType user { name } } } } mutation Go($email: String!, $password: String!) { ...L }"
    )
    named = {"query": spread, "variables": {"email": emulator.email, "password": emulator.password}}
    status, content = await without_bearer(emulator, **named, operationName="Go")
    assert (status, content["data"]["login"]["tokenType"]) == (200, "Bearer")
    assert (await without_bearer(emulator, **named, operationName="Other"))[0] == 400
    for other in ("query { __typename }", "mutation { __typename }"):
        assert (await without_bearer(emulator, query=other))[0] == 400
    assert emulator.stats().logins == 2


async def test_a_login_with_a_revoked_bearer_passes(emulator: Emulator, api: ClientSession) -> None:
    """A stale token beside the login does not keep anybody out."""
    emulator.revoke()
    variables = {"email": emulator.email, "password": emulator.password}
    status, content = await ask(api, LOGIN, variables=variables)
    assert (status, list(content)) == (200, ["data"])


@pytest.mark.parametrize(
    "changed", [{"email": "someone@else.example"}, {"password": "wrong"}, {"password": "wröng"}, {"email": ""}]
)
async def test_wrong_credentials_are_a_graphql_error(
    emulator: Emulator, http: ClientSession, changed: dict[str, str]
) -> None:
    """Status 200 with `UNAUTHENTICATED`, which does not say what was wrong."""
    status, content, _ = await log_in(emulator, http, **changed)
    assert (status, content["data"], code(content)) == (200, None, "UNAUTHENTICATED")
    assert content["errors"][0]["message"] == "Invalid email or password"
    assert (emulator.stats().logins, emulator.stats().logins_refused) == (1, 1)


async def test_a_login_beside_other_fields_is_refused(emulator: Emulator, api: ClientSession) -> None:
    """What passes without a token must not carry anything else along, nor slip past the login's counter."""
    both = 'mutation { login(email: "a", password: "b") { token } assignInterviewer(input: {candidateId: "c", interviewerId: "i", dateAndTime: "2025-01-01"}) { message } }'
    assert (await without_bearer(emulator, query=both))[0] == 400
    status, content = await ask(api, both)
    error = content["errors"][0]["message"]
    assert (status, error) == (200, "login must be sent alone, without other fields beside it")
    assert emulator.stats().logins == 0


async def test_a_restricted_key_may_log_in(emulator: Emulator, http: ClientSession) -> None:
    """Only what comes after the login is answered 403."""
    emulator._state.accounts.api_key = emulator.restricted_api_key
    status, content, _ = await log_in(emulator, http)
    assert (status, list(content)) == (200, ["data"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ jobs {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { clock { at } }", "BAD_REQUEST"),
        ("{" + "jobs{id}" * 10_000 + "}", "GRAPHQL_PARSE_FAILED"),
        ("{a" * 9000, None),
        ("query($id: String!) { interviews(candidateId: $id) { id } }", None),
        ("query A { __typename } query B { __typename }", None),
    ],
    ids=["validation", "syntax", "subscription", "long", "deep", "variable", "operation"],
)
async def test_wrong_documents_are_graphql_errors(api: ClientSession, query: str, expected: str | None) -> None:
    """What the engine refuses is answered 200 with `errors` and no data, a missing variable or operation name too."""
    status, content = await ask(api, query)
    assert (status, bool(content["errors"]), content.get("data")) == (200, True, None)
    assert expected in {None, content["errors"][0].get("extensions", {}).get("code")}


async def test_a_fragment_is_read_once_however_often_it_is_spread(emulator: Emulator) -> None:
    """Fragments that spread the next one twice, or a thousand in a row, cost no more than their length."""
    for spread, levels in (("...f{0} ...f{0}", 60), ("...f{0}", 150)):
        chain = " ".join(f"fragment f{at} on Query {{ {spread.format(at + 1)} }}" for at in range(levels))
        query = f"{{ ...f0 }} {chain} fragment f{levels} on Query {{ __typename }}"
        assert (await without_bearer(emulator, query=query))[0] == 400


async def test_an_engine_that_runs_out_of_stack_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    """graphql-core before 3.3 raises RecursionError where later ones give a GraphQLError."""

    def parse(*_arguments: Any, **_options: Any) -> None:
        raise RecursionError

    monkeypatch.setattr(documents, "parse", parse)
    document = documents.document("{ neverSeenBefore }")
    assert [str(error) for error in document.errors] == ["The document is nested too deeply."]
    assert document.kind_of(None) is documents.OperationKind.OTHER


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
async def test_malformed_requests_are_answered_400(api: ClientSession, content: Any, error: str) -> None:
    """A body that is not a GraphQL request is answered 400, with the API's error body."""
    assert (await answer(api.post("/graphql", json=content))).body == (400, {"error": error})


async def test_requests_without_an_operation_name_may_leave_it_empty() -> None:
    """An empty name counts as missing."""
    assert endpoint.graphql_request({"query": "{__typename}", "operationName": ""}).operation_name is None


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xff", b"[" * 100_000])
async def test_bodies_that_are_not_json_are_answered_400(api: ClientSession, body: bytes) -> None:
    """Broken, undecodable and absurd JSON gets one answer."""
    refused = await answer(api.post("/graphql", data=body, headers=JSON))
    assert refused.body == (400, {"error": "The body is not valid JSON"})


async def test_an_unreadable_encoding_is_answered_400(api: ClientSession) -> None:
    """A body that does not have the encoding that it names cannot be read."""
    refused = await answer(api.post("/graphql", data=b"no gzip", headers={**JSON, "Content-Encoding": "gzip"}))
    assert refused.body == (400, {"error": "The body cannot be read"})


async def test_a_body_beyond_the_limit_is_answered_413(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON is read up to the limit and no further, whether its size was announced or not."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1000

    monkeypatch.setattr(_app, "MAX_BODY", 20_000)
    async with Emulator() as emulator, ClientSession() as http:
        headers = {"x-api-key": emulator.api_key, **JSON}
        for body in (chunks(), b" " * 20_001):
            refused = await answer(http.post(emulator.endpoint, data=body, headers=headers))
            assert refused.body == (413, {"error": "The body is larger than 20000 bytes"})


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


async def test_an_uploaded_file_arrives_byte_by_byte(emulator: Emulator, api: ClientSession) -> None:
    """The answer to a multipart request carries name, type, size and digest of exactly what was sent."""
    candidate, content = next(iter(emulator._state.data.candidates)), bytes(range(256)) * 4000
    operations = {"query": UPLOAD, "variables": {"id": candidate, "file": None}}
    uploaded = await answer(api.post("/graphql", data=form(operations, {"cv": ["variables.file"]}, cv=content)))
    assert uploaded.content["data"]["uploadResume"] == {
        "candidateId": candidate,
        "filename": "cv.pdf",
        "contentType": "application/pdf",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


async def test_files_are_placed_inside_lists(api: ClientSession) -> None:
    """A path of the map may lead through lists; unused variables are fine."""
    operations = {"query": "query { __typename }", "variables": {"files": [None, None]}}
    data = form(operations, {"a": ["variables.files.0", "variables.files.1"]}, a=b"x")
    assert (await answer(api.post("/graphql", data=data))).body == (200, {"data": {"__typename": "Query"}})


async def test_an_upload_that_is_not_a_file_is_an_error(emulator: Emulator, api: ClientSession) -> None:
    """Text in the place of a file, and an unknown candidate, are GraphQL errors."""
    for candidate, expected in ((next(iter(emulator._state.data.candidates)), "BAD_USER_INPUT"), ("no", "NOT_FOUND")):
        _, content = await ask(api, UPLOAD, variables={"id": candidate, "file": "text"})
        assert code(content) == expected


QUERY = {"query": "{__typename}", "variables": {"file": None, "text": "t", "list": [None]}}


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
    api: ClientSession, data: aiohttp.FormData, error: str
) -> None:
    """Each way to break the multipart request specification has an error that names it."""
    assert (await answer(api.post("/graphql", data=data))).body == (400, {"error": error})
