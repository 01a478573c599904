"""`AuthSession.graphql()` and GraphQL's own way to say 401, against the emulator and a scripted API."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import itertools
import json
import math
import time
import uuid
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
import brotli
import gql
import orjson
import pytest
from aiohttp import web
from gql.transport.aiohttp import AIOHTTPTransport
from multidict import CIMultiDict

from exterview_auth import (
    ApiError,
    AuthSession,
    BadRequestError,
    ConfigurationError,
    ExterviewAuth,
    ForbiddenError,
    GraphQLError,
    PasswordLogin,
    UnauthorizedError,
    graphql_unauthenticated,
)
from exterview_auth.emulator import Emulator
from tests.kit.api import (
    TEAPOT_TESTS,
    Scene,
    answering,
    endless,
    form_of,
    held,
    is_teapot,
    post,
    revoked,
    scene,
    signed_in,
    teapot,
)

UNAUTHENTICATED = [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]


def refusing(data: Any = None) -> Any:
    """Answer with GraphQL's 401: status 200, the error in the body, *data* beside it."""
    return answering(payload={"data": data, "errors": UNAUTHENTICATED})


async def test_everything_works_against_the_emulator() -> None:
    """Variables, operation name, files as the multipart request specification says, a renewal in between."""
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        login = PasswordLogin(emulator.email, emulator.password)
        async with ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint) as auth:
            api = AuthSession(http, auth)
            assert await api.graphql("query { __typename }") == {"__typename": "Query"}
            two = "query A { interviews { id } } query B { interviews { title } }"
            assert all(set(found) == {"title"} for found in (await api.graphql(two, operation_name="B"))["interviews"])
            query = """query ($input: GetCandidatesInput!) { getCandidates(input: $input) { candidate { _id } } }"""
            given = {"input": {"organizationId": emulator.organization_id, "jobId": emulator.job_ids[0], "pageSize": 1}}
            found = await api.graphql(query, given)
            candidate = found["getCandidates"]["candidate"][0]["_id"]
            emulator.revoke()
            resume = b"%PDF resume " * 1000
            uploaded = await api.graphql(
                "mutation ($id: String!, $file: Upload!) { uploadResume(candidateId: $id, file: $file) { size sha256 } }",
                {"id": candidate, "file": None},
                files={"variables.file": io.BytesIO(resume)},
            )
            expected = {"size": len(resume), "sha256": hashlib.sha256(resume).hexdigest()}
            assert uploaded["uploadResume"] == expected
            assert auth.stats().logins == 2


@pytest.mark.parametrize("where", ["session", "headers"])
@pytest.mark.parametrize("named", ["application/json", "text/plain", "multipart/form-data; boundary=other"])
async def test_a_request_names_the_type_of_the_body_that_it_has(where: str, named: str) -> None:
    """JSON or a form with its own boundary, whatever the session's defaults or the caller's headers name."""
    headers = {"Content-Type": named, "X-Request-Id": "7"}
    async with Emulator() as emulator, aiohttp.ClientSession(headers=headers if where == "session" else None) as http:
        login = PasswordLogin(emulator.email, emulator.password)
        async with ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint) as auth:
            api = AuthSession(http, auth)
            given = headers if where == "headers" else None
            found = await api.graphql("{ interviews { candidate { _id } } }", headers=given)
            candidate = found["interviews"][0]["candidate"]["_id"]
            for refused in (False, True):
                if refused:
                    emulator.revoke()
                uploaded = await api.graphql(
                    "mutation ($id: String!, $file: Upload!) { uploadResume(candidateId: $id, file: $file) { size } }",
                    {"id": candidate},
                    files={"variables.file": ("cv.pdf", io.BytesIO(b"%PDF"))},
                    headers=given,
                )
                assert uploaded["uploadResume"] == {"size": 4}


