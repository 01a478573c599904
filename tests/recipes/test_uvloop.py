"""uvloop as the loop of a program. ``test_aiohttp_web`` has aiohttp's server on it."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import aiohttp
import pytest
import uvloop

from exterview_auth import AuthSession, ExterviewAuth
from exterview_auth.testing import ThreadedEmulator
from tests.recipes import with_uvloop
from tests.recipes.running import REQUESTS, hides_secrets

pytestmark = pytest.mark.usefixtures("exterview_env")


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
