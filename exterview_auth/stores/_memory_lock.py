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
from typing import TYPE_CHECKING

from ._fence import Fence, Fences, close_scope, open_scope
from ._single_use import SingleUse

if TYPE_CHECKING:
    from ._entry import StoredToken

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


class MemoryLock(Fence):
    """
    One use of the lock of *account* in *store*: an exclusive asynchronous context manager, first come, first served.

    It is also the fence of its owner, which may be overtaken: while it waits for the lock, or after its loop was paused for so
    long that it lost the lock.
    """

    __slots__ = ("_outer", "_queue", "_scope", "_use", "granted", "loop", "seen")

    def __init__(self, queue: LockQueue, store: object, account: str) -> None:
        super().__init__()
        self._queue = queue
        self._scope = store, account
        self._use = SingleUse()
        self._outer: Fences = {}
        self.loop: asyncio.AbstractEventLoop
        self.granted = asyncio.Event()
        self.seen: object = None
        """The entry that was read or written last."""

    def may_change(self, present: object) -> bool:
        """Return whether its owner may change the entry that is *present*, if any."""
        return present is None or present is self.seen or (self._is_held and not self.looked_early)

    def note_look(self, found: object) -> None:
        """Note what its owner has *found*."""
        self.seen, self.looked_early = found, not self._is_held

    def note_change(self, entry: object, refused: StoredToken | None) -> None:
        """Note that *entry* is there now, or that another was *refused* to be changed."""
        self.refused = refused
        if refused is None:
            self.seen = entry

    @property
    def _is_held(self) -> bool:
        return self._queue.holder is self

    async def __aenter__(self) -> None:
        self._use.begin_use()
        self.loop = asyncio.get_running_loop()
        self._outer = open_scope(*self._scope, self)
        queue = self._queue
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
        self.released = True
        close_scope(self._outer)
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
