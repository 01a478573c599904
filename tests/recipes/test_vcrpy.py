"""The recipe for vcrpy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from vcr.errors import CannotOverwriteExistingCassetteException

from exterview_auth import AuthSession, CredentialsRejectedError, ExterviewAuth
from exterview_auth.testing import ThreadedEmulator, expect
from tests.kit.api import KEY, SIGNED, Api, leads_to
from tests.kit.showing import assert_shows_none

from .with_vcrpy import CASSETTES


def query(number: int) -> str:
    """Return a query that no other number has."""
    return f"query {{ candidates: getCandidates(input: {{pageSize: {number}}}) {{ pageSize }} }}"


async def asked(cassette: Path, *numbers: int, **options: Any) -> list[int]:
    """Return what the API, or *cassette*, says to so many queries at once, with an owner from the environment."""
    with CASSETTES.use_cassette(cassette, **options):
        async with aiohttp.ClientSession() as http, ExterviewAuth.from_env() as auth:
            api = AuthSession(http, auth)
            answers = await asyncio.gather(*(api.graphql(query(number)) for number in numbers))
            return [answer["candidates"]["pageSize"] for answer in answers]


def text_of(cassette: Path) -> str:
    """Return what was recorded."""
    return cassette.read_text(encoding="utf-8")


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    """Where a cassette goes."""
    return tmp_path / "candidates.yaml"


async def test_a_recording_is_one_login(exterview_env: Any, exterview: ThreadedEmulator, cassette: Path) -> None:
    """Thirty at once make one login at the start, and one after the token was revoked; nobody notices."""
    with CASSETTES.use_cassette(cassette):
        async with aiohttp.ClientSession() as http, ExterviewAuth.from_env() as auth:
            api = AuthSession(http, auth)
            for first in (1, 31):
                with expect(exterview, logins=1):
                    await asyncio.gather(*(api.graphql(query(first + number)) for number in range(30)))
                exterview.revoke()


async def test_a_cassette_plays_without_the_api(
    exterview_env: Mapping[str, str], exterview: ThreadedEmulator, cassette: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any password and key, also a test that asks for a token; each query finds its own answer, in any order."""
    await asked(cassette, 1, 2, 3)
    for name in ("EXTERVIEW_API_KEY", "EXTERVIEW_PASSWORD"):
        monkeypatch.setenv(name, "anything")
    with expect(exterview, requests=0):
        assert await asked(cassette, 3, 1, 2, record_mode="none") == [3, 1, 2]
        with CASSETTES.use_cassette(cassette, record_mode="none"):
            async with ExterviewAuth.from_env() as auth:
                assert (await auth.token()).value == "masked"


async def test_a_cassette_holds_no_secret(exterview_env: Any, exterview: ThreadedEmulator, cassette: Path) -> None:
    """Neither key, password, e-mail nor token, of the login or of a request."""
    with CASSETTES.use_cassette(cassette):
        async with aiohttp.ClientSession() as http, ExterviewAuth.from_env() as auth:
            await AuthSession(http, auth).graphql(query(1))
            tokens = [(await auth.token()).value]
            exterview.revoke()
            await AuthSession(http, auth).graphql(query(2))
            tokens.append((await auth.token()).value)
    recorded = text_of(cassette)
    assert "pageSize" in recorded
    assert recorded.count("a login") == 2
    for secret in (*tokens, exterview.api_key, exterview.password, exterview.email):
        assert secret not in recorded


async def test_the_hop_of_a_redirect_is_recorded_without_credentials(
    exterview_env: Any, cassette: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For vcrpy sees a hop after it has been signed: here the header filters are needed."""
    async with Api() as api:
        token = api.issue()
        monkeypatch.setenv("EXTERVIEW_ENDPOINT", api.endpoint)
        monkeypatch.setenv("EXTERVIEW_API_KEY", KEY)
        monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", token)
        for name in ("EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD"):
            monkeypatch.delenv(name)
        api.answers["/moved"] = leads_to("/graphql")
        for mode in ("once", "none"):
            with CASSETTES.use_cassette(cassette, record_mode=mode):
                async with aiohttp.ClientSession() as http, ExterviewAuth.from_env() as auth:
                    response = await AuthSession(http, auth).get("/moved")
                    assert await response.json() == {"data": {"__typename": "Query"}}
        assert api.signatures == [SIGNED, SIGNED]
    recorded = text_of(cassette)
    assert "/moved" in recorded
    assert token not in recorded
    assert KEY not in recorded


async def test_a_request_that_was_not_recorded_is_not_sent(
    exterview_env: Any, exterview: ThreadedEmulator, cassette: Path
) -> None:
    """The error of vcrpy comes through as it is."""
    await asked(cassette, 1)
    with expect(exterview, requests=0), pytest.raises(CannotOverwriteExistingCassetteException) as caught:
        await asked(cassette, 2, record_mode="none")
    assert_shows_none(caught.value, exterview.password, exterview.api_key)


async def test_a_refused_login_is_recorded_without_the_password(
    exterview_env: Any, exterview: ThreadedEmulator, cassette: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And played as the same refusal."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    for requests, mode in ((1, "once"), (0, "none")):
        with expect(exterview, requests=requests), CASSETTES.use_cassette(cassette, record_mode=mode):
            async with ExterviewAuth.from_env() as auth:
                with pytest.raises(CredentialsRejectedError) as caught:
                    await auth.token()
        assert_shows_none(caught.value, "not-the-password", exterview.api_key)
    assert "not-the-password" not in text_of(cassette)
