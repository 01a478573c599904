"""
A directory that only its owner can read, whose files are replaced as a whole.

Owner and mode are looked at at each use, and of what was opened: whoever can write to the directory above ours may put another
directory or a link in its place. What another user owns or could have written is neither read nor changed nor removed. Files are
found through the opened directory, so that they lie in the one that was looked at.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..._events import emit
from ..._options import shown
from ..._secret import SecretBytes
from ...errors import ConfigurationError

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600
MAX_FILE = 2**21
"""Bytes that are read of a file; a larger one was not written by this package."""

_OPEN_TO_OTHERS, _WRITABLE_FOR_OTHERS = 0o077, 0o022
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
_GITIGNORE = ".gitignore"
_ACCOUNT = "[0-9a-f]{40}"
_ENTRY = re.compile(rf"{_ACCOUNT}\.token")
_UNFINISHED = re.compile(rf"\.(?:probe|{_ENTRY.pattern})\.[0-9a-f]{{16}}\.tmp")
_LOCK = re.compile(rf"{_ACCOUNT}\.(?:lock|saving)(?:\.breaking)?")


class FileIdentity(NamedTuple):
    """What changes with every replacement of a file."""

    inode: int
    changed: int


class PrivateDirectory:
    """
    The files of one directory. Their names are made by this package, never by strangers. Every method blocks.

    Nothing is looked at or created before `set_up`. Raises `ConfigurationError` if *directory* is no path; its other methods
    raise ``OSError``.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        if not hasattr(os, "geteuid"):
            raise ConfigurationError(
                "FileStore needs files with an owner and a mode, as on Linux and macOS; use MemoryStore or RedisStore here"
            )
        self.path = _absolute(directory)

    @property
    def label(self) -> str:
        """What events call the store."""
        return f"FileStore({str(self.path)!r})"

    def set_up(self) -> None:
        """Create the directory and try it. Raises `ConfigurationError` if it cannot be used, and says what to do."""
        try:
            self.ensure()
            self._make_private()
            with self._opened() as handle, _temporary(handle, "probe") as (_, file):
                os.close(file)
        except OSError as failure:
            problem = said(failure, "give it a separate directory that this user can write to")
        else:
            return
        raise ConfigurationError(f"FileStore cannot use {self.path}: {problem}")

    def read(self, name: str) -> bytes | None:
        """Return the file's content, ``None`` if it does not exist, empty if it is not a regular file."""
        try:
            with self._opened() as directory:
                _own(directory, name)
                # Opening a pipe would wait for its writer.
                handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            return b""
        with os.fdopen(handle, "rb") as file:
            return SecretBytes(file.read(MAX_FILE))

    def replace(self, name: str, content: bytes, *, kept_until: float, only_if: Callable[[], bool]) -> None:
        """
        Replace the file by *content* in one step, on the disk when this returns, *only_if* that still holds just before.

        Its modification time becomes *kept_until*, in seconds since the epoch: when it should be looked at for removal.
        """
        with self._opened() as directory:
            with contextlib.suppress(FileNotFoundError):
                _own(directory, name)
            with _temporary(directory, name) as (temporary, handle):
                with os.fdopen(handle, "wb") as file:
                    _make_file_private(handle)
                    file.write(content)
                    file.flush()
                    os.utime(handle, (kept_until, kept_until))
                    os.fsync(handle)
                _check(only_if)
                os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            _sync(directory)

    def remove(self, name: str, *, only_if: Callable[[], bool] = lambda: True) -> None:
        """Remove the file, if it exists, *only_if* that still holds just before."""
        with contextlib.suppress(FileNotFoundError), self._opened() as directory:
            _own(directory, name)
            _check(only_if)
            os.unlink(name, dir_fd=directory)

    def touch(self, name: str, accessed: float, modified: float) -> None:
        """Set both times of the file, in seconds since the epoch."""
        with self._opened() as directory:
            _own(directory, name)
            os.utime(name, (accessed, modified), dir_fd=directory, follow_symlinks=False)

    def times(self, name: str) -> tuple[float, float]:
        """Return when the file was last accessed and modified, in seconds since the epoch."""
        with self._opened() as directory:
            found = _own(directory, name)
        return found.st_atime, found.st_mtime

    def identity(self, name: str) -> FileIdentity | None:
        """Return what tells the file from the one before it, or ``None`` if it does not exist."""
        try:
            with self._opened() as directory:
                found = _own(directory, name)
        except FileNotFoundError:
            return None
        return FileIdentity(found.st_ino, found.st_mtime_ns)

    def files(self) -> dict[str, float]:
        """Return this user's entries and unfinished files, with the time of their last modification."""
        found = {}
        with self._opened() as directory, os.scandir(directory) as entries:
            for entry in entries:
                if is_entry(entry.name) or _UNFINISHED.fullmatch(entry.name):
                    with contextlib.suppress(OSError):  # removed meanwhile
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                            found[entry.name] = status.st_mtime
        return found

    def ensure(self) -> None:
        """Create the directory, also after somebody removed it."""
        if self.path.is_dir() or not _create(self.path):
            return
        with self._opened() as directory:
            # So that no `git add` finds a token. Whoever removes it wants to have it so.
            handle = os.open(
                _GITIGNORE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=directory
            )
            with os.fdopen(handle, "wb") as file:
                _make_file_private(handle)
                file.write(b"*\n")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the directory for one use; raise ``PermissionError`` unless it is this user's, and writable for nobody else."""
        with self._handle() as handle:
            found = os.fstat(handle)
            self._check_owner(found)
            if found.st_mode & _WRITABLE_FOR_OTHERS:
                raise PermissionError(
                    f"the directory is writable for other users ({_mode(found)}); run chmod go-w on it"
                )
            yield handle

    @contextlib.contextmanager
    def _handle(self) -> Iterator[int]:
        # The user's own links are followed, and the system's, such as /var on macOS.
        found = self.path.lstat()
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in (os.geteuid(), 0):
            raise PermissionError("the directory is a symbolic link of another user; remove it")
        if stat.S_ISDIR(found.st_mode):
            self._check_owner(found)  # here too: it may be closed to this user
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield handle
        finally:
            os.close(handle)

    def _make_private(self) -> None:
        """Refuse a directory of another user, and one that others can enter and that is not a store's alone."""
        with self._handle() as handle:
            found = os.fstat(handle)
            self._check_owner(found)
            if not found.st_mode & _OPEN_TO_OTHERS:
                return
            if found.st_mode & stat.S_ISVTX:
                raise PermissionError(f"the directory is shared by all users; {self._another}")
            if not all(map(is_ours, os.listdir(handle))):  # noqa: PTH208 - of what was opened
                raise PermissionError(
                    f"the directory ({_mode(found)}) is open to other users and holds other files; {self._another}"
                )
            with contextlib.suppress(PermissionError):
                os.fchmod(handle, DIRECTORY_MODE)
            if os.fstat(handle).st_mode & _OPEN_TO_OTHERS:
                raise PermissionError(
                    "the directory is open to other users, and its file system keeps no modes; give FileStore one on a local disk"
                )
            path, mode = str(self.path), f"{stat.S_IMODE(found.st_mode):04o}"
            emit(logging.WARNING, "store.made_private", store=self.label, path=path, mode=mode)

    def _check_owner(self, found: os.stat_result) -> None:
        if found.st_uid != os.geteuid():
            raise PermissionError(f"the directory belongs to another user ({_owner(found)}); {self._instead_of(found)}")

    def _instead_of(self, found: os.stat_result) -> str:
        """Say what to do about a directory of another user: one that is closed is a store's, in which he shares his tokens."""
        if found.st_mode & _OPEN_TO_OTHERS:
            return self._another
        return "run all processes that share it as that user, or share the token through RedisStore"

    @property
    def _another(self) -> str:
        """Say which directory to use in place of this one: a volume is often made by root, for all users to write to."""
        effective = os.access in os.supports_effective_ids
        if os.access(self.path, os.W_OK | os.X_OK, effective_ids=effective):
            return f"give FileStore one inside it, such as {self.path / 'tokens'}"
        return "give FileStore a separate one that this user can write to"


