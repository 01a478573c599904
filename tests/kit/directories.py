"""Directories on the real file system, without root's powers, and what may happen to them."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534
ANOTHER = 12345
"""A user who is neither root nor nobody."""

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's files")


@contextlib.contextmanager
def private_place() -> Iterator[Path]:
    """Make a directory that every user can reach, owned by this process's user, who is not root: modes bind it."""
    path = Path(tempfile.mkdtemp(prefix="exterview-auth-test-"))
    path.chmod(0o755)
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield path
    finally:
        if is_root:
            os.seteuid(0)
        for directory in (path, *path.rglob("*")):
            if directory.is_dir() and not directory.is_symlink():
                directory.chmod(0o700)
        shutil.rmtree(path)


def entry(directory: Path) -> Path:
    """The account's token."""
    (found,) = directory.glob("*.token")
    return found


@contextlib.contextmanager
def as_root() -> Iterator[None]:
    """Have root's powers for a moment, in a place where this process gave them up."""
    user = os.geteuid()
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(user)


def give_to_another(path: Path) -> None:
    """Make another user the owner of a file, a directory or a link."""
    with as_root():
        os.chown(path, ANOTHER, ANOTHER, follow_symlinks=False)


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
