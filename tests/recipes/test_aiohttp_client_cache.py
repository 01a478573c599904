"""The recipe for aiohttp-client-cache."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp_client_cache import CachedSession, SQLiteBackend

from exterview_auth import AuthSession, CredentialsRejectedError, ExterviewAuth
from exterview_auth.testing import ThreadedEmulator, expect
from tests.kit.showing import assert_shows_none

from .with_aiohttp_client_cache import exterview as sessions
from .with_aiohttp_client_cache import main

pytestmark = pytest.mark.usefixtures("exterview_env")


def files_in(directory: Path) -> list[bytes]:
    """Return the contents of the caches there."""
    return [path.read_bytes() for path in directory.glob("*.sqlite")]


def query(number: int) -> str:
    """Return a query that no other number has."""
    return f"query {{ candidates{number}: getCandidates(input: {{pageSize: {number}}}) {{ pageSize }} }}"


async def test_the_program_runs_as_it_is(
    exterview: ThreadedEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints the same answer twice, of which the API gave one."""
    monkeypatch.chdir(tmp_path)
    with expect(exterview, requests=2, logins=1):
        await main()
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


async def test_requests_share_one_login(exterview: ThreadedEmulator, tmp_path: Path) -> None:
    """Thirty at once make one login at the start, and one after the token was revoked; nobody notices."""
    async with ExterviewAuth.from_env() as auth, sessions(auth, tmp_path) as (queries, _):
        for first in (1, 31):
            with expect(exterview, logins=1):
                await asyncio.gather(*(queries.graphql(query(first + number)) for number in range(30)))
            exterview.revoke()


async def test_what_is_kept_needs_no_login(exterview: ThreadedEmulator, tmp_path: Path) -> None:
    """Also in the next run of the application, and while the login is down."""
    for requests in (2, 0):
        with expect(exterview, requests=requests):
            async with ExterviewAuth.from_env() as auth, sessions(auth, tmp_path) as (queries, _):
                assert await queries.graphql(query(1)) == {"candidates1": {"pageSize": 1}}
        exterview.fail_logins(100, retry_after=3600)


async def test_accounts_do_not_see_each_others_answers(exterview: ThreadedEmulator, tmp_path: Path) -> None:
    """Each has its own file, so that the second account's query is answered by the API."""
    for account in ("acme", "globex"):
        with expect(exterview, logins=1, requests=2):
            async with ExterviewAuth.from_env(account=account) as auth, sessions(auth, tmp_path) as (queries, _):
                await queries.graphql(query(1))
    assert len(files_in(tmp_path)) == 2


async def test_a_mutation_is_sent_each_time(exterview: ThreadedEmulator, tmp_path: Path) -> None:
    """It goes through the second session, which has the same token."""
    exterview.answer("Rename", data={"renamed": True})
    async with ExterviewAuth.from_env() as auth, sessions(auth, tmp_path) as (queries, others):
        await queries.graphql(query(1))
        with expect(exterview, requests=2, logins=0):
            for _ in range(2):
                await others.graphql("mutation Rename { renamed }")


async def test_the_file_holds_no_credential(exterview: ThreadedEmulator, tmp_path: Path) -> None:
    """The cache saves a request's headers with its answer; token and API key are not among them."""
    async with ExterviewAuth.from_env() as auth, sessions(auth, tmp_path) as (queries, _):
        await queries.graphql(query(1))
        token = (await auth.token()).value
    (saved,) = files_in(tmp_path)
    assert b"pageSize" in saved
    for secret in (token, exterview.api_key, exterview.password, exterview.email):
        assert secret.encode() not in saved


async def test_without_the_serializer_a_request_raises(exterview: ThreadedEmulator, tmp_path: Path) -> None:
    """Nothing is saved, rather than a credential."""
    cache = SQLiteBackend(str(tmp_path / "cache.sqlite"), allowed_methods=("POST",))
    async with ExterviewAuth.from_env() as auth, CachedSession(cache=cache) as cached:
        with pytest.raises(TypeError, match="holds a secret and cannot be pickled") as caught:
            await AuthSession(cached, auth).graphql(query(1))
    assert_shows_none(caught.value, exterview.api_key)
    (saved,) = files_in(tmp_path)
    assert exterview.api_key.encode() not in saved


async def test_wrong_credentials_are_one_clear_error_that_is_not_kept(
    exterview: ThreadedEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exterview_env: Any
) -> None:
    """Ten queries make one login, and the next owner, with the right password, is answered."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with ExterviewAuth.from_env() as auth, sessions(auth, tmp_path) as (queries, _):
        with expect(exterview, logins=1, requests=1):
            asked = (queries.graphql(query(1)) for _ in range(10))
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, CredentialsRejectedError)
        assert_shows_none(outcome, "not-the-password", exterview.api_key)
    monkeypatch.setenv("EXTERVIEW_PASSWORD", exterview.password)
    async with ExterviewAuth.from_env() as auth, sessions(auth, tmp_path) as (queries, _):
        assert await queries.graphql(query(1)) == {"candidates1": {"pageSize": 1}}
