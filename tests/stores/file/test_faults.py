"""A directory of tokens that fails, or is not what it should be: on the real file system, without root's powers."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exterview_auth import ConfigurationError, FileStore, Token
from exterview_auth.errors import StoreError
from tests.kit.directories import NOBODY, entry, full, read_only
from tests.kit.stores import ACCOUNT, assert_one_sentence, loaded, told


def mode(path: Path) -> int:
    """Who may do what."""
    return stat.S_IMODE(path.lstat().st_mode)


async def log_in(store: FileStore, *accounts: str) -> None:
    """Make the calls of a login for each account."""
    for account in accounts or (ACCOUNT,):
        async with store.lock(account):
            await store.load(account)
            await store.save(account, Token("value"))
    await store.aclose()


def assert_private(directory: Path) -> None:
    """Check for 0600 in 0700."""
    assert oct(mode(directory)) == oct(0o700)
    assert {oct(mode(file)) for file in directory.iterdir()} == {oct(0o600)}


@contextlib.contextmanager
def locked_out(directory: Path) -> Iterator[None]:
    """The lock's file cannot be opened."""
    (lock,) = directory.glob("*.lock")
    lock.chmod(0)
    yield
    lock.chmod(0o600)


@contextlib.contextmanager
def saving_for_ever(directory: Path) -> Iterator[None]:
    """A frozen process is in the middle of saving."""
    (saving,) = directory.glob("*.saving")
    with saving.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def a_directory_for_a_file(directory: Path) -> Iterator[None]:
    """A directory stands where the token should."""
    path = entry(directory)
    path.unlink()
    path.mkdir()
    yield
    path.rmdir()


OUTAGES = {
    "full": (full, "File too large"),
    "read-only": (read_only, "Permission denied"),
    "lock unreadable": (locked_out, "Permission denied"),
    "entry a directory": (a_directory_for_a_file, "Is a directory"),
}


@pytest.mark.parametrize(("harm", "problem"), OUTAGES.values(), ids=OUTAGES)
async def test_a_directory_that_cannot_be_used(
    harm: Callable[[Path], contextlib.AbstractContextManager[None]], problem: str, directory: Path
) -> None:
    """The fault table: the calls of a login fail in one sentence that names the directory, and succeed after the outage."""
    async with FileStore(directory) as store:
        await log_in(store)
        with harm(directory), pytest.raises(StoreError) as caught:
            await log_in(store)
        assert str(caught.value) == (
            f"the token's file in {directory} cannot be used: {problem}; check the directory's owner and mode, and its disk"
        )
        await log_in(store)
    assert_private(directory)


async def test_every_call_fails_in_one_sentence(directory: Path) -> None:
    """A store that cannot be used says so, each method in the same way, and names no file of an account."""
    async with FileStore(directory) as store:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.load("a"),
            lambda: store.save("a", Token("s3cret")),
            lambda: store.delete("a"),
            lambda: store._account_lock("a").try_acquire(),
        ]
        shutil.rmtree(directory)
        is_a_file(directory)
        for call in calls:
            with pytest.raises(
                StoreError, match=rf"^the token's file in {directory} cannot be used: [A-Z][a-z ]+; check "
            ):
                await call()


async def test_a_process_that_is_frozen_while_it_saves_is_overtaken(directory: Path) -> None:
    """A frozen holder does not stop the others for ever: a save fails in time, and one after a lease succeeds."""
    failures = 0
    async with FileStore(directory, lease=0.5) as store:
        await store.save(ACCOUNT, Token("old"))
        with saving_for_ever(directory):
            async with asyncio.timeout(20):
                while (await loaded(store, ACCOUNT)).value != "new":
                    try:
                        await store.save(ACCOUNT, Token("new"))
                    except StoreError as problem:
                        assert "another process has not finished saving" in str(problem)  # noqa: PT017 - it may also succeed
                        failures += 1
    assert failures <= 3


def huge(path: Path) -> None:
    os.truncate(path, 2**40)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil", [huge, pipe])
