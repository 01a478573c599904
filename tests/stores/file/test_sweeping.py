"""What saves remove: entries that are over, and what killed writers left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from exterview_auth import FileStore, StoreError, Token
from exterview_auth.stores._entry import key_of
from exterview_auth.stores._file.directory import PrivateDirectory
from exterview_auth.stores._keeping import KEEP
from tests.kit.directories import entry, give_to_another, needs_root
from tests.kit.stores import ACCOUNT, content, told

NAME = key_of(ACCOUNT)


def aged(path: Path, seconds: float = 3600.0) -> Path:
    """Make it look as if it was written long ago."""
    os.utime(path, (time.time() - seconds,) * 2)
    return path


async def test_files_of_killed_writers_are_removed(directory: Path) -> None:
    """A later save removes unfinished files, unless they may still be written."""
    async with FileStore(directory) as store:
        old, young, probe = (
            directory / f".{name}.tmp"
            for name in (f"{NAME}.token.{0:016x}", f"{NAME}.token.{1:016x}", f"probe.{2:016x}")
        )
        for path in (old, young, probe):
            path.write_bytes(b"exterview_auth/2 half")
        aged(old)
        aged(probe)
        await store.save("a", Token("value"))
        assert [path.exists() for path in (old, young, probe)] == [False, True, False]


@needs_root
async def test_an_entry_that_cannot_be_locked_does_not_stop_the_sweep(directory: Path) -> None:
    """Another user's file stands where the sweep would exclude writers: these entries stay, all others go."""
    async with FileStore(directory) as store:
        for number in range(12):
            (directory / f"{number:040}.token").write_bytes(b"exterview_auth/2 damaged")
            os.utime(directory / f"{number:040}.token", (1.0, 1.0))
        for number in range(9):
            (directory / f"{number:040}.saving").touch()
            give_to_another(directory / f"{number:040}.saving")
        await store.save("a", Token("x"))
        assert files_of(directory) == {f"{number:040}" for number in range(9)} | {key_of("a")}


def unfinished_in(directory: Path) -> set[str]:
    """The names of what looks like unfinished files."""
    return {path.name for path in directory.iterdir() if path.suffix == ".tmp"}


@needs_root
async def test_what_cannot_be_removed_does_not_stop_the_sweep(directory: Path) -> None:
    """A directory, a link and another user's file stay, and what comes after them is removed."""
    async with FileStore(directory) as store:
        names = [directory / f".{NAME}.token.{number:016x}.tmp" for number in range(6)]
        names[0].mkdir()
        names[1].symlink_to(directory / "nowhere")
        names[2].touch()
        for path in names[3:]:
            path.write_bytes(b"half")
            aged(path)
        aged(names[2])
        aged(names[0])
        give_to_another(names[2])
        await store.save("a", Token("value"))
        assert unfinished_in(directory) == {path.name for path in names[:3]}


def files_of(directory: Path) -> set[str]:
    """The accounts that have an entry."""
    return {path.name.partition(".")[0] for path in directory.glob("*.token")}


async def test_entries_that_are_over_are_removed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later save removes a token without a refresh token when its life is over, and any other after `keep`."""
    ahead, wall = 0.0, time.time
    monkeypatch.setattr(time, "time", lambda: wall() + ahead)
    async with FileStore(directory, keep=1000) as store:
        await store.save("over", Token("x", expires_in=100))
        await store.save("young", Token("x", expires_in=10_000))
        await store.save("refresh", Token("x", expires_in=100, refresh_token="r"))
        await store.save("endless", Token("x"))
        ahead = 200
        await store.save("last", Token("x", expires_in=10_000))
        assert files_of(directory) == {key_of(name) for name in ("young", "refresh", "endless", "last")}
        ahead = 1100
        await store.save("last", Token("x", expires_in=10_000))
        assert files_of(directory) == {key_of(name) for name in ("young", "last")}


async def test_a_copy_of_an_entry_is_not_taken_for_an_old_one(directory: Path) -> None:
    """What the entry says decides, not the time of its file, which a copy or a restored backup does not have."""
    async with FileStore(directory) as store:
        await store.save("a", Token("x", refresh_token="r"))
        path = aged(entry(directory))
        await store.save("b", Token("x"))
        assert content(await store.load("a")) == ("x", "r")
        assert path.stat().st_mtime > time.time() + 80 * 86_400


@pytest.mark.parametrize(("keep", "longest"), [(100.0, KEEP), (KEEP + 100.0, KEEP + 100.0)])
async def test_an_entry_that_nobody_can_read_is_removed_after_its_time(
    keep: float, longest: float, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That of a lost key is kept as long as any: another process may have the key, and keep its entries for longer than this one."""
    async with FileStore(directory, keep=keep) as store:
        old, young = (directory / f"{key_of(name)}.token" for name in ("old", "young"))
        for path in (old, young):
            path.write_bytes(b"exterview_auth/2 gAAAAA")
        aged(old, longest + 50)
        aged(young, longest - 50)
        await store.save("a", Token("x"))
        assert [path.exists() for path in (old, young)] == [False, True]
        assert told(caplog, "store.unreadable") == []


