"""A directory of tokens that is sick, or not what it should be: on the real file system, without root's powers."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from exterview_auth import ConfigurationError, FileStore, Token
from exterview_auth.errors import StoreError
from exterview_auth.stores._entry import key_of
from exterview_auth.stores._file.backend import DELAY_PER_POLLER, LOOKS_PER_ATTEMPT, POLL_DELAYS, FileLockBackend
from exterview_auth.stores._file.directory import PrivateDirectory
from exterview_auth.stores._file.entries import ABANDONED_AFTER, THREADS, FileEntries
from exterview_auth.stores._file.host_lock import HostLock
from tests.kit.api import until
from tests.kit.redis_clients import (
    ACCOUNT,
    LONGEST_WAIT,
    MARGIN,
    Fleet,
    assert_one_warning,
    fleet,
    heals,
    nothing_is_left,
    survives,
    told,
)

NOBODY = 65534


@pytest.fixture(autouse=True)
def all_events(caplog: pytest.LogCaptureFixture) -> None:
    """Every event is looked at."""
    caplog.set_level(logging.DEBUG, "exterview_auth")


@contextlib.contextmanager
def unprivileged(*owned: Path) -> Iterator[None]:
    """Modes bind the process: root becomes a user who has *owned*, and nothing else."""
    if os.geteuid() != 0:
        yield
        return
    for path in owned:
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach, and this process's user owns; what it holds is taken away whatever its mode."""
    path = Path(tempfile.mkdtemp(prefix="exterview-auth-test-"))
    path.chmod(0o755)
    try:
        with unprivileged(path):
            yield path
    finally:
        for directory in (path, *path.rglob("*")):
            if directory.is_dir() and not directory.is_symlink():
                directory.chmod(0o700)
        shutil.rmtree(path)


@pytest.fixture
def directory(place: Path) -> Path:
    """Where the store keeps its files."""
    return place / "tokens"


@pytest_asyncio.fixture
async def scene(directory: Path) -> AsyncIterator[Fleet]:
    """Two owners of one store that have a token."""
    async with FileStore(directory) as store, fleet(store, store) as made:
        await made.storm()
        assert made.login.count == 1
        yield made


def entry(directory: Path) -> Path:
    """The account's token."""
    (found,) = directory.glob("*.token")
    return found


def mode(path: Path) -> int:
    """Who may do what."""
    return stat.S_IMODE(path.lstat().st_mode)


def assert_private(directory: Path) -> None:
    """0600 in 0700."""
    assert oct(mode(directory)) == oct(0o700)
    assert {oct(mode(file)) for file in directory.iterdir()} == {oct(0o600)}


# -- an outage ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def full(_directory: Path) -> Iterator[None]:
    """Nothing can be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Nothing can be put into it."""
    directory.chmod(0o500)
    yield
    directory.chmod(0o700)


@contextlib.contextmanager
def closed(directory: Path) -> Iterator[None]:
    """It cannot even be looked into."""
    directory.chmod(0)
    yield
    directory.chmod(0o700)


@contextlib.contextmanager
def a_file(directory: Path) -> Iterator[None]:
    """Somebody has put a file in its place."""
    shutil.rmtree(directory)
    directory.touch()
    yield
    directory.unlink()


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
    "closed": (closed, "Permission denied"),
    "a file": (a_file, "Not a directory"),
    "lock unreadable": (locked_out, "Permission denied"),
    "entry a directory": (a_directory_for_a_file, "Is a directory"),
}
Harm = Callable[[Path], contextlib.AbstractContextManager[None]]


