"""`Clock`: the time of an owner's tokens, as a test moves it."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from exterview_auth import ConfigurationError, ExterviewAuth, LoginContext, LoginError, LoginUnavailableError, Token
from exterview_auth._clock import boot_time
from exterview_auth._core.account import Account
from exterview_auth._core.schedule import Scheduled, sleep
from exterview_auth.testing import Clock
from tests.kit.api import QUERY, scene, until


def test_a_clock_runs_and_can_be_advanced() -> None:
    """It begins at the real clock's time, so that timeouts which count on it end."""
    clock = Clock()
    before, now, after = boot_time(), clock(), boot_time()
    assert before <= now <= after
    clock.advance(3600)
    clock.advance(0)
    assert before + 3600 <= clock() <= boot_time() + 3600
    assert repr(clock) == "<Clock, 3600 s ahead>"


@pytest.mark.parametrize("wrong", [-1, "1", None, float("nan"), True])
def test_what_cannot_pass_is_one_sentence(wrong: Any) -> None:
    """And the clock stands where it was."""
    clock = Clock()
    with pytest.raises(ConfigurationError, match=r"^a clock advances by a number of seconds, zero or more, not "):
        clock.advance(wrong)
    assert "0 s ahead" in repr(clock)


def test_a_clock_takes_no_arguments() -> None:
    """There is nothing to choose."""
    with pytest.raises(TypeError):
        Clock(1)  # type: ignore[call-arg]


def held_by(auth: ExterviewAuth) -> Token | None:
    """Return the owner's current token; the type checker takes it for the same each time."""
    return auth.current


async def test_a_token_expires_by_its_owners_clock() -> None:
    """Without a 401, and `current` says so."""
    clock = Clock()
    async with scene(clock=clock, refresh_ahead=0) as at:
        token = await at.auth.token()
        assert held_by(at.auth) is token
        clock.advance(3500)
        assert await at.auth.token() is token
        clock.advance(100)
        assert held_by(at.auth) is None
        assert (await at.post())[0] == 200
        assert at.login.count == 2
        assert {arrival.status for arrival in at.api.arrivals} == {200}


async def test_a_renewal_that_has_become_due_begins_at_once() -> None:
    """In the background, while the old token serves."""
    clock = Clock()
    async with scene(clock=clock) as at:
        assert (await at.post())[0] == 200
        at.login.gate.clear()
        clock.advance(3400)
        await until(lambda: at.login.count == 2)
        assert (await at.post(json=QUERY))[0] == 200
        at.login.gate.set()
        await until(lambda: at.auth.stats().refreshes_ahead == 1)
        # The renewal after it is due as far ahead.
        assert (await at.post())[0] == 200
        clock.advance(3400)
        await until(lambda: at.auth.stats().refreshes_ahead == 2)


def test_a_renewal_that_begins_in_its_loops_last_turn_ends_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """A test may end right after an advance: no login begins while its loop closes, when it would be torn off."""
    clock = Clock()

    async def login(_: LoginContext) -> Token:
        return Token("token", expires_in=60)

    auth = ExterviewAuth(login, api_key="key", clock=clock)

    async def ends() -> None:
        for _ in range(2):  # a renewal is for a token that was used
            await auth.token()
        clock.advance(59)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(ends())
        gc.collect()
    assert (warned, caplog.records) == ([], [])
    asyncio.run(auth.aclose())


async def test_a_pause_after_a_failure_passes() -> None:
    """Latches open by the same clock."""
    clock = Clock()
    async with scene(clock=clock) as at:
        at.login.error = ConfigurationError("wrong")
        for _ in range(2):
            with pytest.raises(LoginError, match="wrong"):
                await at.auth.token()
        assert at.login.count == 1
        clock.advance(2)
        at.login.error = None
        assert isinstance(await at.auth.token(), Token)


async def test_the_pauses_between_the_attempts_of_a_login_pass() -> None:
    """An outage of longer than the login's time costs a test no second of its own, nor does a ``Retry-After``."""
    clock, began = Clock(), boot_time()
    async with scene(clock=clock) as at:
        at.login.error = LoginUnavailableError("down", retry_after=20)
        waiting = asyncio.ensure_future(at.auth.token())
        while not waiting.done():
            await asyncio.sleep(0.001)
            clock.advance(1)
        with pytest.raises(LoginUnavailableError, match="down"):
            await waiting
        at.login.error = None
        clock.advance(20)
        assert isinstance(await at.auth.token(), Token)
    assert boot_time() - began < 10


async def test_a_pause_ends_when_all_of_it_has_passed() -> None:
    """An advance by a part of it shortens what is left; it keeps no timer, also if it is cancelled."""
    clock = Clock()
    account = Account(clock=clock)
    pause = asyncio.ensure_future(sleep(60, account))
    await asyncio.sleep(0)
    clock.advance(40)
    await asyncio.sleep(0.01)
    assert not pause.done()
    clock.advance(20)
    await pause
    await sleep(0.001, account)
    cancelled = asyncio.ensure_future(sleep(60, account))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    del pause, cancelled
    gc.collect()
    assert not clock._timers


class Due(Scheduled):
    """Counts how often it was due."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(Account(clock=clock))
        self.fired = 0

    def due(self) -> None:
        self.fired += 1


async def test_a_timer_that_is_not_armed_stays_so() -> None:
    """An advance fires what is armed, once, and keeps no timer alive."""
    clock = Clock()
    due, idle = Due(clock), Due(clock)
    due.arm(clock() + 60)
    clock.advance(60)
    clock.advance(60)
    await asyncio.sleep(0.01)
    assert (due.fired, idle.fired) == (1, 0)
    due.arm(clock() + 60)
    clock.advance(60)
    due.disarm()
    due.arm(clock() + 60)
    await asyncio.sleep(0.01)
    assert due.fired == 1, "the timer that was due was replaced"
    due.disarm()
    del due, idle
    gc.collect()
    assert not clock._timers


def test_a_timer_of_a_loop_that_has_ended_is_left_alone() -> None:
    """The next arm is on another loop."""
    clock = Clock()
    due = Due(clock)

    async def arm() -> None:
        due.arm(clock() + 60)

    asyncio.run(arm())
    clock.advance(60)
    due.leave_loop()
    clock.advance(60)
    assert due.fired == 0
