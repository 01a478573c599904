"""aiohttp.web with ``cleanup_ctx``, in this process and as a program."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer, unused_port

from exterview_auth import ConfigurationError
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import hides_secrets, one_login_per_storm, refusal, statuses
from tests.recipes.with_aiohttp_web import make_app

pytestmark = pytest.mark.usefixtures("exterview_env")


async def test_requests_at_once_cost_one_login(exterview: ThreadedEmulator) -> None:
    """From the first request on, and again after a revocation, which no caller notices."""
    async with TestServer(await make_app()) as server:
        url = str(server.make_url("/interviews"))
        await one_login_per_storm(exterview, lambda: statuses(url))


async def test_a_login_that_is_down_is_a_503(exterview: ThreadedEmulator) -> None:
    """The caller learns when to come back, and nothing else."""
    exterview.fail_logins(1, retry_after=60)
    async with TestServer(await make_app()) as server:
        answer = await refusal(str(server.make_url("/interviews")))
    assert answer == (503, "60", "503: Service Unavailable")
    assert exterview.logins == 1


async def test_a_wrong_password_is_a_500_for_the_operator(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what was rejected, and shows no secret."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with TestServer(await make_app()) as server:
        status, retry_after, _ = await refusal(str(server.make_url("/interviews")))
    assert (status, retry_after) == (500, None)
    assert "CredentialsRejectedError" in caplog.text
    assert hides_secrets(caplog.text, exterview)
    assert "not-the-password" not in caplog.text


async def test_a_missing_variable_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, and nothing stays open."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    server = TestServer(await make_app())
    with pytest.raises(ConfigurationError, match="set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"):
        await server.start_server()
    await server.close()


ON_UVLOOP = """
import os

import uvloop
from aiohttp import web
from tests.recipes.with_aiohttp_web import make_app

web.run_app(make_app(), port=int(os.environ["PORT"]), loop=uvloop.new_event_loop())
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(["tests/recipes/with_aiohttp_web.py"], id="asyncio"),
        pytest.param(["-c", ON_UVLOOP], id="uvloop"),
    ],
)
async def test_the_program_serves_until_it_is_terminated(exterview: ThreadedEmulator, program: list[str]) -> None:
    """It shows what the library warns of, ends with 0, and leaves nothing open."""
    port = unused_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-u", *program,
        env={**os.environ, "PORT": str(port)}, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert b"Running on" in await process.stdout.readline()
        exterview.fail_logins(1)
        assert await statuses(f"http://127.0.0.1:{port}/interviews") == {200}
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    (failed,) = errors.splitlines()
    assert failed.startswith(b"WARNING:exterview_auth:login.failed")
    assert process.returncode == 0
    assert exterview.logins == 2
