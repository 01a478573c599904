"""Entries as files of a private directory, read and replaced in threads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..._calls import DaemonThreads
from ..._token import Token
from ...errors import StoreError
from .._entry import Codec, Entry, StoredToken, fingerprint
from .directory import FileIdentity, PrivateDirectory, said
from .host_lock import WRITE_TIMEOUT, HostLock, LivenessWatch
from .sweeping import Sweeper

THREADS = 8
"""Concurrent calls to the file system. They are short, and the default executor is left to other code."""
WRITE_RETRY = 0.003
"""Seconds between two attempts to get the write lock."""


MayReplace = Callable[[bytes | None], bool]


class FileEntries:
    """The entries of a directory. *name* is what `key_of` returns for an account. Coroutines raise `StoreError`."""

    def __init__(self, directory: PrivateDirectory, codec: Codec, lease: float) -> None:
        self.directory = directory
        self.codec = codec
        self._lease = lease
        self._sweeper = Sweeper(directory, codec, lease)
        # How long each write lock has been watched: kept between calls, because one call is shorter than a lease.
        self._watches: dict[str, LivenessWatch] = {}
        self.pollers = 0
        """How many waiters of this process look at a file again and again; the more there are, the less often each looks."""
        self._threads = DaemonThreads(THREADS, "exterview_auth store")

    async def read(self, name: str) -> StoredToken:
        """Read the entry of *name*."""
        raw: bytes | None = await self.in_thread(self.directory.read, _token_file(name))
        return self.codec.decode(name, raw, time.time())

    async def replace(
        self, name: str, token: Token | None, may_replace: MayReplace | None = None
    ) -> tuple[bool, StoredToken]:
        """
        Save *token*, or remove the entry without one, unless *may_replace* refuses.

        Return whether that was done, and what the entry is now.
        """
        now, raw, kept_until = time.time(), None, 0.0
        if token is not None:
            raw, kept_until = self.codec.encode(name, token, now), Entry(token, now).kept_until(self.codec.keep)
        written: bool
        written, present = await self.in_thread(self._replace, name, raw, kept_until, may_replace)
        if written:
            return True, StoredToken(token, fingerprint(raw))
        return False, self.codec.decode(name, present, time.time())

    def identity(self, name: str) -> FileIdentity | None:
        """Return what changes with every replacement of *name*'s entry. Blocks."""
        return self.directory.identity(_token_file(name))

    async def in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Run *call* in one of the store's threads; turn what the system raises into a `StoreError`."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, partial(call, *arguments))
        except OSError as failure:
            problem = said(failure, "check the directory's owner and mode, and its disk")
        except (ValueError, OverflowError) as failure:  # a file system may refuse a time or a name
            problem = f"{type(failure).__name__}; give FileStore a directory on a local disk"
        # Raised outside the handler: the system's error shows the file's name.
        raise StoreError(f"the token's file in {self.directory.path} cannot be used: {problem}")

    def _replace(
        self, name: str, raw: bytes | None, kept_until: float, may_replace: MayReplace | None
    ) -> tuple[bool, bytes | None]:
        """Write *raw* or remove the entry, and return true; or false and the entry as it is. No other process writes meanwhile."""
        file = _token_file(name)
        with self._write_lock(name) as lock:
            if may_replace is not None:
                present = self.directory.read(file)
                if not may_replace(present):
                    return False, present
            if raw is None:
                self.directory.remove(file, only_if=lock.is_held)
                return True, None
            self.directory.replace(file, raw, kept_until=kept_until, only_if=lock.is_held)
        self._sweeper.after_save(time.time())
        return True, raw

    @contextlib.contextmanager
    def _write_lock(self, name: str) -> Iterator[HostLock]:
        """Exclude other writers; a frozen one only until its lease is over."""
        watch = self._watches.setdefault(name, LivenessWatch())
        lock = HostLock(self.directory, f"{name}.saving", self._lease, watch)
        until = time.monotonic() + WRITE_TIMEOUT
        while not lock.try_acquire():
            if time.monotonic() > until:
                raise TimeoutError("another process has not finished saving; wait until its lease is over")
            time.sleep(WRITE_RETRY)
        self._watches.pop(name, None)
        try:
            yield lock
        finally:
            lock.release()


def _token_file(name: str) -> str:
    return f"{name}.token"
