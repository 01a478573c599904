"""The recipe for aiohttp-retry."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp_retry import RetryClient

from exterview_auth import CredentialsRejectedError, LoginUnavailableError
from exterview_auth.testing import ThreadedEmulator, expect
from tests.kit.api import KEY, Api, cut
from tests.kit.showing import assert_shows_none
from tests.recipes.running import at_once, one_login_per_storm

from . import with_aiohttp_retry
from .with_aiohttp_retry import exterview as exterview_client

QUERY = {"query": "{ __typename }"}


@pytest.fixture(autouse=True)
def impatient(exterview_env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between attempts."""
    monkeypatch.setattr(with_aiohttp_retry.RETRIES, "get_timeout", lambda **_: 0.0)


async def status(client: RetryClient) -> int:
    """Return the status of one request."""
    async with client.post("/graphql", json=QUERY) as response:
        return response.status


async def test_the_program_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the answer and leaves nothing open."""
    await with_aiohttp_retry.main()
    assert capsys.readouterr().out == "{'data': {'__typename': 'Query'}}\n"


async def test_requests_share_one_login(exterview: ThreadedEmulator) -> None:
    """Many at once make one login at the start, and one after the token was revoked; nobody notices."""
    async with exterview_client() as client:
        await one_login_per_storm(exterview, lambda: at_once(lambda: status(client)))


async def test_an_answer_of_5xx_is_tried_again(exterview: ThreadedEmulator) -> None:
    """Two are followed by a third attempt with the same token, and a renewal among them costs none of the attempts."""
    async with exterview_client() as client:
        exterview.refuse(2, status=503)
        with expect(exterview, logins=1, requests=4):
            assert await status(client) == 200
        exterview.revoke()
        exterview.refuse(2, status=503)
        with expect(exterview, logins=1, refused=1, requests=5):
            assert await status(client) == 200


async def test_a_lost_connection_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe's exceptions have the connection errors of aiohttp among them."""
    async with Api() as api:
        monkeypatch.setenv("EXTERVIEW_ENDPOINT", api.endpoint)
        monkeypatch.setenv("EXTERVIEW_API_KEY", KEY)
        monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", api.issue())
        for name in ("EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD"):
            monkeypatch.delenv(name)
        answers = iter([cut, cut])

        async def unsteady(request: web.Request, body: bytes) -> None:
            for lost in answers:
                return await lost(request, body)
            return None

        api.answers["/graphql"] = unsteady
        async with exterview_client() as client:
            assert await status(client) == 200
        assert len(api.arrivals) == 3


@pytest.mark.parametrize(("trouble", "error"), [(401, CredentialsRejectedError), (503, LoginUnavailableError)])
async def test_a_failed_login_is_not_tried_again(
    exterview: ThreadedEmulator, trouble: int, error: type[Exception]
) -> None:
    """Neither a refused login nor one that is down is multiplied by the attempts, and the caller gets the error itself."""
    exterview.fail_logins(100, status=trouble, retry_after=3600)
    async with exterview_client() as client:
        with expect(exterview, logins=1, requests=1), pytest.raises(error) as caught:
            await status(client)
    assert_shows_none(caught.value, exterview.password, exterview.api_key)


async def test_every_client_error_would_multiply_the_waits(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the recipe names two exceptions: with ``ClientError``, each attempt waits for a login that is down."""
    failed = []

    def pause(attempt: int, response: object) -> float:
        failed.append(attempt)
        return 0.0

    monkeypatch.setattr(with_aiohttp_retry.RETRIES, "exceptions", {aiohttp.ClientError})
    monkeypatch.setattr(with_aiohttp_retry.RETRIES, "get_timeout", pause)
    exterview.fail_logins(100, retry_after=3600)
    async with exterview_client() as client:
        with pytest.raises(LoginUnavailableError):
            await status(client)
    assert failed == [1, 2]  # and the third is the caller's