async def test_a_request_may_have_headers_and_a_time_of_its_own() -> None:
    """Both are sent and kept as with aiohttp's verbs, also on a replay; credentials among them are replaced."""
    own = CIMultiDict({"X-Request-Id": "7", "Accept-Language": "de", "authorization": "Basic mine"})
    async with scene(session={"headers": {"Accept-Language": "en"}}) as at:
        for number in (1, 2):
            assert await at.client.graphql("{ a }", headers=own) == {"__typename": "Query"}
            sent = at.api.arrivals[-1].headers
            assert sent.getall("Accept-Language") == ["de"]
            assert (sent["X-Request-Id"], sent["Authorization"]) == ("7", f"Bearer token-{number}")
            at.api.revoke()
        assert dict(own) == {"X-Request-Id": "7", "Accept-Language": "de", "authorization": "Basic mine"}


async def test_what_a_request_carries_is_masked_in_its_errors() -> None:
    """Also a header of this request alone, in the message, the errors and the data, under any status and encoding."""
    secret = "s3cr3t-of-a-tenant"
    body = json.dumps({"data": {"a": secret}, "errors": [{**UNAUTHENTICATED[0], "message": f"no {secret}"}]}).encode()
    for status, session in ((200, {}), (400, {}), (403, {"auto_decompress": False})):
        async with signed_in(session=session) as at:
            at.api.answers["/graphql"] = compressed("gzip", body, status)
            with pytest.raises(GraphQLError) as caught:
                await at.client.graphql("mutation { a }", headers={"X-Tenant": secret})
            assert caught.value.data == {"a": "***"}
            assert secret not in repr((caught.value, caught.value.errors, caught.value.args))


@pytest.mark.parametrize("limit", [0.05, aiohttp.ClientTimeout(total=0.05), aiohttp.ClientTimeout(sock_read=0.05)])
@pytest.mark.parametrize("first", [True, False])
async def test_a_requests_own_time_ends_it(limit: Any, *, first: bool) -> None:
    """Seconds for the whole request, or aiohttp's `ClientTimeout`; also while it waits for a token."""
    over = asyncio.Event()
    async with scene() as at:
        at.api.answers["/graphql"] = held(over)
        if first and getattr(limit, "sock_read", None) is None:
            at.login.gate.clear()
        with pytest.raises(TimeoutError):
            await at.client.graphql("{ a }", timeout=limit)
        over.set()
        at.login.gate.set()
        assert await at.client.graphql("{ a }", timeout=None) == {"__typename": "Query"}


async def test_a_session_that_writes_json_as_bytes_writes_the_variables() -> None:
    """A serializer such as orjson knows more types than the standard library's, which is not asked; with files or without."""
    known = {"id": uuid.UUID(int=7), "at": datetime(2026, 1, 2, 3, tzinfo=UTC), "file": None}
    written = {"id": str(known["id"]), "at": "2026-01-02T03:00:00+00:00", "file": None}
    async with revoked(session={"json_serialize_bytes": orjson.dumps}) as at:
        await at.client.graphql("query ($id: ID!) { a }", known)
        assert [json.loads(arrival.body)["variables"] for arrival in at.api.arrivals] == [written] * 2
        at.api.revoke()
        at.api.arrivals.clear()
        await at.client.graphql("mutation ($id: ID!) { a }", known, files={"variables.file": b"x"})
        assert len(at.api.arrivals) == 2
        for arrival in at.api.arrivals:
            [operations, mapped, _] = form_of(arrival)
            assert json.loads(operations.content)["variables"] == written
            assert json.loads(mapped.content) == {"0": ["variables.file"]}
        with pytest.raises(ConfigurationError, match="variables cannot be written as JSON"):
            await at.client.graphql("{ a }", {"id": object()}, files={"variables.file": b"x"})


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"errors": [{"message": "no"}]}, BadRequestError),
        (403, {"error": "no"}, ForbiddenError),
        (500, {"error": "no"}, ApiError),
        (200, {"data": {"a": 1}, "errors": [{"message": "no"}]}, GraphQLError),
    ],
)
async def test_every_other_answer_is_an_api_error(status: int, body: Any, expected: type) -> None:
    """Its type, status and message say what came back, also if the session raises for each status."""
    async with scene(session={"raise_for_status": True}) as at:
        at.api.answers["/graphql"] = answering(status, body)
        with pytest.raises(ApiError, match="no") as caught:
            await at.client.graphql("{ a }")
        assert type(caught.value) is expected
        assert (caught.value.status, caught.value.message) == (status, "no")


