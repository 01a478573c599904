"""Tokens in memory, for the owners of one process, on any number of event loops and threads."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, NoReturn
from weakref import WeakValueDictionary

from cachetools import TLRUCache

from .._clock import boot_time
from .._options import account_key, check_callable, checked_token, whole_number
from .._refusals import discreet, shown_when_made
from .._secret import refuse_pickling
from .._token import Token
from ._entry import StoredToken
from ._fence import fence_around
from ._keeping import KEEP, checked_keep, seconds_kept
from ._memory_lock import LockQueue, MemoryLock


class _Entry(NamedTuple):
    token: Token
    expires: float
    kept_until: float


class MemoryStore:
    """
    A bounded token cache in memory (`cachetools.TLRUCache`), for any number of owners in one process.

    The owners may use it on several event loops and in several threads. It holds at most *maxsize* accounts, and drops the least
    recently used one first. A token with a refresh token, or without expiry, is dropped *keep* seconds after it was saved.
    *timer* returns seconds.
    """

    __module__ = "exterview_auth"

    @discreet
    def __init__(self, maxsize: int = 1024, *, keep: float = KEEP, timer: Callable[[], float] | None = None) -> None:
        maxsize = whole_number(maxsize, "maxsize must be the number of accounts to hold, at least 1", 1)
        timer = boot_time if timer is None else timer
        check_callable(timer, "timer")
        self._keep = checked_keep(keep)
        self._timer = timer
        self._entries: TLRUCache[str, _Entry] = TLRUCache(maxsize, lambda _, entry, __: entry.kept_until, timer=timer)
        self._leave_parent()

    def _leave_parent(self) -> None:
        # A forked child has none of the threads and tasks that may hold what it inherits.
        self._pid = os.getpid()
        # Held for a few steps: cachetools' caches are not made for several threads.
        self._guard = threading.Lock()
        # Each lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, LockQueue] = WeakValueDictionary()

    @discreet
    async def load(self, account: str) -> Token | None:
        """Return the token with its remaining lifetime, or ``None``."""
        key = account_key(account)
        fence = self._fence_around(key)
        with self._guarded():
            entry = self._entries.get(key)
        if fence is not None:
            fence.note_look(entry)
        return None if entry is None else self._remaining(entry)

    @discreet
    async def save(self, account: str, token: Token) -> Token | None:
        """
        Save *token* for as long as it may be of use.

        If the caller holds ``lock(account)`` and its loop was paused for so long that another owner saved a token, that token
        stays and is returned.
        """
        key, token = account_key(account), checked_token(token, "save")
        now, life = self._timer(), token.expires_in
        expires = math.inf if life is None else now + life
        return self._change(key, _Entry(token, expires, now + seconds_kept(token, self._keep)))

    @discreet
    async def delete(self, account: str) -> None:
        """Delete the account's token. Under ``lock(account)``, a token that another owner saved while the caller was paused stays."""
        self._change(account_key(account), None)

    @discreet
    def lock(self, account: str) -> AbstractAsyncContextManager[object]:
        """Return an exclusive lock for the account, across event loops and threads."""
        key = account_key(account)
        with self._guarded():
            return MemoryLock(self._locks.setdefault(key, LockQueue()), self, key)

    def _change(self, key: str, entry: _Entry | None) -> Token | None:
        """Put *entry* in the place of the one that is there, or return the token of that one if it stays."""
        fence = self._fence_around(key)
        with self._guarded():
            present = self._entries.get(key)
            stays = fence is not None and not fence.may_change(present)
            if not stays:
                # Some releases of cachetools keep the old entry if the new one has expired already.
                self._entries.pop(key, None)
                if entry is not None:
                    self._entries[key] = entry
        newer = self._remaining(present) if stays and present is not None else None
        if fence is not None:
            fence.note_change(entry, None if newer is None else StoredToken(newer, b""))
        return newer

    def _fence_around(self, key: str) -> MemoryLock | None:
        fence = fence_around(self, key)
        return fence if isinstance(fence, MemoryLock) else None

    def _remaining(self, entry: _Entry) -> Token:
        return entry.token.with_remaining(None if entry.expires == math.inf else entry.expires - self._timer())

    def _guarded(self) -> threading.Lock:
        if self._pid != os.getpid():
            self._leave_parent()
        return self._guard

    def __len__(self) -> int:
        with self._guarded():
            return len(self._entries)

    @shown_when_made
    def __repr__(self) -> str:
        return f"MemoryStore(maxsize={self._entries.maxsize:g}, accounts={len(self)})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)
