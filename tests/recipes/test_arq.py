"""arq's hooks and job, called as its worker calls them. arq itself needs an older redis than this environment has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from exterview_auth import ConfigurationError, CredentialsRejectedError, LoginUnavailableError
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import REQUESTS, hides_secrets
from tests.recipes.with_arq import WorkerSettings

pytestmark = pytest.mark.usefixtures("exterview_env")


@contextlib.asynccontextmanager
async def worker() -> AsyncIterator[dict[str, Any]]:
    """The context of a worker: made by one hook, closed by the other."""
    ctx: dict[str, Any] = {}
    settings = vars(WorkerSettings)  # as arq's `get_kwargs` reads them
    await settings["on_startup"](ctx)
    try:
        yield ctx
    finally:
        await settings["on_shutdown"](ctx)


async def jobs(ctx: dict[str, Any]) -> list[Any]:
    """Return what jobs at once return or raise."""
    (job,) = WorkerSettings.functions
    runs = (job({**ctx, "job_id": str(number)}) for number in range(REQUESTS))
    return await asyncio.gather(*runs, return_exceptions=True)


async def test_jobs_at_once_cost_one_login(exterview: ThreadedEmulator) -> None:
    """From the first job on, and again after a revocation, which no job notices."""
    async with worker() as ctx:
        (count,) = set(await jobs(ctx))
        assert count > 0
        assert exterview.logins == 1
        exterview.revoke()
        assert set(await jobs(ctx)) == {count}
        assert exterview.logins == 2


async def test_a_login_that_is_down_fails_the_jobs(exterview: ThreadedEmulator) -> None:
    """Each has the typed error with the time to come back, and they cost one login."""
    exterview.fail_logins(1, retry_after=60)
    async with worker() as ctx:
        errors = await jobs(ctx)
    assert {type(error) for error in errors} == {LoginUnavailableError}
    assert all(error.retry_after > 30 for error in errors)
    assert exterview.logins == 1


async def test_a_wrong_password_fails_the_jobs(exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent once, and no error shows it."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with worker() as ctx:
        errors = await jobs(ctx)
    assert {type(error) for error in errors} == {CredentialsRejectedError}
    shown = f"{errors} {errors[0]}"
    assert hides_secrets(shown, exterview)
    assert "not-the-password" not in shown
    assert exterview.logins == 1


async def test_a_missing_variable_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, and nothing is open yet."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    with pytest.raises(ConfigurationError, match="set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"):
        async with worker():
            pass