def _mode(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}"


def _owner(found: os.stat_result) -> str:
    return f"uid {found.st_uid}, {_mode(found)}, and this process has uid {os.geteuid()}"


def is_ours(name: str) -> bool:
    """Return whether a file of this *name* is a store's: only a store gives such names."""
    return name == _GITIGNORE or any(kind.fullmatch(name) for kind in (_ENTRY, _LOCK, _UNFINISHED))


def is_entry(name: str) -> bool:
    """Return whether a file of this *name* is an account's entry."""
    return _ENTRY.fullmatch(name) is not None


def _own(directory: int, name: str) -> os.stat_result:
    """Return the file's status; raise ``PermissionError`` if it is a link, or if another user owns it or can write to it."""
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        raise PermissionError("it is a symbolic link; remove it")
    if found.st_uid != os.geteuid():
        raise PermissionError("it belongs to another user; remove it")
    if found.st_mode & _WRITABLE_FOR_OTHERS:
        raise PermissionError("it is writable for other users; remove it")
    return found


def said(failure: OSError, what_to_do: str) -> str:
    """Return what is wrong, and what to do: this module's own errors say both, the system's only the first."""
    system = failure.strerror or (None if str(failure) else type(failure).__name__)
    return str(failure) if system is None else f"{system}; {what_to_do}"


def _make_file_private(handle: int) -> None:
    """Let a strict umask not lock its user out. Some file systems refuse every change of a mode."""
    try:
        os.fchmod(handle, FILE_MODE)
    except PermissionError:
        if os.fstat(handle).st_mode & _OPEN_TO_OTHERS:
            raise


def _sync(directory: int) -> None:
    """Have the directory on the disk, if its file system can do that: CIFS and FUSE say that the argument is invalid."""
    try:
        os.fsync(directory)
    except OSError as failure:
        if failure.errno not in _CANNOT_SYNC:
            raise


def _check(only_if: Callable[[], bool]) -> None:
    # What came before may have taken long: a process that was frozen in it has been overtaken.
    if not only_if():
        raise TimeoutError("this process was paused, and another one writes now; what that one saves is kept")


def _create(directory: Path) -> bool:
    """Create *directory*, and those above it, for this user alone; return false if another process was faster, or it is none."""
    if not directory.parent.exists():
        _create(directory.parent)
    try:
        directory.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        return False
    if stat.S_IMODE(directory.lstat().st_mode) != DIRECTORY_MODE:  # a strict umask
        directory.chmod(DIRECTORY_MODE)
    return True


@contextlib.contextmanager
def _temporary(directory: int, name: str) -> Iterator[tuple[str, int]]:
    """Create a file beside *name*, and remove it unless it was renamed. Its handle is the caller's to close."""
    temporary = f".{name}.{secrets.token_hex(8)}.tmp"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE, dir_fd=directory)
    try:
        yield temporary, handle
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=directory)


def _is_encodable(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _absolute(directory: str | os.PathLike[str]) -> Path:
    """Return the path as absolute, because the process may change its working directory."""
    path = os.fspath(directory) if isinstance(directory, str | os.PathLike) else None
    if not isinstance(path, str) or not path or not _is_encodable(path):
        raise ConfigurationError(f"FileStore needs the path of a directory as text, not {shown(directory)}")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError(
            f"FileStore cannot find the home directory in {path}; write out the whole path"
        ) from None
