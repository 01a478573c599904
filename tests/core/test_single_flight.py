"""One piece of work, any number of waiters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from exterview_auth import ClosedError, ConfigurationError, CredentialsRejectedError, LoginError
from exterview_auth._core.single_flight import MAX_CANCELLING, WAKE_BATCH, Flight, SingleFlight, Waiter
from tests.kit import costs
from tests.kit.clock import VirtualLoop, now, settle, virtual_time

Work = Callable[[Flight], Coroutine[Any, Any, None]]


def ending(*, gate: asyncio.Event | None = None, error: BaseException | None = None) -> Work:
    """Work that waits for *gate*, and ends in *error*."""

    async def work(_flight: Flight) -> None:
        if gate is not None:
            await gate.wait()
        if error is not None:
            raise error

    return work


def gated(error: BaseException | None = None) -> tuple[Flight, asyncio.Event]:
    """Return a flight, and the gate that its work waits for."""
    gate = asyncio.Event()
    return SingleFlight().begin(ending(gate=gate, error=error)), gate


def endless() -> Flight:
    """Return a flight whose work goes on until the test ends."""
    flight, _ = gated()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.cleanups.append(flight.cancel)
    return flight


async def join(flight: Flight, deadline: float | None = None) -> str:
    """Wait for *flight* as a caller does."""
    with Waiter(flight, deadline) as done:
        await done
    return "finished"


async def joined(flight: Flight, number: int = 1) -> list[asyncio.Task[str]]:
    """Return *number* tasks that wait for *flight*."""
    tasks = [asyncio.ensure_future(join(flight)) for _ in range(number)]
    await settle(1)
    return tasks


@virtual_time
async def test_a_flight_exists_before_its_work_begins() -> None:
    """It is current as soon as it was asked for, before the first step of its work."""
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
async def test_finishing_wakes_all_and_leaves_no_flight() -> None:
    """One run serves all waiters, and when they resume, no flight is current."""
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
async def test_a_waiter_that_is_cancelled_as_the_flight_finishes_is_cancelled_alone() -> None:
    """A cancellation in the same step is the caller's own, and raises nothing in the others."""
    flight = endless()
    first, second = await joined(flight, 2)
    first.cancel()
    flight.finish(None)
    await second
    with pytest.raises(asyncio.CancelledError):
        await first


# -- how the work ends ---------------------------------------------------------------------------------------------------


@virtual_time
async def test_each_waiter_gets_a_separate_copy_of_the_error() -> None:
    """The same typed error with its cause, one instance for each, also for callers that join later."""
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
async def test_an_error_of_another_library_becomes_a_login_error() -> None:
    """The waiters get it with the cause chained and its text not repeated; this library's own errors keep their type."""
    failure = ZeroDivisionError("s3cret")
    with pytest.raises(
        LoginError, match=r"^the login ended in ZeroDivisionError; see the error that is chained to it$"
    ) as caught:
        await join(SingleFlight().begin(ending(error=failure)))
    assert caught.value.__cause__ is failure
    with pytest.raises(ConfigurationError, match=r"^set it$"):
        await join(SingleFlight().begin(ending(error=ConfigurationError("set it"))))


@pytest.mark.parametrize("begun", [True, False])
@virtual_time
async def test_work_that_is_cancelled_wakes_its_waiters(*, begun: bool) -> None:
    """Also before its first step, it leaves nobody waiting, and the next request may begin another."""
    flights = SingleFlight()
    flight = flights.begin(ending(gate=asyncio.Event()))
    waiters = await joined(flight) if begun else []
    await settle(20 * begun)
    await flight.cancel()
    await settle()
    assert (flights.current, flight.finished) == (None, True)
    for waiter in (*waiters, join(flight)):
        with pytest.raises(LoginError, match="cancelled; the next request logs in again"):
            await waiter
    await flight.cancel()


@pytest.mark.parametrize(("seconds", "waited"), [(0.5, 0.5), (100, MAX_CANCELLING)])
@virtual_time
async def test_cancelling_waits_for_the_work_to_clean_up(seconds: float, waited: float) -> None:
    """The caller of `cancel` goes on when the work has ended; nothing hangs: after three seconds at most."""
    ended: list[float] = []

    async def work(_flight: Flight) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(seconds)
        ended.append(now())

    flight = SingleFlight().begin(work)
    await settle()
    await flight.cancel()
    assert now() == waited <= MAX_CANCELLING == 3
    await join(flight)
    assert ended == [seconds]


