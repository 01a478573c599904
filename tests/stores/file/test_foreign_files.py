"""What is not the store's own: another user's directory, entry, lock or link, and the user's other files."""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exterview_auth import ConfigurationError, FileStore, Token
from exterview_auth.errors import StoreError
from exterview_auth.stores._entry import key_of
from exterview_auth.stores._file.directory import PrivateDirectory, is_ours
from exterview_auth.stores._file.host_lock import HostLock
from tests.kit.api import post
from tests.kit.directories import ANOTHER, as_root, entry, give_to_another, needs_root
from tests.kit.stores import ACCOUNT, assert_one_sentence, fleet, told

pytestmark = needs_root

NAME = key_of(ACCOUNT)


async def log_in(directory: Path, value: str = "planted") -> None:
    """Save a token in a directory."""
    async with FileStore(directory) as store:
        await store.save(ACCOUNT, Token(value))


def snapshot(place: Path) -> dict[str, tuple[int, int, int, int]]:
    """All that is there: whose it is, its mode, when it was changed, and which file it is."""
    with as_root():
        found = {str(path): path.lstat() for path in (place, *place.rglob("*"))}
    return {name: (each.st_uid, each.st_mode, each.st_mtime_ns, each.st_ino) for name, each in found.items()}


# -- another user's -------------------------------------------------------------------------------------------------------


def another_users_entry(directory: Path) -> None:
    give_to_another(entry(directory))


def a_writable_entry(directory: Path) -> None:
    entry(directory).chmod(0o620)


def an_entry_for_all(directory: Path) -> None:
    entry(directory).chmod(0o602)


def a_linked_entry(directory: Path) -> None:
    entry(directory).rename(directory.parent / "target")
    (directory / f"{NAME}.token").symlink_to(directory.parent / "target")


def another_users_link(directory: Path) -> None:
    a_linked_entry(directory)
    give_to_another(directory / f"{NAME}.token")


def another_users_directory(directory: Path) -> None:
    give_to_another(directory)
    with as_root():
        directory.chmod(0o777)


def a_directory_that_was_made_again(directory: Path) -> None:
    directory.rename(directory.parent / "removed")
    directory.mkdir()
    (directory.parent / "removed" / f"{NAME}.token").rename(directory / f"{NAME}.token")
    another_users_directory(directory)


def a_directory_of_root(directory: Path) -> None:
    with as_root():
        os.chown(directory, 0, 0)
        directory.chmod(0o777)


def a_directory_for_all(directory: Path) -> None:
    directory.chmod(0o707)


def a_directory_for_the_group(directory: Path) -> None:
    directory.chmod(0o770)


def another_users_link_to_a_directory(directory: Path) -> None:
    directory.rename(directory.parent / "target")
    directory.symlink_to(directory.parent / "target")
    give_to_another(directory)


ANOTHER_ONE = "the directory belongs to another user; give FileStore one inside it, such as {directory}/tokens"

FOREIGN: dict[str, tuple[Callable[[Path], None], str]] = {
    "entry of another user": (another_users_entry, "it belongs to another user; remove it"),
    "entry writable for the group": (a_writable_entry, "it is writable for other users; remove it"),
    "entry writable for all": (an_entry_for_all, "it is writable for other users; remove it"),
    "entry a link": (a_linked_entry, "it is a symbolic link; remove it"),
    "entry a link of another user": (another_users_link, "it is a symbolic link; remove it"),
    "directory of another user": (
        another_users_directory,
        ANOTHER_ONE,
    ),
    "directory made again": (
        a_directory_that_was_made_again,
        ANOTHER_ONE,
    ),
    "directory of root": (a_directory_of_root, ANOTHER_ONE),
    "directory writable for all": (
        a_directory_for_all,
        "the directory is writable for other users (mode 0707); run chmod go-w on it",
    ),
    "directory writable for the group": (
        a_directory_for_the_group,
        "the directory is writable for other users (mode 0770); run chmod go-w on it",
    ),
    "directory a link of another user": (
        another_users_link_to_a_directory,
        "the directory is a symbolic link of another user; remove it",
    ),
}


