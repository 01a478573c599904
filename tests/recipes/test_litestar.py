"""Litestar on uvicorn."""

from __future__ import annotations

import logging

import pytest
from litestar import Litestar
from litestar.logging import LoggingConfig

from exterview_auth import ConfigurationError
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import fresh, hides_secrets, one_login_per_storm, refusal, served, statuses

pytestmark = pytest.mark.usefixtures("exterview_env")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Litestar:
    """The application, which configures no logging here: it would replace the handlers of the whole test run."""
    monkeypatch.setattr(LoggingConfig, "configure", lambda _: logging.getLogger)
    made: Litestar = fresh("with_litestar").app
    return made


async def test_requests_at_once_cost_one_login(app: Litestar, exterview: ThreadedEmulator) -> None:
    """From the first request on, and again after a revocation, which no caller notices."""
    async with served(app) as base:
        await one_login_per_storm(exterview, lambda: statuses(f"{base}/interviews"))


async def test_a_login_that_is_down_is_a_503(app: Litestar, exterview: ThreadedEmulator) -> None:
    """The caller learns when to come back, and nothing else."""
    exterview.fail_logins(1, retry_after=60)
    async with served(app) as base:
        assert await refusal(f"{base}/interviews") == (503, "60", '{"detail":"try again later"}')
    assert exterview.logins == 1


async def test_a_wrong_password_is_a_500_for_the_operator(
    app: Litestar, exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what was rejected, and shows no secret."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with served(app) as base:
        assert await refusal(f"{base}/interviews") == (
            500,
            None,
            '{"status_code":500,"detail":"Internal Server Error"}',
        )
    assert "logins.paused" in caplog.text
    assert "CredentialsRejectedError" in caplog.text
    assert hides_secrets(caplog.text, exterview)
    assert "not-the-password" not in caplog.text


async def test_a_missing_variable_ends_the_start(app: Litestar, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, and nothing stays open."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    with pytest.raises(ExceptionGroup) as caught:
        async with app.lifespan():
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert "set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE" in str(error)
