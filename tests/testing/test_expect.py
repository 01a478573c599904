"""`expect`: how often an application logs in."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from exterview_auth import AuthSession, ConfigurationError, ExterviewAuth, PasswordLogin
from exterview_auth.emulator import Emulator
from exterview_auth.testing import Clock, ThreadedEmulator, expect
from tests.kit.api import KEY, until


async def ask(emulator: Emulator, times: int = 1) -> None:
    """Send so many requests with an owner that has no token."""
    login = PasswordLogin(emulator.email, emulator.password)
    owner = ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint)
    async with owner as auth, aiohttp.ClientSession() as http:
        api = AuthSession(http, auth)
        await asyncio.gather(*(api.graphql("query { __typename }") for _ in range(times)))


async def test_what_the_block_causes_is_counted() -> None:
    """And nothing before it; what is not given is not checked."""
    async with Emulator() as emulator:
        await ask(emulator)
        with expect(emulator, logins=1, requests=4, refused=0):
            await ask(emulator, times=3)
        with expect(emulator, logins=1):
            await ask(emulator)


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        ({"logins": 2}, "expected 2 logins with a valid API key, the emulator saw 1"),
        ({"logins": 1, "refused": 1}, "expected 1 request answered 401, the emulator saw 0"),
        (
            {"logins": 0, "requests": 1},
            "expected 0 logins with a valid API key, the emulator saw 1; expected 1 request, the emulator saw 2",
        ),
    ],
)
async def test_another_number_fails_the_test(expected: dict[str, int], sentence: str) -> None:
    """The sentence has what was expected and what was seen, and what counts as such."""
    async with Emulator() as emulator:
        with pytest.raises(AssertionError) as caught, expect(emulator, **expected):
            await ask(emulator)
        assert str(caught.value) == sentence


async def test_what_a_block_causes_in_the_background_is_awaited() -> None:
    """With ``async with``: a renewal ahead that is due is answered at the block's end."""
    async with Emulator(clock=(clock := Clock()), login_delay=0.05) as emulator:
        login = PasswordLogin(emulator.email, emulator.password)
        owner = ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint, clock=clock)
        async with owner as auth, aiohttp.ClientSession() as http:
            api = AuthSession(http, auth)
            async with expect(emulator, logins=1, requests=2, refused=0):
                await api.graphql("query { __typename }")
            async with expect(emulator, logins=1, refused=0):
                clock.advance(3500)
            assert emulator.journal[-1].status == 200
            assert emulator.stats().requests_running == 0


async def test_an_answer_has_been_read_at_the_end_of_a_block_that_waits() -> None:
    """A login that is answered 503 pauses then, so that an advance moves the pause and not the attempt."""
    with ThreadedEmulator(login_delay=0.05) as emulator:
        login = PasswordLogin(emulator.email, emulator.password)
        owner = ExterviewAuth(login, api_key=emulator.api_key, endpoint=emulator.endpoint, clock=emulator.clock)
        emulator.fail_logins(1, retry_after=20)
        async with owner as auth:
            async with expect(emulator, logins=1):
                asking = asyncio.ensure_future(auth.token())
                await until(lambda: emulator.stats().logins_running == 1)
                while emulator.stats().requests_running:
                    pass  # this loop stands still, so that the answer waits in its socket
            emulator.clock.advance(21)
            await asking


@pytest.mark.parametrize("number", [0, 2])
async def test_what_does_not_come_fails_after_the_timeout(number: int) -> None:
    """And what has come too often fails at once."""
    async with Emulator() as emulator:
        with pytest.raises(
            AssertionError, match=f"^expected {number} logins with a valid API key, the emulator saw 1$"
        ):
            async with expect(emulator, logins=number, timeout=0.05):
                await ask(emulator)


async def test_only_async_with_waits() -> None:
    """A timeout for the other is one sentence, and so is what is no time."""
    async with Emulator() as emulator:
        with pytest.raises(ConfigurationError, match="use 'async with expect"), expect(emulator, logins=1, timeout=1):
            raise AssertionError("the block ran")
        with pytest.raises(ConfigurationError, match=r"^the timeout of expect must be a number of seconds"):
            expect(emulator, logins=1, timeout=-1)


async def test_a_reset_in_the_block_is_named() -> None:
    """Whatever was expected: what was seen before it is not known any more."""
    async with Emulator() as emulator:
        await ask(emulator)
        sentence = "^the emulator was reset in the block of expect, which cannot count across a reset$"
        for count in (0, 1):
            with pytest.raises(AssertionError, match=sentence), expect(emulator, logins=count):
                emulator.reset()
        with pytest.raises(AssertionError, match=sentence):
            async with expect(emulator, logins=7):
                emulator.reset()


async def test_an_error_of_the_block_is_the_tests() -> None:
    """It is not hidden by a wrong number."""
    async with Emulator() as emulator:
        with pytest.raises(ZeroDivisionError), expect(emulator, logins=7):
            raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError):
            async with expect(emulator, logins=7):
                raise ZeroDivisionError


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "^expect needs a number to check: logins=, requests= or refused=$"),
        ({"logins": -1}, "^expect counts logins by a whole number, not -1$"),
        ({"refused": 1.5}, "^expect counts refused requests by a whole number, not 1.5$"),
        ({"requests": True}, "^expect counts requests by a whole number, not True$"),
    ],
)
async def test_a_wrong_number_is_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    """Before the block runs."""
    async with Emulator() as emulator:
        assert emulator.api_key != KEY
        with pytest.raises(ConfigurationError, match=sentence), expect(emulator, **arguments):
            raise AssertionError("the block ran")


@pytest.mark.parametrize("other", [Emulator, "http://127.0.0.1/graphql", None])
def test_what_is_no_emulator_counts_nothing(other: Any) -> None:
    """The sentence says what to give in its place."""
    with pytest.raises(ConfigurationError, match=r"^expect takes the emulator, such as the fixture exterview, not "):
        expect(other, logins=1).__enter__()


async def test_an_owner_is_no_emulator() -> None:
    """It has counters of its own, and is easily taken for the other side."""
    owner = ExterviewAuth(PasswordLogin("a@example.com", "password"), api_key=KEY)
    with pytest.raises(ConfigurationError, match="not ExterviewAuth"):
        expect(owner, logins=1).__enter__()  # type: ignore[arg-type]
