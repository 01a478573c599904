"""What variables and files hold beside a credential, and a file that is missing in the middle of its rotation."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ._secret import Secret, SecretBytes
from .errors import ConfigurationError

T = TypeVar("T")

MAX_SECRET_FILE = 2**20
"""Bytes of a file with a credential. A longer file holds something else, such as a log that was named by mistake."""

_UTF_16 = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE


def unwrapped(text: str) -> Secret:
    """Return *text* without a byte order mark and the line ends at its end, which editors, tools and other systems add."""
    return Secret(text.removeprefix("\ufeff").rstrip("\r\n"))


def read_secret_file(path: str | os.PathLike[str], what: str) -> Secret:
    """Return the text of a credential's file. Errors name *what* and the path, never the content."""
    try:
        with Path(path).open("rb") as file:
            # Bounded: the path may lead to a device or a log, which has no end.
            raw = SecretBytes(file.read(MAX_SECRET_FILE + 1))
    except (OSError, ValueError) as failure:
        system = failure.strerror if isinstance(failure, OSError) else None
        problem = f"cannot be read ({system or type(failure).__name__}); check its path, and who may read it"
    else:
        text, problem = decoded(raw, what)
        if text.strip():
            return text
    raise ConfigurationError(f"{what}'s file {os.fspath(path)} {problem}")


def decoded(raw: bytes, what: str) -> tuple[Secret, str]:
    """Return the text in *raw*, or an empty one; and what is wrong then, and what to do."""
    if len(raw) > MAX_SECRET_FILE:
        return Secret(""), f"is too long for {what}; check its path"
    if raw.startswith(_UTF_16) or b"\0" in raw:
        return Secret(""), "is in UTF-16, as PowerShell writes it; save it as UTF-8"
    try:
        return unwrapped(Secret(raw.decode())), f"is empty; put {what} into it"
    except UnicodeDecodeError:
        return Secret(""), "is not text in UTF-8; save it as UTF-8"


class SecretFile(Generic[T]):
    """
    A credential's file that is read again whenever it may have changed; *check* makes of its text what is returned.

    While it is missing or empty, or *check* refuses what is in it, as in the middle of a rotation, its last value stays, and
    ``problem`` says why.
    """

    __slots__ = ("_check", "_last", "_path", "_what", "problem")

    def __init__(self, path: str, what: str, check: Callable[[Secret], T]) -> None:
        self._path = path
        self._what = what
        self._check = check
        self._last: Secret | None = None
        self.problem: str | None = None
        """Why the last value stays, if it does."""

    def __fspath__(self) -> str:
        return self._path

    def read(self) -> T:
        """Return the newest value. Raises `ConfigurationError` if there has been none. Blocks."""
        try:
            text = read_secret_file(self._path, self._what)
            value = self._check(text)
        except ConfigurationError as error:
            failure = error
        else:
            self._last, self.problem = text, None
            return value
        if self._last is None:
            raise failure
        self.problem = str(failure)
        return self._check(self._last)
