"""Calls into code that is not ours: it may hang, block, swallow its cancellation or cancel itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LATE = 0.1
"""Seconds by which a timer fires late where this process stood still (stopped, suspended, busy)."""
LATE_GRACE = 0.25
"""Seconds that a call then has to take in the answer that may have come meanwhile."""
CANCEL_GRACE = 1.0
"""Seconds that cancelled work has for its own cleaning up before it is left alone."""


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
        late = loop.time() - until > LATE
        limit.reschedule(loop.time() + (LATE_GRACE if late else 0.0))

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
    if not done and seconds is not None and clock() - began > seconds + LATE:
        done, _ = await asyncio.wait([task], timeout=LATE_GRACE)
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


async def _as_coroutine(call: Awaitable[T]) -> T:
    return await call


def is_being_cancelled() -> bool:
    """Whether somebody has cancelled the running task: a ``CancelledError`` without that is the called code's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
