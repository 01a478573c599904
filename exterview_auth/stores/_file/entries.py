"""Tokens as files of a private directory, read and written in threads of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ..._token import Token
from ...errors import StoreError
from .. import _entry
from .._entry import Codec, StoredToken, fingerprint
from .directory import PrivateDirectory, Signature
from .lock import PATIENCE, HostLock, Watch

THREADS = 8
"""Calls to the file system at a time; none takes long, and the process's own threads are left alone."""
BLINK = 0.003
"""Seconds between two attempts to be the one who writes."""
LONGEST_WRITING = 60.0
"""Seconds after which an unfinished file is one that a killed process left."""

MayReplace = Callable[[bytes], bool]


class FileEntries:
    """Each entry has the name of its account, see `key_of`. Methods that are awaited raise `StoreError`."""

    def __init__(self, directory: PrivateDirectory, codec: Codec, lease: float) -> None:
        self.directory = directory
        self.codec = codec
        self._lease = lease
        self._watches: dict[str, Watch] = {}
        self.waiting = 0
        """How many look at a file again and again: each the less often."""
        self._threads: tuple[int, ThreadPoolExecutor] | None = None

    async def read(self, name: str) -> StoredToken:
        """The token of *name* with what is left of its life."""
        raw: bytes | None = await self.in_thread(self.directory.read, _file_of(name))
        return self.codec.decode(raw, time.time())

    async def replace(self, name: str, token: Token, may_replace: MayReplace | None = None) -> tuple[bool, StoredToken]:
        """Whether *token* is kept now, which it is unless *may_replace* refuses; and what is kept now."""
        raw = _entry.serialize(time.time(), self.codec.payload(token))
        newer: bytes | None = await self.in_thread(self._replace, name, raw, may_replace)
        if newer is None:
            return True, StoredToken(token, fingerprint(raw))
        return False, self.codec.decode(newer, time.time())

    async def remove(self, name: str) -> None:
        """Forget *name*."""
        await self.in_thread(self._remove, name)

    def signature(self, name: str) -> Signature | None:
        """What changes with every replacement of *name*. Blocks."""
        return self.directory.signature(_file_of(name))

    async def in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What *call* returns."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor(), partial(call, *arguments))
        except OSError as failure:
            problem = failure.strerror or str(failure) or type(failure).__name__
        raise StoreError(f"the token's file in {self.directory.path} cannot be used: {problem}")

    def close(self) -> None:
        """Let the threads go; new ones are started when they are needed."""
        threads, self._threads = self._threads, None
        if threads is not None and threads[0] == os.getpid():
            threads[1].shutdown(wait=False)

    def _executor(self) -> ThreadPoolExecutor:
        """Threads of this process: a fork has none of its parent's."""
        if self._threads is None or self._threads[0] != os.getpid():
            self._threads = os.getpid(), ThreadPoolExecutor(THREADS, thread_name_prefix="exterview_auth store")
        return self._threads[1]

    def _replace(self, name: str, raw: bytes, may_replace: MayReplace | None) -> bytes | None:
        """Put *raw* in place; or the entry that stays. Nobody else writes in between."""
        with self._saving(name) as lock:
            present = None if may_replace is None else self.directory.read(_file_of(name))
            if may_replace is not None and present is not None and not may_replace(present):
                return present
            self.directory.replace(_file_of(name), raw, only_if=lock.is_held)
        self.directory.sweep(time.time() - LONGEST_WRITING)
        return None

    def _remove(self, name: str) -> None:
        with self._saving(name):
            self.directory.remove(_file_of(name))

    @contextlib.contextmanager
    def _saving(self, name: str) -> Iterator[HostLock]:
        """Excludes other writers; one that is frozen, only until its lease is over."""
        lock = HostLock(self.directory, f"{name}.saving", self._lease, self._watches.setdefault(name, Watch()))
        until = time.monotonic() + PATIENCE
        while not lock.take():
            if time.monotonic() > until:
                raise TimeoutError("another process does not finish saving")
            time.sleep(BLINK)
        self._watches.pop(name, None)
        try:
            yield lock
        finally:
            lock.give_back()


def _file_of(name: str) -> str:
    return f"{name}.token"
