"""
A lock among the processes of one host, by the kernel's own file lock (the library *filelock*).

The kernel frees it when its holder dies. A holder that is alive touches the file; where one has not done so for a whole
lease it is frozen, and who waits puts a new file in its place. The frozen one notices when it wakes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

from filelock import FileLock, Timeout

from .directory import FILE_MODE, PrivateDirectory, Signature

PATIENCE = 0.8
"""Seconds to wait for another's saving, which takes some milliseconds."""
LONGEST_BLINK = 4.0
"""Seconds between two looks at a holder (in a crowd it is every second tick): who was away for longer begins anew."""


class Watch:
    """For how long a lock's file has been the same, by this process's own clock."""

    def __init__(self) -> None:
        self._signature: Signature | None = None
        self._since = self._looked = 0.0

    def seconds(self, signature: Signature | None) -> float:
        """Since when *signature* is seen, without having looked away."""
        now = time.monotonic()
        if signature != self._signature or now - self._looked > LONGEST_BLINK:
            self._signature, self._since = signature, now
        self._looked = now
        return now - self._since


class HostLock:
    """One contender for the lock called *path*. Every method blocks for a moment; they may run in different threads."""

    def __init__(self, directory: PrivateDirectory, path: str, lease: float, watch: Watch | None = None) -> None:
        self._directory = directory
        self._path = path
        self._lease = lease
        self._watch = watch or Watch()
        self._lock: FileLock | None = None
        self._inode = 0
        # Invariant: taking and giving back exclude each other, and nothing is taken once it was given up.
        self._order = threading.Lock()
        self._given_up = False

    def take(self) -> bool:
        """Whether the lock is held now; that of a frozen holder is taken from it."""
        with self._order:
            return not self._given_up and (self._try() or (self._is_frozen() and self._try()))

    def keep(self) -> bool:
        """Show that the holder is alive; whether it still holds the lock."""
        if not self.is_held():
            return False
        os.utime(self._directory.file(self._path))
        return True

    def is_held(self) -> bool:
        """Whether this is still the account's lock, and not the one before it."""
        signature = self._directory.signature(self._path)
        return self._lock is not None and signature is not None and signature.inode == self._inode

    def give_back(self) -> None:
        """Let it go, and take it no more."""
        with self._order:
            self._given_up = True
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _try(self) -> bool:
        lock = self._file_lock(self._path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._lock = lock
        return True

    def _file_lock(self, path: str) -> FileLock:
        """The kernel's lock on a private file, never one that a dead process could leave."""
        self._directory.ensure()
        return FileLock(
            self._directory.file(path),
            timeout=PATIENCE,
            mode=FILE_MODE,
            thread_local=False,
            fallback_to_soft=False,
            on_acquired=self._note if path == self._path else None,
        )

    def _note(self, handle: int) -> None:
        """A new holder shows itself at once: many short ones in a row are not a frozen one."""
        os.utime(handle)
        self._inode = os.fstat(handle).st_ino

    def _is_frozen(self) -> bool:
        """Whether the holder has not shown itself for a lease; its lock is void then."""
        signature = self._directory.signature(self._path)
        if self._watch.seconds(signature) <= self._lease or signature is None:
            return False
        with contextlib.suppress(Timeout), self._file_lock(f"{self._path}.breaking"):  # so that one alone does
            if self._directory.signature(self._path) == signature:
                self._directory.remove(self._path)
        return True
