"""The three headers: what is answered without them, and with wrong ones."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession
from multidict import CIMultiDict

from exterview_auth.emulator import Emulator
from tests.kit.emulator import answer, credentials

SMOKE = b'{"query": "query { __typename }"}'
NAMES = ["x-api-key", "Authorization", "Content-Type"]


def good(emulator: Emulator, **changed: str) -> CIMultiDict[str]:
    """All three headers in order, some of them *changed* (with underscores for hyphens)."""
    replaced = {name.replace("_", "-"): value for name, value in changed.items()}
    return CIMultiDict({**credentials(emulator), "Content-Type": "application/json", **replaced})


async def send(
    emulator: Emulator, headers: CIMultiDict[str], body: Any = SMOKE, *, method: str = "POST", path: str = "/graphql"
) -> tuple[int, Any]:
    url = emulator.endpoint.replace("/graphql", path)
    async with ClientSession(skip_auto_headers=["Content-Type"]) as http:
        return (await answer(http.request(method, url, data=body, headers=headers))).body


@pytest.mark.parametrize("name", NAMES)
async def test_each_missing_header_is_answered_400(emulator: Emulator, name: str) -> None:
    """A request without one of the three headers, or with blanks in it, is answered 400 with an error that names it."""
    missing = (400, {"error": f"The {name} header is missing"})
    headers = good(emulator)
    headers[name] = " "
    assert await send(emulator, headers) == missing
    del headers[name]
    for method in ("POST", "GET"):
        assert await send(emulator, headers, method=method) == missing


@pytest.mark.parametrize("name", NAMES[:2])
async def test_a_doubled_header_is_answered_400(emulator: Emulator, name: str) -> None:
    """Two values for one credential are ambiguous."""
    headers = good(emulator)
    headers.add(name, headers[name])
    assert await send(emulator, headers) == (400, {"error": f"The {name} header is given more than once"})


WRONG_TYPE = (400, "The Content-Type must be application/json or multipart/form-data")
WRONG_SCHEME = (400, "The Authorization header must read 'Bearer TOKEN'")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Content-Type", "text/plain", WRONG_TYPE),
        ("Content-Type", "application/octet-stream", WRONG_TYPE),
        ("Content-Type", "application/x-www-form-urlencoded", WRONG_TYPE),
        ("Authorization", "Basic YTpi", WRONG_SCHEME),
        ("Authorization", "Bearer", WRONG_SCHEME),
        ("Authorization", "token", WRONG_SCHEME),
        ("x-api-key", "wrong", (401, "Invalid API key")),
        ("x-api-key", "schlüssel", (401, "Invalid API key")),
        ("Authorization", "Bearer wrong", (401, "Invalid bearer token")),
    ],
)
async def test_wrong_headers_are_refused(emulator: Emulator, name: str, value: str, expected: tuple[int, str]) -> None:
    """The wrong format is answered 400; an unknown key or token 401, whatever it is made of."""
    headers = good(emulator)
    headers[name] = value
    status, error = expected
    assert await send(emulator, headers) == (status, {"error": error})


async def test_case_and_parameters_do_not_matter(emulator: Emulator) -> None:
    """A charset beside the media type is fine, and schemes are case-insensitive (RFC 9110, section 11.1)."""
    headers = good(emulator, Content_Type="Application/JSON; charset=utf-8")
    headers["Authorization"] = headers["Authorization"].replace("Bearer", "bearer")
    assert (await send(emulator, headers))[0] == 200


async def test_a_restricted_key_may_do_nothing(emulator: Emulator) -> None:
    """A key without permission is answered 403 for each operation, and 401 with a wrong token."""
    headers = good(emulator, x_api_key=emulator.restricted_api_key)
    assert await send(emulator, headers) == (403, {"error": "This API key lacks the permission for this operation"})
    headers["Authorization"] = "Bearer wrong"
    assert (await send(emulator, headers))[0] == 401


async def test_other_methods_are_answered_405_behind_the_guard(emulator: Emulator) -> None:
    """GraphQL and uploads take POST only, and answer so only behind the guard."""
    for path in ("/graphql", "/ats/candidates/bulk-upload"):
        refused = await send(emulator, good(emulator), method="PUT", path=path)
        assert refused == (405, {"error": f"{path} takes POST only"})
    assert emulator.stats().statuses == {405: 2}


async def test_the_body_is_judged_after_the_token(emulator: Emulator) -> None:
    """A malformed body is answered 400 with a valid token, and 401 with another."""
    headers = good(emulator)
    assert await send(emulator, headers, b"{") == (400, {"error": "The body is not valid JSON"})
    headers["Authorization"] = "Bearer wrong"
    assert (await send(emulator, headers, b"{"))[0] == 401
    del headers["Authorization"]
    assert await send(emulator, headers, b"{") == (400, {"error": "The Authorization header is missing"})
