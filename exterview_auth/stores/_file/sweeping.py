"""Removes what nobody needs any more: entries that are over, and unfinished files of writers that were killed."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

from .._encryption import UnreadableError
from .._entry import Codec, is_written_by_us
from .._keeping import KEEP
from .directory import PrivateDirectory, is_entry
from .host_lock import HostLock

ABANDONED_AFTER = 60.0
"""Seconds after which an unfinished file was left by a process that was killed."""
FILES_PER_SAVE = 256
"""Files that a save lists on average: with more of them, only every second, third, ... save sweeps."""
REMOVED_AT_ONCE, REMOVED_PER_SAVE = 16, 4
"""Files that one sweep removes, and how many more for each save since the last one: a thousand would hold a save up."""


class Sweeper:
    """
    Sweeps a directory now and then, after a save. Blocks.

    The modification time of an entry's file is the moment until which the entry is kept, so that the others need not be read.
    What cannot be removed stays, and does not stop the sweep.
    """

    def __init__(self, directory: PrivateDirectory, codec: Codec, lease: float) -> None:
        self._directory = directory
        self._codec = codec
        self._lease = lease
        self._saves = self._saves_to_next = 0

    def after_save(self, now: float) -> None:
        """Sweep, if it is time to. *now* is in seconds since the epoch."""
        self._saves += 1
        if self._saves < self._saves_to_next:
            return
        most = REMOVED_AT_ONCE + REMOVED_PER_SAVE * self._saves_to_next
        with contextlib.suppress(OSError):
            files = self._directory.files()
            self._saves, self._saves_to_next = 0, len(files) // FILES_PER_SAVE
            over = [
                name
                for name, modified in files.items()
                if modified < (now if is_entry(name) else now - ABANDONED_AFTER)
            ]
            # Drawn, because some of them may have to stay.
            for name in random.sample(over, min(most, len(over))):
                with contextlib.suppress(OSError):
                    self._remove(name, files[name], now)

    def _remove(self, name: str, modified: float, now: float) -> None:
        if not is_entry(name):
            self._directory.remove(name)
            return
        account = name.partition(".")[0]
        # Otherwise an entry could go that another process has just put in the place of the one that was read.
        lock = HostLock(self._directory, f"{account}.saving", self._lease)
        try:
            if lock.try_acquire():
                self._remove_entry(name, account, now, modified, lock.is_held)
        finally:
            lock.release()

    def _remove_entry(
        self, name: str, account: str, now: float, modified: float, may_remove: Callable[[], bool]
    ) -> None:
        raw = self._directory.read(name)
        if raw is None or not is_written_by_us(raw):
            return  # another program's, whatever its name
        try:
            kept_until = self._codec.read(account, raw).kept_until(self._codec.keep)
        except UnreadableError:
            # Another process may have its key, and a longer `keep`: it is kept as long as any.
            if modified + max(self._codec.keep, KEEP) < now:
                self._directory.remove(name, only_if=may_remove)
            return
        if kept_until < now:
            self._directory.remove(name, only_if=may_remove)
        else:  # a copy, which does not have its time
            self._directory.touch(name, kept_until, kept_until)
