"""taskiq with its in-memory broker, which runs startup, tasks and shutdown as a worker does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from exterview_auth import ConfigurationError, CredentialsRejectedError, LoginUnavailableError
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import REQUESTS, fresh, hides_secrets

pytestmark = pytest.mark.usefixtures("exterview_env")


@contextlib.asynccontextmanager
async def worker() -> AsyncIterator[ModuleType]:
    """The recipe with a worker of its broker."""
    recipe = fresh("with_taskiq")
    await recipe.broker.startup()
    try:
        yield recipe
    finally:
        await recipe.broker.shutdown()


async def results(recipe: ModuleType, count: int = REQUESTS) -> list[Any]:
    """Return the results of *count* tasks at once."""
    tasks = [await recipe.count_interviews.kiq() for _ in range(count)]
    return await asyncio.gather(*(task.wait_result(check_interval=0.01, timeout=60) for task in tasks))


async def test_tasks_at_once_cost_one_login(exterview: ThreadedEmulator) -> None:
    """From the first task on, and again after a revocation, which no task notices."""
    async with worker() as recipe:
        assert all(result.return_value > 0 for result in await results(recipe))
        assert exterview.logins == 1
        exterview.revoke()
        assert not any(result.is_err for result in await results(recipe))
        assert exterview.logins == 2


async def test_a_login_that_is_down_fails_the_tasks(exterview: ThreadedEmulator) -> None:
    """Each has the typed error, and they cost one login."""
    exterview.fail_logins(1, retry_after=60)
    async with worker() as recipe:
        errors = [result.error for result in await results(recipe)]
    assert {type(error) for error in errors} == {LoginUnavailableError}
    assert {error.retry_after is not None and error.retry_after > 30 for error in errors} == {True}
    assert exterview.logins == 1


async def test_a_wrong_password_fails_the_tasks(exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent once, and no result shows it."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with worker() as recipe:
        found = await results(recipe)
    assert {type(result.error) for result in found} == {CredentialsRejectedError}
    shown = "".join(result.model_dump_json() for result in found)
    assert hides_secrets(shown, exterview)
    assert "not-the-password" not in shown
    assert exterview.logins == 1


async def test_a_missing_variable_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, and nothing is open yet."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    recipe = fresh("with_taskiq")
    with pytest.raises(ConfigurationError, match="set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"):
        await recipe.broker.startup()
