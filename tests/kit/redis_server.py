"""The redis-server that tests need: found, or installed where this user may, or said to be missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock

from exterview_auth._cli.demo.redis_server import HOST, redis_server_path

MISSING = "these tests need redis-server, which is not on this machine; install it: apt-get install redis-server"
# The packaged daemon is not started by the installation: the tests start servers of their own.
INSTALL = ("env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "SYSTEMD_OFFLINE=1", "apt-get", "-qq")
STEPS = (("update",), ("install", "-y", "--no-install-recommends", "redis-server"))
INSTALL_SECONDS = 300.0
ONE_AT_A_TIME = Path(tempfile.gettempdir()) / "exterview_auth-tests-install.lock"


def redis_binary() -> str:
    """The path of redis-server; without one, the tests fail where ``CI`` is set, and are skipped elsewhere."""
    path = redis_server_path()
    if path is None:
        _missing()
    return path


def _missing() -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)


def install_if_missing() -> str:
    """Install redis-server where it is missing and this user may; what apt-get printed, if that failed."""
    if redis_server_path() is not None or shutil.which("apt-get") is None:
        return ""
    with FileLock(ONE_AT_A_TIME):  # tests run in several processes, and apt-get in one
        return _install()


def _install() -> str:
    prefix = _allowed_by()
    if redis_server_path() is not None or prefix is None:
        return ""
    for step in STEPS:
        code, printed = _run((*prefix, *INSTALL, *step))
        if code:
            return printed
    return ""


def _allowed_by() -> tuple[str, ...] | None:
    """What goes before a command that root alone may run; ``None`` where this user may not."""
    if os.geteuid() == 0:
        return ()
    sudo = ("sudo", "-n")
    return sudo if shutil.which("sudo") and _run((*sudo, "true"))[0] == 0 else None


def _run(command: tuple[str, ...]) -> tuple[int, str]:
    """Exit code, and all that was printed."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout


def flush(port: int) -> None:
    """Empty the server on *port*."""
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        answer = connection.recv(64)
    assert answer == b"+OK\r\n", answer
