"""What any test may ask for: a Redis server."""

from __future__ import annotations

import gc
import itertools
import os
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from exterview_auth._cli.demo.redis_server import LocalRedis
from tests.kit import (
    hypothesis_profiles,  # noqa: F401 - says how much every property tries
    redis_server,
)

UNMEASURED = (
    "benchmarks",
    "cli/demo/test_terminal.py",
    "faults",
    "mutation",
    "recipes",
    "rules/test_fleet_processes.py",
    "simulation",
    "test_readme.py",
)
"""Tests that measure no coverage: they take long or start many processes, and other tests cover the same."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of whole files and directories."""
    if item.nodeid.removeprefix("tests/").startswith(UNMEASURED):
        item.add_marker("no_cover")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no coverage in the processes of a test that measures none: coverage takes half of a run's time."""
    measured = os.environ.pop("COVERAGE_PROCESS_CONFIG", None) if item.get_closest_marker("no_cover") else None
    try:
        return (yield)
    finally:
        if measured is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = measured


FREEZES = 50
"""Tests from one freeze to the next."""
_finished = itertools.count(1)


def pytest_collection_finish() -> None:
    """Freeze what the imports have left."""
    freeze()


def pytest_runtest_logfinish() -> None:
    """Freeze what the tests have left: reports, and what was imported late."""
    if next(_finished) % FREEZES == 0:
        freeze()


def freeze() -> None:
    """Let the garbage collector no longer look at what exists: hundreds of tests collect, some after each await."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Start three workers per core: the tests wait for sockets and processes as long as they compute."""
    asked = "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ
    return None if asked else 3 * (os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute the tests so that what many of them share is made once."""
    from tests.kit.scheduling import SharedCosts  # noqa: PLC0415 - needs xdist

    return SharedCosts(config, log)


@pytest.fixture(scope="session")
def redis_binary() -> str:
    """The path of a Redis server; without one, the test fails where ``CI`` is set, and is skipped elsewhere."""
    return redis_server.redis_binary()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[LocalRedis]:
    """A server for all tests that leave it running."""
    yield from redis_server.serving()


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
