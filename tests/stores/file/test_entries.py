"""Entries in files: threads, forks, and a write lock that another process holds."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from exterview_auth import FileStore, Token
from exterview_auth.errors import StoreError
from exterview_auth.stores._entry import key_of
from exterview_auth.stores._file.entries import THREADS
from exterview_auth.stores._file.host_lock import HostLock
from tests.kit.stores import ACCOUNT


async def test_a_deletion_waits_for_a_save(directory: Path) -> None:
    """One writer at a time: the deletion of a logout is not overtaken by a save that has started."""
    async with FileStore(directory, lease=60) as store:
        await store.save(ACCOUNT, Token("T"))
        saving = HostLock(store._entries.directory, f"{key_of(ACCOUNT)}.saving", 60)
        assert saving.try_acquire()
        with pytest.raises(StoreError, match=r"another process has not finished saving; wait until its lease is over$"):
            await store.delete(ACCOUNT)
        assert await store.load(ACCOUNT) is not None
        saving.release()
        await store.delete(ACCOUNT)
        assert await store.load(ACCOUNT) is None


CHECK = "check the directory's owner and mode, and its disk"


async def test_an_error_says_what_the_system_said(directory: Path) -> None:
    """The system's sentence and what to check, or what a store's own error says; else the error's type."""
    entries = FileStore(directory)._entries
    for failure, problem in (
        (OSError(28, "No space left"), f"No space left; {CHECK}"),
        (TimeoutError("another saves; wait"), "another saves; wait"),
        (TimeoutError(), f"TimeoutError; {CHECK}"),
    ):

        def fail(failure: OSError = failure) -> None:
            raise failure

        with pytest.raises(StoreError) as caught:
            await entries.in_thread(fail)
        assert str(caught.value) == f"the token's file in {directory} cannot be used: {problem}"


async def test_files_are_used_in_the_stores_threads(directory: Path) -> None:
    """Eight at most, which end when nothing is left to do; the default executor is not used."""
    entries = FileStore(directory)._entries
    assert await entries.in_thread(lambda: threading.current_thread().name) == "exterview_auth store"
    loop, going_on, running = asyncio.get_running_loop(), threading.Event(), asyncio.Semaphore(0)

    def busy() -> None:
        loop.call_soon_threadsafe(running.release)
        assert going_on.wait(30)

    calls = [asyncio.ensure_future(entries.in_thread(busy)) for _ in range(THREADS + 3)]
    async with asyncio.timeout(20):
        for _ in range(THREADS):
            await running.acquire()
    assert running.locked()
    assert THREADS == 8
    going_on.set()
    await asyncio.gather(*calls)


async def test_a_forked_child_leaves_its_parents_threads_alone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not there, and new ones are started."""
    entries, going_on = FileStore(directory)._entries, threading.Event()
    calls = [asyncio.ensure_future(entries.in_thread(going_on.wait)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    other = os.getpid() + 1
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: other)
        assert await asyncio.wait_for(entries.in_thread(int), 20) == 0
    going_on.set()
    await asyncio.gather(*calls)
