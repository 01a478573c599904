"""Directories as containers, network shares and other systems give them: a volume of root's, a file system that cannot do all."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exterview_auth import ConfigurationError, FileStore, Token
from exterview_auth.errors import StoreError
from tests.kit.directories import as_root, needs_root
from tests.kit.stores import ACCOUNT, assert_one_sentence, fleet, loaded, told

# -- a volume that another user has made ----------------------------------------------------------------------------------


def volume(place: Path, mode: int) -> Path:
    """A directory of root's, as an orchestrator mounts it for a container that runs as another user."""
    made = place / "volume"
    made.mkdir()
    with as_root():
        os.chown(made, 0, 0)
        made.chmod(mode)
    return made


def put_in_place_of(directory: Path, mounted: Path) -> None:
    """Mount something over a directory, as far as its user can see."""
    directory.rename(directory.with_name("before"))
    mounted.rename(directory)


@needs_root
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o2777], ids=oct)
def test_a_volume_for_all_users_is_refused_for_a_directory_inside_it(mode: int, place: Path) -> None:
    """The error says whose it is, and names a directory that works: nothing is wrong with the right to write."""
    shared = volume(place, mode)
    with pytest.raises(ConfigurationError) as caught:
        FileStore(shared)
    assert str(caught.value) == (
        f"FileStore cannot use {shared}: the directory belongs to another user (uid 0, mode {mode:04o}, and this process has"
        f" uid {os.geteuid()}); give FileStore one inside it, such as {shared}/tokens"
    )
    assert_one_sentence(caught.value)
    inside = FileStore(shared / "tokens")
    asyncio.run(inside.save(ACCOUNT, Token("value")))
    assert stat.S_IMODE((shared / "tokens").stat().st_mode) == 0o700


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o700], ids=oct)
def test_a_volume_that_this_user_cannot_write_to_names_none_inside_it(mode: int, place: Path) -> None:
    """What the error names would not work either, so it asks for another one."""
    with pytest.raises(
        ConfigurationError,
        match=r"; (give FileStore a separate one that this user can|run all processes that share it as that user)",
    ):
        FileStore(volume(place, mode))