@virtual_time
async def test_a_dropped_flight_ends_its_waiters_and_not_the_next_flight() -> None:
    """Its waiters get the error at once, and the end of the old work does not touch the new flight."""
    flights, gate = SingleFlight(), asyncio.Event()
    assert flights.drop(ClosedError("closed")) is None
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
async def test_a_flight_that_is_dropped_without_an_error_still_finishes() -> None:
    """It is not current, but its waiters wake when its work ends."""
    flights, gate = SingleFlight(), asyncio.Event()
    flight = flights.begin(ending(gate=gate))
    [waiter] = await joined(flight)
    assert flights.drop(None) is flight
    assert (flights.current, flight.finished) == (None, False)
    gate.set()
    await waiter


# -- inside and outside --------------------------------------------------------------------------------------------------


@virtual_time
async def test_work_knows_that_it_is_inside_its_flight() -> None:
    """The work, what it awaits and its tasks are inside while it runs; no other code is."""
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
    """A task that the work left running is no longer inside, nor is what it begins later."""
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
async def test_a_wait_that_nobody_awaits_any_more_may_end_inside_other_work() -> None:
    """A coroutine is closed in whatever context lets go of it: nothing is noted of that work, and others wait on."""
    gate = asyncio.Event()

    async def until_open(_flight: Flight) -> None:
        await gate.wait()

    async def work(_flight: Flight) -> None:
        left.close()

    awaited = SingleFlight().begin(until_open)
    left = join(awaited)
    left.send(None)
    await join(SingleFlight().begin(work))
    [waiting] = await joined(awaited)
    assert (awaited.waiting, awaited.waits_for) == (1, [])
    gate.set()
    await waiting


@virtual_time
async def test_work_may_cancel_itself() -> None:
    """`cancel` from inside the work does not wait for the work."""

    async def work(flight: Flight) -> None:
        await flight.cancel()
        await asyncio.sleep(100)

    with pytest.raises(LoginError):
        await join(SingleFlight().begin(work))
    assert now() == 0


# -- deadlines -----------------------------------------------------------------------------------------------------------


def timers() -> int:
    """How many timers the running loop has that were not cancelled."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # asyncio has no public one
    return sum(not handle.cancelled() for handle in scheduled)


async def outcome(flight: Flight, deadline: float | None) -> str:
    """How waiting for *flight* ended."""
    try:
        return await join(flight, deadline)
    except (TimeoutError, LoginError) as error:
        return type(error).__name__


async def waiting(flight: Flight, *deadlines: float | None) -> list[asyncio.Task[str]]:
    """Return a task that waits for *flight* for each of *deadlines*."""
    tasks = [asyncio.ensure_future(outcome(flight, deadline)) for deadline in deadlines]
    await settle()
    return tasks


@virtual_time
async def test_each_waiter_has_its_own_deadline() -> None:
    """A waiter whose deadline comes first gets TimeoutError then; the others and the work go on."""
    flight, gate = gated()
    soon, later, never = await waiting(flight, 5.0, 20.0, None)
    assert (await soon, now()) == ("TimeoutError", 5)
    assert (flight.waiting, later.done(), never.done()) == (2, False, False)
    assert (await later, now()) == ("TimeoutError", 20)
    await asyncio.sleep(10_000)
    assert not never.done()
    gate.set()
    assert await never == "finished"
    assert (flight.waiting, timers()) == (0, 0)


@virtual_time
async def test_waiters_with_the_same_deadline_share_one_timer() -> None:
    """Thousands of deadlines in the same second cost one timer; without a deadline there is none."""
    flight, gate = gated()
    tasks = await waiting(flight, *[None] * 50)
    assert timers() == 0
    tasks += await waiting(flight, *[300.0] * 50)
    assert timers() == 1
    tasks += await waiting(flight, *[float(second) for second in range(301, 311)])
    assert (timers(), flight.waiting) == (11, 110)
    gate.set()
    assert set(await asyncio.gather(*tasks)) == {"finished"}
    assert timers() == 0


@virtual_time
async def test_a_timer_exists_while_someone_waits_until_its_deadline() -> None:
    """It stays for the last waiter with that deadline, goes with it, and comes again with the next one."""
    flight = endless()
    first, second = await waiting(flight, 5.0, 5.0)
    for task, left in ((first, 1), (second, 0)):
        task.cancel()
        await settle()
        assert (timers(), flight.waiting) == (left, left)
    [third] = await waiting(flight, 5.0)
    assert (await third, now()) == ("TimeoutError", 5)


@virtual_time
async def test_a_deadline_in_the_past_ends_the_wait_at_once() -> None:
    """Such a caller does not wait; a flight that has finished serves it all the same."""
    flight, gate = gated()
    await asyncio.sleep(10)
    assert (await outcome(flight, 9.0), now()) == ("TimeoutError", 10)
    gate.set()
    await join(flight)
    assert (await outcome(flight, 9.0), flight.waiting) == ("finished", 0)


# -- waking --------------------------------------------------------------------------------------------------------------


async def woken(*deadlines: float | None) -> list[tuple[int, int]]:
    """Return the waiters of a flight in the order in which they resumed, each with its iteration of the loop."""
    flight, gate = gated()
    loop, seen = asyncio.get_running_loop(), list[tuple[int, int]]()
    iteration = 0

    def count() -> None:
        nonlocal iteration
        iteration += 1
        if len(seen) < len(deadlines):
            loop.call_soon(count)

    async def waiter(number: int, deadline: float | None) -> None:
        await join(flight, deadline)
        seen.append((number, iteration))

    tasks = [asyncio.ensure_future(waiter(number, deadline)) for number, deadline in enumerate(deadlines)]
    await settle()
    count()
    gate.set()
    await asyncio.gather(*tasks)
    return seen


@virtual_time
async def test_a_batch_wakes_in_each_iteration_of_the_loop() -> None:
    """Answers are read between the batches: no iteration wakes more than one batch, and no waiter is left out."""
    iterations = [iteration for _, iteration in await woken(*[None] * (5 * WAKE_BATCH + 3))]
    first = iterations[0]
    assert [iterations.count(first + nth) for nth in range(6)] == [WAKE_BATCH] * 5 + [3]


@virtual_time
async def test_waiters_with_the_same_deadline_wake_in_the_order_in_which_they_came() -> None:
    """First come, first served."""
    assert [number for number, _ in await woken(*[50.0] * (4 * WAKE_BATCH))] == list(range(4 * WAKE_BATCH))


@virtual_time
async def test_an_error_wakes_all_at_once() -> None:
    """No request is sent after it, and no caller's own timeout may come before it."""
    flight = endless()
    tasks = await joined(flight, 5 * WAKE_BATCH)
    flight.finish(LoginError("refused"))
    await settle(1)
    assert all(isinstance(task.exception(), LoginError) for task in tasks)


