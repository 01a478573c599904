"""A contender for an account's lock on files: it looks again and again, in threads of the store's own."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat

from ..._token import Token
from .._entry import StoredToken, fingerprint
from .directory import Signature
from .entries import FileEntries
from .lock import HostLock

PAUSES = (0.002, 0.003, 0.005, 0.008, 0.012, 0.02)
"""Seconds between two looks at a file that is waited for; the last goes on."""
SHARE = 0.002
"""Seconds between two looks of all who wait in this process: a thousand of them do not look fifty times a second each."""
LOOKS_PER_TRY = 5
"""After so many looks the lock is tried again: its holder may have died or failed."""


class FileLockBackend:
    """The `LockBackend` of one owner for *name*."""

    def __init__(self, entries: FileEntries, name: str, lease: float) -> None:
        self.lease = lease
        self._entries = entries
        self._name = name
        self._lock = HostLock(entries.directory, f"{name}.lock", lease)
        self._seen = b""
        self._pauses = chain(PAUSES, repeat(PAUSES[-1]))
        self._known: Signature | None = None

    async def try_acquire(self) -> bool:
        """Try once."""
        taken: bool = await self._entries.in_thread(self._lock.take)
        return taken

    async def renew_lease(self) -> bool:
        """Show that the holder is alive."""
        kept: bool = await self._entries.in_thread(self._lock.keep)
        return kept

    async def release(self) -> None:
        """Let it go."""
        await self._entries.in_thread(self._lock.give_back)

    async def read(self) -> StoredToken:
        """The token, its entry remembered."""
        found = await self._entries.read(self._name)
        self._seen = found.fingerprint
        return found

    async def save(self, token: Token) -> Token | None:
        """Keep *token*, on the disk when this returns; or the newer one that stays."""
        kept, found = await self._entries.replace(self._name, token, self._may_replace)
        if not kept:
            return found.token
        self._seen = found.fingerprint
        return None

    async def subscribe(self) -> None:
        """Remember the file as it is."""
        self._known = await self._entries.in_thread(self._entries.signature, self._name)

    async def wait_for_change(self) -> None:
        """Look at the file until it is another, or it is time to try the lock again."""
        self._entries.waiting += 1
        try:
            for _ in range(LOOKS_PER_TRY):
                await asyncio.sleep(max(next(self._pauses), self._entries.waiting * SHARE))
                before = self._known
                await self.subscribe()
                if self._known != before:
                    return
        finally:
            self._entries.waiting -= 1

    async def unsubscribe(self) -> None:
        """Nothing was opened."""

    def _may_replace(self, present: bytes) -> bool:
        """Nothing has happened since the holder looked, or its lock is still its own."""
        return fingerprint(present) == self._seen or self._lock.is_held()
