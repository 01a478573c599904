"""Reads what a process holds from its own interpreter and from ``/proc``."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections import Counter
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def held(api_port: int, redis_port: int) -> dict[str, int]:
    """Return the figures that are cheap to read."""
    sockets, others = _descriptors()
    remote = _remote_ports(sockets)
    return {
        "memory": _resident(),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(sockets) + others,
        "API connections": remote[api_port],
        "Redis connections": remote[redis_port],
        "other sockets": len(sockets) - remote[api_port] - remote[redis_port],
        "threads": threading.active_count(),
        "timers": _timers(),
    }


def busy() -> bool:
    """Return whether the library or a timer has something to do."""
    return _timers() > 0 or any(task.get_name().startswith("exterview_auth") for task in asyncio.all_tasks())


def _timers() -> int:
    return len(asyncio.get_running_loop()._scheduled)  # type: ignore[attr-defined]  # noqa: SLF001 - a leak of timers shows nowhere else


def objects() -> Counter[str]:
    """Count the objects that the garbage collector knows, by type, after a collection."""
    gc.collect()
    return Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())


def object_count() -> int:
    """Count the objects that the garbage collector knows."""
    return len(gc.get_objects())


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def _descriptors() -> tuple[set[str], int]:
    """Return the inodes of the open sockets, and how many other descriptors there are, without the one that reads them."""
    inodes, others = set(), 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the descriptor that listed them
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
        else:
            others += 1
    return inodes, others


def _remote_ports(inodes: set[str]) -> Counter[int]:
    """Count the sockets by remote port; one that the other side has reset is not listed."""
    found = Counter[int]()
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes:
            found[int(fields[2].rpartition(":")[2], 16)] += 1
    return found
