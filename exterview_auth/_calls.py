"""Calls into code that is not ours: it may hang, block, ignore its cancellation or cancel itself."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import Executor, Future
from functools import partial
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar

from ._secret import concealed
from .errors import ExterviewAuthError

P = ParamSpec("P")
T = TypeVar("T")

PAUSE_THRESHOLD = 0.1
"""A timer that fires this many seconds late means that the process was not running: stopped, suspended or starved."""
PAUSE_GRACE = 0.25
"""Seconds that a call then gets to read a response that may have arrived meanwhile."""
CANCEL_GRACE = 1.0
"""Seconds that cancelled work gets to clean up before it is abandoned."""


class NotAnExceptionError(Exception):
    """
    The called code raised what is not an ``Exception``, which is the cause.

    That is a ``CancelledError`` although nobody cancelled it, or a ``BaseException`` of any other type.
    """


async def bounded(
    call: Awaitable[T],
    seconds: float | None = None,
    *,
    finish: bool = False,
    grace: float = CANCEL_GRACE,
    context: contextvars.Context | None = None,
) -> T:
    """
    Run *call* in a separate task, in *context* or a copy of the caller's, and return its result.

    Raises what *call* raises, as `NotAnExceptionError` what is not an ``Exception``, and ``TimeoutError`` after *seconds*; a
    process that was not running reads first what has arrived meanwhile. Ends at most *grace* seconds after that, or after its
    own cancellation, even if *call* ignores its cancellation: then *call* is abandoned and its outcome ignored. With *finish*,
    a cancellation lets *call* finish within *grace* before cancelling it.
    """
    # Closed with the task: one that is cancelled before its first step has not begun to await it.
    work: Coroutine[Any, Any, T] = call if asyncio.iscoroutine(call) else awaited(call)
    task = asyncio.get_running_loop().create_task(_unprinted(work), context=context)
    task.add_done_callback(lambda _: work.close())
    try:
        done = await _done_in_time(task, seconds)
    except asyncio.CancelledError:
        try:
            if finish:
                await asyncio.wait([task], timeout=grace)
        finally:  # also if the caller is cancelled a second time
            await cancel_and_wait(task, grace)
        raise
    if not done:
        await cancel_and_wait(task, grace)
        raise TimeoutError
    failure = asyncio.CancelledError() if task.cancelled() else task.exception()
    if failure is None or isinstance(failure, Exception):
        return task.result().value
    # KeyboardInterrupt and SystemExit too: the call's task has ended the loop with them already.
    raise NotAnExceptionError from failure


class _Unprinted(Generic[T]):
    """A result of which asyncio's debug log, where each task appears with its result, shows nothing."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


async def _unprinted(work: Awaitable[T]) -> _Unprinted[T]:
    return _Unprinted(await work)


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Limit a block like ``asyncio.timeout``, but let a process that was not running first read what has arrived."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    # A late timer runs before the loop has read its sockets. Moving the limit a little lets the loop read first.
    def expire() -> None:
        late = loop.time() - until > PAUSE_THRESHOLD
        limit.reschedule(loop.time() + (PAUSE_GRACE if late else 0.0))

    async with asyncio.timeout(None) as limit:
        timer = loop.call_at(until, expire)
        try:
            yield limit
        finally:
            timer.cancel()


async def _done_in_time(task: asyncio.Task[Any], seconds: float | None) -> bool:
    clock = asyncio.get_running_loop().time
    began = clock()
    done, _ = await asyncio.wait([task], timeout=seconds)
    # Later than the limit: the process was not running, and the result may be waiting in a socket.
    if not done and seconds is not None and clock() - began > seconds + PAUSE_THRESHOLD:
        done, _ = await asyncio.wait([task], timeout=PAUSE_GRACE)
    return bool(done)


async def cancel_and_wait(task: asyncio.Task[Any], seconds: float = CANCEL_GRACE) -> None:
    """Cancel *task* and wait at most *seconds* for its end. Its errors are ignored, now and later."""
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


