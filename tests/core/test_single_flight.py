"""One piece of work, any number that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from exterview_auth import ClosedError, ConfigurationError, CredentialsRejectedError, LoginError
from exterview_auth._core.single_flight import MAX_CANCELLING, WAKE_BATCH, Flight, SingleFlight, Waiter
from tests.kit.clock import VirtualLoop, now, settle, virtual_time

Work = Callable[[Flight], Coroutine[Any, Any, None]]
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="nothing")


def ending(*, gate: asyncio.Event | None = None, error: BaseException | None = None) -> Work:
    """Work that waits for *gate*, and ends in *error*."""

    async def work(flight: Flight) -> None:
        if gate is not None:
            await gate.wait()
        if error is not None:
            raise error

    return work


async def join(flight: Flight) -> None:
    """Wait for *flight* as a caller does."""
    with Waiter(flight, None) as landing:
        await landing


async def joined(flight: Flight, number: int = 1) -> list[asyncio.Task[None]]:
    """So many tasks that wait for *flight*."""
    tasks = [asyncio.ensure_future(join(flight)) for _ in range(number)]
    await settle(1)
    return tasks


@virtual_time
async def test_a_flight_exists_before_its_work_begins() -> None:
    """Lesson 2: it is current as soon as it was asked for, before the first step of its work."""
    begun: list[Flight] = []

    async def work(flight: Flight) -> None:
        begun.append(flight)

    flights = SingleFlight()
    flight = flights.begin(work)
    assert flights.current is flight
    assert (begun, flight.finished) == ([], False)
    await join(flight)
    assert begun == [flight]


@virtual_time
async def test_landing_wakes_all_and_leaves_no_flight() -> None:
    """All who wait are served by one run, and whoever wakes finds the slot free."""
    flights, gate = SingleFlight(), asyncio.Event()
    flight = flights.begin(ending(gate=gate))
    seen: list[Flight | None] = []

    async def waiter() -> None:
        await join(flight)
        seen.append(flights.current)

    waiters = [asyncio.ensure_future(waiter()) for _ in range(100)]
    await settle()
    assert flight.waiting == 100
    gate.set()
    await asyncio.gather(*waiters)
    assert seen == [None] * 100
    assert (flight.waiting, flight.finished, flight.error) == (0, True, None)
    await join(flight)


@virtual_time
async def test_cancelling_waiters_changes_nothing_for_the_others() -> None:
    """Rule 5: the first caller's cancellation neither ends the work nor loses its result."""
    flights, gate = SingleFlight(), asyncio.Event()
    flight = flights.begin(ending(gate=gate))
    waiters = await joined(flight, 10)
    for waiter in waiters[:9]:
        waiter.cancel()
    await settle()
    assert (flight.waiting, flight.finished) == (1, False)
    gate.set()
    await waiters[9]
    assert all(waiter.cancelled() for waiter in waiters[:9])


@virtual_time
async def test_a_waiter_cancelled_at_the_landing_is_cancelled_alone() -> None:
    """A cancellation in the same step as the landing is the caller's own, and raises nothing in the others."""
    flights = SingleFlight()
    flight = flights.begin(ending(gate=asyncio.Event()))
    first, second = await joined(flight, 2)
    first.cancel()
    flight.finish(None)
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    await flight.cancel()


def test_twenty_thousand_waiters_are_cancelled_in_no_time() -> None:
    """Lesson 39: cancelling everybody at once blocks the loop for less than a second, and the work goes on."""

    async def main() -> float:
        flights, gate = SingleFlight(), asyncio.Event()
        flight = flights.begin(ending(gate=gate))
        waiters = await joined(flight, 20_000)
        began = time.thread_time()
        for waiter in waiters:
            waiter.cancel()
        await asyncio.wait(waiters)
        took = time.thread_time() - began
        assert flight.waiting == 0
        gate.set()
        await join(flight)
        return took

    assert asyncio.run(main()) < 1


