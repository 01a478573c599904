"""The redis-server that tests need: found, or installed where this user may, or said to be missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from exterview_auth._cli.demo.redis_server import HOST, redis_server_path

MISSING = "these tests need redis-server, which is not on this machine; install it: apt-get install redis-server"
# The packaged daemon is not started by the installation: the tests start servers of their own.
APT = "env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1 apt-get -qq"
INSTALL = f"{APT} update && {APT} install -y --no-install-recommends redis-server"
INSTALL_SECONDS = 600.0
ONE_AT_A_TIME = Path(tempfile.gettempdir()) / "exterview_auth-tests-install.lock"


def redis_binary() -> str:
    """Return the path of redis-server; without one, the tests fail where ``CI`` is set, and are skipped elsewhere."""
    path = redis_server_path()
    if path is None and os.environ.get("CI"):
        pytest.fail(MISSING, pytrace=False)
    return path or pytest.skip(MISSING)


def install_if_missing() -> str:
    """Install redis-server where it is missing; return what was printed if that failed."""
    if redis_server_path() is not None or shutil.which("apt-get") is None:
        return ""
    as_root = () if os.geteuid() == 0 else ("sudo", "-n")
    with FileLock(ONE_AT_A_TIME):  # tests run in several processes, and apt-get in one
        if redis_server_path() is not None:
            return ""
        try:
            done = subprocess.run(
                (*as_root, "sh", "-c", INSTALL),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return done.stdout if done.returncode else ""


def flush(port: int) -> None:
    """Empty the server on *port*."""
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        answer = connection.recv(64)
    assert answer == b"+OK\r\n", answer
