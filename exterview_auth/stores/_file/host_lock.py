"""
A lock among the processes of one host: the kernel's own file lock (by the library *filelock*), with a lease.

The kernel frees the lock when its holder dies. A holder that lives touches the file; if it has not done so for a whole lease,
it is frozen, and a waiter puts a new file in its place. The frozen process notices that when it goes on: the file of its name
has another inode.

A holder's lease may be longer than a waiter's, so that it touches the file less often: the file's access time is so many seconds
after its modification time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from functools import partial

from filelock import FileLock, Timeout

from .._shared import LONGEST_LEASE
from .directory import FILE_MODE, FileIdentity, PrivateDirectory

WRITE_TIMEOUT = 0.8
"""Seconds to wait for a write lock, which is usually held for some milliseconds."""
MAX_UNWATCHED = 4.0
"""Seconds between two looks at a lock, after which a watch starts again. In a crowd, a waiter looks every second poll."""


class LivenessWatch:
    """
    How long a lock's file has been the same, by this process's own clock.

    Only what was watched counts: a process that was frozen itself has not seen that the holder was.
    """

    def __init__(self) -> None:
        self._identity: FileIdentity | None = None
        self._since = self._looked_at = 0.0

    def seconds(self, identity: FileIdentity | None) -> float:
        """Return for how long *identity* has been seen without an interruption."""
        now = time.monotonic()
        if identity != self._identity or now - self._looked_at > MAX_UNWATCHED:
            self._identity, self._since = identity, now
        self._looked_at = now
        return now - self._since


class HostLock:
    """One attempt to get the lock whose file is *name*. Every method blocks for a moment, and may run in any thread."""

    def __init__(
        self, directory: PrivateDirectory, name: str, lease: float, watch: LivenessWatch | None = None
    ) -> None:
        self._directory = directory
        self._name = name
        self._lease = lease
        self._watch = watch or LivenessWatch()
        self._lock: FileLock | None = None
        self._inode = 0
        # Invariant: acquiring and releasing exclude each other, and nothing is acquired after the release.
        self._order = threading.Lock()
        self._released = False

    def try_acquire(self) -> bool:
        """Return whether the lock is held now; it is taken from a frozen holder."""
        with self._order:
            return not self._released and (self._try() or (self._replace_frozen() and self._try()))

    def touch(self) -> bool:
        """Show that the holder lives; return whether it still holds the lock."""
        if not self.is_held():
            return False
        self._directory.touch(self._name, *self._signs_of_life())
        return True

    def _signs_of_life(self) -> tuple[float, float]:
        now = time.time()
        return now + self._lease, now

    def _holders_lease(self) -> float:
        """Return the lease by which the holder touches the file, if it is longer than this lock's own."""
        accessed = modified = 0.0
        with contextlib.suppress(FileNotFoundError):  # another waiter was faster
            accessed, modified = self._directory.times(self._name)
        lease = round(accessed - modified, 3)
        # An older version sets no such times, and a program that reads the file may move one of them.
        return lease if self._lease < lease <= LONGEST_LEASE else self._lease

    def is_held(self) -> bool:
        """Return whether the file is still the one that this process locked."""
        identity = self._directory.identity(self._name)
        return self._lock is not None and identity is not None and identity.inode == self._inode

    def release(self) -> None:
        """Release the lock, and never acquire it again: an attempt may still run in another thread."""
        with self._order:
            self._released = True
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _try(self) -> bool:
        lock = self._file_lock(self._name)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._lock = lock
        return True

    def _file_lock(self, name: str) -> FileLock:
        """Return the kernel's lock on a private file; never a lock that a dead process could leave behind."""
        self._directory.ensure()
        self._directory.identity(name)  # before the file is opened by its path: it may be another user's
        return FileLock(
            self._directory.path / name,
            timeout=WRITE_TIMEOUT,
            mode=FILE_MODE,
            thread_local=False,
            fallback_to_soft=False,
            on_acquired=partial(self._note_acquired, name),
        )

    def _note_acquired(self, name: str, handle: int) -> None:
        identity, inode = self._directory.identity(name), os.fstat(handle).st_ino
        # Another file has that name now, perhaps in another directory: this one excludes nobody.
        if identity is None or identity.inode != inode:
            raise Timeout(name)
        if name == self._name:
            # Touched at once: many short holders in a row must not look like one frozen holder.
            os.utime(handle, self._signs_of_life())
            self._inode = inode

    def _replace_frozen(self) -> bool:
        """Remove the lock's file if its holder has not touched it for a lease; return whether to try again."""
        identity = self._directory.identity(self._name)
        if identity is None or self._watch.seconds(identity) <= self._holders_lease():
            return False
        # Under a lock, and after another look: two waiters at once must not remove each other's new file.
        with contextlib.suppress(Timeout), self._file_lock(f"{self._name}.breaking"):
            if self._directory.identity(self._name) == identity:
                self._directory.remove(self._name)
        return True
