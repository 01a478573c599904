"""A pool of accounts behind FastAPI on uvicorn."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from redis.asyncio import Redis

from exterview_auth._cli.demo.redis_server import LocalRedis
from exterview_auth.testing import ThreadedEmulator
from tests.kit.redis_server import redis_binary
from tests.recipes.running import hides_secrets, refusal, served, statuses
from tests.recipes.with_accounts import app

pytestmark = pytest.mark.usefixtures("exterview_env")


@pytest.fixture(autouse=True)
def _accounts(exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two accounts with the right password, and one with another."""
    for account, password in (("ACME", exterview.password), ("GLOBEX", exterview.password), ("INITECH", "not-it")):
        monkeypatch.setenv(f"{account}_EMAIL", exterview.email)
        monkeypatch.setenv(f"{account}_PASSWORD", password)


async def test_each_account_costs_one_login(exterview: ThreadedEmulator) -> None:
    """However many requests of it come at once; again after a revocation, which no caller notices."""
    async with served(app) as base:
        for logins in (2, 4):
            for account in ("acme", "globex"):
                assert await statuses(f"{base}/{account}/interviews") == {200}
            assert exterview.logins == logins
            exterview.revoke()


async def test_worker_processes_share_each_accounts_token(
    exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second start of the application finds what the first one saved, an entry for each account."""
    monkeypatch.setenv("EXTERVIEW_STORE", str(tmp_path / "tokens"))
    for _ in range(2):
        async with served(app) as base:
            for account in ("acme", "globex"):
                assert await statuses(f"{base}/{account}/interviews") == {200}
    assert exterview.logins == 2


async def test_the_stores_key_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Or tokens that the variables say to encrypt would lie there as they are; two keys, while one replaces the other."""
    (tmp_path / "keys").write_text(f"{Fernet.generate_key().decode()},{Fernet.generate_key().decode()}\n")
    monkeypatch.setenv("EXTERVIEW_STORE", str(tmp_path / "tokens"))
    monkeypatch.setenv("EXTERVIEW_STORE_KEY_FILE", str(tmp_path / "keys"))
    async with served(app) as base:
        assert await statuses(f"{base}/acme/interviews") == {200}
    [entry] = (tmp_path / "tokens").glob("*.token")
    assert b'"token"' not in entry.read_bytes()


async def test_all_accounts_share_one_store(exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many accounts there are, the process has the connections of one store."""
    async with LocalRedis(program=redis_binary()) as redis, Redis.from_url(redis.url) as admin:
        monkeypatch.setenv("EXTERVIEW_STORE", redis.url)
        accounts = [f"account{number}" for number in range(8)]
        for account in accounts:
            monkeypatch.setenv(f"{account.upper()}_EMAIL", exterview.email)
            monkeypatch.setenv(f"{account.upper()}_PASSWORD", exterview.password)
        async with served(app) as base:
            for account in accounts:
                assert await statuses(f"{base}/{account}/interviews", 1) == {200}
            assert len(await admin.client_list()) <= 1 + 2
        assert len(await admin.client_list()) == 1
    assert exterview.logins == len(accounts)


async def test_a_wrong_password_is_that_accounts_alone(
    exterview: ThreadedEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the account and no secret, and the others are served."""
    async with served(app) as base:
        assert (await refusal(f"{base}/initech/interviews"))[0] == 500
        assert await statuses(f"{base}/acme/interviews") == {200}
    assert "account='initech'" in caplog.text
    assert hides_secrets(caplog.text, exterview)
    assert "not-it" not in caplog.text


async def test_an_account_that_nobody_has_is_a_404(exterview: ThreadedEmulator) -> None:
    """Nothing is sent for it."""
    async with served(app) as base:
        assert await refusal(f"{base}/hooli/interviews") == (404, None, '{"detail":"no such account"}')
    assert exterview.requests == 0
