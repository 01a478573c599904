"""A Redis that dies under a waiter, that wants a password, or that is asked by somebody without one. See also the fault table."""

from __future__ import annotations

import asyncio

import pytest

from exterview_auth import RedisStore
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis
from exterview_auth.errors import StoreError
from tests.kit.api import until
from tests.kit.redis_clients import admin, every_call
from tests.kit.stores import PASSWORD, eventually, fleet, told

pytestmark = pytest.mark.usefixtures("redis_binary")


async def test_it_dies_while_an_owner_waits_for_the_lock(caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: a waiter for another owner's login logs in at once, and does not wait for a lock that is gone."""
    async with LocalRedis() as server, RedisStore(server.url) as store, fleet(store, store) as scene:
        scene.login.gate.clear()
        storm = asyncio.ensure_future(scene.storm())
        async with admin(server) as client:
            await eventually(client.pubsub_channels)
        assert scene.login.count == 1
        await server.kill()
        await until(lambda: scene.login.count == 2, 10)
        scene.login.gate.set()
        await storm
        assert scene.login.count == 2
        (warning,) = told(caplog, "store.unavailable")
        assert warning.endswith("it cannot be reached; check that it runs, and the URL's host and port\"")


@pytest.mark.parametrize(
    ("credentials", "problem"),
    [
        ("", "it needs a password (NOAUTH); put it into the URL"),
        (":wr0ng@", "it refuses the user or password (WRONGPASS); correct them in the URL"),
        ("user:wr0ng@", "it refuses the user or password (WRONGPASS); correct them in the URL"),
    ],
    ids=["none", "wrong", "unknown user"],
)
async def test_the_password_is_missing_or_wrong(credentials: str, problem: str) -> None:
    """The fault table: each method says so in one sentence, and redis-py's error, which may quote the password, is not chained."""
    async with (
        LocalRedis("--requirepass", PASSWORD) as server,
        RedisStore(f"redis://{credentials}{HOST}:{server.port}/0") as store,
    ):
        for call in every_call(store):
            with pytest.raises(StoreError) as caught:
                await call()
            assert str(caught.value) == f"Redis cannot be used: {problem}"
            assert caught.value.__cause__ is None
            assert isinstance(caught.value.__context__, StoreError | None)
