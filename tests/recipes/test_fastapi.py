"""FastAPI on uvicorn."""

from __future__ import annotations

import pytest

from exterview_auth import ConfigurationError
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import hides_secrets, refusal, served, statuses
from tests.recipes.with_fastapi import app, lifespan

pytestmark = pytest.mark.usefixtures("exterview_env")


async def test_requests_at_once_cost_one_login(exterview: ThreadedEmulator) -> None:
    """From the first request on, and again after a revocation, which no caller notices."""
    async with served(app) as base:
        assert await statuses(f"{base}/interviews") == {200}
        assert exterview.logins == 1
        exterview.revoke()
        assert await statuses(f"{base}/interviews") == {200}
        assert exterview.logins == 2


async def test_a_login_that_is_down_is_a_503(exterview: ThreadedEmulator) -> None:
    """The caller learns when to come back, and nothing else."""
    exterview.fail_logins(1, retry_after=60)
    async with served(app) as base:
        assert await refusal(f"{base}/interviews") == (503, "60", '{"detail":"try again later"}')
    assert exterview.logins == 1


async def test_a_wrong_password_is_a_500_for_the_operator(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what was rejected, and shows no secret."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with served(app) as base:
        assert await refusal(f"{base}/interviews") == (500, None, "Internal Server Error")
    assert "CredentialsRejectedError" in caplog.text
    assert hides_secrets(caplog.text, exterview)
    assert "not-the-password" not in caplog.text


async def test_a_missing_variable_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, and nothing stays open."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    with pytest.raises(ConfigurationError, match="set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"):
        async with lifespan(app):
            pass
