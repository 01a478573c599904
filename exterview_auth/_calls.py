"""Calls into code that is not ours: it may hang, block, swallow its cancellation or cancel itself."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

PAUSE_THRESHOLD = 0.1
"""A timer that fires this many seconds late means that the process was not running: stopped, suspended or starved."""
PAUSE_GRACE = 0.25
"""Seconds that a call then gets to read a response that may have arrived meanwhile."""
CANCEL_GRACE = 1.0
"""Seconds that cancelled work gets to clean up before it is abandoned."""


class CancelledItselfError(Exception):
    """The called code ended in ``CancelledError``, although nobody cancelled it."""


async def bounded(
    call: Awaitable[T], seconds: float | None = None, *, finish: bool = False, grace: float = CANCEL_GRACE
) -> T:
    """
    The result of *call*, run in a task of its own.

    Raises ``TimeoutError`` after *seconds* (a process that stood still takes in first what came meanwhile), and ends at most
    *grace* after that or after its own cancellation, also where *call* does not let itself be cancelled: it is left
    behind then, and what becomes of it is ignored. With *finish*, a cancellation gives *call* that grace to come to its end first.
    """
    # A coroutine is the task's own, so that it ends with it also where it never began.
    work: Coroutine[Any, Any, T] = call if asyncio.iscoroutine(call) else _as_coroutine(call)
    task = asyncio.ensure_future(work)
    try:
        done = await _done_in_time(task, seconds)
    except asyncio.CancelledError:
        try:
            if finish:
                await asyncio.wait([task], timeout=grace)
        finally:  # also where the caller is cancelled once more
            await cancel_and_wait(task, grace)
        raise
    if not done:
        await cancel_and_wait(task, grace)
        raise TimeoutError
    if task.cancelled():
        raise CancelledItselfError
    return task.result()


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """``asyncio.timeout``, but a process that stood still first takes in what came meanwhile."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    def over() -> None:
        late = loop.time() - until > PAUSE_THRESHOLD
        limit.reschedule(loop.time() + (PAUSE_GRACE if late else 0.0))

    async with asyncio.timeout(None) as limit:
        timer = loop.call_at(until, over)
        try:
            yield
        finally:
            timer.cancel()


async def _done_in_time(task: asyncio.Task[Any], seconds: float | None) -> bool:
    clock = asyncio.get_running_loop().time
    began = clock()
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done and seconds is not None and clock() - began > seconds + PAUSE_THRESHOLD:
        done, _ = await asyncio.wait([task], timeout=PAUSE_GRACE)
    return bool(done)


async def cancel_and_wait(task: asyncio.Task[Any], seconds: float = CANCEL_GRACE) -> None:
    """Cancel *task* and give it so many *seconds* to end; what it raises is ignored, now and later."""
    task.add_done_callback(_ignore_outcome)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=seconds)


def _ignore_outcome(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


async def awaited(value: Any) -> Any:
    """Return *value*, awaited if it is awaitable: an application's callable may be sync or async."""
    return await value if inspect.isawaitable(value) else value


async def _as_coroutine(call: Awaitable[T]) -> T:
    return await call


def is_being_cancelled() -> bool:
    """Whether somebody has cancelled the running task: a ``CancelledError`` without that is the called code's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class SingleThread:
    """
    A daemon thread per call, one at a time: a call that never returns costs one thread and holds up no shutdown.

    The default executor is left alone: other code's ``asyncio.to_thread`` must not queue behind a slow source.
    """

    __slots__ = ("_running",)

    def __init__(self) -> None:
        # Invariant: the newest call and the process that made it; after a fork its thread does not exist in the child.
        self._running: tuple[int, Future[None]] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """What *call* returns or raises. Cancelled: the call runs on, and the next one waits for its end."""
        while (running := self._busy()) is not None:
            await asyncio.wrap_future(running)
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()
        results: list[T] = []
        errors: list[BaseException] = []
        Thread(target=_perform, args=(contextvars.copy_context(), call, results, errors, done), daemon=True).start()
        self._running = os.getpid(), done
        await asyncio.wrap_future(done)
        if errors:
            raise errors.pop()
        return results.pop()

    def _busy(self) -> Future[None] | None:
        if self._running is None:
            return None
        process, done = self._running
        return done if process == os.getpid() and not done.done() else None


def _perform(
    context: contextvars.Context,
    call: Callable[[], T],
    results: list[T],
    errors: list[BaseException],
    done: Future[None],
) -> None:
    try:
        results.append(context.run(call))
    except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
        errors.append(error)
    finally:
        done.set_result(None)


class CallableValue:
    """A sync or async callable without arguments whose value may have changed; a sync one runs in a thread."""

    __slots__ = ("_call", "_thread")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._thread = SingleThread()

    async def read(self) -> Any:
        """What the callable returns; what it raises goes through."""
        call = self._call
        return await awaited(call() if _is_async(call) else await self._thread.run(call))


def _is_async(call: object) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004 - an object's own async __call__
