"""AWS Lambda: the handler in Amazon's own runtime client, which asks a Runtime API for events as on Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import warnings
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exterview_auth import ConfigurationError
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import fresh, hides_secrets

pytestmark = [
    pytest.mark.usefixtures("exterview_env"),
    pytest.mark.skipif(find_spec("awslambdaric") is None, reason="Amazon's runtime client comes for Linux alone"),
]

RUNTIME = "/2018-06-01/runtime"


class Function:
    """The Runtime API of one instance: an event in, what the function answers out."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[int] = asyncio.Queue()
        self._answers: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._sent = 0

    async def invoke(self) -> tuple[str, Any]:
        """Return ``response`` or ``error``, and its JSON."""
        self._sent += 1
        self._events.put_nowait(self._sent)
        return await asyncio.wait_for(self._answers.get(), 60)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get(f"{RUNTIME}/invocation/next", self._next)
        app.router.add_post(f"{RUNTIME}/{{which:.*}}/{{kind:response|error}}", self._answered)
        return app

    async def _next(self, request: web.Request) -> web.Response:
        number = await self._events.get()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": f"request-{number}",
            "Lambda-Runtime-Deadline-Ms": "32503680000000",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:0:function:interviews",
        }
        return web.json_response({"rawPath": "/interviews"}, headers=headers)

    async def _answered(self, request: web.Request) -> web.Response:
        self._answers.put_nowait((request.match_info["kind"], await request.json()))
        return web.json_response({"status": "OK"}, status=202)


class Instance(NamedTuple):
    """A function, and what it has printed once it has ended."""

    function: Function
    printed: list[str]


@contextlib.asynccontextmanager
async def instance() -> AsyncIterator[Instance]:
    """Amazon's runtime client in a process of its own, with the recipe as its handler."""
    function, printed = Function(), list[str]()
    async with TestServer(function.application()) as server:
        environ = {**os.environ, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.port}"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-m", "awslambdaric", "tests.recipes.with_lambda.handler",
            env=environ, cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield Instance(function, printed)
        finally:
            process.kill()
            out, _ = await process.communicate()
            printed.append(out.decode())


async def test_invocations_cost_one_login(exterview: ThreadedEmulator) -> None:
    """The token outlives the event loop of an invocation, and a revocation costs one login more, which nobody notices."""
    async with instance() as (function, _):
        for _ in range(3):
            kind, answer = await function.invoke()
            assert (kind, answer["statusCode"]) == ("response", 200)
            assert json.loads(answer["body"])
        assert exterview.logins == 1
        exterview.revoke()
        for _ in range(2):
            assert (await function.invoke())[1]["statusCode"] == 200
        assert exterview.logins == 2


async def test_a_login_that_is_down_is_a_503(exterview: ThreadedEmulator) -> None:
    """The caller learns when to come back, and nothing else."""
    exterview.fail_logins(1, retry_after=60)
    async with instance() as (function, _):
        assert await function.invoke() == ("response", {"statusCode": 503, "headers": {"Retry-After": "60"}})
    assert exterview.logins == 1


async def test_a_wrong_password_fails_the_invocation(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the invocation's error nor the log shows a secret, and the password is sent once."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with instance() as (function, printed):
        for _ in range(2):
            kind, error = await function.invoke()
            assert (kind, error["errorType"]) == ("error", "CredentialsRejectedError")
    shown = json.dumps(error) + printed[0]
    assert "CredentialsRejectedError" in printed[0]
    assert hides_secrets(shown, exterview)
    assert "not-the-password" not in shown
    assert exterview.logins == 1


def test_a_missing_variable_ends_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, before an event is asked for."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    with pytest.raises(ConfigurationError, match="set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"):
        fresh("with_lambda")


@pytest.mark.parametrize("kind", ["file", "redis"])
def test_instances_share_a_token_through_a_store(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str, kind: str
) -> None:
    """A second instance needs no login, although each invocation has another event loop."""
    monkeypatch.setenv("EXTERVIEW_STORE", redis_url if kind == "redis" else str(tmp_path / "tokens"))
    for _ in range(2):
        recipe = fresh("with_lambda")
        assert [recipe.handler({}, None)["statusCode"] for _ in range(2)] == [200, 200]
        # Nothing closes the owner. Its connection to Redis ended with the event loop: it is collected here, in silence.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del recipe.auth
            gc.collect()
    assert exterview.logins == 1
