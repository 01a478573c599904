"""The recipe for pyreqwest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from pyreqwest.client import Client
from pyreqwest.multipart import FormBuilder, PartBuilder

from exterview_auth import CredentialsRejectedError
from exterview_auth.testing import ThreadedEmulator, expect
from tests.kit.api import KEY, Api, leads_to
from tests.kit.showing import assert_shows_none
from tests.recipes.running import at_once, one_login_per_storm

from .with_pyreqwest import exterview as exterview_client
from .with_pyreqwest import main

pytestmark = pytest.mark.usefixtures("exterview_env")
QUERY = {"query": "{ __typename }"}


async def status(client: Client, url: str = "/graphql") -> int:
    """Return the status of one request."""
    return (await client.post(url).body_json(QUERY).build().send()).status


async def test_the_program_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the answer and leaves nothing open."""
    await main()
    assert capsys.readouterr().out == "{'data': {'__typename': 'Query'}}\n"


async def test_requests_share_one_login(exterview: ThreadedEmulator) -> None:
    """Many at once make one login at the start, and one after the token was revoked; nobody notices."""
    async with exterview_client() as client:
        await one_login_per_storm(exterview, lambda: at_once(lambda: status(client)))


async def test_a_request_is_sent_again_once(exterview: ThreadedEmulator) -> None:
    """A 401 that survives a new token is the caller's."""
    async with exterview_client() as client:
        assert await status(client) == 200
        exterview.refuse(2)
        with expect(exterview, logins=1, refused=2):
            assert await status(client) == 401


@pytest.mark.parametrize("kind", ["stream", "form"])
async def test_a_body_that_can_be_read_once_is_sent_once(kind: str, exterview: ThreadedEmulator) -> None:
    """Its 401 is the caller's, and the next request, of the same kind too, has the new token."""

    async def stream() -> AsyncIterator[bytes]:
        yield json.dumps(QUERY).encode()

    async def status_of_one(client: Client) -> int:
        request = client.post("/graphql" if kind == "stream" else "/ats/candidates/bulk-upload")
        if kind == "stream":
            request = request.header("Content-Type", "application/json").body_stream(stream())
        else:
            file = PartBuilder.from_bytes(b"%PDF-1.7").file_name("ada.pdf").mime("application/pdf")
            fields = {"jobId": exterview.job_ids[0], "organizationId": exterview.organization_id}
            form = FormBuilder().part("files", file)
            for name, value in fields.items():
                form = form.text(name, value)
            request = request.multipart(form)
        return (await request.build().send()).status

    async with exterview_client() as client:
        assert await status(client) == 200
        exterview.revoke()
        with expect(exterview, logins=1, refused=1):
            assert [await status_of_one(client) for _ in range(2)] == [401, 200]


async def test_another_host_gets_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither directly nor through a redirect, which the client does not follow."""
    async with Api() as api, Api() as stranger:
        monkeypatch.setenv("EXTERVIEW_ENDPOINT", api.endpoint)
        monkeypatch.setenv("EXTERVIEW_API_KEY", KEY)
        monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", api.issue())
        for name in ("EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD"):
            monkeypatch.delenv(name)
        api.answers["/away"] = leads_to(f"{stranger.base}/there")
        async with exterview_client() as client:
            assert await status(client, "/away") == 307
            assert await status(client, f"{stranger.base}/here") == 401
    assert stranger.signatures == [(None, None)]


async def test_wrong_credentials_are_one_login_and_one_clear_error(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes out of the client's middleware as it is."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with exterview_client() as client:
        with expect(exterview, logins=1, requests=1):
            outcomes = await asyncio.gather(*(status(client) for _ in range(10)), return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, CredentialsRejectedError)
            assert_shows_none(outcome, "not-the-password", exterview.api_key)
