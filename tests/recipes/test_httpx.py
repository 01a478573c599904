"""The recipe for httpx."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from exterview_auth import CredentialsRejectedError
from exterview_auth.testing import ThreadedEmulator, expect
from tests.kit.api import Api
from tests.kit.showing import assert_shows_none
from tests.recipes.running import at_once, one_login_per_storm

from .with_httpx import exterview as exterview_client
from .with_httpx import main

pytestmark = pytest.mark.usefixtures("exterview_env")
QUERY = {"query": "{ __typename }"}


async def status(client: httpx.AsyncClient) -> int:
    """Return the status of one request."""
    return (await client.post("/graphql", json=QUERY)).status_code


async def test_the_program_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the answer and leaves nothing open."""
    await main()
    assert capsys.readouterr().out == "{'data': {'__typename': 'Query'}}\n"


async def test_requests_share_one_login(exterview: ThreadedEmulator) -> None:
    """Many at once make one login at the start, and one after the token was revoked; nobody notices."""
    async with exterview_client() as client:
        await one_login_per_storm(exterview, lambda: at_once(lambda: status(client)))


async def test_an_upload_arrives_whole_after_a_401(exterview: ThreadedEmulator) -> None:
    """A form with a file is sent again from its beginning."""
    form: dict[str, Any] = {"jobId": exterview.job_ids[0], "organizationId": exterview.organization_id}
    async with exterview_client() as client:
        assert await status(client) == 200
        exterview.revoke()
        with expect(exterview, logins=1, refused=1):
            files = {"files": ("ada.pdf", b"%PDF-1.7 " + bytes(100_000), "application/pdf")}
            answer = await client.post("/ats/candidates/bulk-upload", data=form, files=files)
        assert (answer.status_code, answer.json()["created"]) == (200, 1)


async def test_another_host_gets_no_credential(exterview: ThreadedEmulator) -> None:
    """The client may be used for other hosts, and their 401 is no reason to log in."""
    async with exterview_client() as client, Api() as stranger:
        assert await status(client) == 200
        with expect(exterview, requests=0):
            assert (await client.get(f"{stranger.base}/hello")).status_code == 401
        assert stranger.signatures == [(None, None)]


async def test_wrong_credentials_are_one_login_and_one_clear_error(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is this library's, which ``except httpx.HTTPError`` does not catch, and shows no secret."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with exterview_client() as client:
        with expect(exterview, logins=1, requests=1):
            outcomes = await asyncio.gather(
                *(client.post("/graphql", json=QUERY) for _ in range(10)), return_exceptions=True
            )
        for outcome in outcomes:
            assert isinstance(outcome, CredentialsRejectedError)
            assert not isinstance(outcome, httpx.HTTPError)
            assert_shows_none(outcome, "not-the-password", exterview.api_key)
