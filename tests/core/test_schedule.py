"""When a renewal begins: a timer that keeps no owner alive."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref

import pytest

from exterview_auth import Token
from exterview_auth._core.schedule import WeakTimer
from exterview_auth._core.state import MIN_RENEWAL_PAUSE, IssuedToken
from tests.kit.clock import VirtualLoop, now, passing, virtual_time


class Owner:
    """Notes when its timer fires."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.timer = WeakTimer(self, Owner.due, now)

    def due(self) -> None:
        self.times.append(now())


def issued(renew_at: float, expires: float = 1000) -> IssuedToken:
    """Return a token with these times."""
    made = IssuedToken(Token("abc"), from_login=True)
    made.renew_at, made.expires = renew_at, expires
    return made


@pytest.mark.parametrize(
    ("armed_for", "fires_at"),
    [([100], [100]), ([10], [50]), ([100, 150], [150]), ([100, math.inf], []), ([100, None], []), ([None], [])],
)
@virtual_time
async def test_a_timer_fires_once_for_the_newest_token(armed_for: list[float | None], fires_at: list[float]) -> None:
    """At that token's time, or at once if it has passed; not for a token without end, nor after a cancel (None)."""
    owner = Owner()
    await passing(50)
    for renew_at in armed_for:
        if renew_at is None:
            owner.timer.cancel()
        else:
            owner.timer.arm(renew_at)
    assert owner.timer.armed == bool(fires_at)
    await passing(49 if fires_at == [100] else 0)
    assert owner.times == []
    await passing(500)
    assert owner.times == fires_at
    assert not owner.timer.armed


@virtual_time
async def test_a_renewal_that_brought_nothing_is_tried_again_in_the_middle_of_the_rest() -> None:
    """Attempts are at least a second apart, and none begins if less than a second is left."""
    owner = Owner()
    failing = issued(0, expires=10)
    while True:
        failing.renew_later(now())
        owner.timer.arm(failing.renew_at)
        if not owner.timer.armed:
            break
        await passing(failing.renew_at - now())
    assert owner.times == [5, 7.5, 8.75, 9.75]


@pytest.mark.parametrize(
    ("left", "pause", "after"),
    [
        (MIN_RENEWAL_PAUSE, 0.0, math.inf),
        (MIN_RENEWAL_PAUSE + 0.01, 0.0, MIN_RENEWAL_PAUSE),
        (10.0, 4.0, 5.0),
        (10.0, 8.0, 8.0),
        (10.0, 10.0, math.inf),
        (math.inf, 0.0, math.inf),
        (-5.0, 0.0, math.inf),
    ],
)
def test_the_next_renewal_comes_after_the_pause_and_before_the_end(left: float, pause: float, after: float) -> None:
    """One that would not come before the end of the token is left to the next request."""
    late = issued(0, expires=100 + left)
    late.renew_later(100, pause)
    assert late.renew_at == 100 + after


@pytest.mark.parametrize("timer_lives", [False, True])
@virtual_time
async def test_a_dropped_owner_is_not_kept_alive(*, timer_lives: bool) -> None:
    """The loop refers to neither the owner nor its timer; without its owner, a timer that fires does nothing."""
    owner = Owner()
    times, timer = owner.times, owner.timer if timer_lives else None
    owner.timer.arm(100)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    await passing(200)
    assert times == []
    assert timer is None or not timer.armed


def test_a_handle_of_another_loop_is_released_untouched() -> None:
    """Rule 20: under a new loop the old handle is neither cancelled nor in the way."""
    first, second = VirtualLoop(), VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: first) as one:
        owner = Owner()

        async def arm() -> asyncio.TimerHandle:
            owner.timer.arm(100)
            assert owner.timer._handle is not None
            return owner.timer._handle

        handle = one.run(arm())
        owner.timer.leave_loop()
        assert not handle.cancelled()
        assert not owner.timer.armed
        with asyncio.Runner(loop_factory=lambda: second) as two:
            two.run(arm())
            two.run(passing(200))
    assert owner.times == [100]
