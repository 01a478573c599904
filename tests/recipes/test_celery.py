"""Celery with a real worker in this process: its in-memory broker, and the pool ``solo``."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from celery import signals
from celery.app.log import Logging
from celery.contrib.testing.worker import start_worker

from exterview_auth import AuthSession, ConfigurationError, ExterviewAuth, MemoryStore
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import hides_secrets

pytestmark = pytest.mark.usefixtures("exterview_env")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as a process has it: imported once, because Celery knows a task by its name, with an owner of this test."""
    module = importlib.import_module("tests.recipes.with_celery")
    monkeypatch.setattr(module, "auth", ExterviewAuth.from_env())
    monkeypatch.setattr(
        Logging, "setup", lambda *_, **__: None
    )  # which would configure this process's logging for good
    return module


@contextlib.contextmanager
def worker(recipe: ModuleType) -> Iterator[None]:
    """A worker that has started."""
    recipe.app.conf.update(result_backend="cache+memory://")
    with start_worker(recipe.app, perform_ping_check=False):
        yield


def counts(recipe: ModuleType, tasks: int = 5) -> set[int]:
    """Return what *tasks* sent together return."""
    results = [recipe.count_interviews.delay() for _ in range(tasks)]
    return {result.get(timeout=60) for result in results}


def test_tasks_cost_one_login(recipe: ModuleType, exterview: ThreadedEmulator) -> None:
    """The token outlives the event loop of a task, and a revocation costs one login more, which no task notices."""
    with worker(recipe):
        (count,) = counts(recipe)
        assert count > 0
        assert exterview.logins == 1
        exterview.revoke()
        assert counts(recipe) == {count}
        assert exterview.logins == 2


def test_a_login_that_is_down_puts_the_task_off(recipe: ModuleType, exterview: ThreadedEmulator) -> None:
    """The worker tries again when the login endpoint says so."""
    exterview.fail_logins(1, retry_after=60)
    put_off: list[Any] = []
    heard = threading.Event()

    def hear(reason: Any, **_: Any) -> None:
        put_off.append(reason)
        heard.set()

    with worker(recipe):
        signals.task_retry.connect(hear, weak=False, dispatch_uid="test")
        try:
            recipe.count_interviews.delay()
            assert heard.wait(60)
        finally:
            signals.task_retry.disconnect(dispatch_uid="test")
    assert [(type(reason.exc).__name__, reason.when) for reason in put_off] == [("LoginUnavailableError", 60)]
    assert exterview.logins == 1


def test_a_wrong_password_fails_the_task(
    recipe: ModuleType,
    exterview: ThreadedEmulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not tried again, and neither result, traceback nor log shows a secret."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    monkeypatch.setattr(recipe, "auth", ExterviewAuth.from_env())
    with worker(recipe):
        result = recipe.count_interviews.delay()
        error = result.get(timeout=60, propagate=False)
    shown = f"{error!r} {error} {result.traceback} {caplog.text}"
    assert "raised unexpected: CredentialsRejectedError" in caplog.text
    assert type(error).__name__ == "CredentialsRejectedError"
    assert hides_secrets(shown, exterview)
    assert "not-the-password" not in shown
    assert exterview.logins == 1


async def test_tasks_in_two_threads_at_once_are_one_sentence(recipe: ModuleType) -> None:
    """An owner works on one event loop at a time; the pool ``threads`` needs one owner for each thread."""
    await recipe.auth.token()  # this loop is the first thread's
    with pytest.raises(ConfigurationError, match="create one owner for each loop and let them share a store"):
        await asyncio.to_thread(recipe.count_interviews)
    await recipe.auth.aclose()


def test_threads_share_a_token_through_a_store_in_memory(exterview: ThreadedEmulator) -> None:
    """Each task opens an owner over it; all of them at once cost one login, and one more after a revocation."""
    store = MemoryStore()

    async def task() -> None:
        async with aiohttp.ClientSession() as http, ExterviewAuth.from_env(store=store) as auth:
            await AuthSession(http, auth).graphql("{ __typename }")

    with ThreadPoolExecutor(4) as threads:
        for logins in (1, 2):
            for done in [threads.submit(lambda: asyncio.run(task())) for _ in range(8)]:
                done.result(timeout=60)
            assert exterview.logins == logins
            exterview.revoke()


def test_processes_share_a_token_through_a_store(
    recipe: ModuleType, exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process that starts later needs no login."""
    monkeypatch.setenv("EXTERVIEW_STORE", str(tmp_path / "tokens"))
    for _ in range(2):
        monkeypatch.setattr(recipe, "auth", ExterviewAuth.from_env())
        assert recipe.count_interviews() > 0
    assert exterview.logins == 1


def test_a_missing_variable_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker names it, and takes no task."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    command = [sys.executable, "-m", "celery", "-A", "tests.recipes.with_celery", "worker"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE" in done.stderr
