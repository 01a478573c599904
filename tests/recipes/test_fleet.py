"""taskiq's workers as processes, with its broker on a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from exterview_auth import ConfigurationError
from exterview_auth._cli.demo.redis_server import LocalRedis
from exterview_auth.testing import ThreadedEmulator
from tests.kit.redis_server import redis_binary
from tests.recipes.running import REQUESTS, fresh

if "CI" not in os.environ:
    pytest.importorskip("taskiq_redis")

pytestmark = pytest.mark.usefixtures("exterview_env")

ACCOUNTS = ("acme", "globex")

WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from taskiq.__main__ import main; main()"
"""``taskiq`` on asyncio's own loop, which a signal does not wake by itself."""


@contextlib.asynccontextmanager
async def fleet(exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[ModuleType, str]]:
    """Two workers, and the recipe as a client that sends them tasks; where the first worker's metrics are."""
    port = unused_port()
    async with LocalRedis(program=redis_binary()) as redis:
        variables = {"EXTERVIEW_STORE": redis.url, "QUEUE_URL": redis.url, "METRICS_PORT": str(port)}
        for account in ACCOUNTS:
            variables |= {
                f"{account.upper()}_EMAIL": exterview.email,
                f"{account.upper()}_PASSWORD": exterview.password,
            }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        recipe = fresh("with_fleet")
        workers = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WITHOUT_UVLOOP, "worker", "tests.recipes.with_fleet:broker", "--workers", "2",
            env=dict(os.environ), cwd=Path(__file__).parents[2], stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await recipe.broker.startup()
            yield recipe, f"http://127.0.0.1:{port}/metrics"
        finally:
            await recipe.broker.shutdown()
            workers.terminate()
            await asyncio.wait_for(workers.wait(), 12)  # idle workers end, too; taskiq kills them after 16 s


async def counts(recipe: ModuleType, account: str) -> list[int]:
    """Return the results of tasks at once for *account*."""
    tasks = [await recipe.count_interviews.kiq(account) for _ in range(REQUESTS)]
    results = await asyncio.gather(*(task.wait_result(check_interval=0.02, timeout=60) for task in tasks))
    return [result.return_value for result in results if not result.is_err]


async def test_a_fleet_logs_in_once_for_each_account(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first task on, and again after a revocation; the metrics name the account."""
    async with fleet(exterview, monkeypatch) as (recipe, metrics):
        for logins in (2, 4):
            for account in ACCOUNTS:
                assert len(await counts(recipe, account)) == REQUESTS
            assert exterview.logins == logins
            exterview.revoke()
        async with aiohttp.ClientSession() as http, http.get(metrics) as answer:
            named = re.findall(r'exterview_auth_account_name="(\w+)"', await answer.text())
    assert set(named) == set(ACCOUNTS)


def test_the_stores_keys_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Or tokens that the variables say to encrypt would lie in Redis as they are."""
    recipe = fresh("with_fleet")
    assert recipe.store_keys() is None
    (tmp_path / "key").write_text("new, old\n")
    monkeypatch.setenv("EXTERVIEW_STORE_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("EXTERVIEW_STORE_KEY", "")
    assert recipe.store_keys() == ["new", "old"]
    (tmp_path / "key").write_text("\n")
    monkeypatch.setenv("EXTERVIEW_STORE", "redis://127.0.0.1:1/0")
    with pytest.raises(ConfigurationError, match="encryption_key"):  # a file that is empty is no wish to do without
        recipe.common_store()
    monkeypatch.setenv("EXTERVIEW_STORE_KEY", "itself")
    assert recipe.store_keys() == ["itself"]


@pytest.mark.parametrize("place", [None, ""])
def test_a_fleet_without_a_store_says_what_to_set(monkeypatch: pytest.MonkeyPatch, place: str | None) -> None:
    """Each worker would log in for itself; the log of one that does not start has a sentence, and not a name alone."""
    if place is None:
        monkeypatch.delenv("EXTERVIEW_STORE", raising=False)
    else:
        monkeypatch.setenv("EXTERVIEW_STORE", place)
    with pytest.raises(RuntimeError, match=r"^EXTERVIEW_STORE is not set; set it to "):
        fresh("with_fleet").common_store()


def test_a_worker_waits_for_its_next_task_as_long_as_it_takes() -> None:
    """redis-py's own socket timeout of 5 s would end it; the broker passes ours on to its connections."""
    pool = fresh("with_fleet").broker.connection_pool
    assert pool.connection_kwargs["socket_timeout"] is None
