"""
A lock for the tasks of any number of event loops, in any threads of one process.

asyncio's own lock belongs to one loop. Here a release passes the lock straight on to the first task that waits, in whichever loop.
A loop that ended with the lock in hand will not release it: the tasks that wait notice that, and the first of them takes it. A loop
that only pauses, because its program runs it in turns with something else, keeps the lock for a while.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from ._single_use import SingleUse

LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether the holder's loop has ended."""
LOOKS_AT_PAUSED_LOOP = 5
"""After so many looks in a row at a loop that does not run, it counts as ended."""


class LockQueue:
    """The holder of one account's lock, and who waits for it."""

    __slots__ = ("__weakref__", "guard", "holder", "waiting")

    def __init__(self) -> None:
        # Held for a few steps, and never during an await.
        self.guard = threading.Lock()
        # Invariant: the use that holds the lock, or is about to be told so; None only if nobody waits.
        self.holder: MemoryLock | None = None
        self.waiting: deque[MemoryLock] = deque()

    def pass_on(self) -> None:
        """Give the lock to the first who waits, if any. Call it under the guard."""
        self.holder = None
        while self.waiting and self.holder is None:
            first = self.waiting.popleft()
            try:
                first.loop.call_soon_threadsafe(first.granted.set)
            except RuntimeError:  # its loop was closed
                continue
            self.holder = first


class MemoryLock(SingleUse):
    """One use of an account's lock: an exclusive asynchronous context manager, first come, first served."""

    __slots__ = ("_queue", "granted", "loop")

    def __init__(self, queue: LockQueue) -> None:
        super().__init__()
        self._queue = queue
        self.loop: asyncio.AbstractEventLoop
        self.granted = asyncio.Event()

    async def __aenter__(self) -> None:
        self.begin_use()
        queue = self._queue
        self.loop = asyncio.get_running_loop()
        with queue.guard:
            if queue.holder is None:
                queue.holder = self
                return
            queue.waiting.append(self)
        looks = 0
        try:
            while not self.granted.is_set():
                try:
                    await asyncio.wait_for(self.granted.wait(), LOOK_INTERVAL)
                except TimeoutError:
                    looks = looks + 1 if self._paused else 0
                    self._take_from_ended_loop(paused=looks >= LOOKS_AT_PAUSED_LOOP)
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        """Release the lock, or stop waiting for it; it may have been passed on to this use meanwhile, or taken from it."""
        queue = self._queue
        with queue.guard:
            if queue.holder is self:
                queue.pass_on()
            elif self in queue.waiting:
                queue.waiting.remove(self)

    @property
    def _paused(self) -> bool:
        holder = self._queue.holder
        return holder is not None and not holder.loop.is_running()

    def _take_from_ended_loop(self, *, paused: bool) -> None:
        """Pass the lock on if its holder's loop is closed, or *paused* for so long that nobody runs it any more."""
        queue = self._queue
        with queue.guard:
            if queue.holder is not None and (queue.holder.loop.is_closed() or (paused and self._paused)):
                queue.pass_on()
