"""Values that come from a callable, sync or async: read anew each time, outside the event loop where they may block."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class OneThread:
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


class Source:
    """A sync or async callable without arguments whose value may have changed; a sync one runs in a thread."""

    __slots__ = ("_call", "_thread")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._thread = OneThread()

    async def read(self) -> Any:
        """What the callable returns; what it raises goes through."""
        call = self._call
        value = call() if _is_async(call) else await self._thread.run(call)
        return await value if inspect.isawaitable(value) else value


def _is_async(call: object) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004 - an object's own async __call__
