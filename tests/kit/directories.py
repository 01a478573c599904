"""Directories on the real file system, without root's powers, and what may happen to them."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534


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


@contextlib.contextmanager
def private_place() -> Iterator[Path]:
    """A directory that every user can reach, and this process's user owns; what it holds is removed whatever its mode."""
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


def entry(directory: Path) -> Path:
    """The account's token."""
    (found,) = directory.glob("*.token")
    return found


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
