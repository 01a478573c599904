"""When a renewal begins: a timer that keeps nobody alive."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import pytest

from exterview_auth import Token
from exterview_auth._core.schedule import MIN_PAUSE, RenewalTimer
from exterview_auth._core.state import IssuedToken
from tests.kit.clock import VirtualLoop, now, passing, virtual_time

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="nothing")


class Owner:
    """Writes down when its timer went off."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.seen: list[str] = []
        self.timer = RenewalTimer(self, Owner.due, now)

    def due(self) -> None:
        self.times.append(now())
        self.seen.append(VARIABLE.get())


def grant(renew_at: float, expires: float = 1000) -> IssuedToken:
    """A grant with these times."""
    made = IssuedToken(Token("abc"), from_login=True)
    made.renew_at, made.expires = renew_at, expires
    return made


@virtual_time
async def test_a_timer_goes_off_when_the_renewal_is_due() -> None:
    """It goes off once, at the grant's own time, and is not armed any more then."""
    owner = Owner()
    assert not Owner().timer.armed
    owner.timer.arm(grant(100))
    assert owner.timer.armed
    await passing(99)
    assert owner.times == []
    await passing(500)
    assert owner.times == [100]
    assert not owner.timer.armed


@virtual_time
async def test_what_is_due_already_goes_off_at_once() -> None:
    """A beginning in the past is now."""
    owner = Owner()
    await passing(50)
    owner.timer.arm(grant(10))
    await passing(1)
    assert owner.times == [50]


@virtual_time
async def test_a_grant_without_end_arms_nothing() -> None:
    """A token of unknown life takes back the timer of the one before."""
    owner = Owner()
    owner.timer.arm(grant(100))
    owner.timer.arm(grant(float("inf")))
    assert not owner.timer.armed
    await passing(200)
    assert owner.times == []


@virtual_time
async def test_there_is_one_timer() -> None:
    """Arming for the next grant takes the one before back."""
    owner = Owner()
    owner.timer.arm(grant(100))
    owner.timer.arm(grant(150))
    await passing(300)
    assert owner.times == [150]


@virtual_time
async def test_a_disarmed_timer_does_not_go_off() -> None:
    """After a logout or close nothing comes, and disarming twice is fine."""
    owner = Owner()
    owner.timer.arm(grant(100))
    owner.timer.cancel()
    owner.timer.cancel()
    assert not owner.timer.armed
    await passing(200)
    assert owner.times == []


@virtual_time
async def test_a_failed_renewal_is_tried_in_the_middle_of_what_is_left() -> None:
    """The next attempt begins halfway to the end of the token's service."""
    owner = Owner()
    await passing(20)
    owner.timer.arm_again(grant(0, expires=120))
    await passing(90)
    assert owner.times == [70]


@virtual_time
async def test_retries_end_with_the_life() -> None:
    """Attempts are at least a second apart, and none begins where less than a second is left."""
    owner = Owner()
    failing = grant(0, expires=10)
    while True:
        owner.timer.arm_again(failing)
        if not owner.timer.armed:
            break
        await passing(failing.expires / 2 - now() / 2 if failing.expires - now() > 2 else MIN_PAUSE)
    assert owner.times == [5, 7.5, 8.75, 9.75]


@virtual_time
async def test_no_attempt_begins_a_second_before_the_end() -> None:
    """What would begin when the life is over is no renewal ahead any more."""
    late, owner = Owner(), Owner()
    late.timer.arm_again(grant(0, expires=MIN_PAUSE))
    assert not late.timer.armed
    owner.timer.arm_again(grant(0, expires=MIN_PAUSE + 0.01))
    assert owner.timer.armed
    owner.timer.cancel()


@virtual_time
async def test_a_dropped_owner_is_not_kept_alive() -> None:
    """The loop holds neither the owner nor its timer, and what goes off for nobody does nothing."""
    owner = Owner()
    times = owner.times
    owner.timer.arm(grant(100))
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    await passing(200)
    assert times == []


@virtual_time
async def test_a_timer_that_outlives_its_owner_tells_nobody() -> None:
    """Where only the timer is still held, it goes off for nobody."""
    owner = Owner()
    times, timer = owner.times, owner.timer
    timer.arm(grant(100))
    del owner
    gc.collect()
    await passing(200)
    assert times == []
    assert not timer.armed


@virtual_time
async def test_nothing_of_the_first_callers_context_shows() -> None:
    """Lesson 43: the renewal does not run in the context of the request that armed its timer."""
    owner = Owner()
    VARIABLE.set("the first request's")
    owner.timer.arm(grant(100))
    await passing(200)
    assert owner.seen == ["nothing"]


def test_a_handle_of_another_loop_is_let_go_untouched() -> None:
    """Rule 20: under a new loop the old handle is neither cancelled nor in the way."""
    first, second = VirtualLoop(), VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: first) as one:
        owner = Owner()

        async def arm() -> asyncio.TimerHandle:
            owner.timer.arm(grant(100))
            assert owner.timer._handle is not None
            return owner.timer._handle

        handle = one.run(arm())
        owner.timer.release()
        assert not handle.cancelled()
        assert not owner.timer.armed
        with asyncio.Runner(loop_factory=lambda: second) as two:
            two.run(arm())
            two.run(passing(200))
    assert owner.times == [100]


def test_arming_needs_a_loop() -> None:
    """Outside any loop there is nothing to go off in."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        RenewalTimer(Owner(), Owner.due, now).arm(grant(1))