async def test_a_key_that_is_refused_is_an_unauthorized_error() -> None:
    """After one useless login."""
    async with scene() as at:
        at.api.keys.clear()
        with pytest.raises(UnauthorizedError) as caught:
            await at.client.graphql("{ a }")
        assert caught.value.message == "Missing or invalid token"


@pytest.mark.parametrize("test", TEAPOT_TESTS)
async def test_graphql_knows_the_applications_refusals_too(test: Any) -> None:
    """Beside GraphQL's 401, those that ``is_unauthorized`` knows, sync or async."""
    async with scene(is_unauthorized=test) as at:
        for refusal in (teapot, refusing()):
            at.api.refusals["/graphql"] = refusal
            at.api.revoke()
            assert await at.client.graphql("{ a }") == {"__typename": "Query"}


async def test_is_unauthorized_may_read_the_body() -> None:
    """GraphQL's 401 is recognised all the same, and a mutation that took effect is not sent twice."""

    async def reads(response: aiohttp.ClientResponse) -> bool:
        return bool((await response.json()).get("errors"))

    async def reads_and_ignores(response: aiohttp.ClientResponse) -> bool:
        await response.read()
        return False

    async with scene(is_unauthorized=reads_and_ignores) as at:
        at.api.refusals["/graphql"] = refusing()
        await at.client.graphql("{ a }")
        at.api.revoke()
        assert await at.client.graphql("{ a }") == {"__typename": "Query"}
    async with scene(is_unauthorized=reads) as at:
        assert len(await refused_then_fine(at, at.client, done={"a": 1}, json={"query": "mutation { a }"})) == 1


class Opaque(aiohttp.BytesPayload):
    """An application's body that can be written, and says nothing else of itself."""

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        raise NotImplementedError(encoding, errors)


async def refused_then_fine(at: Scene, client: Any, done: Any = None, **options: Any) -> list[tuple[int, str]]:
    """Send a request that GraphQL's 401 refuses once; return what arrives."""
    await post(client, at.api.endpoint)
    at.api.refusals["/graphql"] = refusing(done)
    at.api.revoke()
    mark = len(at.api.arrivals)
    await post(client, at.api.endpoint, **options)
    return at.api.since(mark)


async def test_a_get_is_no_mutation() -> None:
    """GraphQL over HTTP allows no mutation by GET, so a refused one is sent again whatever its answer carries."""
    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        await at.post()
        at.api.refusals["/graphql"] = refusing({"a": 1})
        at.api.revoke()
        mark = len(at.api.arrivals)
        async with at.client.get("", params={"query": "{ a }"}) as response:
            await response.read()
        assert len(at.api.since(mark)) == 2


async def test_graphqls_401_counts_in_the_middleware_only_with_its_option() -> None:
    """With ``is_unauthorized=graphql_unauthenticated``, a plain 401 counts too."""
    async with (
        scene(is_unauthorized=graphql_unauthenticated) as at,
        aiohttp.ClientSession(middlewares=(at.auth,)) as http,
    ):
        assert len(await refused_then_fine(at, http)) == 2
        at.api.refusals.clear()
        at.api.revoke()
        assert (await post(http, at.api.endpoint))[0] == 200
        assert at.login.count == 3
    async with scene() as at:
        assert len(await refused_then_fine(at, at.client)) == 1