async def test_an_entry_that_is_not_a_stores_file_is_a_miss(
    spoil: Callable[[Path], object], directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: it is not read to its end, one warning says so, and a private file replaces it."""
    async with FileStore(directory) as store:
        await store.save(ACCOUNT, Token("old"))
        spoil(entry(directory))
        for _ in range(2):
            assert await store.load(ACCOUNT) is None
        assert told(caplog, "store.unreadable") == [
            f"store.unreadable store={repr(store)!r} problem='an entry is ignored: it is damaged; the next save replaces it'"
        ]
        await log_in(store)
    assert_private(directory)
    assert entry(directory).read_bytes().startswith(b"exterview_auth/2 ")


@pytest.mark.parametrize("umask", [0, 0o022, 0o777], ids=oct)
async def test_files_are_private_whatever_the_umask(umask: int, directory: Path) -> None:
    """0600 in 0700, for the locks too, and also in a directory that was removed and is made again."""
    before = os.umask(umask)
    try:
        async with FileStore(directory) as store:
            for _ in range(2):
                await log_in(store)
                await log_in(store)
                assert_private(directory)
                shutil.rmtree(directory)
    finally:
        os.umask(before)


@pytest.mark.parametrize("umask", [0, 0o022, 0o777], ids=oct)
def test_the_directories_above_it_are_private_too(umask: int, place: Path) -> None:
    """Whoever could write to one of them could put another directory in its place; those that were there stay as they are."""
    there = place / "there"
    there.mkdir(0o755)
    before = os.umask(umask)
    try:
        asyncio.run(log_in(FileStore(there / "one" / "two" / "tokens")))
    finally:
        os.umask(before)
    assert [mode(path) for path in (there, there / "one", there / "one" / "two")] == [0o755, 0o700, 0o700]
    assert_private(there / "one" / "two" / "tokens")


@pytest.mark.parametrize("wide", [0o755, 0o777, 0o750, 0o701], ids=oct)
def test_a_directory_of_its_own_is_made_private(wide: int, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An existing directory with nothing but a store's files in it is tightened, and an event says what it was."""
    directory.mkdir()
    for _ in ("empty", "ours"):
        directory.chmod(wide)
        caplog.clear()
        asyncio.run(log_in(FileStore(directory)))
        assert_private(directory)
        [said] = [record for record in caplog.records if record.message.startswith("store.made_private")]
        assert f"store={repr(FileStore(directory))!r} path={str(directory)!r} mode='{wide:04o}'" in said.message


def snapshot(place: Path) -> dict[str, tuple[str, int]]:
    """All that is there, with modes and times."""
    return {str(path): (oct(mode(path)), path.lstat().st_mtime_ns) for path in (place, *place.rglob("*"))}


def test_a_directory_with_other_files_is_left_alone(place: Path) -> None:
    """Somebody's home is not made private, nor filled with tokens; nothing in it is touched."""
    home = place / "home"
    home.mkdir()
    (home / "notes.txt").touch(0o644)
    home.chmod(0o755)
    (place / "link").symlink_to(home)
    before = snapshot(place)
    for path in (home, place / "link"):
        with pytest.raises(
            ConfigurationError,
            match="is open to other users and holds other files; give FileStore one inside it, such as",
        ) as caught:
            FileStore(path)
        assert_one_sentence(caught.value)
    assert snapshot(place) == before


def test_a_link_to_a_directory_of_its_own_is_followed(place: Path, directory: Path) -> None:
    """The fault table: a directory that is a symbolic link serves, and what it points to is made private."""
    target = place / "elsewhere"
    target.mkdir(0o755)
    directory.symlink_to(target)
    asyncio.run(log_in(FileStore(directory)))
    assert directory.is_symlink()
    assert_private(target)


def is_a_file(directory: Path) -> Path:
    directory.touch()
    return directory


def is_read_only(directory: Path) -> Path:
    directory.mkdir()
    directory.chmod(0o500)
    return directory


def is_a_dead_link(directory: Path) -> Path:
    is_a_file(directory.with_name("nowhere"))
    directory.symlink_to(directory.with_name("nowhere") / "at all")
    return directory


def is_a_link_to_itself(directory: Path) -> Path:
    directory.symlink_to(directory)
    return directory


def is_too_long(directory: Path) -> Path:
    return directory / ("x" * 300)


UNFIT: list[Callable[[Path], Path]] = [
    *(is_a_file, lambda directory: is_a_file(directory) / "tokens", is_read_only),
    *(lambda directory: is_read_only(directory) / "tokens", is_a_dead_link, is_a_link_to_itself, is_too_long),
]


@pytest.mark.parametrize("make", UNFIT)
def test_a_directory_that_cannot_serve_is_refused_at_once(make: Callable[[Path], Path], directory: Path) -> None:
    """One clear sentence at construction that names the directory."""
    unfit = make(directory)
    with pytest.raises(
        ConfigurationError, match=r"; give it a separate directory that this user can write to$"
    ) as caught:
        FileStore(unfit)
    assert_one_sentence(caught.value)
    assert str(unfit)[:100] in str(caught.value)


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who owns the directory reads what is in it."""
    tmp_path.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(tmp_path, NOBODY, NOBODY)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    with pytest.raises(
        ConfigurationError,
        match=rf"belongs to another user \(uid \d+, mode 0700, and this process has uid {os.geteuid()}\); run all processes that",
    ) as caught:
        FileStore(tmp_path)
    assert_one_sentence(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "directory", ["", None, 5, b"", b"bytes", ["x"], object(), "a\0b", "\ud800", "~nobody-of-this-name/x"]
)
def test_an_invalid_path_is_refused(directory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear sentence, and no directory is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="FileStore") as caught:
        FileStore(directory)
    assert_one_sentence(caught.value)
    assert list(tmp_path.iterdir()) == []


NAMES = [
    "..",
    "../../x",
    "/etc/passwd",
    "a/b",
    "",
    "~",
    "a\0b",
    "x" * 5000,
    "\ud800",
    "-rf",
    "*",
    "a\nb",
    "C:\\x",
    ACCOUNT,
]


def test_no_account_leaves_the_directory_or_shows_its_name(place: Path, directory: Path) -> None:
    """Whatever its name, an account's files lie side by side, and nothing else appears anywhere."""
    asyncio.run(log_in(FileStore(directory), *NAMES))
    (directory / ".gitignore").unlink()
    names = [path.name for path in directory.iterdir()]
    assert sorted(place.rglob("*")) == sorted([directory, *(directory / name for name in names)])
    assert len(names) == 3 * len(NAMES)
    for name in names:
        stem, dot, kind = name.partition(".")
        assert (len(stem), dot, kind in ("token", "lock", "saving")) == (40, ".", True)
        assert not set(stem) - set("0123456789abcdef")
    assert_private(directory)
