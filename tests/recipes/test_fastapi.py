"""FastAPI on uvicorn."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exterview_auth import (
    ApiError,
    BadRequestError,
    ClosedError,
    ConfigurationError,
    CredentialsRejectedError,
    GraphQLError,
    LoginBudgetExceededError,
    LoginError,
    LoginUnavailableError,
)
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import hides_secrets, one_login_per_storm, refusal, served, statuses
from tests.recipes.with_fastapi import app, lifespan
from tests.recipes.with_fastapi import exterview as dependency

pytestmark = pytest.mark.usefixtures("exterview_env")


async def test_requests_at_once_cost_one_login(exterview: ThreadedEmulator) -> None:
    """From the start on, and again after a revocation, which no caller notices."""
    async with served(app) as base:
        await one_login_per_storm(exterview, lambda: statuses(f"{base}/interviews"))


async def test_a_login_that_is_down_is_a_503(exterview: ThreadedEmulator) -> None:
    """The start goes on, and the caller learns when to come back, and nothing else."""
    exterview.fail_logins(1, retry_after=60)
    async with served(app) as base:
        assert await refusal(f"{base}/interviews") == (503, "60", '{"detail":"try again later"}')
    assert exterview.logins == 1


async def test_credentials_that_stop_working_are_a_500_for_the_operator(
    exterview: ThreadedEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what was rejected, and shows no secret."""
    async with served(app) as base:
        exterview.rotate_api_key()
        assert await refusal(f"{base}/interviews") == (500, None, NOT_SET_UP)
    assert caplog.text.count("CredentialsRejectedError:") == 1, "one line for a request, and no traceback"
    assert hides_secrets(caplog.text, exterview)


UNAVAILABLE, BAD = '{"detail":"try again later"}', '{"detail":"the API failed"}'
NOT_SET_UP = '{"detail":"this service is not set up"}'


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (LoginUnavailableError(), (503, "5", UNAVAILABLE)),
        (LoginUnavailableError(retry_after=29.2), (503, "30", UNAVAILABLE)),
        (LoginBudgetExceededError(retry_after=40), (503, "40", UNAVAILABLE)),
        (ApiError("busy", status=429, retry_after=7), (503, "7", UNAVAILABLE)),
        (ApiError("down", status=503), (503, "5", UNAVAILABLE)),
        (ApiError("broken", status=500), (502, None, BAD)),
        (BadRequestError("no", status=400), (502, None, BAD)),
        (GraphQLError("no such id", status=200, errors=[], data=None), (502, None, BAD)),
        (ClosedError("closed"), (502, None, BAD)),
        (aiohttp.ServerDisconnectedError(), (502, None, BAD)),
        (aiohttp.ServerTimeoutError(), (504, None, '{"detail":"no answer in time"}')),
        (TimeoutError(), (504, None, '{"detail":"no answer in time"}')),
        (CredentialsRejectedError(), (500, None, NOT_SET_UP)),
        (LoginError("a bug"), (500, None, NOT_SET_UP)),
        (ConfigurationError("wrong"), (500, None, NOT_SET_UP)),
    ],
)
async def test_each_error_has_its_status(
    monkeypatch: pytest.MonkeyPatch, error: Exception, answer: tuple[int, str | None, str]
) -> None:
    """As the recipe's table says."""

    class Failing:
        async def graphql(self, _query: str) -> Any:
            raise error

    monkeypatch.setitem(app.dependency_overrides, dependency, Failing)
    async with served(app) as base:
        assert await refusal(f"{base}/interviews") == answer


async def test_an_api_that_is_down_is_a_503(exterview: ThreadedEmulator) -> None:
    """As a login that is down is."""
    async with served(app) as base:
        exterview.refuse(1, 503)
        assert await refusal(f"{base}/interviews") == (503, "5", UNAVAILABLE)


async def test_a_wrong_password_ends_the_start(exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent once, and nothing stays open."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    with pytest.raises(CredentialsRejectedError, match="rejected the credentials"):
        async with lifespan(app):
            pass
    assert exterview.logins == 1


async def test_uvicorn_shows_what_the_library_warns_of(exterview: ThreadedEmulator) -> None:
    """Although it gives handlers to its own loggers alone."""
    exterview.fail_logins(1, retry_after=60)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "tests.recipes.with_fastapi:app", "--port", "0",
        env=dict(os.environ), cwd=Path(__file__).parents[2], stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    shown = b""
    while b"Uvicorn running" not in shown and (line := await process.stderr.readline()):
        shown += line
    process.terminate()
    await process.communicate()
    assert b"login.failed" in shown
    assert b"it answered 503" in shown


async def test_a_missing_variable_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, and nothing stays open."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    with pytest.raises(ConfigurationError, match="set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"):
        async with lifespan(app):
            pass