@pytest.mark.parametrize(
    ("body", "sendings"),
    [
        ({"json": {"query": "mutation { a b }"}}, 1),
        ({"json": {"query": "query { a b }"}}, 2),
        ({"json": {"query": "mutation M { a } query Q { b }", "operationName": "Q"}}, 2),
        ({"data": b"what is this"}, 1),
        ({"data": b"\xff"}, 1),
        ({"data": memoryview(b'{"query": "{ a }"}')}, 2),
        ({"data": b'{"query": "{ a }"}' + b" " * 2**19}, 1),
        ({"data": Opaque(b'{"query": "{ a }"}')}, 1),
    ],
)
async def test_a_mutation_that_took_effect_is_not_sent_twice(body: dict[str, Any], sendings: int) -> None:
    """There is data beside the error; the token is replaced and the caller gets the answer."""
    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        sent = await refused_then_fine(at, at.client, done={"a": 1, "b": None}, **body)
        assert len(sent) == sendings
        assert (await at.post())[0] == 200
        assert at.login.count == 2


@pytest.mark.parametrize("data", [None, {"a": 1}])
async def test_graphqls_401_always_counts_in_graphql(data: Any) -> None:
    """A mutation that took effect raises `GraphQLError` with its ``.data``, others are sent again; without any option."""
    async with scene() as at:
        await at.client.graphql("{ a }")
        at.api.refusals["/graphql"] = refusing(data)
        at.api.revoke()
        if data is None:
            assert await at.client.graphql("mutation { a }") == {"__typename": "Query"}
        else:
            with pytest.raises(GraphQLError) as caught:
                await at.client.graphql("mutation { a }")
            assert (caught.value.data, caught.value.errors) == (data, UNAUTHENTICATED)
        assert await at.client.graphql("{ a }") == {"__typename": "Query"}
        assert at.login.count == 2


TYPES = ["application/json", "application/graphql-response+json", "application/graphql+json", "text/plain", "text/html",
         "application/octet-stream", None]  # fmt: skip


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("status", [200, 203, 400, 401, 403, 500])
@pytest.mark.parametrize("data", [None, {"a": None}, {"a": 1, "b": None}])
async def test_graphql_sees_its_401_under_any_type_and_status(content_type: Any, status: int, data: Any) -> None:
    """It is renewed, and only what has taken effect is not sent twice: its data is in the error."""
    refusal = answering(
        status, json.dumps({"data": data, "errors": UNAUTHENTICATED}).encode(), headers=typed(content_type)
    )
    took_effect = data is not None and data["a"] is not None
    for document, twice in (("{ a b }", True), ("mutation { a b }", not took_effect)):
        async with signed_in() as at:
            at.api.refusals["/graphql"] = refusal
            at.api.revoke()
            if twice:
                assert await at.client.graphql(document) == {"__typename": "Query"}
            else:
                with pytest.raises(GraphQLError, match="no") as caught:
                    await at.client.graphql(document)
                assert (caught.value.status, caught.value.data, caught.value.errors) == (status, data, UNAUTHENTICATED)
            assert [token for _, token in at.api.since(0)] == ["token-1", "token-2"][: 1 + twice]
            assert await at.client.graphql("{ a }") == {"__typename": "Query"}
            assert at.login.count == 2


def typed(content_type: str | None) -> dict[str, str]:
    """Return headers for an answer of this type; aiohttp's server would name one, and no client believes an empty one."""
    return {"Content-Type": content_type or ""}


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_graphqls_401_with_the_newest_token_has_the_type_of_its_status(status: int) -> None:
    """The server's own words come back after one login, and data that came beside them."""
    for data, expected in ((None, DOCUMENTED.get(status, ApiError)), ({"a": 1}, GraphQLError)):
        async with signed_in() as at:
            at.api.answers["/graphql"] = answering(status, {"data": data, "errors": UNAUTHENTICATED})
            with pytest.raises(ApiError, match=rf"^HTTP {status}: no$") as caught:
                await at.client.graphql("{ a }")
            assert (type(caught.value), caught.value.status) == (expected, status)
            assert getattr(caught.value, "data", None) == data
            assert at.login.count == 2