@pytest.mark.parametrize(("harm", "problem"), FOREIGN.values(), ids=FOREIGN)
async def test_what_another_user_could_have_written_is_not_used(
    harm: Callable[[Path], None], problem: str, place: Path, directory: Path
) -> None:
    """Owner and mode are looked at at each use: no call uses it, each says why in one sentence, and nothing is changed."""
    async with FileStore(directory) as store:
        async with store.lock(ACCOUNT):
            await store.save(ACCOUNT, Token("planted"))
        harm(directory)
        before = snapshot(place)
        for call in (store.load(ACCOUNT), store.save(ACCOUNT, Token("new")), store.delete(ACCOUNT)):
            with pytest.raises(StoreError) as caught:
                await call
            said = re.sub(r" \(uid \d+, mode \d{4}, and this process has uid \d+\)", "", str(caught.value))
            assert said == f"the token's file in {directory} cannot be used: {problem.format(directory=directory)}"
        locks = {name for name in before if name.endswith((".saving", ".lock"))}
        after = snapshot(place)
        assert {name: after[name] for name in after if name not in locks} == {
            name: before[name] for name in before if name not in locks
        }


@pytest.mark.parametrize("kind", ["lock", "saving"])
async def test_another_users_lock_is_not_used(kind: str, directory: Path) -> None:
    """A lock's file is looked at like an entry: another user's is not locked, touched or replaced."""
    async with FileStore(directory) as store:
        path = directory / f"{NAME}.{kind}"
        path.touch(0o666)
        os.utime(path, (1.0, 1.0))
        give_to_another(path)
        before = path.lstat()

        async def use() -> None:
            async with store.lock(ACCOUNT):
                await store.save(ACCOUNT, Token("new"))

        with pytest.raises(StoreError, match=r"it belongs to another user; remove it$"):
            await use()
        after = path.lstat()
        assert (after.st_ino, after.st_mtime, after.st_uid) == (before.st_ino, 1.0, ANOTHER)


def test_another_users_file_is_no_lock_around_replacing_a_frozen_one(directory: Path) -> None:
    """The short lock of those who replace a frozen holder's file is looked at too, and the frozen one stays."""
    private = PrivateDirectory(directory)
    holder, late = HostLock(private, f"{NAME}.lock", 0.1), HostLock(private, f"{NAME}.lock", 0.1)
    assert holder.try_acquire()
    assert not late.try_acquire()
    path = directory / f"{NAME}.lock.breaking"
    path.touch(0o666)
    give_to_another(path)
    time.sleep(0.2)
    with pytest.raises(PermissionError, match="it belongs to another user"):
        late.try_acquire()
    assert holder.is_held()
    holder.release()


async def test_a_lock_that_is_a_link_creates_nothing(place: Path, directory: Path) -> None:
    """Nothing is made where a planted link leads to."""
    async with FileStore(directory) as store:
        for kind in ("lock", "saving"):
            (directory / f"{NAME}.{kind}").symlink_to(place / f"made-{kind}")
        with pytest.raises(StoreError, match=r"it is a symbolic link; remove it$"):
            await store.save(ACCOUNT, Token("new"))
        with pytest.raises(StoreError, match=r"it is a symbolic link; remove it$"):
            await store._account_lock(ACCOUNT).try_acquire()
        assert not {name for name in snapshot(place) if "made-" in name}


