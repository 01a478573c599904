"""An account's lock on files. Changes are noticed by looking at the entry's file again and again."""

from __future__ import annotations

import asyncio
from itertools import chain, repeat

from ..._token import Token
from .._entry import StoredToken, fingerprint
from .directory import FileIdentity
from .entries import FileEntries
from .host_lock import HostLock

POLL_DELAYS = (0.002, 0.003, 0.005, 0.008, 0.012, 0.02)
"""Seconds between two looks at a file that is waited for; the last one repeats."""
DELAY_PER_POLLER = 0.002
"""Seconds between two looks of all waiters of this process: a thousand of them must not look fifty times a second each."""
LOOKS_PER_ATTEMPT = 5
"""After so many looks, the lock is tried again: its holder may have died or failed."""


class FileLockBackend:
    """The `LockBackend` of one owner for the account called *name*."""

    def __init__(self, entries: FileEntries, name: str, lease: float) -> None:
        self.store = entries.directory.label
        self.lease = lease
        self._entries = entries
        self._name = name
        self._lock = HostLock(entries.directory, f"{name}.lock", lease)
        self._released = False
        self._seen = b""
        self._delays = chain(POLL_DELAYS, repeat(POLL_DELAYS[-1]))
        self._known: FileIdentity | None = None

    async def try_acquire(self) -> bool:
        """Try once."""
        acquired: bool = await self._entries.in_thread(self._lock.try_acquire)
        return acquired

    async def renew_lease(self) -> bool:
        """Show that the holder lives."""
        held: bool = await self._entries.in_thread(self._lock.touch)
        return held

    async def release(self) -> None:
        """Release the lock. A write that still waits for a thread then, because its caller gave it up, changes nothing."""
        self._released = True
        await self._entries.in_thread(self._lock.release)

    async def read(self) -> StoredToken:
        """Read the entry, and remember it."""
        stored = await self._entries.read(self._name)
        self._seen = stored.fingerprint
        return stored

    async def write(self, token: Token | None) -> StoredToken | None:
        """Save *token* or delete the entry, or return the entry that stays."""
        written, stored = await self._entries.replace(self._name, token, self._may_replace)
        if not written:
            return stored
        self._seen = stored.fingerprint
        return None

    async def subscribe(self) -> None:
        """Remember the file as it is now."""
        self._known = await self._entries.in_thread(self._entries.identity, self._name)

    async def wait_for_change(self) -> None:
        """Look at the file until it has changed, or it is time to try the lock again."""
        self._entries.pollers += 1
        try:
            for _ in range(LOOKS_PER_ATTEMPT):
                await asyncio.sleep(max(next(self._delays), self._entries.pollers * DELAY_PER_POLLER))
                before = self._known
                await self.subscribe()
                if self._known != before:
                    return
        finally:
            self._entries.pollers -= 1

    async def unsubscribe(self) -> None:
        """Do nothing: no file is kept open."""

    def _may_replace(self, present: bytes | None) -> bool:
        if self._released:
            return False
        return present is None or fingerprint(present) == self._seen or self._lock.is_held()
