"""What any test may ask for: a redis-server."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from exterview_auth._cli.demo.redis_server import LocalRedis
from tests.kit import (
    hypothesis_profiles,  # noqa: F401 - says how much every property tries
    redis_server,
)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have a redis-server where a test needs one; not in its fixture, whose time counts as the test's."""
    needed = any("redis_binary" in getattr(item, "fixturenames", ()) for item in session.items)
    if needed and not session.config.option.collectonly:
        printed = redis_server.install_if_missing()
        if printed:
            print(f"redis-server could not be installed:\n{printed}")
    # Hundreds of tests collect garbage at their end, and need not look at all modules each time.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute the tests so that what many of them share is made once."""
    from tests.kit.scheduling import SharedCosts  # noqa: PLC0415 - needs xdist

    return SharedCosts(config, log)


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """The path of redis-server; without one, the test fails where ``CI`` is set, and is skipped elsewhere."""
    return redis_server.redis_binary()


@pytest.fixture(scope="session")
def shared_redis(redis_binary: str) -> Iterator[LocalRedis]:
    """A server for all tests that leave it running, on a loop of its own that runs at its start and end alone."""
    loop = asyncio.new_event_loop()
    server = LocalRedis()
    try:
        loop.run_until_complete(server.__aenter__())
        yield server
        loop.run_until_complete(server.__aexit__())
    finally:
        loop.close()


@pytest.fixture
def redis_url(shared_redis: LocalRedis) -> str:
    """Where the shared server is; it is empty."""
    redis_server.flush(shared_redis.port)
    return shared_redis.url


@pytest_asyncio.fixture
async def own_redis(redis_binary: str) -> AsyncIterator[LocalRedis]:
    """A server of the test's own, to stop, to pause and to restart."""
    async with LocalRedis() as server:
        yield server
