"""What a GraphQL answer becomes, and which answers refuse their token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exterview_auth import (
    ApiError,
    BadRequestError,
    ForbiddenError,
    GraphQLError,
    UnauthorizedError,
    graphql_unauthenticated,
)
from exterview_auth._aiohttp.graphql import outcome_of
from tests.kit.api import answering, scene

# -- the answer's data, or its error ------------------------------------------------------------------------------------


def data(status: int, body: bytes) -> dict[str, Any]:
    """Return the answer's data, or raise its error."""
    outcome = outcome_of(status, "application/json", body)
    if isinstance(outcome, ApiError):
        raise outcome
    return outcome


@pytest.mark.parametrize("rest", ["", ', "errors": []', ', "errors": null'])
def test_the_data_of_an_answer_is_returned(rest: str) -> None:
    """Empty and missing ``errors`` are not errors."""
    assert data(200, b'{"data": {"a": null}%b}' % rest.encode()) == {"a": None}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (500, ApiError),
        (302, ApiError),
        (404, ApiError),
    ],
)
def test_a_documented_status_is_a_typed_error(status: int, kind: type[ApiError]) -> None:
    """400, 401 and 403 have their own types, any other status is an `ApiError`, all with the body's own words."""
    with pytest.raises(ApiError, match=rf"^HTTP {status}: no way$") as caught:
        data(status, b'{"error": "no way"}')
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.message) == (status, "no way")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30.0),
        ({"Retry-After": "Tue, 01 Jan 2030 00:02:00 GMT", "Date": "Tue, 01 Jan 2030 00:00:00 GMT"}, 120.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize(
    ("status", "kind"), [(429, ApiError), (503, ApiError), (403, ForbiddenError), (200, GraphQLError)]
)
async def test_an_error_of_the_api_says_when_to_ask_again(
    status: int, kind: type[ApiError], headers: dict[str, str], seconds: float | None
) -> None:
    """``retry_after`` is its ``Retry-After``, in both forms, whatever the error."""
    async with scene() as at:
        at.api.answers["/graphql"] = answering(status, {"errors": [{"message": "slow down"}]}, headers=headers)
        with pytest.raises(ApiError, match=r"slow down$") as caught:
            await at.client.graphql("{ a }")
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.status, caught.value.retry_after) == ("slow down", status, seconds)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": "one", "errors": [{"message": "two"}]}', "one"),
        (b'{"errors": [{"message": "two"}, {"message": "three"}]}', "two"),
        (b'{"errors": ["two"]}', "two"),
        (b'{"errors": {"message": "two"}}', "two"),
        (b'{"error": {"code": 5}}', "{'code': 5}"),
        (b'{"errors": [{}]}', "the API answered 400"),
        (b'{"message": "slow down"}', "slow down"),
        (b'{"message": "two", "errors": [{"message": "one"}]}', "one"),
        (b'{"title": "Forbidden", "detail": "by policy"}', "by policy"),
        (b"<html>", "the API answered 400"),
        (b"", "the API answered 400"),
        (b"\xff", "the API answered 400"),
        (b"[" * 100_000, "the API answered 400"),
        (b'{"error": "' + b"x" * 9999 + b'"}', "x" * 199 + "…"),
        (b'{"error": "' + b"x" * 10_001 + b'"}', "the API answered 400"),
        ('{"error": "a\u202e\u2066b\u200b\ufeffc\\u001b[2J\\nd"}'.encode(), "a b c [2J d"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_message_is_in_the_answers_own_words(body: bytes, message: str) -> None:
    """The documented ``error`` goes first, then GraphQL's first error, printable and never more than 200 characters."""
    with pytest.raises(BadRequestError) as caught:
        data(400, body)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("body", "message", "errors", "partial"),
    [
        (
            b'{"errors": [{"message": "no", "path": ["a"]}], "data": {"b": 1}}',
            "no",
            [{"message": "no", "path": ["a"]}],
            {"b": 1},
        ),
        (b'{"errors": [{"message": "no"}], "data": null}', "no", [{"message": "no"}], None),
        (b'{"errors": "broken", "data": [1]}', "broken", [{"message": "broken"}], None),
        (b'{"errors": ["a", 5]}', "a", [{"message": "a"}, {"message": "5"}], None),
        (b'{"errors": [{}]}', "the API answered with errors", [{}], None),
    ],
)
def test_errors_of_an_answer_are_a_graphql_error(body: bytes, message: str, errors: list[Any], partial: Any) -> None:
    """``errors`` as a list of dicts and the partial ``data`` are on the error, whatever shape they came in."""
    with pytest.raises(GraphQLError) as caught:
        data(200, body)
    assert (caught.value.message, caught.value.status) == (message, 200)
    assert (caught.value.errors, caught.value.data) == (errors, partial)


@pytest.mark.parametrize(
    "body", [b'{"data": null}', b"{}", b'{"data": [1]}', b'{"errors": []}', b"<html>", b"[1]", b"", b"null"]
)
def test_an_answer_that_is_not_graphql_is_an_api_error(body: bytes) -> None:
    """Status 200 without data, without errors or without JSON is an `ApiError` and nothing more exact."""
    with pytest.raises(ApiError, match=r"^the API answered with") as caught:
        data(200, body)
    assert type(caught.value) is ApiError


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
BODIES = (st.dictionaries(st.sampled_from(["data", "errors", "error"]), JSON) | JSON).map(
    lambda j: json.dumps(j).encode()
)


@given(st.sampled_from([200, 206, 304, 400, 401, 403, 429, 500]), BODIES | st.binary())
def test_any_answer_is_data_or_an_api_error(status: int, body: bytes) -> None:
    """Whatever a server sends: the data, or an error with status, message and lists of dicts."""
    try:
        found = data(status, body)
    except ApiError as refusal:
        error = refusal
    else:
        assert status in {200, 206}
        assert found == json.loads(body)["data"]
        return
    assert error.status == status
    assert error.message
    if isinstance(error, GraphQLError):
        assert all(isinstance(entry, dict) for entry in error.errors)
        assert error.data is None or isinstance(error.data, dict)


# -- a refusal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        ["UNAUTHENTICATED"],
        {"errors": ["UNAUTHENTICATED"]},
        {"errors": "UNAUTHENTICATED"},
        {"errors": [{"extensions": "UNAUTHENTICATED"}]},
        {"errors": [{"extensions": {"code": "unauthenticated"}, "message": "UNAUTHENTICATED"}]},
    ],
)
async def test_only_the_code_of_a_graphql_error_is_a_refusal(body: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The word elsewhere is not, and an answer of another shape is not an error of ours."""
    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        at.api.answers["/graphql"] = answering(200, body)
        async with at.client.post(at.api.endpoint, json={}) as response:
            assert (response.status, await response.json()) == (200, body)
        assert at.login.count == 1
    assert caplog.messages == []
