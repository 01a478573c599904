"""Calls into code that is not ours end, whatever it does."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import warnings
from collections.abc import Awaitable
from typing import Any

import pytest

from exterview_auth._calls import CANCEL_GRACE, CancelledItselfError, bounded, cancel_and_wait, within
from tests.kit.clock import now, passing, settle, virtual_time


class Stubborn:
    """Work that goes on for some seconds after each cancellation, and then raises."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.cancelled = self.ended = False

    async def __call__(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            await asyncio.sleep(self.seconds)
        self.ended = True
        raise ValueError("too late for anybody")


async def result(value: Any) -> Any:
    """A call that gives *value*, or raises it."""
    await asyncio.sleep(0)
    if isinstance(value, BaseException):
        raise value
    return value


async def slowly(answer: Awaitable[bytes]) -> bytes:
    """*answer*, after the steps that it takes through a client."""
    line = await answer
    for _ in range(5):
        await asyncio.sleep(0)
    return line


@virtual_time
async def test_a_call_gives_its_result_or_error() -> None:
    """What the call returns or raises goes through, with a bound and without."""
    assert await bounded(result("x")) == "x"
    assert await bounded(result("x"), 5) == "x"
    future = asyncio.get_running_loop().create_future()
    future.set_result("y")
    assert await bounded(future, 5) == "y"
    failure = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught:
        await bounded(result(failure), 5)
    assert caught.value is failure


@virtual_time
async def test_a_call_that_hangs_is_cancelled_at_its_bound() -> None:
    """After the bound the call is cancelled and ``TimeoutError`` raised, at once where it lets itself be cancelled."""
    work = Stubborn(0)
    with pytest.raises(TimeoutError):
        await bounded(work(), 5)
    assert now() == 5
    assert work.cancelled
    assert work.ended


@virtual_time
async def test_a_call_that_swallows_its_cancellation_is_left_behind() -> None:
    """Nothing hangs, ever: the caller waits for the bound and the grace, and what the call raises later is ignored."""
    work = Stubborn(100)
    with pytest.raises(TimeoutError):
        await bounded(work(), 5)
    assert now() == 5 + CANCEL_GRACE
    assert not work.ended
    await asyncio.sleep(100)
    assert work.ended


@virtual_time
async def test_a_call_that_cancels_itself_is_no_cancellation_of_the_caller() -> None:
    """Code that ends in ``CancelledError`` on its own is an ordinary error to those who called it."""
    with pytest.raises(CancelledItselfError):
        await bounded(result(asyncio.CancelledError()), 5)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@virtual_time
async def test_cancelling_the_caller_cancels_the_call() -> None:
    """The caller's own cancellation goes on, after the call's at most one second of cleaning up."""
    work = Stubborn(100)
    caller = asyncio.ensure_future(bounded(work()))
    await settle()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.cancelled
    assert now() == CANCEL_GRACE
    await asyncio.sleep(100)


@virtual_time
async def test_the_time_to_clean_up_is_as_long_as_the_caller_says() -> None:
    """Rule 17: a short login timeout leaves a store that does not let itself be cancelled little time, both ways."""
    timed_out, cancelled = Stubborn(100), Stubborn(100)
    with pytest.raises(TimeoutError):
        await bounded(timed_out(), 5, grace=0.25)
    assert now() == 5.25
    caller = asyncio.ensure_future(bounded(cancelled(), grace=0.25))
    await settle()
    caller.cancel()
    await asyncio.wait([caller])
    assert (now(), caller.cancelled(), cancelled.cancelled) == (5.5, True, True)
    await asyncio.sleep(100)


@virtual_time
async def test_a_call_may_finish_before_it_is_cancelled() -> None:
    """With *finish*, a cancelled caller lets the call come to its end within the grace, and ends cancelled all the same."""
    ended: list[float] = []

    async def save() -> None:
        await asyncio.sleep(CANCEL_GRACE / 2)
        ended.append(now())

    caller = asyncio.ensure_future(bounded(save(), 5, finish=True))
    await settle()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended == [CANCEL_GRACE / 2]


@virtual_time
async def test_a_call_that_does_not_finish_in_its_grace_is_cancelled() -> None:
    """With *finish*, the grace is bounded too."""
    work = Stubborn(0)
    caller = asyncio.ensure_future(bounded(work(), 50, finish=True))
    await settle()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert now() == CANCEL_GRACE
    assert work.cancelled


@virtual_time
async def test_a_task_that_is_done_is_not_waited_for() -> None:
    """Cancelling what has ended changes nothing, and takes the exception that nobody asked for."""
    task = asyncio.ensure_future(result(ValueError("lost")))
    await settle()
    await cancel_and_wait(task)
    assert now() == 0
    assert not task.cancelled()


@pytest.mark.asyncio
async def test_a_process_that_stood_still_takes_in_what_came_meanwhile() -> None:
    """A timer that fires late is no verdict: the answer was there in time, and the store is not to blame."""
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)
    answer = asyncio.ensure_future(bounded(slowly(reader.readexactly(5)), 0.05))
    await asyncio.sleep(0)
    far.sendall(b"hello")
    time.sleep(0.3)  # noqa: ASYNC251 - stands still
    assert await answer == b"hello"
    began = time.perf_counter()
    with pytest.raises(TimeoutError):
        await bounded(reader.read(1), 0.05)
    assert time.perf_counter() - began < 5
    writer.close()
    far.close()


@pytest.mark.asyncio
async def test_a_process_that_stood_still_does_not_wait_for_what_never_comes() -> None:
    """The time to take in an answer is bounded too: nothing hangs."""
    work = Stubborn(0)
    answer = asyncio.ensure_future(bounded(work(), 0.05))
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - stands still
    done, _ = await asyncio.wait([answer], timeout=5)
    assert done
    with pytest.raises(TimeoutError):
        await answer
    assert work.cancelled


def test_a_call_that_never_began_is_no_lost_coroutine() -> None:
    """A loop that ends at once, as `asyncio.run` does on Ctrl-C, leaves no warning of one that was never awaited."""

    async def main() -> None:
        caller = asyncio.ensure_future(bounded(result("x")))
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait([caller])

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    assert [str(warning.message) for warning in seen] == []


@pytest.mark.parametrize("turns", range(1, 6))
@virtual_time
async def test_who_is_cancelled_twice_leaves_nothing_running(turns: int) -> None:
    """Lesson 30: the second cancellation cuts the grace short, and the call is cancelled all the same."""
    call = asyncio.Event()
    waiter = asyncio.ensure_future(bounded(call.wait(), 100.0, finish=True))
    await settle()
    waiter.cancel()
    await settle(turns)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await passing(CANCEL_GRACE)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_a_limit_cuts_off_what_takes_longer() -> None:
    """Where nobody stood still, the time is the time."""
    with pytest.raises(TimeoutError):
        async with within(2.0):
            await asyncio.sleep(10)
    assert now() == 2.0
    async with within(2.0):
        await asyncio.sleep(1)
    assert now() == 3.0
    await passing(5)  # a limit that is over goes off no more


@pytest.mark.asyncio
async def test_a_limit_lets_a_process_that_stood_still_take_in_what_came_meanwhile() -> None:
    """Rule 5: a token that arrived while the process was stopped is not thrown away with the time that it stood still."""
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)

    async def stand_still() -> None:
        far.send(b"token\n")
        time.sleep(0.3)  # noqa: ASYNC251 - stands still

    standing = asyncio.ensure_future(stand_still())
    async with within(0.1):
        assert await slowly(reader.readline()) == b"token\n"
    await standing
    writer.close()
    far.close()