@pytest.mark.asyncio
@pytest.mark.parametrize(("harm", "problem"), OUTAGES.values(), ids=OUTAGES)
async def test_a_directory_that_cannot_be_used(
    harm: Harm, problem: str, scene: Fleet, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: each owner logs in for itself, one outage is one warning, and it heals without a restart."""
    with harm(directory):
        await survives(scene, caplog, f"cannot be used: {problem}")
        failures = [owner.stats().store_failures for owner in scene.owners]
        await until(
            lambda: all(
                owner.stats().store_failures > before for owner, before in zip(scene.owners, failures, strict=True)
            )
        )
        assert_one_warning(caplog, f"the token's file in {directory} cannot be used: {problem}")
        assert told(caplog, "store.recovered") == []
    await heals(scene, caplog)
    assert_private(directory)
    for owner in scene.owners:
        await owner.aclose()
    nothing_is_left()


@pytest.mark.asyncio
async def test_a_process_that_is_frozen_while_it_saves_is_overtaken(directory: Path) -> None:
    """A frozen holder does not stop the others for ever: a save fails in time, and one after a lease succeeds."""
    failures = 0
    async with FileStore(directory, lease=0.5) as store:
        await store.save(ACCOUNT, Token("old"))
        with saving_for_ever(directory):
            async with asyncio.timeout(20):
                while not await was_saved(store, "new"):
                    failures += 1
            found = await store.load(ACCOUNT)
    assert found is not None
    assert found.value == "new"
    assert failures <= 3


async def was_saved(store: FileStore, value: str) -> bool:
    """Whether it was; where not, because another is still at it."""
    try:
        await store.save(ACCOUNT, Token(value))
    except StoreError as problem:
        return "another process has not finished saving" not in str(problem)
    return True


@pytest.mark.asyncio
async def test_a_directory_that_is_taken_away_is_made_anew(
    scene: Fleet, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: what was in it is lost, which costs nothing; it is as private as before, whatever the umask."""
    before = os.umask(0)
    try:
        for login in (2, 3):
            shutil.rmtree(directory)
            await scene.revoked()
            assert scene.login.count == login
            assert_private(directory)
    finally:
        os.umask(before)
    assert told(caplog, "store.unavailable") == []


@pytest.mark.asyncio
async def test_every_call_fails_in_one_sentence(directory: Path) -> None:
    """A store that cannot be used says so, each method in the same way, and names no file of an account."""
    store = FileStore(directory)
    await store.save("a", Token("s3cret"))
    calls: list[Callable[[], Any]] = [
        lambda: store.load("a"),
        lambda: store.save("a", Token("s3cret")),
        lambda: store.delete("a"),
        lambda: store.account_lock("a").try_acquire(),
    ]
    with a_file(directory):
        for call in calls:
            with pytest.raises(StoreError, match=rf"^the token's file in {directory} cannot be used: [A-Z][a-z ]+$"):
                await call()
    await store.aclose()


# -- an entry that is not what it should be -----------------------------------------------------------------------------


def damage(path: Path) -> None:
    path.write_bytes(b"\x00\xff damaged")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def encrypt(path: Path) -> None:
    path.write_bytes(b"exterview_auth/1 1700000000.000000 gAAAAABlunreadable")


def from_the_future(path: Path) -> None:
    path.write_bytes(b'exterview_auth/2 1700000000.000000 {"token":"token-of-the-future"}')


def huge(path: Path) -> None:
    path.write_bytes(path.read_bytes())
    os.truncate(path, 2**40)


def link(path: Path) -> None:
    target = path.parent.parent / "foreign"
    path.rename(target)
    path.symlink_to(target)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


ODD = {
    "damaged": (damage, "it is damaged"),
    "truncated": (truncate, "it is damaged"),
    "empty": (empty, "it is damaged"),
    "encrypted": (encrypt, "it is damaged, or encrypted and the store has no encryption_key"),
    "of the future": (from_the_future, "a newer version of exterview_auth has written it"),
    "huge": (huge, "it is damaged"),
    "a symbolic link": (link, "it is damaged"),
    "a pipe": (pipe, "it is damaged"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize(("spoil", "problem"), ODD.values(), ids=ODD)
async def test_an_entry_that_cannot_be_read_is_a_miss(
    spoil: Callable[[Path], None], problem: str, scene: Fleet, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: one login, one warning, and the entry is replaced by a private file that all can read."""
    path = entry(directory)
    spoil(path)
    assert await scene.revoked() < LONGEST_WAIT + MARGIN
    assert scene.login.count == 2
    (warning,) = told(caplog, "store.unreadable")
    assert f"an entry is ignored: {problem}" in warning
    assert "token-of" not in caplog.text
    assert told(caplog, "store.unavailable") == []
    assert_private(directory)
    assert path.read_bytes().startswith(b"exterview_auth/1 ")
    await scene.revoked()
    assert scene.login.count == 3
    assert len(told(caplog, "store.unreadable")) == 1


@pytest.mark.asyncio
async def test_what_a_killed_writer_left_is_swept(directory: Path) -> None:
    """Lesson 29: unfinished files go with a later save; one that may still be written stays, and so does what is not ours."""
    async with FileStore(directory) as store:
        await store.save("a", Token("value"))
        old, young, foreign = (directory / name for name in (".a.token.x.tmp", ".b.token.y.tmp", "notes.txt"))
        for path in (old, young, foreign):
            path.write_bytes(b"exterview_auth/1 half")
        for path in (old, foreign):
            os.utime(path, (time.time() - 3600,) * 2)
        await store.save("a", Token("value"))
        assert not old.exists()
        assert young.exists()
        assert foreign.exists()


# -- modes --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777], ids=oct)
async def test_files_are_private_whatever_the_umask(umask: int, directory: Path) -> None:
    """0600 in 0700, for the locks too, and nobody is kept out of his own."""
    before = os.umask(umask)
    try:
        async with FileStore(directory) as store, fleet(store) as scene:
            await scene.storm()
            await scene.revoked()
            assert scene.login.count == 2
            assert scene.owners[0].stats().store_failures == 0
    finally:
        os.umask(before)
    assert_private(directory)


@pytest.mark.parametrize("wide", [0o755, 0o777, 0o750, 0o701], ids=oct)
@pytest.mark.parametrize("ours", [False, True], ids=["empty", "ours"])
def test_a_directory_of_its_own_is_made_private(wide: int, *, ours: bool, directory: Path) -> None:
    """An existing directory with nothing but a store's files in it is tightened."""
    directory.mkdir()
    if ours:
        asyncio.run(saved(directory))
    directory.chmod(wide)
    FileStore(directory)
    assert oct(mode(directory)) == oct(0o700)


async def saved(directory: Path, *accounts: str) -> None:
    """A store has been there."""
    async with FileStore(directory) as store:
        for account in accounts or ("a",):
            async with store.lock(account):
                await store.save(account, Token("value"))


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
        with pytest.raises(ConfigurationError, match="is open to other users and holds other files") as caught:
            FileStore(path)
        assert_one_sentence(caught.value)
    assert snapshot(place) == before
    home.chmod(0o700)
    FileStore(home)


def test_a_link_to_a_directory_of_its_own_is_followed(place: Path, directory: Path) -> None:
    """The fault table: a directory that is a symbolic link serves, and what it points to is made private."""
    target = place / "elsewhere"
    target.mkdir(0o755)
    directory.symlink_to(target)
    asyncio.run(saved(directory))
    assert directory.is_symlink()
    assert_private(target)


# -- what cannot serve --------------------------------------------------------------------------------------------------


def is_a_file(directory: Path) -> Path:
    directory.touch()
    return directory


def is_below_a_file(directory: Path) -> Path:
    directory.touch()
    return directory / "tokens"


def is_read_only(directory: Path) -> Path:
    directory.mkdir()
    directory.chmod(0o500)
    return directory


def is_below_a_read_only_one(directory: Path) -> Path:
    return is_read_only(directory) / "tokens"


def is_closed(directory: Path) -> Path:
    directory.mkdir()
    directory.chmod(0)
    return directory


def is_a_dead_link(directory: Path) -> Path:
    directory.symlink_to(directory.parent / "nowhere" / "at all")
    directory.parent.joinpath("nowhere").touch()
    return directory


def is_a_link_to_itself(directory: Path) -> Path:
    directory.symlink_to(directory)
    return directory


def is_too_long(directory: Path) -> Path:
    return directory / ("x" * 300)


def is_roots(_directory: Path) -> Path:
    return Path("/usr")


UNFIT = [
    *(is_a_file, is_below_a_file, is_read_only, is_below_a_read_only_one, is_closed),
    *(is_a_dead_link, is_a_link_to_itself, is_too_long, is_roots),
]


@pytest.mark.parametrize("make", UNFIT, ids=lambda make: make.__name__)
def test_a_directory_that_cannot_serve_is_refused_at_once(make: Callable[[Path], Path], directory: Path) -> None:
    """One clear sentence at construction that names the directory."""
    unfit = make(directory)
    with pytest.raises(ConfigurationError, match=r"give (it|FileStore) a separate directory") as caught:
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
        ConfigurationError, match="belongs to another user; give FileStore a separate directory"
    ) as caught:
        FileStore(tmp_path)
    assert_one_sentence(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("directory", ["", None, 5, b"", b"bytes", ["x"], object(), "a\0b", "~nobody-of-this-name/x"])
def test_what_is_no_path_is_refused(directory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear sentence, and no directory is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="FileStore") as caught:
        FileStore(directory)
    assert_one_sentence(caught.value)
    assert list(tmp_path.iterdir()) == []


def assert_one_sentence(error: ConfigurationError) -> None:
    """Of reasonable length, on one line, and alone."""
    assert "\n" not in str(error)
    assert len(str(error)) < 500
    assert error.__cause__ is None


# -- names --------------------------------------------------------------------------------------------------------------

NAMES = [
    "..",
    "../../x",
    "/etc/passwd",
    "a/b",
    ".",
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
    asyncio.run(saved(directory, *NAMES))
    names = [path.name for path in directory.iterdir()]
    assert sorted(place.rglob("*")) == sorted([directory, *(directory / name for name in names)])
    assert len(names) == 3 * len(NAMES)
    for name in names:
        stem, dot, kind = name.partition(".")
        assert (len(stem), dot, kind in ("token", "lock", "saving")) == (40, ".", True)
        assert not set(stem) - set("0123456789abcdef")
    assert_private(directory)


@pytest.mark.asyncio
async def test_a_deletion_waits_for_who_saves(directory: Path) -> None:
    """Nobody writes while another does: the deletion of a logout is not overtaken by a save that was under way."""
    async with FileStore(directory, lease=60) as store:
        await store.save(ACCOUNT, Token("T"))
        saving = HostLock(store._entries.directory, f"{key_of(ACCOUNT)}.saving", 60)
        assert saving.try_acquire()
        with pytest.raises(StoreError, match=r"another process has not finished saving$"):
            await store.delete(ACCOUNT)
        assert await store.load(ACCOUNT) is not None
        saving.release()
        await store.delete(ACCOUNT)
        assert await store.load(ACCOUNT) is None


def backend(entries: FileEntries) -> FileLockBackend:
    """One more who waits for the account."""
    return FileLockBackend(entries, key_of(ACCOUNT), 60)


@pytest.mark.asyncio
async def test_who_waits_looks_at_the_file_and_returns_when_it_is_another(directory: Path) -> None:
    """News of files: a new one, another one, none any more; without any, it is time to try the lock again."""
    async with FileStore(directory) as store:
        entries, name = store._entries, key_of(ACCOUNT)
        waiting = backend(entries)
        await waiting.subscribe()
        assert waiting._known is None
        for change in (store.save(ACCOUNT, Token("1")), store.save(ACCOUNT, Token("2")), store.delete(ACCOUNT)):
            before = waiting._known
            await change
            await waiting.wait_for_change()
            assert waiting._known == entries.identity(name) != before
        known = waiting._known
        await waiting.wait_for_change()
        assert waiting._known == known


@pytest.mark.asyncio
async def test_all_who_wait_in_a_process_are_counted_while_they_do(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand look the less often: the pause grows with their number, and is short again when they have gone."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async with FileStore(directory) as store:
        turns = [backend(store._entries) for _ in range(100)]
        await asyncio.gather(*(turn.subscribe() for turn in turns))
        monkeypatch.setattr(asyncio, "sleep", counted)
        await asyncio.gather(*(turn.wait_for_change() for turn in turns))
        assert max(pauses) == pytest.approx(100 * DELAY_PER_POLLER)
        assert len(pauses) == 100 * LOOKS_PER_ATTEMPT
        assert store._entries.pollers == 0
        pauses.clear()
        patient = backend(store._entries)
        for _ in range(2):
            await patient.wait_for_change()
        assert pauses == [*POLL_DELAYS, *[POLL_DELAYS[-1]] * (2 * LOOKS_PER_ATTEMPT - len(POLL_DELAYS))]


@pytest.mark.asyncio
async def test_a_save_sweeps_nothing_that_may_still_be_written(directory: Path) -> None:
    """An unfinished file of another process is left alone for a minute."""
    async with FileStore(directory) as store:
        unfinished = directory / ".x.token.abc.tmp"
        unfinished.touch()
        await store.save(ACCOUNT, Token("T"))
        assert unfinished.exists()
        os.utime(unfinished, (0, time.time() - ABANDONED_AFTER - 5))
        await store.save(ACCOUNT, Token("T"))
        assert not unfinished.exists()


@pytest.mark.asyncio
async def test_an_errors_own_words_are_told(directory: Path) -> None:
    """What the system says, else what the error says, else what it is."""
    entries = FileStore(directory)._entries
    for failure, problem in (
        (OSError(28, "No space left"), "No space left"),
        (TimeoutError("another saves"), "another saves"),
        (TimeoutError(), "TimeoutError"),
    ):

        def fail(failure: OSError = failure) -> None:
            raise failure

        with pytest.raises(StoreError) as caught:
            await entries.in_thread(fail)
        assert str(caught.value) == f"the token's file in {directory} cannot be used: {problem}"
    entries.close()


def lock_at(directory: Path, lease: float = 60) -> HostLock:
    """One contender for a lock of the directory."""
    return HostLock(PrivateDirectory(directory), "a.lock", lease)


def test_a_lock_may_be_taken_in_one_thread_and_given_back_in_another(directory: Path) -> None:
    """The store has threads of its own, and any of them may come by."""
    one, other = lock_at(directory), lock_at(directory)
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        assert first.submit(one.try_acquire).result()
        assert not first.submit(other.try_acquire).result()
        second.submit(one.release).result()
        assert first.submit(other.try_acquire).result()
        second.submit(other.release).result()


def test_nothing_is_taken_once_it_was_given_up(directory: Path) -> None:
    """Lesson 30: an attempt that was begun before and comes late holds nothing."""
    lock = lock_at(directory)
    lock.release()
    assert not lock.try_acquire()
    assert lock_at(directory).try_acquire()


def test_a_holder_shows_itself_while_the_lock_is_its_own(directory: Path) -> None:
    """A lease is kept by touching the file, and not any more once another has put a new one in its place."""
    lock, directory_ = lock_at(directory), PrivateDirectory(directory)
    assert not lock.touch()
    assert lock.try_acquire()
    os.utime(directory_.file("a.lock"), (0, 0))
    assert lock.touch()
    assert directory_.file("a.lock").stat().st_mtime > 0
    directory_.remove("a.lock")
    assert not lock.touch()
    assert not lock.is_held()
    lock.release()


def test_who_breaks_a_frozen_holders_lock_waits_for_no_other_who_does(directory: Path) -> None:
    """One alone does it; one that is frozen in the middle of it stops the others for less than a second at a time."""
    holder, breaker = lock_at(directory), HostLock(PrivateDirectory(directory), "a.lock.breaking", 60)
    assert holder.try_acquire()
    assert breaker.try_acquire()
    late = lock_at(directory, lease=0.05)
    assert not late.try_acquire()
    time.sleep(0.1)
    assert not late.try_acquire()
    breaker.release()
    time.sleep(0.1)
    assert late.try_acquire()
    assert not holder.is_held()
    late.release()
    holder.release()


@pytest.mark.asyncio
async def test_files_are_touched_in_threads_of_the_stores_own(directory: Path) -> None:
    """Lesson 40: eight at most, kept until the store is closed, and the process's own are left alone."""
    entries = FileStore(directory)._entries
    name = await entries.in_thread(lambda: threading.current_thread().name)
    assert name.startswith("exterview_auth store")
    threads = entries._executor()
    assert entries._executor() is threads
    assert threads._max_workers == THREADS == 8
    going_on = threading.Event()
    busy = asyncio.ensure_future(entries.in_thread(going_on.wait))
    await asyncio.sleep(0)
    entries.close()  # waits for none of them
    assert entries._executor() is not threads
    going_on.set()
    await busy
    entries.close()


@pytest.mark.asyncio
async def test_a_forked_child_leaves_its_parents_threads_alone(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 20: they are not there; closing ends none of them, and new ones are started."""
    entries = FileStore(directory)._entries
    parents = entries._executor()
    other = os.getpid() + 1
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: other)
        assert entries._executor() is not parents
    entries._threads = os.getpid(), parents
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: other)
        entries.close()
    assert parents.submit(int).result() == 0
    parents.shutdown()
