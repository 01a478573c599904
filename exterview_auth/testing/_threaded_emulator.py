"""`ThreadedEmulator`: an emulator that any event loop can use, and code without one."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from ..emulator import Emulator, JournalRecord
from ..emulator._emulator import TIMES
from ..errors import ConfigurationError
from ._movable_clock import Clock

T = TypeVar("T")

CONTROLS = (
    "answer",
    "expire",
    "fail_logins",
    "issue_token",
    "refuse",
    "reset",
    "revoke",
    "rotate_api_key",
    "silence",
    "stats",
)
"""The methods of an emulator, except for its start and stop."""


class ThreadedEmulator(Emulator):
    """
    An `Emulator` on a separate event loop and thread, for tests on any event loop and for sync code.

    ::

        with ThreadedEmulator() as exterview:
            ...

    It takes the arguments of `Emulator`, and has the same attributes and controls. Each control takes effect before it returns.
    """

    __module__ = "exterview_auth.testing"

    __slots__ = ("_clock", "_loop", "_over", "_process", "_thread")

    def __init__(self, *, clock: Clock | None = None, **options: Any) -> None:
        """Check the arguments, which are those of `Emulator`. The ``with`` statement starts the server."""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._process: int | None = None
        self._clock = Clock() if clock is None else clock
        super().__init__(clock=self._clock, **options)

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise ConfigurationError(
                "the emulator is running already; leave its with block first, or create another one"
            )
        started: Future[None] = Future()
        self._process = os.getpid()
        # A daemon: a test run that is interrupted ends all the same.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="exterview emulator", daemon=True
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._join()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        # In the child of a fork, the loop's wake-up pipe is still the parent's.
        if self._loop is not None and self._over is not None and self._process == os.getpid():
            self._loop.call_soon_threadsafe(self._over.set)
        self._join()

    @property
    def clock(self) -> Clock:
        """The clock of its tokens' lifetimes. Pass it as ``clock=`` to the `ExterviewAuth` that is tested."""
        return self._clock

    @property
    def logins(self) -> int:
        """Login requests with a valid API key, accepted or refused, since the start or the last `reset`."""
        return self.stats().logins

    @property
    def requests(self) -> int:
        """All requests, logins among them, since the start or the last `reset`."""
        return self.stats().requests

    @property
    def refused(self) -> int:
        """Requests that were answered 401, since the start or the last `reset`."""
        return self.stats().statuses.get(401, 0)

    @property
    def journal(self) -> tuple[JournalRecord, ...]:
        """The last 1000 requests since the start or the last `reset`, the oldest first, each with its answer."""
        return self._on_its_thread(lambda: super(ThreadedEmulator, self).journal)

    def __setattr__(self, name: str, value: object) -> None:
        assign = functools.partial(super().__setattr__, name, value)
        if name in TIMES:
            self._on_its_thread(assign)
        else:
            assign()

    async def _serve(self, started: Future[None]) -> None:
        try:
            over = self._over = asyncio.Event()  # on the loop that runs now: each start has another
            async with self:
                self._loop = asyncio.get_running_loop()
                started.set_result(None)
                await over.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            self._loop = None

    def _join(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _on_its_thread(self, call: Callable[[], T]) -> T:
        """Return what *call* returns on the thread of the server, which no other thread may change under its requests."""
        loop = self._loop
        if loop is not None and self._process != os.getpid():
            # A fork takes no thread along: the call would wait for ever.
            raise ConfigurationError(
                "the emulator runs in the process that this one was forked from; start another ThreadedEmulator here"
            )
        if loop is None or threading.current_thread() is self._thread:
            return call()
        outcome: Future[T] = Future()

        def settle() -> None:
            try:
                outcome.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is raised where the call comes from
                outcome.set_exception(error)

        loop.call_soon_threadsafe(settle)
        return outcome.result()


def _threaded(control: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(control)
    def call(self: ThreadedEmulator, *args: Any, **options: Any) -> T:
        return self._on_its_thread(functools.partial(control, self, *args, **options))

    return call


# Here and not in the class: their signatures and docstrings are those of `Emulator`.
for _name in CONTROLS:
    setattr(ThreadedEmulator, _name, _threaded(getattr(Emulator, _name)))
