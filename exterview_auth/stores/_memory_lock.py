"""
A lock for the tasks of any number of event loops, in any threads of one process.

asyncio's own lock belongs to one loop. Here a release passes the lock straight on to the first task that waits, in whichever loop.
A loop that ended with the lock in hand will not release it: the tasks that wait notice that, and the first of them takes it. A loop
that only pauses, because its program runs it in turns with something else, keeps the lock for a while. When it goes on after that,
its save is fenced: it does not replace what has been saved since.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextvars import ContextVar

from ._single_use import SingleUse

LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether the holder's loop has ended."""
LOOKS_AT_PAUSED_LOOP = 5
"""After so many looks in a row at a loop that does not run, it counts as ended."""


class LockQueue:
    """The holder of one account's lock, and who waits for it."""

    __slots__ = ("__weakref__", "guard", "holder", "saves", "waiting")

    def __init__(self) -> None:
        # Held for a few steps, and never during an await.
        self.guard = threading.Lock()
        # Invariant: the use that holds the lock, or is about to be told so; None only if nobody waits.
        self.holder: MemoryLock | None = None
        self.waiting: deque[MemoryLock] = deque()
        self.saves = 0

    def admits_save(self) -> bool:
        """Whether the running code may save now: not if its lock was taken from it, and another has saved since."""
        lock = _locks.get({}).get(self)
        with self.guard:
            if lock is not None and lock is not self.holder and lock.saves_seen != self.saves and not lock.released:
                return False
            self.saves += 1
            if lock is not None:
                lock.saves_seen = self.saves
        return True

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
            first.saves_seen = self.saves


# The locks in whose scope the running code is: the protocol's `save` is not passed the lock.
_locks: ContextVar[dict[LockQueue, MemoryLock]] = ContextVar("exterview_auth_memory_locks")


class MemoryLock(SingleUse):
    """One use of an account's lock: an exclusive asynchronous context manager, first come, first served."""

    __slots__ = ("_outer", "_queue", "granted", "loop", "released", "saves_seen")

    def __init__(self, queue: LockQueue) -> None:
        super().__init__()
        self._queue = queue
        self.loop: asyncio.AbstractEventLoop
        self.granted = asyncio.Event()
        self.released = False
        """Whether its block has ended: a task that was started in it may outlive it."""
        # The queue's count when this use became the holder, or saved last: a higher one is another's save.
        self.saves_seen = 0

    async def __aenter__(self) -> None:
        self.begin_use()
        await self._acquire()
        self._outer = _locks.get({})
        _locks.set({**self._outer, self._queue: self})

    async def _acquire(self) -> None:
        queue = self._queue
        self.loop = asyncio.get_running_loop()
        with queue.guard:
            if queue.holder is None:
                queue.holder = self
                self.saves_seen = queue.saves
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
        self.released = True
        _locks.set(self._outer)
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
