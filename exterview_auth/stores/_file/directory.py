"""A directory that only its owner can read, and files in it that are replaced whole."""

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
LARGEST = 2**21
"""Bytes; what is larger was not written here."""
_OPEN_TO_OTHERS = 0o077
_UNFINISHED = ".tmp"


class Signature(NamedTuple):
    """What changes with every replacement of a file."""

    inode: int
    changed: int


class PrivateDirectory:
    """
    Files of one directory, by names that are made here and not by strangers. Every method blocks.

    Raises `ConfigurationError` where *directory* cannot serve, and says what to do.
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
            f"FileStore cannot write to {self.path} ({reason}); give it a directory of its own that this user can write to"
        )

    def file(self, name: str) -> Path:
        """Where *name* is kept."""
        return self.path / name

    def read(self, name: str) -> bytes | None:
        """The whole file, ``None`` where there is none, nothing of what is no file: a symbolic link is not followed."""
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
            return file.read(LARGEST)

    def replace(self, name: str, content: bytes, *, only_if: Callable[[], bool]) -> None:
        """Put *content* in the place of the file, in one step and on the disk, *only_if* that still holds at that moment."""
        handle, temporary = self._temporary(name)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, FILE_MODE)
                file.write(content)
                file.flush()
                os.fsync(handle)
            _require(only_if)
            Path(temporary).replace(self.file(name))
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        self._sync()

    def remove(self, name: str) -> None:
        """Take the file away; fine where there is none."""
        self.file(name).unlink(missing_ok=True)

    def signature(self, name: str) -> Signature | None:
        """What tells the file from the one before it, ``None`` where there is none."""
        try:
            found = self.file(name).lstat()
        except FileNotFoundError:
            return None
        return Signature(found.st_ino, found.st_mtime_ns)

    def sweep(self, older_than: float) -> None:
        """Remove what a writer that was killed has left unfinished; *older_than* is a moment, in seconds since the epoch."""
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                unfinished = entry.name.startswith(".") and entry.name.endswith(_UNFINISHED)
                if unfinished and entry.stat(follow_symlinks=False).st_mtime < older_than:
                    Path(entry).unlink()

    def ensure(self) -> None:
        """Make the directory, also again where somebody took it away."""
        if not self.path.is_dir():
            self.path.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
            self.path.chmod(DIRECTORY_MODE)  # whatever the umask

    def _refuse_foreign(self) -> None:
        """Files of others beside ours, or a directory of somebody else's, are no place for tokens."""
        found = self.path.stat()
        if found.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(f"{self.path} belongs to another user; give FileStore a directory of its own")
        if not found.st_mode & _OPEN_TO_OTHERS:
            return
        if any(not is_ours(file.name) for file in self.path.iterdir()):
            raise ConfigurationError(
                f"{self.path} is open to other users and holds other files; give FileStore a directory of its own"
            )
        self.path.chmod(DIRECTORY_MODE)

    def _temporary(self, name: str) -> tuple[int, str]:
        return tempfile.mkstemp(prefix=f".{name}.", suffix=_UNFINISHED, dir=self.path)

    def _sync(self) -> None:
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _require(condition: Callable[[], bool]) -> None:
    if not condition():
        raise TimeoutError("this process stood still, and another writes now")


def _is_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def is_ours(name: str) -> bool:
    """Whether a file of this *name* was made by a store."""
    return name.endswith((".token", ".lock", ".saving", ".breaking", _UNFINISHED))


def _absolute(directory: str | os.PathLike[str]) -> Path:
    """Once and for all: the process may change its working directory."""
    path = os.fspath(directory) if isinstance(directory, str | os.PathLike) else None
    if not isinstance(path, str) or not path or not _is_path(path):
        raise ConfigurationError(f"FileStore takes the path of a directory as text, not {directory!r}")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError(f"FileStore finds no home directory for {path}; write the path out") from None