@virtual_time
async def test_an_error_reaches_each_waiter_as_its_own() -> None:
    """Rule 6: the same typed error with its cause, one instance for each, also for those who come late."""
    cause = OSError("down")
    error = CredentialsRejectedError("no", reason="user")
    error.__cause__ = cause
    flights = SingleFlight()
    flight = flights.begin(ending(error=error))
    waiters = await joined(flight, 3)
    caught: list[Any] = await asyncio.gather(*waiters, join(flight), return_exceptions=True)
    assert [(type(each), str(each), each.reason, each.__cause__) for each in caught] == [
        (type(error), "no", "user", cause)
    ] * 4
    assert len({id(each) for each in (*caught, error)}) == 5
    assert flights.current is None


@virtual_time
async def test_any_other_error_becomes_a_login_error() -> None:
    """Whatever the work ends in, the waiters hear of it, with the cause chained and its text not repeated."""
    failure = ZeroDivisionError("s3cret")
    with pytest.raises(LoginError, match=r"^the login ended in ZeroDivisionError$") as caught:
        await join(SingleFlight().begin(ending(error=failure)))
    assert caught.value.__cause__ is failure


@virtual_time
async def test_configuration_errors_keep_their_type() -> None:
    """An error of the library's own goes through as it is."""
    with pytest.raises(ConfigurationError, match=r"^set it$"):
        await join(SingleFlight().begin(ending(error=ConfigurationError("set it"))))


@virtual_time
async def test_work_that_is_cancelled_wakes_its_waiters() -> None:
    """Lesson 16: a cancelled login leaves nobody waiting, and the next request may begin another."""
    flights = SingleFlight()
    flight = flights.begin(ending(gate=asyncio.Event()))
    [waiter] = await joined(flight)
    await settle()
    await flight.cancel()
    with pytest.raises(LoginError, match="cancelled; the next request logs in again"):
        await waiter
    assert flights.current is None
    await flight.cancel()


@virtual_time
async def test_cancelling_waits_for_the_work_to_clean_up() -> None:
    """Who cancels from outside goes on when the work has ended."""
    ended: list[float] = []

    async def work(flight: Flight) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.5)
            ended.append(now())

    flight = SingleFlight().begin(work)
    await settle()
    await flight.cancel()
    assert ended == [0.5]


@virtual_time
async def test_cancelling_does_not_wait_for_ever_for_work_that_goes_on() -> None:
    """Rule 6, nothing hangs: who cancels goes on after three seconds at most."""

    async def work(flight: Flight) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(100)

    flight = SingleFlight().begin(work)
    await settle()
    await flight.cancel()
    assert now() == MAX_CANCELLING == 3
    await join(flight)


@virtual_time
async def test_work_that_is_cancelled_before_its_first_step_wakes_its_waiters() -> None:
    """Every flight lands: also one whose task never got to run leaves nobody waiting, and the slot free."""
    flights = SingleFlight()
    flight = flights.begin(ending(gate=asyncio.Event()))
    await flight.cancel()
    await settle()
    assert flights.current is None
    assert flight.finished
    with pytest.raises(LoginError):
        await join(flight)


@virtual_time
async def test_a_dropped_flight_ends_its_waiters_and_not_the_next_flight() -> None:
    """Rules 18 and 21: who waited gets the error at once, and the old work's end does not touch the new flight."""
    flights, gate = SingleFlight(), asyncio.Event()
    old = flights.begin(ending(gate=gate))
    [waiter] = await joined(old)
    assert flights.drop(ClosedError("closed")) is old
    with pytest.raises(ClosedError):
        await waiter
    new = flights.begin(ending(gate=asyncio.Event()))
    gate.set()
    await settle()
    assert flights.current is new
    assert isinstance(old.error, ClosedError)
    await new.cancel()


@virtual_time
async def test_a_flight_may_be_dropped_and_land_by_itself() -> None:
    """Dropped without an error, it is not current, but still lands for those who wait; dropping nothing is fine."""
    flights, gate = SingleFlight(), asyncio.Event()
    assert flights.drop(ClosedError("closed")) is None
    flight = flights.begin(ending(gate=gate))
    [waiter] = await joined(flight)
    assert flights.drop(None) is flight
    assert (flights.current, flight.finished) == (None, False)
    gate.set()
    await waiter


# -- inside and outside --------------------------------------------------------------------------------------------------


