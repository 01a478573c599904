"""Stores are tried with each Redis server that there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from exterview_auth._cli.demo.redis_server import LocalRedis
from tests.kit.redis_server import programs, serving


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each command a minute: a real server on a busy machine may take longer than the second that it has."""
    monkeypatch.setattr("exterview_auth.stores._redis.errors.COMMAND_TIMEOUT", 60.0)


@pytest.fixture(scope="session", params=programs(), ids=lambda program: Path(program or "missing").name)
def shared_redis(request: pytest.FixtureRequest) -> Iterator[LocalRedis]:
    """A server for all tests that leave it running."""
    yield from serving(request.param)
