"""The three headers: what is answered without them, and with wrong ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from multidict import CIMultiDict

from exterview_auth.emulator import Emulator

SMOKE = b'{"query": "query { __typename }"}'


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


def good(emulator: Emulator) -> CIMultiDict[str]:
    return CIMultiDict(
        {
            "x-api-key": emulator.api_key,
            "Authorization": f"Bearer {emulator.issue_token()}",
            "Content-Type": "application/json",
        }
    )


async def send(emulator: Emulator, headers: CIMultiDict[str], body: Any = SMOKE, **options: Any) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as http,
        http.request(
            options.get("method", "POST"), options.get("url", emulator.endpoint), data=body, headers=headers
        ) as response,
    ):
        return response.status, await response.json()


@pytest.mark.asyncio
async def test_all_three_headers_open_the_door(emulator: Emulator) -> None:
    """The documented smoke test gets the documented answer."""
    assert await send(emulator, good(emulator)) == (200, {"data": {"__typename": "Query"}})


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["x-api-key", "Authorization", "Content-Type"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_each_missing_header_is_answered_400(emulator: Emulator, name: str, method: str) -> None:
    """A request without one of the three headers is answered 400 with an error that names it."""
    headers = good(emulator)
    del headers[name]
    status, answer = await send(emulator, headers, method=method)
    assert (status, answer["error"].lower()) == (400, f"the {name.lower()} header is missing")


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["x-api-key", "Authorization", "Content-Type"])
async def test_an_empty_header_is_a_missing_one(emulator: Emulator, name: str) -> None:
    """Blanks are no value."""
    headers = good(emulator)
    headers[name] = " "
    status, answer = await send(emulator, headers)
    assert (status, "is missing" in answer["error"]) == (400, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["x-api-key", "Authorization"])
async def test_a_doubled_header_is_answered_400(emulator: Emulator, name: str) -> None:
    """Two values for one credential are ambiguous."""
    headers = good(emulator)
    headers.add(name, headers[name])
    status, answer = await send(emulator, headers)
    assert (status, "more than once" in answer["error"]) == (400, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "application/x-www-form-urlencoded"])
async def test_other_content_types_are_answered_400(emulator: Emulator, kind: str) -> None:
    """Only JSON and multipart forms are documented."""
    headers = good(emulator)
    headers["Content-Type"] = kind
    assert await send(emulator, headers) == (
        400,
        {"error": "The Content-Type must be application/json or multipart/form-data"},
    )


@pytest.mark.asyncio
async def test_parameters_and_case_of_the_content_type_do_not_matter(emulator: Emulator) -> None:
    """A charset beside the media type is fine."""
    headers = good(emulator)
    headers["Content-Type"] = "Application/JSON; charset=utf-8"
    assert (await send(emulator, headers))[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["Basic YTpi", "Bearer", "Bearer  ", "token"])
async def test_another_scheme_is_the_wrong_format(emulator: Emulator, value: str) -> None:
    """An Authorization that is no bearer token is answered 400."""
    headers = good(emulator)
    headers["Authorization"] = value
    assert await send(emulator, headers) == (400, {"error": "The Authorization header must read 'Bearer TOKEN'"})


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("x-api-key", "wrong", "Invalid API key"),
        ("x-api-key", "schlüssel", "Invalid API key"),
        ("Authorization", "Bearer wrong", "Invalid bearer token"),
    ],
)
async def test_wrong_credentials_are_answered_401(emulator: Emulator, name: str, value: str, error: str) -> None:
    """An unknown key or token is answered 401, whatever it is made of."""
    headers = good(emulator)
    headers[name] = value
    assert await send(emulator, headers) == (401, {"error": error})


@pytest.mark.asyncio
async def test_the_scheme_is_read_in_any_case(emulator: Emulator) -> None:
    """Authentication schemes are case-insensitive (RFC 9110, section 11.1)."""
    headers = good(emulator)
    headers["Authorization"] = headers["Authorization"].replace("Bearer", "bearer")
    assert (await send(emulator, headers))[0] == 200


@pytest.mark.asyncio
async def test_a_restricted_key_may_do_nothing(emulator: Emulator) -> None:
    """A key without permission is answered 403 for each operation, and 401 with a wrong token."""
    headers = good(emulator)
    headers["x-api-key"] = emulator.restricted_api_key
    assert await send(emulator, headers) == (403, {"error": "This API key lacks the permission for this operation"})
    headers["Authorization"] = "Bearer wrong"
    assert (await send(emulator, headers))[0] == 401


@pytest.mark.asyncio
async def test_other_methods_are_answered_405_behind_the_guard(emulator: Emulator) -> None:
    """GraphQL and uploads take POST only, and say so to those who may ask."""
    for path in ("/graphql", "/ats/candidates/bulk-upload"):
        url = emulator.endpoint.replace("/graphql", path)
        status, answer = await send(emulator, good(emulator), method="PUT", url=url)
        assert (status, answer) == (405, {"error": f"{path} takes POST only"})
    assert emulator.stats().statuses == {405: 2}


@pytest.mark.asyncio
async def test_the_body_is_judged_after_the_token(emulator: Emulator) -> None:
    """A malformed body is answered 400 to those who may ask, and 401 to those who may not."""
    headers = good(emulator)
    assert await send(emulator, headers, b"{") == (400, {"error": "The body is not valid JSON"})
    headers["Authorization"] = "Bearer wrong"
    assert (await send(emulator, headers, b"{"))[0] == 401
    del headers["Authorization"]
    assert await send(emulator, headers, b"{") == (400, {"error": "The Authorization header is missing"})
