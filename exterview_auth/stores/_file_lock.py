"""
An account's lock among the processes of one host, by the kernel's own file lock (the library *filelock*).

The kernel frees it when its holder dies. A holder that is alive touches the file; where one has not done so for a whole
lease it is frozen, and who waits puts a new file in its place. The frozen one notices when it wakes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

from filelock import FileLock, Timeout

from ._private_directory import FILE_MODE, PrivateDirectory, Signature

PATIENCE = 0.8
"""Seconds to wait for another's saving, which takes about a millisecond."""


def file_lock(directory: PrivateDirectory, name: str, **options: object) -> FileLock:
    """The kernel's lock on a private file, never one that a dead process could leave."""
    directory.ensure()
    return FileLock(
        directory.file(name),
        mode=FILE_MODE,
        thread_local=False,
        fallback_to_soft=False,
        **options,  # type: ignore[arg-type]  # filelock's own options
    )


class HostLock:
    """One contender for an account's lock. Every method blocks for a moment; they may run in different threads."""

    def __init__(self, directory: PrivateDirectory, name: str, lease: float) -> None:
        self._directory = directory
        self._path = f"{name}.lock"
        self._saving = f"{name}.saving"
        self._lease = lease
        self._lock: FileLock | None = None
        self._inode = 0
        self._seen: tuple[Signature | None, float] = (None, 0.0)
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
        lock = file_lock(self._directory, self._path, on_acquired=self._note)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._lock = lock
        return True

    def _note(self, handle: int) -> None:
        self._inode = os.fstat(handle).st_ino

    def _is_frozen(self) -> bool:
        """Whether the holder has not shown itself for a lease, by this process's own watch; its lock is void then."""
        signature = self._directory.signature(self._path)
        now = time.monotonic()
        if signature != self._seen[0]:
            self._seen = (signature, now)
        if signature is None or now - self._seen[1] <= self._lease:
            return False
        with contextlib.suppress(Timeout), file_lock(self._directory, self._saving, timeout=PATIENCE):
            if self._directory.signature(self._path) == signature:
                self._directory.remove(self._path)
        return True
