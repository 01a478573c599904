"""Calls into code that is not ours end, whatever it does."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import socket
import threading
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from exterview_auth._calls import (
    CANCEL_GRACE,
    PAUSE_GRACE,
    CallableValue,
    DaemonThreads,
    NotAnExceptionError,
    bounded,
    cancel_and_wait,
    kind_of,
    within,
)
from tests.kit.clock import now, passing, settle, stand_still, virtual_time


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
async def test_a_call_that_ignores_its_cancellation_is_abandoned() -> None:
    """Nothing hangs, ever: the caller waits for the bound and the grace, and what the call raises later is ignored."""
    work = Stubborn(100)
    with pytest.raises(TimeoutError):
        await bounded(work(), 5)
    assert now() == 5 + CANCEL_GRACE
    assert not work.ended
    await asyncio.sleep(100)
    assert work.ended


@pytest.mark.parametrize(
    "failure", [asyncio.CancelledError(), GeneratorExit(), BaseExceptionGroup("own", [GeneratorExit()])]
)
@virtual_time
async def test_a_call_that_raises_no_exception_does_not_end_the_caller(failure: BaseException) -> None:
    """What is not an ``Exception``, also a ``CancelledError`` of its own, is an ordinary error to those who called."""
    with pytest.raises(NotAnExceptionError) as caught:
        await bounded(result(failure), 5)
    assert type(caught.value.__cause__) is type(failure)
    assert kind_of(caught.value) == type(failure).__name__
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
    """A short login timeout leaves a store that does not let itself be cancelled little time, both ways."""
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


@virtual_time
async def test_a_process_that_was_not_running_reads_what_arrived() -> None:
    """A timer that fires late proves nothing: the response was there in time, and the store is not to blame."""
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)
    answer = asyncio.ensure_future(bounded(slowly(reader.readexactly(5)), 0.05))
    await asyncio.sleep(0)
    far.sendall(b"hello")
    stand_still(0.3)
    assert await answer == b"hello"
    began = now()
    with pytest.raises(TimeoutError):
        await bounded(reader.read(1), 0.05)
    assert now() - began == pytest.approx(0.05)
    writer.close()
    far.close()


@virtual_time
async def test_a_process_that_was_not_running_does_not_wait_for_ever() -> None:
    """The time to read a response is bounded too: nothing hangs."""
    work = Stubborn(0)
    answer = asyncio.ensure_future(bounded(work(), 0.05))
    await asyncio.sleep(0)
    stand_still(0.3)
    with pytest.raises(TimeoutError):
        await answer
    assert now() == 0.3 + PAUSE_GRACE
    assert work.cancelled


def test_a_call_that_never_began_leaves_no_warning() -> None:
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
async def test_a_caller_cancelled_twice_leaves_nothing_running(turns: int) -> None:
    """The second cancellation cuts the grace short, and the call is cancelled all the same."""
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
    """The limit holds for a process that was running."""
    with pytest.raises(TimeoutError):
        async with within(2.0):
            await asyncio.sleep(10)
    assert now() == 2.0
    async with within(2.0):
        await asyncio.sleep(1)
    assert now() == 3.0
    await passing(5)  # a limit that has ended does not expire


@virtual_time
async def test_a_limit_lets_a_process_that_was_not_running_read_what_arrived() -> None:
    """A token that arrived while the process was stopped is not thrown away."""
    near, far = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=near)

    async def pause() -> None:
        far.send(b"token\n")
        stand_still(0.3)

    pausing = asyncio.ensure_future(pause())
    async with within(0.1):
        assert await slowly(reader.readline()) == b"token\n"
    await pausing
    writer.close()
    far.close()


# -- values that a callable returns ---------------------------------------------------------------------------------------


async def later() -> str:
    """An async callable."""
    await asyncio.sleep(0)
    return "later"


class AsyncCallable:
    """An object whose call is async."""

    async def __call__(self) -> str:
        return await later()


@pytest.mark.parametrize("call", [later, lambda: later(), AsyncCallable()], ids=["function", "lambda", "object"])  # noqa: PLW0108 - the form that users write
async def test_an_async_callable_serves_all_readers_at_once(call: Callable[[], Any]) -> None:
    """An async callable, in each form that a user may give it, can be read by two at once."""
    value = CallableValue(call)
    assert [*await asyncio.gather(value.read(), value.read())] == ["later", "later"]
    assert await value.read() == "later"


async def test_only_a_sync_callable_runs_in_a_thread() -> None:
    """A daemon thread: a callable that never returns does not keep the process alive."""

    async def thread() -> int:
        return threading.get_ident()

    assert await CallableValue(thread).read() == threading.get_ident()
    assert await CallableValue(threading.get_ident).read() != threading.get_ident()
    assert await CallableValue(lambda: threading.current_thread().daemon).read() is True


async def test_a_slow_sync_callable_uses_one_thread() -> None:
    """Any number of readers cost one thread at a time, and a cancelled reader ends the call for nobody."""
    gate, running, peaks, numbers = threading.Event(), threading.Semaphore(1), [], itertools.count()

    def slow() -> int:
        peaks.append(running.acquire(blocking=False))
        assert gate.wait(30)
        running.release()
        return next(numbers)

    value = CallableValue(slow)
    readers = [asyncio.ensure_future(value.read()) for _ in range(5)]
    await asyncio.sleep(0.01)
    readers[0].cancel()
    await asyncio.sleep(0)
    assert await asyncio.to_thread(lambda: "free") == "free"
    gate.set()
    read = await asyncio.gather(*readers[1:])
    assert all(isinstance(number, int) for number in read)
    assert peaks == [True] * len(peaks)
    assert readers[0].cancelled()


@pytest.mark.parametrize("failure", [OSError("no disk"), StopIteration()], ids=["OSError", "StopIteration"])
async def test_a_callable_that_raises_is_called_again(failure: Exception) -> None:
    """Every latch opens by itself: whatever a sync callable raises, the reader gets it, and the next reading calls again."""
    calls: list[int] = []

    def broken() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise failure
        return "healed"

    value = CallableValue(broken)
    with pytest.raises((OSError, RuntimeError)) as caught:
        await asyncio.wait_for(value.read(), 10)
    assert not isinstance(caught.value, TimeoutError)
    assert await asyncio.wait_for(value.read(), 10) == "healed"


def test_a_value_can_be_read_under_a_new_loop() -> None:
    """A call that a closed loop waited for is not waited for in the next."""
    gate = threading.Event()
    value = CallableValue(lambda: gate.wait(30))

    async def abandoned() -> None:
        task = asyncio.ensure_future(value.read())
        await asyncio.sleep(0.01)
        task.cancel()
        asyncio.get_running_loop().call_soon(gate.set)

    asyncio.run(abandoned())
    assert asyncio.run(value.read()) is True


async def test_a_call_that_runs_at_a_fork_does_not_block_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread does not exist there."""
    go_on = threading.Event()
    threads = DaemonThreads(1, "test")
    pending = asyncio.ensure_future(threads.run(lambda: go_on.wait(30)))
    await asyncio.sleep(0)
    child = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: child)
    assert await asyncio.wait_for(threads.run(lambda: 7), 10) == 7
    go_on.set()
    assert await pending


async def test_a_thread_that_cannot_start_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes out, and the next call runs."""
    threads = DaemonThreads(1, "test")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail_to_start)
        with pytest.raises(RuntimeError, match="can't start"):
            await threads.run(lambda: 7)
    assert await threads.run(lambda: 7) == 7


def fail_to_start(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_the_task_that_reads_a_value_does_not_show_it(kind: str) -> None:
    """A key or a token is in no task's repr, which asyncio's debug mode logs with its result."""

    async def read() -> str:
        return "s3cr3t"

    task = asyncio.ensure_future(CallableValue(read if kind == "async" else lambda: "s3cr3t").read())
    assert await task == "s3cr3t"
    assert "result='***'" in repr(task)


async def test_the_result_of_a_call_does_not_print() -> None:
    """Asyncio's debug log shows each task, and whatever it has returned: an entry of a store, what a login has returned."""
    tasks: list[asyncio.Task[Any]] = []

    async def call() -> str:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        return "s3cr3t"

    assert await bounded(call()) == "s3cr3t"
    assert "finished" in repr(tasks[0])
    assert "s3cr3t" not in repr(tasks[0])