def is_being_cancelled() -> bool:
    """Whether the running task was cancelled from outside: otherwise a ``CancelledError`` is the called code's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def must_pass(failure: BaseException) -> bool:
    """Whether *failure* ends the running task or the program, and is no mistake of the code that the task has called."""
    if isinstance(failure, asyncio.CancelledError):
        return is_being_cancelled()
    return isinstance(failure, KeyboardInterrupt | SystemExit | GeneratorExit)


def kind_of(failure: BaseException) -> str:
    """Return the name of the type that the called code raised."""
    return type(_raised(failure)).__name__


def problem_of(failure: BaseException) -> str:
    """Return the sentence of this package's own errors, in which no secret is; of any other, only the name of its type."""
    return str(failure) if isinstance(failure, ExterviewAuthError) else kind_of(failure)


def place_of(failure: BaseException) -> str | None:
    """Return the file and the line in which the called code failed, ``FILE:LINE``; ``None`` if that is unknown."""
    place = innermost(_raised(failure))
    return None if place is None else f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}"


def _raised(failure: BaseException) -> BaseException:
    """Return what the called code raised, which `NotAnExceptionError` may stand for."""
    cause = failure.__cause__ if isinstance(failure, NotAnExceptionError) else None
    return failure if cause is None else cause


def innermost(failure: BaseException) -> TracebackType | None:
    """Return the place that raised *failure*."""
    place = failure.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place


class DaemonThreads(Executor):
    """
    Runs calls in at most so many daemon threads, which end when nothing is left to run.

    A call that never returns costs one thread, and delays no shutdown: Python joins the threads of its own executors when the
    program ends. The default executor is left to other code, whose calls must not queue behind a slow one.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._process = os.getpid(), _Queue()

    def submit(self, call: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> Future[T]:
        """Return a future of what *call* returns. If it is cancelled before the call begins, the call is not made."""
        # A forked process has none of its parent's threads, and does not carry out what was submitted there.
        if self._process[0] != os.getpid():
            self._process = os.getpid(), _Queue()
        queue, done = self._process[1], Future[T]()
        with queue.guard:
            if queue.running < self._most:
                Thread(target=queue.work, name=self._name, daemon=True).start()
                queue.running += 1
            queue.calls.append(partial(_perform, done, partial(call, *args, **options)))
        return done

    async def run(self, call: Callable[[], T]) -> T:
        """Return or raise what *call* does, in a copy of the context. After a cancellation *call* runs on."""
        # A list, so that no result shows in a future's repr; the errors, because no future of asyncio can hold StopIteration.
        results: list[T] = []
        errors: list[BaseException] = []
        await asyncio.wrap_future(self.submit(_collect, contextvars.copy_context(), call, results, errors))
        if errors:
            raise errors.pop()
        return results.pop()


class _Queue:
    """The calls that wait for a thread of one process."""

    __slots__ = ("calls", "guard", "running")

    def __init__(self) -> None:
        self.guard = Lock()
        self.calls: deque[Callable[[], None]] = deque()
        # Invariant: how many threads will look for another call before they end.
        self.running = 0

    def work(self) -> None:
        while True:
            with self.guard:
                if not self.calls:
                    self.running -= 1
                    return
                perform = self.calls.popleft()
            perform()


def _perform(done: Future[T], call: Callable[[], T]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - raised again in the awaiting task
        done.set_exception(error)
    else:
        done.set_result(result)


def _collect(
    context: contextvars.Context, call: Callable[[], T], results: list[T], errors: list[BaseException]
) -> None:
    try:
        results.append(context.run(call))
    except BaseException as error:  # noqa: BLE001 - raised again in the awaiting task
        errors.append(error)


class CallableValue:
    """A value that a sync or async callable returns at each reading. A sync callable runs in a thread."""

    __slots__ = ("_call", "_thread")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._thread = DaemonThreads(1, "exterview_auth value")

    @property
    def problem(self) -> str | None:
        """Why the callable, which reads a file, returned its last value again, if it did."""
        problem = getattr(self._call, "_problem", None)
        return problem if isinstance(problem, str) else None

    async def read(self) -> Any:
        """Return the callable's value; its errors pass through."""
        call = self._call
        # Concealed here: it is a key or a token, and the result of the task that reads it shows in that task's repr.
        return concealed(await awaited(call() if _is_async(call) else await self._thread.run(call)))


def _is_async(call: object) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004 - an object's own async __call__
