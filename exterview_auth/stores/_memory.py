"""Tokens in memory, for the owners of one process."""

from __future__ import annotations

import asyncio
import math
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, NoReturn
from weakref import WeakKeyDictionary, WeakValueDictionary

from cachetools import TLRUCache

from .._clock import Clock, boot_time
from .._options import whole_number
from .._secret import refuse_pickling
from .._token import Token
from ._keeping import KEEP, checked_keep, seconds_kept


class _Entry(NamedTuple):
    token: Token
    expires: float
    kept_until: float


class MemoryStore:
    """
    A bounded token cache in memory (`cachetools.TLRUCache`), for any number of owners in one process.

    Holds at most *maxsize* accounts; the least recently used is dropped first. A token with a refresh token, or without expiry,
    is dropped *keep* seconds after it was saved. *timer* returns seconds.
    """

    def __init__(self, maxsize: int = 1024, *, keep: float = KEEP, timer: Clock = boot_time) -> None:
        maxsize = whole_number(maxsize, "maxsize must be the number of accounts to hold, at least 1", 1)
        self._keep = checked_keep(keep)
        self._timer = timer
        self._entries: TLRUCache[str, _Entry] = TLRUCache(maxsize, lambda _, entry, __: entry.kept_until, timer=timer)
        # An asyncio lock belongs to one loop. Each lives as long as somebody holds it or waits for it.
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, asyncio.Lock]]
        self._locks = WeakKeyDictionary()

    async def load(self, account: str) -> Token | None:
        """Return the token with what is left of its life, or ``None``."""
        entry = self._entries.get(account)
        if entry is None:
            return None
        return entry.token.with_remaining(None if entry.expires == math.inf else entry.expires - self._timer())

    async def save(self, account: str, token: Token) -> None:
        """Save *token* for as long as it may be of use."""
        # Some releases of cachetools keep the old entry if the new one has expired already.
        self._entries.pop(account, None)
        now, life = self._timer(), token.expires_in
        expires = math.inf if life is None else now + life
        self._entries[account] = _Entry(token, expires, now + seconds_kept(token, self._keep))

    async def delete(self, account: str) -> None:
        """Delete the account's token."""
        self._entries.pop(account, None)

    def lock(self, account: str) -> AbstractAsyncContextManager[object]:
        """Return an exclusive lock for the account in the running event loop."""
        locks = self._locks.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
        return locks.setdefault(account, asyncio.Lock())

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"MemoryStore(maxsize={self._entries.maxsize:g}, accounts={len(self)})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)