@virtual_time
async def test_work_knows_that_it_is_inside_its_flight() -> None:
    """Rule 14: the work, what it awaits and tasks that it makes are inside while it runs; nobody else is."""
    seen: list[bool] = []

    async def look(flight: Flight) -> None:
        seen.append(flight.is_caller_inside)

    async def work(flight: Flight) -> None:
        await look(flight)
        await asyncio.create_task(look(flight))
        await asyncio.to_thread(lambda: seen.append(flight.is_caller_inside))

    flight = SingleFlight().begin(work)
    assert not flight.is_caller_inside
    await join(flight)
    assert seen == [True, True, True]


@virtual_time
async def test_a_task_that_outlives_the_work_is_outside() -> None:
    """Lesson 42: what the work left running is not inside any more, nor inside what it begins later."""
    gate, seen, left = asyncio.Event(), list[bool](), list[asyncio.Task[None]]()

    async def outlives(flight: Flight) -> None:
        await gate.wait()
        seen.append(flight.is_caller_inside)

        async def look(later: Flight) -> None:
            seen.extend([flight.is_caller_inside, later.is_caller_inside])

        await join(SingleFlight().begin(look))

    async def work(flight: Flight) -> None:
        left.append(asyncio.create_task(outlives(flight)))

    await join(SingleFlight().begin(work))
    gate.set()
    await asyncio.gather(*left)
    assert seen == [False, False, True]


@virtual_time
async def test_work_inside_work_is_inside_both() -> None:
    """One owner's login may use another owner: a circle of the two is seen from the inner one."""
    seen: list[bool] = []

    async def outer(flight: Flight) -> None:
        async def inner(nested: Flight) -> None:
            seen.extend([flight.is_caller_inside, nested.is_caller_inside])

        await join(SingleFlight().begin(inner))

    await join(SingleFlight().begin(outer))
    assert seen == [True, True]


@virtual_time
async def test_work_may_cancel_itself() -> None:
    """`cancel` from inside the work does not wait for itself."""

    async def work(flight: Flight) -> None:
        await flight.cancel()
        await asyncio.sleep(100)

    flight = SingleFlight().begin(work)
    with pytest.raises(LoginError):
        await join(flight)
    assert now() == 0


@virtual_time
async def test_nothing_of_the_first_callers_context_shows() -> None:
    """Lesson 43: the work runs in a context of its own."""
    seen: list[str] = []

    async def work(flight: Flight) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("the login's")

    VARIABLE.set("the first request's")
    await join(SingleFlight().begin(work))
    assert seen == ["nothing"]
    assert VARIABLE.get() == "the first request's"


# -- who waits until when ------------------------------------------------------------------------------------------------


