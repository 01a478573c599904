"""A directory that only its owner can read, whose files are replaced as a whole."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ...errors import ConfigurationError

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600
MAX_FILE = 2**21
"""Bytes that are read of a file; a larger one was not written by this package."""
_OPEN_TO_OTHERS = 0o077
_UNFINISHED = ".tmp"


class FileIdentity(NamedTuple):
    """What changes with every replacement of a file."""

    inode: int
    changed: int


class PrivateDirectory:
    """
    The files of one directory. Their names are made by this package, never by strangers. Every method blocks.

    Raises `ConfigurationError` if *directory* cannot be used, and says what to do.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.path = _absolute(directory)
        try:
            self.ensure()
            self._refuse_foreign()
            handle, probe = self._temporary("probe")
            os.close(handle)
            Path(probe).unlink()
        except OSError as failure:
            reason = failure.strerror or type(failure).__name__
        else:
            return
        raise ConfigurationError(
            f"FileStore cannot write to {self.path} ({reason}); give it a separate directory that this user can write to"
        )

    def file(self, name: str) -> Path:
        """Return the path of *name*."""
        return self.path / name

    def read(self, name: str) -> bytes | None:
        """Return the file's content, ``None`` if it does not exist, empty if it is not a regular file (links are not followed)."""
        # A link could lead to any file, and opening a pipe would wait for its writer.
        try:
            handle = os.open(self.file(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as failure:
            if failure.errno != errno.ELOOP:
                raise
            return b""
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            return b""
        with os.fdopen(handle, "rb") as file:
            return file.read(MAX_FILE)

    def replace(self, name: str, content: bytes, *, only_if: Callable[[], bool]) -> None:
        """Replace the file by *content* in one step, on the disk when this returns, *only_if* that still holds just before."""
        handle, temporary = self._temporary(name)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, FILE_MODE)
                file.write(content)
                file.flush()
                os.fsync(handle)
            # Syncing may have taken long: a writer that was frozen in it has been overtaken.
            if not only_if():
                raise TimeoutError("this process was paused, and another one writes now")  # noqa: TRY301 - cleaned up below
            Path(temporary).replace(self.file(name))
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, name: str) -> None:
        """Remove the file, if it exists."""
        self.file(name).unlink(missing_ok=True)

    def identity(self, name: str) -> FileIdentity | None:
        """Return what tells the file from the one before it, or ``None`` if it does not exist."""
        try:
            found = self.file(name).lstat()
        except FileNotFoundError:
            return None
        return FileIdentity(found.st_ino, found.st_mtime_ns)

    def sweep(self, older_than: float) -> None:
        """Remove unfinished files of killed writers that are *older_than* a moment, in seconds since the epoch."""
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                unfinished = entry.name.startswith(".") and entry.name.endswith(_UNFINISHED)
                if unfinished and entry.stat(follow_symlinks=False).st_mtime < older_than:
                    Path(entry).unlink()

    def ensure(self) -> None:
        """Create the directory, also after somebody removed it."""
        if not self.path.is_dir():
            self.path.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
            self.path.chmod(DIRECTORY_MODE)  # whatever the umask

    def _refuse_foreign(self) -> None:
        """Refuse a directory of another user, and one that others can enter and that holds other files than a store's."""
        found = self.path.stat()
        if found.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(f"{self.path} belongs to another user; give FileStore a separate directory")
        if not found.st_mode & _OPEN_TO_OTHERS:
            return
        if any(not is_ours(file.name) for file in self.path.iterdir()):
            raise ConfigurationError(
                f"{self.path} is open to other users and holds other files; give FileStore a separate directory"
            )
        self.path.chmod(DIRECTORY_MODE)

    def _temporary(self, name: str) -> tuple[int, str]:
        return tempfile.mkstemp(prefix=f".{name}.", suffix=_UNFINISHED, dir=self.path)


def is_ours(name: str) -> bool:
    """Return whether a store made a file of this *name*."""
    return name.endswith((".token", ".lock", ".saving", ".breaking", _UNFINISHED))


def _is_encodable(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _absolute(directory: str | os.PathLike[str]) -> Path:
    """Return the path as absolute, because the process may change its working directory."""
    path = os.fspath(directory) if isinstance(directory, str | os.PathLike) else None
    if not isinstance(path, str) or not path or not _is_encodable(path):
        raise ConfigurationError(f"FileStore needs the path of a directory as text, not {directory!r}")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError(
            f"FileStore cannot find the home directory in {path}; write out the whole path"
        ) from None