@virtual_time
async def test_a_caller_that_joins_a_finished_flight_does_not_queue() -> None:
    """It does not wait behind the waiters that have not resumed yet."""
    flight = endless()
    tasks = await joined(flight, 10 * WAKE_BATCH)
    flight.finish(None)
    await join(flight)
    assert sum(task.done() for task in tasks) < len(tasks)
    await asyncio.gather(*tasks)
    assert flight.waiting == 0


@virtual_time
async def test_waiters_that_are_cancelled_between_the_batches_delay_nobody() -> None:
    """If whole batches are cancelled while others wake, the rest is served."""
    flight = endless()
    tasks = await joined(flight, 6 * WAKE_BATCH)
    flight.finish(None)
    cancelled = range(WAKE_BATCH, 4 * WAKE_BATCH)
    for number in cancelled:
        tasks[number].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [number for number, result in enumerate(results) if result != "finished"] == list(cancelled)
    assert flight.waiting == 0


@virtual_time
async def test_a_deadline_between_the_batches_ends_the_waiters_that_have_not_resumed() -> None:
    """Each waiter ends once, by its batch or by its deadline, and none is lost."""
    flight = endless()
    tasks = await waiting(flight, *[5.0, None] * (3 * WAKE_BATCH))
    flight.finish(None)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.now = 6.0
    results = await asyncio.gather(*tasks)
    assert set(results[1::2]) == {"finished"}
    assert set(results[::2]) == {"finished", "TimeoutError"}
    assert (flight.waiting, timers()) == (0, 0)


@virtual_time
async def test_finishing_twice_changes_nothing() -> None:
    """The first end counts, also for the waiters that have not resumed yet."""
    flight = endless()
    tasks = await waiting(flight, *[None] * 3 * WAKE_BATCH)
    flight.finish(None)
    flight.finish(LoginError("too late"))
    assert set(await asyncio.gather(*tasks)) == {"finished"}
    assert flight.error is None


def calls_for(number: int) -> int:
    """How many calls it takes for *number* waiters with different deadlines to join and to leave, one by one."""

    async def main() -> None:
        flight, _ = gated()
        waiters = [(flight.join(1000.0 + nth), 1000.0 + nth) for nth in range(number)]
        assert flight.waiting == number
        for waiter, deadline in waiters:
            flight.leave(waiter, deadline)
        assert flight.waiting == 0
        await flight.cancel()

    return costs.calls(lambda: asyncio.run(main()))


def test_the_work_for_one_more_waiter_does_not_grow_with_their_number() -> None:
    """Ten times as many with different deadlines take ten times the steps; the number itself is kept."""
    assert calls_for(10_000) < 2 * 10 * calls_for(1_000)
    assert "waiting" in Flight.__slots__