def timers() -> int:
    """How many timers the running loop has that were not cancelled."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # asyncio has no public one
    return sum(not handle.cancelled() for handle in scheduled)


async def outcome(flight: Flight, until: float | None) -> str:
    """How waiting for *flight* ended."""
    try:
        with Waiter(flight, until) as landing:
            await landing
    except (TimeoutError, LoginError) as error:
        return type(error).__name__
    return "landed"


def outcomes(flight: Flight, *untils: float | None) -> list[asyncio.Task[str]]:
    """A task that waits for *flight* for each of *untils*."""
    return [asyncio.ensure_future(outcome(flight, until)) for until in untils]


@virtual_time
async def test_each_waits_until_its_own_time() -> None:
    """Rule 5: whose time comes first gets TimeoutError then, and the others and the work go on."""
    flight = SingleFlight().begin(ending(gate=(gate := asyncio.Event())))
    soon, later, never = outcomes(flight, 5.0, 20.0, None)
    assert (await soon, now()) == ("TimeoutError", 5)
    assert (flight.waiting, later.done(), never.done()) == (2, False, False)
    assert (await later, now()) == ("TimeoutError", 20)
    await asyncio.sleep(10_000)
    assert not never.done()
    gate.set()
    assert await never == "landed"
    assert (flight.waiting, timers()) == (0, 0)


@virtual_time
async def test_those_with_the_same_deadline_share_one_timer() -> None:
    """Thousands that end on the same second cost one timer; without a deadline there is none."""
    flight = SingleFlight().begin(ending(gate=(gate := asyncio.Event())))
    tasks = outcomes(flight, *[None] * 50)
    await settle()
    assert timers() == 0
    tasks += outcomes(flight, *[300.0] * 50)
    await settle()
    assert timers() == 1
    tasks += outcomes(flight, *[float(second) for second in range(301, 311)])
    await settle()
    assert (timers(), flight.waiting) == (11, 110)
    gate.set()
    assert set(await asyncio.gather(*tasks)) == {"landed"}
    assert timers() == 0


@virtual_time
async def test_one_that_leaves_takes_no_timer_from_the_others() -> None:
    """The timer of a deadline is there for the last who waits until then, and goes with it."""
    flight = SingleFlight().begin(ending(gate=asyncio.Event()))
    first, second = outcomes(flight, 5.0, 5.0)
    await settle()
    first.cancel()
    await settle()
    assert (timers(), flight.waiting) == (1, 1)
    assert (await second, now()) == ("TimeoutError", 5)
    [third] = outcomes(flight, 9.0)
    await settle()
    third.cancel()
    await settle()
    assert (timers(), flight.waiting) == (0, 0)
    await flight.cancel()


@virtual_time
async def test_who_comes_again_until_the_same_time_is_timed_too() -> None:
    """A deadline that nobody waits for any more begins with a new timer."""
    flight = SingleFlight().begin(ending(gate=asyncio.Event()))
    [first] = outcomes(flight, 5.0)
    await settle()
    first.cancel()
    await settle()
    [again] = outcomes(flight, 5.0)
    assert (await again, now()) == ("TimeoutError", 5)
    await flight.cancel()


@virtual_time
async def test_a_deadline_that_is_over_ends_at_once() -> None:
    """Who comes too late does not wait; a flight that has landed serves it all the same."""
    flight = SingleFlight().begin(ending(gate=(gate := asyncio.Event())))
    await asyncio.sleep(10)
    assert (await outcome(flight, 9.0), now()) == ("TimeoutError", 10)
    gate.set()
    await join(flight)
    assert (await outcome(flight, 9.0), flight.waiting) == ("landed", 0)


@virtual_time
async def test_an_error_and_a_deadline_each_reach_whom_they_reach_first() -> None:
    """Rule 6: TimeoutError before the failure, the failure's own type after it, whatever the deadline."""
    flight = SingleFlight().begin(ending(gate=(gate := asyncio.Event()), error=LoginError("no")))
    soon, later = outcomes(flight, 5.0, 20.0)
    await asyncio.sleep(10)
    gate.set()
    assert (await soon, await later, now()) == ("TimeoutError", "LoginError", 10)


# -- landing -------------------------------------------------------------------------------------------------------------


class Turns:
    """Counts the loop's turns from now on, until ``stop``."""

    def __init__(self) -> None:
        self.number, self._stopped = 0, False
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self.number += 1
        if not self._stopped:
            asyncio.get_running_loop().call_soon(self._next)

    def stop(self) -> None:
        self._stopped = True


async def woken(*untils: float | None) -> list[tuple[int, int]]:
    """The waiters of a flight in the order in which they resumed, each with its turn of the loop."""
    flight = SingleFlight().begin(ending(gate=(gate := asyncio.Event())))
    seen: list[tuple[int, int]] = []

    async def waiter(number: int, until: float | None) -> None:
        with Waiter(flight, until) as landing:
            await landing
        seen.append((number, turns.number))

    tasks = [asyncio.ensure_future(waiter(number, until)) for number, until in enumerate(untils)]
    await settle()
    turns = Turns()
    gate.set()
    await asyncio.gather(*tasks)
    turns.stop()
    return seen


@virtual_time
async def test_a_few_wake_in_each_turn_of_the_loop() -> None:
    """Answers are read between the sendings: no turn wakes more than a portion, and none is left out."""
    seen = await woken(*[None] * (5 * WAKE_BATCH + 3))
    turns = [turn for _, turn in seen]
    first = turns[0]
    assert [turns.count(first + nth) for nth in range(6)] == [WAKE_BATCH] * 5 + [3]


