"""Who holds an account's lock of files: found out by looking at it, so that nobody who waits for it loses his turn."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from .report import Check, ok, warned

_LEASE = 5.0
"""Seconds without a sign of life after which a holder counts as frozen, unless the file says more."""


def file_lock(path: Path) -> Check:
    """Return who holds the lock whose file is *path*."""
    import fcntl  # noqa: PLC0415 - where there are such files

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ok("store-lock", "free: nobody has logged in with this store yet")
    except OSError as error:
        return warned("store-lock", f"its file cannot be opened ({error.strerror})", "remove the file")
    try:
        found = os.fstat(handle)
        # Shared, and given back at once: the kernel refuses it exactly if somebody holds the lock.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _held(found)
    finally:
        os.close(handle)
    return ok("store-lock", "free")


def _held(found: os.stat_result) -> Check:
    silent = max(0.0, time.time() - found.st_mtime)
    lease = max(_LEASE, found.st_atime - found.st_mtime)
    who = f"held by {_holder(found.st_ino)}, which logs in; its last sign of life was {silent:.1f} s ago"
    if silent > lease:
        return warned("store-lock", who, "it is frozen: the others take the lock from it; end that process")
    return ok("store-lock", who)


def _holder(inode: int) -> str:
    """Return the process that holds a lock on the file with this number, as far as the system tells."""
    with suppress(OSError, ValueError, IndexError):  # only Linux does
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            # "3: FLOCK ADVISORY WRITE 4711 08:01:131073 0 EOF"; in a line with "->" a process waits.
            if words[1] == "FLOCK" and int(words[5].rpartition(":")[2]) == inode and int(words[4]) > 0:
                name = Path(f"/proc/{words[4]}/comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"process {words[4]} ({name})"
    return "another process"
