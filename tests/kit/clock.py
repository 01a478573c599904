"""An event loop whose time passes only while nothing else can happen: an hour of waiting takes no time."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _IdleSelector(selectors.DefaultSelector):
    """Does not wait: moves the loop's time on instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # Only another thread can still do something: give it a moment of real time.
            ready = super().select(30.0)
            if not ready:
                raise RuntimeError("deadlock: nothing is ready and no timer is set")
            return ready
        self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    ``loop.now`` is its time, in seconds from zero.

    What a test adds to ``loop.cleanups`` is awaited at the test's end.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.cleanups: list[Callable[[], Awaitable[object]]] = []
        selector = _IdleSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's own signature
        """Threads are joined in real time: virtual seconds say nothing about them."""
        await super().shutdown_default_executor()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Return what *main* returns, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    """Return the running loop's time: the clock to inject."""
    return asyncio.get_running_loop().time()


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a loop of virtual time; no task may be left, and no lost exception."""

    @functools.wraps(test)
    def in_virtual_time(*args: Any, **kwargs: Any) -> None:
        problems: list[dict[str, Any]] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.set_exception_handler(lambda _, context: problems.append(context))
            await test(*args, **kwargs)
            for cleanup in loop.cleanups:
                await cleanup()
            for _ in range(3):
                await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"left behind: {left}"

        run(main())
        gc.collect()
        assert not problems, problems

    in_virtual_time.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]  # pytest reads the fixtures from it
    del in_virtual_time.__wrapped__  # and must not see a coroutine function
    return in_virtual_time


async def passing(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)


def stand_still(seconds: float) -> None:
    """Let time pass in which this process does not run, as one that is stopped: timers are late, and sockets fill."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.now += seconds


async def settle(turns: int = 20) -> None:
    """Let everything run that is ready."""
    for _ in range(turns):
        await asyncio.sleep(0)
