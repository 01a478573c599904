"""A logout during an outage of a real store: whoever starts after it finds nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from exterview_auth import FileStore, RedisStore
from exterview_auth._cli.demo.redis_server import LocalRedis
from tests.kit.api import until
from tests.kit.directories import full, private_place, read_only
from tests.kit.redis_server import redis_binary
from tests.kit.stores import eventually, fleet


class Site(NamedTuple):
    """Two stores in one place, as two processes have them, and the outage of that place."""

    ours: Any
    theirs: Any
    outage: contextlib.AbstractAsyncContextManager[object]


@contextlib.asynccontextmanager
async def on_files(harm: Any) -> AsyncIterator[Site]:
    """A directory to which this happens."""

    @contextlib.asynccontextmanager
    async def outage(directory: Path) -> AsyncIterator[None]:
        with harm(directory):
            yield

    with private_place() as place:
        directory = place / "tokens"
        async with FileStore(directory) as ours, FileStore(directory) as theirs:
            yield Site(ours, theirs, outage(directory))


@contextlib.asynccontextmanager
async def on_a_frozen_redis() -> AsyncIterator[Site]:
    """A server that takes connections and answers nothing."""

    @contextlib.asynccontextmanager
    async def outage(server: LocalRedis) -> AsyncIterator[None]:
        server.pause()
        yield
        server.resume()

    redis_binary()
    async with LocalRedis() as server, RedisStore(server.url) as ours, RedisStore(server.url) as theirs:
        yield Site(ours, theirs, outage(server))


SITES = {
    "read-only": lambda: on_files(read_only),
    "disk full": lambda: on_files(full),
    "frozen Redis": on_a_frozen_redis,
}


@pytest.mark.parametrize("closes", [False, True], ids=["goes on", "closes"])
@pytest.mark.parametrize("site", SITES)
async def test_the_store_hears_of_a_logout_after_its_outage(site: str, *, closes: bool) -> None:
    """The deletion is repeated, or tried once more at close; then another owner logs in anew."""
    async with SITES[site]() as place, fleet(place.ours) as scene:
        await scene.storm()
        (owner,) = scene.owners
        key = owner._keeper.account.name
        async with place.outage:
            await owner.logout()
            heard_at_once = not owner._lifecycle.busy
        assert heard_at_once == (site == "disk full")  # to remove a file takes no room

        async def is_gone() -> bool:
            return await place.theirs.load(key) is None

        if closes:
            await owner.aclose()
            assert await is_gone()
        else:
            await eventually(is_gone)
            await until(lambda: not owner._lifecycle.busy)
            await scene.storm()
            assert scene.login.count == 2