@virtual_time
async def test_landing_serves_who_came_first_first() -> None:
    """First come, first served, where all wait until the same time."""
    assert [number for number, _ in await woken(*[50.0] * (4 * WAKE_BATCH))] == list(range(4 * WAKE_BATCH))


@virtual_time
async def test_an_error_wakes_all_at_once() -> None:
    """Rule 6: nobody sends anything after it, and nobody's own timeout is to come before it."""
    flight = SingleFlight().begin(ending(gate=asyncio.Event()))
    tasks = await joined(flight, 5 * WAKE_BATCH)
    flight.finish(LoginError("refused"))
    await settle(1)
    assert all(isinstance(task.exception(), LoginError) for task in tasks)
    await flight.cancel()


@virtual_time
async def test_who_comes_after_the_landing_does_not_queue_behind_those_who_still_wake() -> None:
    """A flight that has landed keeps nobody waiting."""
    flight = SingleFlight().begin(ending(gate=asyncio.Event()))
    tasks = await joined(flight, 10 * WAKE_BATCH)
    flight.finish(None)
    await join(flight)
    assert sum(task.done() for task in tasks) < len(tasks)
    await asyncio.gather(*tasks)
    assert flight.waiting == 0
    await flight.cancel()


@virtual_time
async def test_those_who_leave_while_others_wake_hold_nobody_up() -> None:
    """Rule 5: cancelled in the middle of the waking, whole portions of them, and the rest is served."""
    flight = SingleFlight().begin(ending(gate=asyncio.Event()))
    tasks = await joined(flight, 6 * WAKE_BATCH)
    flight.finish(None)
    for task in tasks[WAKE_BATCH : 4 * WAKE_BATCH]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result is None for result in results] == [True] * WAKE_BATCH + [False] * 3 * WAKE_BATCH + [
        True
    ] * 2 * WAKE_BATCH
    assert flight.waiting == 0
    await flight.cancel()


@virtual_time
async def test_a_deadline_that_comes_while_others_wake_ends_whose_turn_has_not_come() -> None:
    """Each ends once, by its turn or by its time, and nobody is lost."""
    flight = SingleFlight().begin(ending(gate=asyncio.Event()))
    tasks = outcomes(flight, *[5.0, None] * (3 * WAKE_BATCH))
    await settle()
    flight.finish(None)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.now = 6.0
    results = await asyncio.gather(*tasks)
    assert set(results[1::2]) == {"landed"}
    assert set(results[::2]) == {"landed", "TimeoutError"}
    assert (flight.waiting, timers()) == (0, 0)
    await flight.cancel()


@virtual_time
async def test_a_second_landing_changes_nothing() -> None:
    """The first end counts, for those who still wake too."""
    flight = SingleFlight().begin(ending(gate=asyncio.Event()))
    tasks = outcomes(flight, *[None] * 3 * WAKE_BATCH)
    await settle()
    flight.finish(None)
    flight.finish(LoginError("too late"))
    assert set(await asyncio.gather(*tasks)) == {"landed"}
    assert flight.error is None
    await flight.cancel()


# -- many ----------------------------------------------------------------------------------------------------------------


def calls_for(number: int) -> int:
    """How many calls it takes for so many to wait until times of their own and to leave again, one by one."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    async def main() -> None:
        flight = SingleFlight().begin(ending(gate=asyncio.Event()))
        sys.setprofile(count)
        try:
            seats = [(flight.join(1000.0 + nth), 1000.0 + nth) for nth in range(number)]
            assert flight.waiting == number
            for seat, until in seats:
                flight.leave(seat, until)
        finally:
            sys.setprofile(None)
        assert flight.waiting == 0
        await flight.cancel()

    asyncio.run(main())
    return calls


def test_the_work_for_one_more_does_not_grow_with_how_many_wait() -> None:
    """Lesson 39: ten times as many with deadlines of their own take ten times the steps, not a hundred times."""
    assert calls_for(10_000) < 2 * 10 * calls_for(1_000)


def test_how_many_wait_is_a_plain_number() -> None:
    """Asked for each request that begins to wait: it is kept, not counted anew."""
    assert "waiting" in Flight.__slots__