@pytest.mark.parametrize(
    "name", [f"{NAME}.token", ".probe.report.tmp", f".{NAME}.token.x.tmp", f".{NAME}.token.{'0' * 15}g.tmp"]
)
async def test_what_only_looks_like_a_stores_file_is_not_removed(name: str, directory: Path) -> None:
    """Another program's file stays, whatever its name and age: what is removed begins as an entry, or is named as one half written."""
    async with FileStore(directory, keep=60) as store:
        (directory / name).write_bytes(b"a report")
        os.utime(directory / name, (1.0, 1.0))
        await store.save("a", Token("x"))
        assert (directory / name).read_bytes() == b"a report"


@pytest.mark.parametrize("moment", ["1e12", "1e19", "1e308"])
async def test_a_hostile_time_does_not_stop_other_accounts_saves(moment: str, directory: Path) -> None:
    """A moment that no file can have is damage: it costs nobody else a save, and is removed in its time."""
    async with FileStore(directory, keep=60) as store:
        await store.save("hostile", Token("x"))
        path = entry(directory)
        raw = path.read_bytes()
        begin = raw.index(b'"saved_at":') + len(b'"saved_at":')
        path.write_bytes(raw[:begin] + moment.encode() + raw[raw.index(b",", begin) :])
        aged(path, 30)
        assert await store.load("hostile") is None
        await store.save("a", Token("x"))
        assert content(await store.load("a")) == ("x", None)


async def test_an_entry_that_is_being_saved_is_not_removed(directory: Path) -> None:
    """The sweep excludes other writers: it removes no entry that another process has just replaced."""
    async with FileStore(directory) as store:
        await store.save("a", Token("x", expires_in=0.3))
        await asyncio.sleep(0.3)
        with store._entries._write_lock(key_of("a")):
            await store.save("b", Token("x"))
            assert key_of("a") in files_of(directory)
        await store.save("b", Token("x"))
        assert files_of(directory) == {key_of("b")}


async def test_a_sweep_that_was_frozen_removes_nothing_that_came_since(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is paused between its look and the removal has been overtaken: another owner's login stays."""
    look = PrivateDirectory.read
    async with FileStore(directory, lease=0.1) as frozen, FileStore(directory, lease=0.1) as other:
        over = directory / f"{key_of('a')}.token"
        over.write_bytes(frozen._entries.codec.encode(key_of("a"), Token("over", expires_in=1), time.time() - 100))
        aged(over)
        saved = threading.Event()

        def pause_after_look(self: PrivateDirectory, name: str) -> bytes | None:
            found = look(self, name)
            if name == over.name:
                monkeypatch.setattr(PrivateDirectory, "read", look)
                assert saved.wait(20)
            return found

        monkeypatch.setattr(PrivateDirectory, "read", pause_after_look)
        sweeping = asyncio.ensure_future(frozen.save("b", Token("x")))
        while PrivateDirectory.read is not look:  # noqa: ASYNC110 - a thread's progress, which nothing signals
            await asyncio.sleep(0.001)
        await until_saved(other, "a", Token("theirs", refresh_token="r"))
        saved.set()
        await sweeping
        assert content(await other.load("a")) == ("theirs", "r")


async def until_saved(store: FileStore, account: str, token: Token) -> None:
    """Save it as soon as the frozen writer's lease is over."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(StoreError):
                await store.save(account, token)
                return


async def test_a_thousand_entries_that_are_over_do_not_hold_up_a_save(directory: Path) -> None:
    """Each save looks at some of them."""
    async with FileStore(directory) as store:
        for number in range(40):
            (directory / f"{number:040}.token").write_bytes(b"exterview_auth/2 damaged")
            os.utime(directory / f"{number:040}.token", (1.0, 1.0))
        left = []
        for _ in range(3):
            await store.save("a", Token("x"))
            left.append(len(files_of(directory)) - 1)
        assert left == [24, 8, 0]


def test_a_large_directory_is_not_listed_at_each_save(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a save lists on average does not grow with the number of accounts, and what it removes does not shrink."""
    sweeper = FileStore(directory)._entries._sweeper
    over = dict.fromkeys((f"{number:040}.token" for number in range(1000)), 1.0)
    listed: list[int] = []
    removed: list[str] = []

    def files() -> dict[str, float]:
        listed.append(save)
        return over

    monkeypatch.setattr(sweeper._directory, "files", files)
    monkeypatch.setattr(sweeper, "_remove", lambda name, *_: removed.append(name))
    for save in range(10):  # noqa: B007 - the function above notes it
        sweeper.after_save(1000.0)
    assert listed == [0, 3, 6, 9]
    assert len(removed) == 16 + 3 * (16 + 3 * 4)
