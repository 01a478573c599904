"""When a renewal begins: a timer that keeps no owner alive."""

from __future__ import annotations

import asyncio
import gc
import math
import weakref
from collections.abc import Callable

import pytest

from exterview_auth import Token
from exterview_auth._clock import Clock
from exterview_auth._core.account import Account
from exterview_auth._core.schedule import FEWEST_SORTED_OUT, Scheduled
from exterview_auth._core.state import MIN_RENEWAL_PAUSE, IssuedToken
from tests.kit import clock
from tests.kit.clock import VirtualLoop, now, passing, virtual_time


class Owner(Scheduled):
    """Notes when it was due; after *error*, it fails then."""

    def __init__(self, seconds: Clock = now, *, error: Exception | None = None) -> None:
        super().__init__(Account(clock=seconds))
        self.times: list[float] = []
        self.error = error

    def due(self) -> None:
        self.times.append(now())
        if self.error is not None:
            raise self.error


def timers() -> list[asyncio.TimerHandle]:
    """Return the timers of the running loop that have not been cancelled."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [handle for handle in scheduled if not handle.cancelled()]


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
            owner.disarm()
        else:
            owner.arm(renew_at)
    assert owner.armed == bool(fires_at)
    await passing(49 if fires_at == [100] else 0)
    assert owner.times == []
    await passing(500)
    assert owner.times == fires_at
    assert not owner.armed


@virtual_time
async def test_a_renewal_that_brought_nothing_is_tried_again_in_the_middle_of_the_rest() -> None:
    """Attempts are at least a second apart, and none begins if less than a second is left."""
    owner = Owner()
    failing = issued(0, expires=10)
    while True:
        failing.renew_later(now())
        owner.arm(failing.renew_at)
        if not owner.armed:
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


@pytest.mark.parametrize("release", [Scheduled.disarm, Scheduled.leave_loop])
@virtual_time
async def test_what_is_not_armed_any_more_is_not_kept_alive(release: Callable[[Scheduled], None]) -> None:
    """The loop does not refer to it, and it dies without the garbage collector."""
    gc.disable()
    owner, other = Owner(), Owner()
    owner.arm(100)
    other.arm(100)
    gone = weakref.ref(owner)
    release(owner)
    del owner
    gc.enable()
    assert gone() is None
    await passing(200)
    assert other.times == [100]


def test_a_handle_of_another_loop_is_released_untouched() -> None:
    """Under a new loop the old handle is neither cancelled nor in the way."""
    first, second = VirtualLoop(), VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: first) as one:
        owner = Owner()

        async def arm() -> asyncio.TimerHandle:
            owner.arm(100)
            [handle] = timers()
            return handle

        handle = one.run(arm())
        owner.leave_loop()
        assert not handle.cancelled()
        assert not owner.armed
        with asyncio.Runner(loop_factory=lambda: second) as two:
            two.run(arm())
            two.run(passing(200))
    assert owner.times == [100]


@virtual_time
async def test_all_owners_on_a_loop_share_its_one_timer() -> None:
    """Each rings at its own time, in the order of the times, and equal ones in one turn."""
    owners = [Owner() for _ in range(50)]
    for number, owner in enumerate(owners):
        owner.arm(100 + number * 7 % 50 // 2)
    assert len(timers()) == 1
    await passing(99)
    assert not any(owner.times for owner in owners)
    await passing(100)
    assert [owner.times for owner in owners] == [[100 + number * 7 % 50 // 2] for number in range(50)]
    assert timers() == []


@virtual_time
async def test_owners_with_another_clock_have_another_timer() -> None:
    """Clocks do not agree on what comes first."""
    late, early = Owner(), Owner(lambda: now() + 1000)
    late.arm(50)
    early.arm(1040)
    await passing(45)
    assert (late.times, early.times) == ([], [40])
    await passing(45)
    assert late.times == [50]


@virtual_time
async def test_the_last_alarm_that_is_cancelled_takes_the_timer_along() -> None:
    """Nothing is left on the loop; an owner that is armed later has a timer again."""
    first, second = Owner(), Owner()
    for owner in (first, second):
        owner.arm(100)
    first.disarm()
    assert len(timers()) == 1
    second.disarm()
    assert timers() == []
    second.disarm()
    first.arm(200)
    await passing(300)
    assert (first.times, second.times) == ([200], [])


@virtual_time
async def test_a_cancelled_alarm_gets_no_timer_after_the_last_that_rang() -> None:
    """Nor may the close of a schedule's last owner leave one for it."""
    soon, cancelled = Owner(), Owner()
    soon.arm(10)
    cancelled.arm(100)
    cancelled.disarm()
    await passing(20)
    assert soon.times == [10]
    assert timers() == []


@virtual_time
async def test_cancelled_alarms_do_not_pile_up() -> None:
    """Owners that are armed again and again, or closed, leave no more of them than there are owners, and a few."""
    kept = [Owner() for _ in range(100)]
    for turn in range(50):
        for owner in kept:
            owner.arm(1000 + turn)
        gone = Owner()
        gone.arm(1000)
        gone.disarm()
    assert kept[0].schedule is not None
    assert len(kept[0].schedule._alarms) <= 2 * (len(kept) + FEWEST_SORTED_OUT)
    await passing(1100)
    assert {tuple(owner.times) for owner in kept} == {(1049,)}


def test_an_error_of_one_is_not_the_others() -> None:
    """It goes to the loop's handler, as from any timer, and the others ring all the same."""
    problems: list[str] = []
    owners = [Owner(error=ValueError(str(number)) if number % 2 else None) for number in range(4)]

    async def ring() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: problems.append(str(about["exception"])))
        for owner in owners:
            owner.arm(10)
        await passing(20)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(ring())
    assert [owner.times for owner in owners] == [[10]] * 4
    assert sorted(problems) == ["1", "3"]


@virtual_time
async def test_one_that_arms_itself_for_now_rings_again_later() -> None:
    """It does not hold up the loop."""

    class Restless(Owner):
        def due(self) -> None:
            super().due()
            self.arm(now())

    restless = Restless()
    restless.arm(0)
    await passing(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert 2 <= len(restless.times) <= 20
    restless.disarm()


def test_a_loop_that_has_ended_is_not_kept() -> None:
    """An owner whose alarm was set there lets go of it, and nothing else refers to the loop."""
    owner = Owner()

    async def arm() -> weakref.ref[asyncio.AbstractEventLoop]:
        owner.arm(100)
        return weakref.ref(asyncio.get_running_loop())

    gone = clock.run(arm())
    owner.leave_loop()
    gc.collect()
    assert gone() is None


@virtual_time
async def test_an_owner_that_is_cancelled_in_the_turn_in_which_it_is_due_does_not_ring() -> None:
    """Between the loop's timer and the call there is a turn."""
    owner, other = Owner(), Owner()
    owner.arm(10)
    other.arm(10)
    asyncio.get_running_loop().call_at(10, owner.disarm)
    await passing(20)
    assert owner.times == []
    assert other.times == [10]
