"""``POST /oauth/token``: grants, client authentication and the errors of RFC 6749."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from exterview_auth.emulator import Emulator, _accounts
from exterview_auth.emulator._accounts import Accounts, RefreshTokens
from exterview_auth.emulator._responses import Refusal


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def client(emulator: Emulator) -> dict[str, str]:
    return {"client_id": emulator.client_id, "client_secret": emulator.client_secret}


def user(emulator: Emulator) -> dict[str, str]:
    return {"grant_type": "password", "username": emulator.email, "password": emulator.password}


async def ask(emulator: Emulator, http: aiohttp.ClientSession, form: Any, **options: Any) -> tuple[int, Any, Any]:
    async with http.post(emulator.token_endpoint, data=form, **options) as response:
        return response.status, await response.json(), response.headers


async def serves(emulator: Emulator, http: aiohttp.ClientSession, token: str) -> bool:
    headers = {"x-api-key": emulator.api_key, "Authorization": f"Bearer {token}"}
    async with http.post(emulator.endpoint, json={"query": "{__typename}"}, headers=headers) as response:
        return response.status == 200


@pytest.mark.asyncio
async def test_client_credentials_give_a_token_without_a_refresh_token(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """The token serves the API, is not to be stored, and counts as a login."""
    form = {"grant_type": "client_credentials", "scope": "read", **client(emulator)}
    status, answer, headers = await ask(emulator, http, form)
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 3600, "read")
    assert "refresh_token" not in answer
    assert await serves(emulator, http, answer["access_token"])
    assert (emulator.stats().logins, emulator.stats().statuses) == (1, {200: 2})


@pytest.mark.asyncio
async def test_basic_authentication_is_form_decoded(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Id and secret are form-encoded before they are joined (RFC 6749, section 2.3.1)."""
    emulator._state.accounts.client_secret = "a+b:c/d e%"
    encoded = b64encode(f"{emulator.client_id}:a%2Bb%3Ac%2Fd+e%25".encode()).decode()
    form = {"grant_type": "client_credentials"}
    status, _, _ = await ask(emulator, http, form, headers={"Authorization": f"Basic {encoded}"})
    assert status == 200


@pytest.mark.asyncio
async def test_refresh_tokens_rotate_and_reuse_ends_the_family(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Each refresh token is good for one use; a second use is counted and revokes its successors."""
    _, answer, _ = await ask(emulator, http, {**user(emulator), **client(emulator)})
    first = answer["refresh_token"]

    async def refresh(token: str) -> tuple[int, Any]:
        form = {"grant_type": "refresh_token", "refresh_token": token, **client(emulator)}
        status, answer, _ = await ask(emulator, http, form)
        return status, answer

    status, answer = await refresh(first)
    second = answer["refresh_token"]
    assert (status, second == first) == (200, False)
    assert await serves(emulator, http, answer["access_token"])
    status, answer = await refresh(first)
    assert (status, answer["error"]) == (400, "invalid_grant")
    assert (await refresh(second))[0] == 400
    assert emulator.stats().refresh_tokens_reused == 2
    assert (await refresh("never issued"))[0] == 400
    assert emulator.stats().refresh_tokens_reused == 2


@pytest.mark.asyncio
async def test_refresh_tokens_survive_a_revocation(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """`revoke` makes bearer tokens invalid, and refresh tokens still give new ones."""
    _, answer, _ = await ask(emulator, http, {**user(emulator), **client(emulator)})
    emulator.revoke()
    form = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"], **client(emulator)}
    status, answer, _ = await ask(emulator, http, form)
    assert status == 200
    assert await serves(emulator, http, answer["access_token"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"password": "wrong"}, 400, "invalid_grant"),
        ({"username": ""}, 400, "invalid_grant"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": ""}, 401, "invalid_client"),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type"),
    ],
)
async def test_refusals_have_the_codes_of_the_standard(
    emulator: Emulator, http: aiohttp.ClientSession, change: dict[str, str], status: int, error: str
) -> None:
    """A wrong user, client and grant are told apart by `error`."""
    form = {**user(emulator), **client(emulator), **change}
    answered, answer, headers = await ask(emulator, http, form)
    assert (answered, answer["error"]) == (status, error)
    assert answer["error_description"]
    assert ("WWW-Authenticate" in headers) is (status == 401)
    assert emulator.stats().logins_refused == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["Bearer x", "Basic", "Basic !!!", "Basic YWJj", "Basic /w=="])
async def test_unreadable_client_authentication_is_an_invalid_client(
    emulator: Emulator, http: aiohttp.ClientSession, value: str
) -> None:
    """Another scheme, no Base64, no colon and no text are all answered 401."""
    form = {"grant_type": "client_credentials"}
    status, answer, _ = await ask(emulator, http, form, headers={"Authorization": value})
    assert (status, answer["error"]) == (401, "invalid_client")


@pytest.mark.asyncio
async def test_malformed_requests_are_invalid(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Another content type, broken encoding, a doubled parameter and two ways to authenticate are refused."""
    url_encoded = {"Content-Type": "application/x-www-form-urlencoded"}
    both = {"headers": {"Authorization": "Basic YTpi"}}
    form = {"grant_type": "client_credentials", **client(emulator)}
    for body, options in (
        (b"{}", {"headers": {"Content-Type": "application/json"}}),
        (b"a=%ff", {"headers": url_encoded}),
        (b"a=1&a=2", {"headers": url_encoded}),
        (form, both),
    ):
        status, answer, _ = await ask(emulator, http, body, **options)
        assert (status, answer["error"]) == (400, "invalid_request")


@pytest.mark.asyncio
async def test_failing_logins_fail_here_too(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """`fail_logins` gives its status and Retry-After with a code that says whether to come back."""
    form = {"grant_type": "client_credentials", **client(emulator)}
    for status, error in ((503, "temporarily_unavailable"), (429, "temporarily_unavailable"), (403, "invalid_grant")):
        emulator.fail_logins(1, status=status, retry_after=2)
        answered, answer, headers = await ask(emulator, http, form)
        assert (answered, answer["error"], headers["Retry-After"]) == (status, error, "2")
    assert (await ask(emulator, http, form))[0] == 200


@pytest.mark.asyncio
async def test_only_post_is_taken(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Credentials do not travel in a URL."""
    async with http.get(emulator.token_endpoint) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")


def test_the_oldest_tokens_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many logins come, the memory for tokens is bounded."""
    monkeypatch.setattr(_accounts, "MOST_TOKENS", 2)
    accounts = Accounts("a@b.example", clock=lambda: 0.0)
    first, *others = [accounts.issue_token(1.0) for _ in range(3)]
    with pytest.raises(Refusal, match="Invalid bearer token"):
        accounts.require_token(first)
    for token in others:
        accounts.require_token(token)


def test_the_oldest_refresh_tokens_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A used token goes quietly, and an unused one takes its family along."""
    monkeypatch.setattr(_accounts, "MOST_REFRESH_TOKENS", 2)
    tokens = RefreshTokens()
    first = tokens.issue()
    second = tokens.rotate(first)
    assert second is not None
    other = tokens.issue()  # forgets the first one, which was used
    assert tokens.rotate(first) is None
    assert tokens.reused == 0
    tokens.issue()  # forgets the second one, which was not
    assert tokens.rotate(second) is None
    assert tokens.rotate(other) is not None