@needs_root
async def test_a_volume_that_takes_the_place_of_the_directory_is_told_likewise(
    place: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One place decides what is wrong with a directory, at the start and at each use."""
    async with FileStore(directory) as store, fleet(store) as scene:
        await scene.storm()
        put_in_place_of(directory, volume(place, 0o777))
        scene.api.revoke()
        await scene.storm()
        (warning,) = told(caplog, "store.unavailable")
        assert "belongs to another user (uid 0, mode 0777, and this process has uid" in warning
        assert f"; give FileStore one inside it, such as {directory}/tokens" in warning


# -- a file system that cannot do all -------------------------------------------------------------------------------------


def failing(call: Callable[..., Any], number: int, *, directories: bool) -> Callable[..., Any]:
    """The system's *call*, which fails on directories, or on files, as file systems of networks and of FUSE do."""

    def fail(handle: int, *arguments: Any) -> Any:
        if stat.S_ISDIR(os.fstat(handle).st_mode) is directories:
            raise OSError(number, os.strerror(number))
        return call(handle, *arguments)

    return fail


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS], ids=os.strerror)
async def test_a_directory_that_cannot_be_synchronised_is_no_failed_save(
    number: int, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is on the disk and has its name: nothing is repeated, and nothing is warned of."""
    monkeypatch.setattr(os, "fsync", failing(os.fsync, number, directories=True))
    async with FileStore(directory) as one, FileStore(directory) as two, fleet(one, two) as scene:
        for logins in (1, 2):
            await scene.storm()
            assert scene.login.count == logins
            scene.api.revoke()
        assert sum(owner.stats().save_failures for owner in scene.owners) == 0
    assert told(caplog, "store.unavailable") == []


@pytest.mark.parametrize(("number", "directories"), [(errno.EIO, True), (errno.EINVAL, False)], ids=["disk", "file"])
async def test_what_is_not_on_the_disk_is_a_failed_save(
    number: int, *, directories: bool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`save` returns when the token is on the disk: a disk that fails is no file system that cannot do it."""
    async with FileStore(directory) as store:
        monkeypatch.setattr(os, "fsync", failing(os.fsync, number, directories=directories))
        with pytest.raises(
            StoreError, match=rf"{os.strerror(number)}; check the directory's owner and mode, and its disk$"
        ):
            await store.save(ACCOUNT, Token("value"))


@pytest.mark.parametrize("number", [None, errno.EPERM], ids=["ignored", "refused"])
def test_a_file_system_that_keeps_no_modes_is_named(
    number: int | None, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that stays open to others is not used, and the error says why: there is nothing to run chmod on."""
    directory.mkdir(0o755)
    kept = (lambda *_: None) if number is None else failing(os.fchmod, number, directories=True)
    monkeypatch.setattr(os, "fchmod", kept)
    with pytest.raises(ConfigurationError, match="its file system keeps no modes; give FileStore one on a local disk"):
        FileStore(directory)


async def test_files_whose_mode_cannot_be_set_are_kept_if_they_are_private(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that is mounted for this user alone gives its files a mode that nobody can change."""
    async with FileStore(directory) as store:
        monkeypatch.setattr(os, "fchmod", failing(os.fchmod, errno.EPERM, directories=False))
        await store.save(ACCOUNT, Token("value"))
        assert (await loaded(store, ACCOUNT)).value == "value"


async def test_files_that_others_can_read_are_not_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share that gives every file a mode for all, which nobody can change, gets no token."""
    async with FileStore(directory) as store:
        monkeypatch.setattr(os, "fchmod", failing(os.fchmod, errno.EPERM, directories=False))
        monkeypatch.setattr("exterview_auth.stores._file.directory.FILE_MODE", 0o644)
        with pytest.raises(StoreError, match="Operation not permitted; check the directory's owner and mode"):
            await store.save(ACCOUNT, Token("value"))
        assert await store.load(ACCOUNT) is None


# -- a system without owners of files -------------------------------------------------------------------------------------

ELSEWHERE = """
import os, sys
for name in ("geteuid", "getuid", "getegid", "getgid", "fork", "fchmod", "chown", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK"):
    delattr(os, name)
os.supports_dir_fd.clear()  # or shutil would remove directories in a way that needs the names above
for module in ("resource", "pwd", "grp"):
    sys.modules[module] = None
sys.argv = ["exterview-auth", *sys.argv[1:]]
"""

SHARED = """
import asyncio, exterview_auth
from exterview_auth import *
try:
    FileStore("tokens")
except ConfigurationError as problem:
    print(problem)
for name in exterview_auth.__all__:
    getattr(exterview_auth, name)

async def main():
    store = MemoryStore()
    async with ExterviewAuth(StaticLogin("value"), api_key="key", account="a", store=store) as auth:
        print(await auth.token() and await store.load("https://api.exterview.ai|a"))

asyncio.run(main())
"""

COMMAND = "from exterview_auth._cli import main; sys.exit(main())"


def elsewhere(code: str, *arguments: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run *code* where the system has no such names, as on Windows."""
    command = [sys.executable, "-c", ELSEWHERE + code, *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=120)


def test_a_system_without_owners_of_files_makes_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would keep the tokens private there."""
    monkeypatch.delattr(os, "geteuid")
    with pytest.raises(ConfigurationError, match=r"^FileStore needs files with an owner and a mode") as caught:
        FileStore(tmp_path / "tokens")
    assert_one_sentence(caught.value, 120)
    assert list(tmp_path.iterdir()) == []


def test_a_system_without_owners_of_files_has_all_but_files(tmp_path: Path) -> None:
    """The store says at construction what to use there; every public name can be loaded, and other stores work."""
    done = elsewhere(SHARED, place=tmp_path)
    problem, stored = done.stdout.splitlines()
    assert problem == (
        "FileStore needs files with an owner and a mode, as on Linux and macOS; use MemoryStore or RedisStore here"
    )
    assert stored.startswith("Token(")
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("demo", "--requests", "20", "--json"), 0, '"failed": 0'),
        (("demo", "--requests", "20", "--processes", "2", "--store", "file"), 2, "FileStore needs files with an owner"),
        (("check",), 2, "the API key is missing"),
    ],
    ids=["demo", "fleet", "check"],
)
def test_the_command_works_on_a_system_without_owners_of_files(
    arguments: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot do there is one sentence, and no traceback."""
    monkeypatch.delenv("EXTERVIEW_API_KEY", raising=False)
    done = elsewhere(COMMAND, *arguments, place=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
