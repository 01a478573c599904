"""The simulated Redis does what a real one does, and has the faults that a test asks for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from exterview_auth import RedisStore, Token
from exterview_auth._cli.demo.redis_server import LocalRedis
from exterview_auth.errors import StoreError
from exterview_auth.stores._redis.entries import RedisKeys
from exterview_auth.stores._shared import AccountLock
from tests.kit.clock import run
from tests.simulation.fleet.client import SimulatedClient
from tests.simulation.fleet.network import Dice, Link
from tests.simulation.fleet.redis import SimulatedRedis


def simulated(main: Callable[[SimulatedRedis, Link], Awaitable[None]]) -> None:
    async def entered() -> None:
        await main(SimulatedRedis(Dice(1)), Link(Dice(2)))

    run(entered())


def test_load_shows_as_a_queue() -> None:
    """A thousand commands at once are served one after another, 10 us each."""

    async def main(server: SimulatedRedis, link: Link) -> None:
        client = SimulatedClient(server, link)
        await asyncio.gather(*(client.set(f"key{number}", "x") for number in range(1000)))
        assert server.commands == {"SET": 1000}
        assert 0.004 < server.longest_queue <= 0.010
        assert server.peak > 50_000

    simulated(main)


def test_a_server_that_is_down_fails_commands_and_ends_who_listens() -> None:
    """Both see a connection error; what was kept is there afterwards."""

    async def main(server: SimulatedRedis, link: Link) -> None:
        client, listener = SimulatedClient(server, link), SimulatedClient(server, link).pubsub()
        await client.set("key", "x")
        await listener.subscribe("news")
        assert (await listener.get_message(timeout=1.0))["type"] == "subscribe"
        server.go_down()
        with pytest.raises(RedisError):
            await listener.get_message(timeout=1.0)
        with pytest.raises(RedisError):
            await client.publish("news", "x")
        server.come_back()
        assert await client.execute_command("GET", "key") == b"x"
        await listener.aclose()
        await asyncio.sleep(1.0)
        assert server.connections == 1

    simulated(main)


def test_a_closed_connection_is_not_subscribed_afterwards() -> None:
    """What is sent over one connection arrives in its order: a close does not overtake its own SUBSCRIBE."""

    async def main(server: SimulatedRedis, link: Link) -> None:
        for number in range(20):
            listener = SimulatedClient(server, link).pubsub()
            await listener.subscribe(f"news {number}")
            await listener.aclose()
        await asyncio.sleep(1.0)
        assert not any(server._listeners.values())
        assert server.connections == 0

    simulated(main)


def test_a_command_over_a_cut_link_never_ends() -> None:
    """A command neither arrives nor fails; the store gives up by its own timeout."""

    async def main(server: SimulatedRedis, link: Link) -> None:
        link.cut = True
        with pytest.raises(StoreError):
            await RedisStore(SimulatedClient(server, link)).load("account")
        assert not server.commands
        assert 1.0 <= asyncio.get_running_loop().time() < 1.1

    simulated(main)


# -- beside a real one --------------------------------------------------------------------------------------------------


class Operation(NamedTuple):
    """One step of one of the processes with one of the accounts."""

    name: str
    process: int
    account: str
    number: int


NAMES = (
    "load",
    "load",
    "save",
    "save",
    "delete",
    "take",
    "take",
    "leave",
    "load under lock",
    "save under lock",
    "lose lock",
    "brief",
)


def operations(seed: int, count: int) -> Iterator[Operation]:
    draw = random.Random(seed)
    for number in range(count):
        yield Operation(draw.choice(NAMES), draw.randrange(3), draw.choice("ab"), number)


def token(number: int) -> Token:
    life = (None, 1000.0, 5000.0)[number % 3]
    return Token(f"token-{number}", expires_in=life, refresh_token=f"refresh-{number}" if number % 2 else None)


def comparable(found: Token | None) -> object:
    """Return what can be compared of a token."""
    if found is None:
        return None
    return found.value, found.refresh_token, found.expires_in and round(found.expires_in, -2)


class Followed:
    """Three stores that carry out operations, and what came of each."""

    def __init__(self, clients: list[Any]) -> None:
        self._client = clients[0]
        # No lease is renewed meanwhile: how often depends on how long the operations take.
        self._stores = [RedisStore(client, lease=3600.0) for client in clients]
        self._locks: dict[tuple[int, str], AccountLock] = {}
        self._stack = AsyncExitStack()

    async def all(self, steps: Iterator[Operation]) -> list[tuple[str, object]]:
        outcomes = [(step.name, await self._one(step)) for step in steps]
        for lock in self._locks.values():
            await lock.__aexit__(None, None, None)
        return outcomes

    async def _one(self, step: Operation) -> object:
        store, lock = self._stores[step.process], self._locks.get((step.process, step.account))
        if step.name == "take":
            return await self._take(step)
        if step.name in ("leave", "load under lock", "save under lock"):
            return None if lock is None else await self._holding(step, lock)
        if step.name == "lose lock":
            return await self._client.delete(RedisKeys.of("exterview_auth", step.account).lock)
        if step.name == "save":
            return comparable(await store.save(step.account, token(step.number)))
        if step.name == "delete":
            await store.delete(step.account)
        if step.name == "brief":
            await store.save(step.account, Token("brief", expires_in=0.01))
            await asyncio.sleep(0.02)
        return comparable(await store.load(step.account))

    async def _take(self, step: Operation) -> object:
        if (step.process, step.account) in self._locks:
            return "held"
        lock = self._stores[step.process]._account_lock(step.account)
        if await lock.try_acquire():
            self._locks[step.process, step.account] = lock
            return True
        await lock.__aexit__(None, None, None)
        return False

    async def _holding(self, step: Operation, lock: AccountLock) -> object:
        if step.name == "save under lock":
            return comparable(await lock.write(token(step.number)))
        if step.name == "load under lock":
            return comparable((await lock.read()).token)
        del self._locks[step.process, step.account]
        await lock.__aexit__(None, None, None)
        return "left"


async def really(seed: int, count: int) -> list[tuple[str, object]]:
    async with LocalRedis() as server, AsyncExitStack() as stack:
        clients = [Redis(host="127.0.0.1", port=server.port, protocol=2) for _ in range(3)]
        for client in clients:
            stack.push_async_callback(client.aclose)
        return await Followed(clients).all(operations(seed, count))


async def as_simulated(seed: int, count: int) -> list[tuple[str, object]]:
    server = SimulatedRedis(Dice(seed), clock_error=100.0)
    return await Followed([SimulatedClient(server, Link(Dice(seed, one))) for one in range(3)]).all(
        operations(seed, count)
    )


@pytest.mark.usefixtures("redis_binary")
@pytest.mark.parametrize("seed", range(3))
def test_a_real_redis_does_the_same(seed: int) -> None:
    """The same operations of three processes come out the same at the simulated server and at a real one."""
    real = asyncio.run(really(seed, 250))
    assert run(as_simulated(seed, 250)) == real
    assert {"load", "take", "leave", "load under lock", "save under lock", "lose lock"} <= {
        name for name, outcome in real if outcome
    }