DOCUMENTED = {400: BadRequestError, 403: ForbiddenError}


@pytest.mark.parametrize("status", [201, 202, 206, 294])
async def test_data_of_any_success_is_returned(status: int) -> None:
    """GraphQL over HTTP gives data under any status of success: an error would have a mutation sent twice by hand."""
    async with scene() as at:
        at.api.answers["/graphql"] = answering(status, {"data": {"a": 1}})
        assert await at.client.graphql("mutation { a }") == {"a": 1}
        at.api.answers["/graphql"] = answering(status, {"data": {"a": 1}, "errors": [{"message": "in part"}]})
        with pytest.raises(GraphQLError, match="in part") as caught:
            await at.client.graphql("mutation { a }")
        assert caught.value.data == {"a": 1}


@pytest.mark.parametrize("size", [10, 60_000, 100_000, 500_000])
async def test_data_of_any_size_forbids_a_replay(size: int) -> None:
    """A mutation that took effect is not sent twice, however much it gives back, and its connection is free again."""
    data = {"a": "a b " * (size // 4), "b": None}
    async with signed_in(connections=1) as at:
        at.api.refusals["/graphql"] = answering(401, {"data": data, "errors": UNAUTHENTICATED})
        at.api.revoke()
        with pytest.raises(GraphQLError) as caught:
            await at.client.graphql("mutation { a b }")
        assert (caught.value.data, len(at.api.arrivals)) == (data, 1)
        assert (await at.post())[0] == 200


async def test_what_an_api_calls_data_in_a_refusal_of_its_own_is_not_the_effect_of_a_mutation() -> None:
    """A status that the application takes for a refusal is one, unless GraphQL's own stands beside the data."""
    async with signed_in(is_unauthorized=is_teapot) as at:
        for errors, sendings in (([], 2), (UNAUTHENTICATED, 1)):
            at.api.refusals["/graphql"] = answering(418, {"data": {"reason": "expired"}, "errors": errors})
            at.api.revoke()
            at.api.arrivals.clear()
            assert (await at.post(json=MUTATION))[0] == (200 if sendings == 2 else 418)
            assert len(at.api.arrivals) == sendings


async def test_graphqls_401_counts_beside_a_test_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A broken ``is_unauthorized`` is not asked about an answer that says it itself."""

    def broken(_response: aiohttp.ClientResponse) -> bool:
        raise RuntimeError

    async with signed_in(is_unauthorized=broken, account="acme") as at:
        caplog.clear()
        at.api.refusals["/graphql"] = refusing()
        at.api.revoke()
        assert await at.client.graphql("mutation { a }") == {"__typename": "Query"}
        (message,) = caplog.messages
        assert message.startswith("is_unauthorized.failed account='acme' error='RuntimeError' where=")


async def test_a_mutation_whose_refusal_never_ends_is_sent_again() -> None:
    """It holds its connection for a second, whatever it may carry."""
    async with signed_in(connections=1) as at:
        at.api.refusals["/graphql"] = endless(401, b'{"data": {"a": 1}}')
        at.api.revoke()
        assert await asyncio.wait_for(at.client.graphql("mutation { a }"), 20) == {"__typename": "Query"}


async def test_graphql_waits_for_an_answer_that_takes_long() -> None:
    """Its own answer is read whole, so that a refusal is seen however slowly it comes."""

    async def slow(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b" " * 9_000_000)
        await asyncio.sleep(1.1)
        await response.write(json.dumps({"errors": UNAUTHENTICATED}).encode())
        return response

    async with signed_in() as at:
        at.api.refusals["/graphql"] = slow
        at.api.revoke()
        assert await at.client.graphql("{ a }") == {"__typename": "Query"}


# -- answers that aiohttp leaves compressed ------------------------------------------------------------------------------

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": partial(gzip.compress, mtime=0),  # else it holds the second in which it was made
    "deflate": zlib.compress,
    "Deflate": lambda body: zlib.compress(body)[2:-4],  # without zlib's frame, as some servers send it
    "br": brotli.compress,
}


def compressed(encoding: str, body: bytes, status: int = 200) -> Any:
    """Answer with *body* in a content encoding."""
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    return answering(status, ENCODERS[encoding](body), headers=headers)


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("where", ["session", "request", "neither"])
async def test_an_answer_that_is_left_compressed_is_understood(encoding: str, where: str) -> None:
    """With ``auto_decompress=False``, a refusal is seen all the same, and the caller gets the bytes as they came."""
    fine, refusal = b'{"data": {"a": "%s"}}' % (b"x" * 100_000), json.dumps({"errors": UNAUTHENTICATED}).encode()
    options = {"auto_decompress": False} if where == "request" else {}
    session = {"auto_decompress": where != "session"}
    async with signed_in(session=session, is_unauthorized=graphql_unauthenticated) as at:
        at.api.refusals["/graphql"] = compressed(encoding, refusal)
        at.api.answers["/graphql"] = compressed(encoding, fine)
        for number in range(2, 4):
            at.api.revoke()
            async with at.client.post("", json=QUERY, **options) as response:
                expected = fine if where == "neither" else ENCODERS[encoding](fine)
                assert await response.content.read() == expected
            assert at.login.count == number
        at.api.revoke()
        assert await at.client.graphql("{ a }") == json.loads(fine)["data"]
        assert at.login.count == 4


async def test_data_that_is_left_compressed_forbids_a_replay() -> None:
    """A mutation that took effect is not sent twice, and its data is in the error."""
    async with signed_in(session={"auto_decompress": False}) as at:
        body = json.dumps({"data": {"a": 1}, "errors": UNAUTHENTICATED}).encode()
        at.api.refusals["/graphql"] = compressed("gzip", body, 401)
        at.api.revoke()
        with pytest.raises(GraphQLError) as caught:
            await at.client.graphql("mutation { a }")
        assert (caught.value.data, len(at.api.arrivals)) == ({"a": 1}, 1)


EMPTY = (b"", gzip.compress(b'{"data": {}}')[:-12])


DAMAGED = b"\xff" * 100


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        *((encoding, DAMAGED) for encoding in ("gzip", "deflate", "br", "zstd", "snappy")),
        *(("gzip", body) for body in EMPTY),
    ],
    ids=["damaged gzip", "damaged deflate", "damaged br", "damaged zstd", "unknown", "empty", "cut"],
)
async def test_what_cannot_be_decoded_is_passed_on(encoding: str, body: bytes) -> None:
    """The fault table: `graphql()` says what to do, and another caller gets the bytes."""
    async with signed_in(session={"auto_decompress": False}, is_unauthorized=graphql_unauthenticated) as at:
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        at.api.answers["/graphql"] = answering(200, body, headers=headers)
        async with at.client.post("", json=QUERY) as response:
            assert await response.read() == body
        sentence = "that is not a JSON object" if body in EMPTY else "without auto_decompress=False"
        with pytest.raises(ApiError, match=sentence) as caught:
            await at.client.graphql("{ a }")
        assert (type(caught.value), caught.value.status) == (ApiError, 200)
        at.api.answers["/graphql"] = answering(403, body, headers=headers)
        with pytest.raises(ForbiddenError, match=r"^the API answered 403$"):
            await at.client.graphql("{ a }")
        assert at.login.count == 1


async def test_a_small_answer_that_becomes_long_is_given_up() -> None:
    """The fault table: it fills no memory, neither in `graphql()` nor where it is only looked at."""
    async with signed_in(session={"auto_decompress": False}, is_unauthorized=graphql_unauthenticated) as at:
        at.api.answers["/graphql"] = compressed("gzip", bytes(65 * 2**20))
        async with at.client.post("", json=QUERY) as response:
            assert response.status == 200
        with pytest.raises(ApiError, match="cannot be decoded here"):
            await at.client.graphql("{ a }")
        assert at.login.count == 1


# -- batches ------------------------------------------------------------------------------------------------------------

QUERY, MUTATION, SUBSCRIPTION = {"query": "{ a }"}, {"query": "mutation { a }"}, {"query": "subscription { a }"}
FINE, NOTHING = {"data": {"a": 1}}, {"data": {"a": None}}
REFUSED, IN_PART = {"data": None, "errors": UNAUTHENTICATED}, {"data": {"a": 1}, "errors": UNAUTHENTICATED}
FAILED = {"data": None, "errors": [{"message": "no"}]}


@pytest.mark.parametrize(
    ("batch", "answers", "sendings"),
    [
        ([QUERY, QUERY], [FINE, FINE], 1),
        ([QUERY, MUTATION], [FINE, FAILED], 1),
        ([QUERY, QUERY], [FINE, REFUSED], 2),
        ([QUERY, MUTATION], [FINE, REFUSED], 2),
        ([MUTATION, QUERY], [NOTHING, IN_PART], 2),
        ([QUERY, MUTATION], REFUSED, 2),
        ([MUTATION], [REFUSED], 2),
        ([MUTATION, QUERY], [FINE, REFUSED], 1),
        ([QUERY, MUTATION], [REFUSED, IN_PART], 1),
        ([QUERY, SUBSCRIPTION], [REFUSED, FINE], 2),
        # Which answer belongs to which request cannot be known.
        ([QUERY, MUTATION], [FINE, REFUSED, NOTHING], 1),
        ([MUTATION, QUERY], IN_PART, 1),
        ([QUERY, QUERY], [REFUSED, FINE, FINE], 2),
        ([QUERY, {"id": "persisted"}], [REFUSED, FINE], 1),
        ([QUERY, 5], [FINE, REFUSED], 2),
        ([QUERY, QUERY], [5, "UNAUTHENTICATED", [REFUSED]], 1),
    ],
)
async def test_a_batch_is_renewed_where_an_answer_of_it_says_so(batch: Any, answers: Any, sendings: int) -> None:
    """It is sent again, unless an answer of it has data of a mutation."""
    async with signed_in(is_unauthorized=graphql_unauthenticated) as at:
        at.api.refusals["/graphql"] = answering(payload=answers)
        at.api.revoke()
        status, found = await at.post(json=batch)
        assert status == 200
        assert len(at.api.arrivals) == sendings
        if sendings == 1:
            assert json.loads(found) == answers if isinstance(found, str) else found == answers


async def test_a_batch_of_gql_is_renewed() -> None:
    """With a client that sends batches: each of its results is there after the renewal."""
    requests = [gql.GraphQLRequest("query A { __typename }"), gql.GraphQLRequest("query B { interviews { id } }")]
    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        transport = AIOHTTPTransport(at.api.endpoint, client_session_args={"middlewares": (at.auth,)})
        at.api.answers["/graphql"] = answering(payload=[{"data": {"a": 1}}, {"data": {"b": 2}}])
        at.api.refusals["/graphql"] = answering(payload=[{"data": {"a": 1}}, REFUSED])
        async with gql.Client(transport=transport) as client:
            for number in (1, 2):
                assert await client.execute_batch(requests) == [{"a": 1}, {"b": 2}]
                assert at.login.count == number
                at.api.revoke()


async def test_the_body_stays_readable() -> None:
    """As JSON, as text, and as a stream."""
    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        at.api.answers["/graphql"] = answering(payload={"data": {"text": "x" * 300_000}})
        async with at.client.post("") as response:
            assert len((await response.json())["data"]["text"]) == 300_000
        async with at.client.post("") as response:
            assert sum([len(chunk) async for chunk in response.content.iter_chunked(1000)]) > 300_000


async def test_an_answer_beyond_the_limit_is_passed_on_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault table: an endless chunked answer fills no memory, and its reader gets every byte."""
    monkeypatch.setattr("exterview_auth._aiohttp.graphql.MAX_JUDGED_BODY", 100_000)

    async def long(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for number in range(100):
            await response.write(bytes([number]) * 5_000)
        return response

    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        at.api.answers["/graphql"] = long
        async with at.client.post("") as response:
            assert await response.read() == b"".join(bytes([number]) * 5_000 for number in range(100))


def lines(over: asyncio.Event, *, silent: bool) -> Any:
    """Answer with numbered lines of JSON: 20, or as many as it takes, and then nothing before *over*."""

    async def answer(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for number in itertools.count():
            await response.write(b'{"type": "ADDED", "number": %d}\n' % number)
            if silent and number == 19:
                await over.wait()
            if over.is_set():
                return response
            await asyncio.sleep(0)
        raise AssertionError

    return answer


@pytest.mark.parametrize("silent", [True, False])
async def test_a_stream_is_held_back_for_a_second_at_most(*, silent: bool) -> None:
    """An endless answer reaches its caller, who reads each of its bytes."""
    over = asyncio.Event()
    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        await at.auth.token()
        at.api.answers["/graphql"] = lines(over, silent=silent)
        began = time.monotonic()
        try:
            async with asyncio.timeout(20), at.client.post("") as response:
                waited = time.monotonic() - began
                read = [json.loads(await response.content.readline())["number"] for _ in range(20)]
                assert read == list(range(20))
                over.set()
                numbers = [json.loads(line)["number"] for line in (await response.read()).splitlines()]
                assert numbers == list(range(20, 20 + len(numbers)))
        finally:
            over.set()
        assert waited < 10
        assert at.login.count == 1


async def test_an_answer_that_is_not_graphql_is_not_read() -> None:
    """A download keeps streaming."""
    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        download = b'{"errors": [{"extensions": {"code": "UNAUTHENTICATED"}}]}'
        at.api.answers["/graphql"] = answering(payload=download, headers={"Content-Type": "application/pdf"})
        async with at.client.post("") as response:
            assert (response.status, await response.read()) == (200, download)
        assert at.login.count == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"query": ""}, "query"),
        ({"query": "{ a }", "operation_name": 5}, "operation_name"),
        ({"query": "{ a }", "files": {"file": b""}}, r"variables\.file"),
        ({"query": "{ a }", "variables": {"a": math.nan}}, "variables cannot be written as JSON"),
        (
            {"query": "{ a }", "headers": "X-Request-Id: s3cr3t"},
            "headers must be a mapping of names to values, not str",
        ),
        ({"query": "{ a }", "headers": {"X-Request-Id": 5}}, "headers: the value of X-Request-Id must be text"),
        ({"query": "{ a }", "headers": {"X": "s3cr3t\r\nY: 1"}}, "headers: the value of X must be text"),
        (
            {"query": "{ a }", "timeout": "5"},
            "timeout must be an aiohttp.ClientTimeout or a number of seconds, not '5'",
        ),
        ({"query": "{ a }", "timeout": -1}, "timeout must be an aiohttp.ClientTimeout or a number of seconds, not -1"),
        ({"query": "{ a }", "timeout": math.nan}, "timeout must be an aiohttp.ClientTimeout or a number of seconds"),
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_sent(arguments: dict[str, Any], sentence: str) -> None:
    """Bad input: the `ConfigurationError` says what to give."""
    async with scene() as at:
        with pytest.raises(ConfigurationError, match=sentence) as caught:
            await at.client.graphql(**arguments)
        assert at.api.arrivals == []
        assert "s3cr3t" not in str(caught.value)
