"""The lock among the processes of a host: its threads, its lease, and a holder that is frozen."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exterview_auth.stores._file.directory import FileIdentity, PrivateDirectory
from exterview_auth.stores._file.host_lock import HostLock, LivenessWatch


def lock_at(directory: Path, lease: float = 60) -> HostLock:
    """One attempt to get a lock of the directory."""
    return HostLock(PrivateDirectory(directory), "a.lock", lease)


def test_a_lock_may_be_acquired_in_one_thread_and_released_in_another(directory: Path) -> None:
    """Any of the store's threads may run either call."""
    one, other = lock_at(directory), lock_at(directory)
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        assert first.submit(one.try_acquire).result()
        assert not first.submit(other.try_acquire).result()
        second.submit(one.release).result()
        assert first.submit(other.try_acquire).result()
        second.submit(other.release).result()


def test_nothing_is_acquired_after_the_release(directory: Path) -> None:
    """An attempt that started before and ends late holds nothing."""
    lock = lock_at(directory)
    lock.release()
    assert not lock.try_acquire()
    assert lock_at(directory).try_acquire()


def test_a_holder_touches_the_file_while_it_holds_the_lock(directory: Path) -> None:
    """The lease is renewed by touching the file, and not after another process has put a new one in its place."""
    lock, directory_ = lock_at(directory), PrivateDirectory(directory)
    assert not lock.touch()
    assert lock.try_acquire()
    os.utime(directory / "a.lock", (0, 0))
    assert lock.touch()
    assert (directory / "a.lock").stat().st_mtime > 0
    directory_.remove("a.lock")
    assert not lock.touch()
    assert not lock.is_held()
    lock.release()


def test_a_writer_that_was_overtaken_while_it_wrote_changes_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was frozen while its content reached the disk leaves the newer file, and nothing unfinished."""
    private = PrivateDirectory(directory)
    private.set_up()
    private.replace("a.token", b"newer", kept_until=1.0, only_if=lambda: True)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with pytest.raises(TimeoutError, match="another one writes now"):
        private.replace("a.token", b"late", kept_until=1.0, only_if=lambda: not synced)
    assert private.read("a.token") == b"newer"
    assert {path.name for path in directory.iterdir()} == {"a.token", ".gitignore"}


def test_a_holder_with_a_longer_lease_is_waited_for(directory: Path) -> None:
    """A waiter with a shorter one, as in a rolling restart that changes it, does not take the lock early."""
    patient, hasty = lock_at(directory, lease=60), lock_at(directory, lease=0.1)
    assert patient.try_acquire()
    assert not hasty.try_acquire()
    time.sleep(0.2)
    assert not hasty.try_acquire()
    assert patient.touch()
    patient.release()


def test_a_file_that_tells_no_lease_has_the_waiters(directory: Path) -> None:
    """An older version touches it so, and another program may set any times."""
    holder, waiter = lock_at(directory), lock_at(directory, lease=0.1)
    assert holder.try_acquire()
    os.utime(directory / "a.lock", (1e9, 1.0))
    assert not waiter.try_acquire()
    time.sleep(0.2)
    assert waiter.try_acquire()
    waiter.release()
    holder.release()


def test_a_lock_that_vanishes_under_a_look_is_tried_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another waiter has replaced it meanwhile: that is no failure of the store."""
    holder, waiter = lock_at(directory), lock_at(directory, lease=0.1)
    assert holder.try_acquire()
    times = PrivateDirectory.times

    def removed_first(self: PrivateDirectory, name: str) -> tuple[float, float]:
        (directory / name).unlink(missing_ok=True)
        return times(self, name)

    monkeypatch.setattr(PrivateDirectory, "times", removed_first)
    assert not waiter.try_acquire()
    assert waiter.try_acquire()
    waiter.release()
    holder.release()


def test_a_frozen_breaker_does_not_stop_other_waiters(directory: Path) -> None:
    """One waiter at a time replaces a frozen holder's file; if it freezes itself, the others lose less than a second."""
    holder = lock_at(directory, lease=0.1)
    breaker = HostLock(PrivateDirectory(directory), "a.lock.breaking", 60)
    assert holder.try_acquire()
    assert breaker.try_acquire()
    late = lock_at(directory, lease=0.1)
    assert not late.try_acquire()
    time.sleep(0.2)
    assert not late.try_acquire()
    breaker.release()
    time.sleep(0.2)
    assert late.try_acquire()
    assert not holder.is_held()
    late.release()
    holder.release()


def test_an_interrupted_watch_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder is frozen only if it was watched all the time; a process that was frozen itself has not watched."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watch, one, other = LivenessWatch(), FileIdentity(1, 1), FileIdentity(1, 2)
    told = []
    for now, signature in ((100.0, one), (102.0, one), (105.0, one), (120.0, one), (121.0, one), (122.0, other)):  # noqa: B007 - the clock
        told.append(watch.seconds(signature))
    assert told == [0, 2, 5, 0, 1, 0]
