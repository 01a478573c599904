"""uvloop as the loop of a program. ``test_aiohttp_web`` has aiohttp's server on it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
import uvloop
from aiohttp.test_utils import unused_port

from exterview_auth import AuthSession, ExterviewAuth
from exterview_auth.testing import ThreadedEmulator
from tests.recipes import with_uvloop
from tests.recipes.running import REQUESTS, hides_secrets, one_login_per_storm, statuses

pytestmark = pytest.mark.usefixtures("exterview_env")

ROOT = Path(__file__).parents[2]


def test_the_program_prints_one_login(exterview: ThreadedEmulator) -> None:
    """Twenty queries at once, with warnings as errors."""
    command = [sys.executable, "-W", "error", str(with_uvloop.__file__)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "20 answers, 1 login, on uvloop\n"
    assert exterview.logins == 1


def test_a_revocation_costs_one_login(exterview: ThreadedEmulator) -> None:
    """An owner of one's own on this loop: requests at once, then again after a revocation."""

    async def storm() -> None:
        async with aiohttp.ClientSession() as http, ExterviewAuth.from_env() as auth:
            api = AuthSession(http, auth)
            for logins in (1, 2):
                await asyncio.gather(*(api.graphql("{ __typename }") for _ in range(REQUESTS)))
                assert exterview.logins == logins
                exterview.revoke()

    uvloop.run(storm())


async def test_two_workers_of_gunicorn_cost_one_login(exterview: ThreadedEmulator, tmp_path: Path) -> None:
    """With aiohttp's worker on uvloop, and a store of files that the processes share."""
    port = unused_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gunicorn", "tests.recipes.with_aiohttp_web:make_app", "--bind", f"127.0.0.1:{port}",
        "--workers", "2", "--worker-class", "aiohttp.GunicornUVLoopWebWorker",
        env={**os.environ, "EXTERVIEW_STORE": str(tmp_path / "tokens"), "HOME": str(tmp_path)}, cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        while b"Booting worker" not in (line := await process.stderr.readline()):
            assert line, "gunicorn has ended"
        await one_login_per_storm(exterview, lambda: statuses(f"http://127.0.0.1:{port}/interviews"))
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in errors


def test_a_wrong_password_is_one_traceback_without_secrets(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program ends with 1 and the sentence of the error."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(with_uvloop.__file__)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("exterview_auth.errors.CredentialsRejectedError: ")
    assert hides_secrets(done.stderr, exterview)
    assert "not-the-password" not in done.stderr
    assert exterview.logins == 1
