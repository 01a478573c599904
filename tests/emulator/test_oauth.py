"""``POST /oauth/token``: grants, client authentication and the errors of RFC 6749."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator
from tests.kit.emulator import Answer, answer, smoke


def client(emulator: Emulator, grant_type: str = "client_credentials", **more: str) -> dict[str, str]:
    return {
        "grant_type": grant_type,
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        **more,
    }


def user(emulator: Emulator) -> dict[str, str]:
    return client(emulator, "password", username=emulator.email, password=emulator.password)


async def ask(emulator: Emulator, http: ClientSession, form: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await answer(http.post(emulator.token_endpoint, data=form, headers=named))


async def refresh(emulator: Emulator, http: ClientSession, token: str) -> Answer:
    return await ask(emulator, http, client(emulator, "refresh_token", refresh_token=token))


async def test_client_credentials_give_a_token_without_a_refresh_token(emulator: Emulator, http: ClientSession) -> None:
    """The token serves the API, is not to be stored, and counts as a login."""
    status, token, headers = await ask(emulator, http, client(emulator, scope="read"))
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 3600, "read")
    assert "refresh_token" not in token
    assert await smoke(emulator, http, token["access_token"]) == 200
    assert (emulator.stats().logins, emulator.stats().statuses) == (1, {200: 2})


async def test_basic_authentication_is_form_decoded(emulator: Emulator, http: ClientSession) -> None:
    """Id and secret are form-encoded before they are joined (RFC 6749, section 2.3.1)."""
    emulator._state.accounts.client_secret = "a+b:c/d e%"
    encoded = b64encode(f"{emulator.client_id}:a%2Bb%3Ac%2Fd+e%25".encode()).decode()
    form = {"grant_type": "client_credentials"}
    assert (await ask(emulator, http, form, Authorization=f"Basic {encoded}")).status == 200


async def test_refresh_tokens_rotate_and_reuse_ends_the_family(emulator: Emulator, http: ClientSession) -> None:
    """Each refresh token, which `revoke` leaves alone, is good for one use; a second one revokes its successors."""
    first = (await ask(emulator, http, user(emulator))).content["refresh_token"]
    emulator.revoke()
    status, token, _ = await refresh(emulator, http, first)
    second = token["refresh_token"]
    assert (status, second == first) == (200, False)
    assert await smoke(emulator, http, token["access_token"]) == 200
    status, refusal, _ = await refresh(emulator, http, first)
    assert (status, refusal["error"]) == (400, "invalid_grant")
    assert (await refresh(emulator, http, second)).status == 400
    assert emulator.stats().refresh_tokens_reused == 2
    assert (await refresh(emulator, http, "never issued")).status == 400
    assert emulator.stats().refresh_tokens_reused == 2


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
    emulator: Emulator, http: ClientSession, change: dict[str, str], status: int, error: str
) -> None:
    """A wrong user, client and grant have different codes in `error`."""
    answered, refusal, headers = await ask(emulator, http, {**user(emulator), **change})
    assert (answered, refusal["error"]) == (status, error)
    assert refusal["error_description"]
    assert ("WWW-Authenticate" in headers) is (status == 401)
    assert emulator.stats().logins_refused == 1


@pytest.mark.parametrize("value", ["Bearer x", "Basic", "Basic !!!", "Basic YWJj", "Basic /w=="])
async def test_unreadable_client_authentication_is_an_invalid_client(
    emulator: Emulator, http: ClientSession, value: str
) -> None:
    """Another scheme, no Base64, no colon and no text are all answered 401."""
    status, refusal, _ = await ask(emulator, http, {"grant_type": "client_credentials"}, Authorization=value)
    assert (status, refusal["error"]) == (401, "invalid_client")


async def test_malformed_requests_are_invalid(emulator: Emulator, http: ClientSession) -> None:
    """Another content type, broken encoding, a doubled parameter and two ways to authenticate are refused."""
    url_encoded = "application/x-www-form-urlencoded"
    for body, headers in (
        (b"{}", {"Content_Type": "application/json"}),
        (b"a=%ff", {"Content_Type": url_encoded}),
        (b"a=1&a=2", {"Content_Type": url_encoded}),
        (client(emulator), {"Authorization": "Basic YTpi"}),
    ):
        status, refusal, _ = await ask(emulator, http, body, **headers)
        assert (status, refusal["error"]) == (400, "invalid_request")
    assert emulator.stats().logins == 1


async def test_failing_logins_fail_here_too(emulator: Emulator, http: ClientSession) -> None:
    """`fail_logins` gives its status and Retry-After with a code that says whether to come back."""
    for status, error in ((503, "temporarily_unavailable"), (429, "temporarily_unavailable"), (403, "invalid_grant")):
        emulator.fail_logins(1, status=status, retry_after=2)
        answered, refusal, headers = await ask(emulator, http, client(emulator))
        assert (answered, refusal["error"], headers["Retry-After"]) == (status, error, "2")
        assert refusal["error_description"] == "Logins fail for the moment"
    assert (await ask(emulator, http, client(emulator))).status == 200
    assert (emulator.stats().logins, emulator.stats().logins_refused) == (4, 3)


async def test_only_post_is_taken(emulator: Emulator, http: ClientSession) -> None:
    """Credentials do not travel in a URL."""
    refused = await answer(http.get(emulator.token_endpoint))
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")
