"""A store of one's own in the real `keyring`, with a backend in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import aiohttp
import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import PasswordDeleteError

from exterview_auth import AuthSession, ExterviewAuth, Token, TokenStore
from exterview_auth.testing import ThreadedEmulator
from tests.recipes.running import REQUESTS, hides_secrets
from tests.recipes.with_keyring import KeyringStore

pytestmark = pytest.mark.usefixtures("exterview_env")


class InMemory(KeyringBackend):
    """A keyring that forgets everything with the test."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("there is none")


@pytest.fixture
def backend() -> Iterator[InMemory]:
    """The keyring of this process."""
    before, backend = keyring.get_keyring(), InMemory()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


async def storm(auth: ExterviewAuth) -> None:
    """Send requests at once, all of which succeed."""
    async with aiohttp.ClientSession() as http:
        api = AuthSession(http, auth)
        await asyncio.gather(*(api.graphql("{ __typename }") for _ in range(REQUESTS)))


async def test_owners_share_one_login(exterview: ThreadedEmulator, backend: InMemory) -> None:
    """At the start, and again after a revocation, which no request notices."""
    store = KeyringStore()
    assert isinstance(store, TokenStore)
    async with ExterviewAuth.from_env(store=store) as one, ExterviewAuth.from_env(store=store) as other:
        for logins in (1, 2):
            await asyncio.gather(storm(one), storm(other))
            assert exterview.logins == logins
            exterview.revoke()
        assert one.stats().adopted + other.stats().adopted >= 1
    assert len(backend.entries) == 1


async def test_a_process_that_starts_later_needs_no_login(exterview: ThreadedEmulator, backend: InMemory) -> None:
    """It has a store of its own, and finds the token with what is left of its life."""
    for _ in range(2):
        async with ExterviewAuth.from_env(store=KeyringStore()) as auth:
            token = await auth.token()
            assert token.expires_in is not None
            assert 3000 < token.expires_in <= 3600
    assert exterview.logins == 1


@pytest.mark.exterview(login_delay=0.2)
async def test_processes_that_log_in_at_once_lose_nothing(exterview: ThreadedEmulator, backend: InMemory) -> None:
    """Their locks are their own, so that each may log in; all requests succeed, and one entry stays."""
    one, other = (ExterviewAuth.from_env(store=KeyringStore()) for _ in range(2))
    async with one, other:
        await asyncio.gather(storm(one), storm(other))
    assert exterview.logins in {1, 2}
    assert len(backend.entries) == 1


async def test_a_logout_removes_the_entry(exterview: ThreadedEmulator, backend: InMemory) -> None:
    """Also twice, although a keyring complains when there is none."""
    async with ExterviewAuth.from_env(store=KeyringStore()) as auth:
        await auth.token()
        assert len(backend.entries) == 1
        await auth.logout()
        assert backend.entries == {}
        await auth.logout()


@pytest.mark.parametrize(
    ("token", "left"),
    [
        pytest.param(Token("opaque"), None, id="without an end"),
        pytest.param(Token("opaque", refresh_token="again"), None, id="with a refresh token"),
        pytest.param(Token("opaque", expires_in=100), 100, id="with an end"),
        pytest.param(Token("opaque", expires_in=100).with_remaining(0), 0, id="over"),
    ],
)
async def test_a_token_comes_back_as_it_was(backend: InMemory, token: Token, left: float | None) -> None:
    """With its refresh token, and its lifetime less the time since."""
    store = KeyringStore()
    await store.save("account", token)
    found = await store.load("account")
    assert found is not None
    assert (found.value, found.refresh_token) == (token.value, token.refresh_token)
    assert (found.expires_in is None) == (left is None)
    assert left is None or left - 60 < (found.expires_in or 0.0) <= left


async def test_without_a_keyring_each_process_logs_in(
    exterview: ThreadedEmulator, backend: InMemory, caplog: pytest.LogCaptureFixture
) -> None:
    """All requests succeed, and one warning says what is wrong, without a secret."""
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]  # what `keyring` finds in a container
    with caplog.at_level(logging.WARNING, logger="exterview_auth"):
        async with ExterviewAuth.from_env(store=KeyringStore()) as auth:
            await storm(auth)
    assert exterview.logins == 1
    assert [record.message.split()[0] for record in caplog.records] == ["store.unavailable"]
    assert "NoKeyringError" in caplog.text
    assert hides_secrets(caplog.text, exterview)