async def test_a_lock_whose_directory_is_replaced_meanwhile_is_not_acquired(
    place: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has the lock's name no longer, when it is locked, excludes nobody."""
    async with FileStore(directory) as store:
        lock = store._account_lock(ACCOUNT)._backend._lock  # type: ignore[attr-defined]  # of files
        identity = lock._directory.identity
        looks: list[str] = []

        def swap(name: str) -> object:
            looks.append(name)
            if len(looks) == 2:
                directory.rename(place / "swapped")
                directory.mkdir(0o700)
            return identity(name)

        monkeypatch.setattr(lock._directory, "identity", swap)
        assert not lock._try()
        assert lock._try()
        lock.release()


async def test_a_planted_token_reaches_no_request(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Requests go on without the store: a login of their own, and one warning that says what is wrong."""
    async with FileStore(directory) as store, fleet(store, store) as scene:
        await post(scene.clients[0], scene.api.endpoint)
        give_to_another(entry(directory))
        assert (await post(scene.clients[1], scene.api.endpoint))[0] == 200
        assert scene.login.count == 2
        (warning,) = told(caplog, "store.unavailable")
        assert f"the token's file in {directory} cannot be used: it belongs to another user; remove it" in warning
        assert entry(directory).lstat().st_uid == ANOTHER


# -- the user's other files -----------------------------------------------------------------------------------------------

NEARLY = (
    *(".report.tmp", ".probe.tmp", ".probe.x.tmp.old", "notes.token", "a.token", "apt.lock", f"{NAME}.token.bak"),
    *(f"{NAME.upper()}.token", f".{NAME}.lock.x.tmp", f"{NAME[1:]}.token", f"x{NAME}.lock", f".{NAME}.token..tmp"),
    *(f"{NAME}.breaking", f"{NAME}.token.breaking", "x.saving", ".bashrc", f"{NAME}.token\n"),
)
OURS = (
    *(f"{NAME}.token", f"{NAME}.lock", f"{NAME}.saving", f"{NAME}.lock.breaking", f"{NAME}.saving.breaking"),
    *(f".{NAME}.token.{10:016x}.tmp", f".probe.{11:016x}.tmp", ".gitignore"),
)


def test_only_names_that_a_store_gives_are_its_own() -> None:
    """A hash and a known ending, nothing else."""
    assert [name for name in NEARLY if is_ours(name)] == []
    assert [name for name in OURS if not is_ours(name)] == []


async def test_a_store_in_a_private_directory_touches_nothing_else_there(place: Path) -> None:
    """A user's home directory: however old a file is and whatever it is called, it stays as it was."""
    home = place / "home"
    home.mkdir(0o700)
    for name in NEARLY:
        (home / name).write_text("mine")
        os.utime(home / name, (1.0, 1.0))
    (home / ".folder.tmp").mkdir()
    before = snapshot(home)
    async with FileStore(home) as store:
        for _ in range(2):
            async with store.lock(ACCOUNT):
                await store.save(ACCOUNT, Token("value"))
        await store.delete(ACCOUNT)
    after = snapshot(home)
    assert {name: after[name] for name in before if name != str(home)} == {
        name: before[name] for name in before if name != str(home)
    }
    assert {Path(name).name for name in set(after) - set(before)} == {f"{NAME}.lock", f"{NAME}.saving"}


@pytest.mark.parametrize("name", NEARLY)
def test_a_directory_with_any_other_file_is_left_alone(name: str, place: Path) -> None:
    """One file that looks nearly like a store's is enough: the directory is not a store's alone."""
    home = place / "home"
    home.mkdir()
    (home / name).touch()
    home.chmod(0o755)
    before = snapshot(place)
    with pytest.raises(
        ConfigurationError, match="is open to other users and holds other files; give FileStore one inside it, such as"
    ) as caught:
        FileStore(home)
    assert_one_sentence(caught.value)
    assert snapshot(place) == before


def test_a_directory_that_all_users_share_is_refused(place: Path) -> None:
    """One like /tmp, also while it is empty."""
    shared = place / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(ConfigurationError, match="is shared by all users; give FileStore one inside it, such as"):
        FileStore(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


# -- git ------------------------------------------------------------------------------------------------------------------


def test_a_directory_that_a_store_makes_is_ignored_by_git(directory: Path) -> None:
    """Tokens in a working tree are not one ``git add`` away; who removes the file has it so."""
    FileStore(directory)
    ignore = directory / ".gitignore"
    assert ignore.read_text() == "*\n"
    assert stat.S_IMODE(ignore.stat().st_mode) == 0o600
    ignore.unlink()
    asyncio.run(log_in(directory))
    assert not ignore.exists()


def test_a_directory_that_was_there_gets_no_file_for_git(directory: Path) -> None:
    """It is the user's own, and may be empty or hold files that git knows."""
    directory.mkdir(0o700)
    asyncio.run(log_in(directory))
    assert not (directory / ".gitignore").exists()
