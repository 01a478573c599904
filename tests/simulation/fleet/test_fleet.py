"""The simulated fleet: its figures are the same each time, its faults happen, and its Redis does what Redis does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import NoScriptError, RedisError, ResponseError

from benchmarks.harness.report import Report
from benchmarks.simulation import scenario as simulation
from exterview_auth import RedisStore, Token
from exterview_auth.errors import StoreError
from exterview_auth.stores._lock import AccountLock
from exterview_auth.stores._redis.keys import Keys
from exterview_auth.stores._redis.scripts import LOAD, SAVE
from tests.kit.clock import run
from tests.simulation.fleet.client import SimulatedClient
from tests.simulation.fleet.keyspace import Keyspace
from tests.simulation.fleet.network import ROUND_TRIPS, Dice, Link
from tests.simulation.fleet.redis import SimulatedRedis

CHECKOUT = Path(__file__).resolve().parents[3]
LEASE = 5.0
SIZES = ("10", "100")
ONE_LOGIN = (
    "revoked, healthy",
    "revoked, 1 % of messages lost",
    "renewal ahead of expiry",
    "cold start",
    "one session per user, revoked",
)


# -- the fleet ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> Report:
    return simulation.report(quick=True)


@pytest.fixture(scope="module")
def figures(report: Report) -> Callable[[str, str, str], float]:
    def figure(scene: str, size: str, key: str) -> float:
        found = report.data[scene][size][key]
        assert found["min"] == found["max"]
        return float(found["median"])

    return figure


Figures = Callable[[str, str, str], float]


def test_the_same_seed_gives_the_same_table(report: Report) -> None:
    """A second run prints the same bytes and finds the same figures."""
    again = simulation.report(quick=True)
    assert json.dumps(again.data) == json.dumps(report.data)
    assert again.text() == report.text()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", ONE_LOGIN)
def test_a_fleet_makes_one_login(figures: Figures, scene: str, size: str) -> None:
    """Where the store can be reached, a revocation, a renewal and a cold start each cost one login."""
    assert figures(scene, size, "logins") == 1
    assert figures(scene, size, "logins_died") == 0


@pytest.mark.parametrize("size", SIZES)
def test_no_request_fails(report: Report, figures: Figures, size: str) -> None:
    """In no scene a request of a living process ends in an error or a 401, or does not end; every one serves again."""
    for scene in report.data:
        assert figures(scene, size, "failures") == 0, scene
        assert figures(scene, size, "unanswered") == 0, scene
        assert figures(scene, size, "unserved") == 0, scene


@pytest.mark.parametrize("size", SIZES)
def test_a_login_that_dies_is_made_again_within_two_leases(figures: Figures, size: str) -> None:
    """The process that logs in dies: one other does it again, and all who are left are served."""
    scene = "revoked, who logs in is killed"
    assert figures(scene, size, "logins_died") == 1
    assert figures(scene, size, "logins") == 1
    assert LEASE - 1 < figures(scene, size, "all_serve") < 2 * LEASE


def test_a_revocation_costs_a_healthy_store_few_commands(figures: Figures) -> None:
    """Each process asks the store six times at most, on average."""
    assert 1 < figures("revoked, healthy", "100", "commands_each") <= 6


@pytest.mark.parametrize("size", SIZES)
def test_who_cannot_reach_the_store_serves_again_soon(figures: Figures, size: str) -> None:
    """An outage or a partition costs a request two seconds of patience and a login."""
    for scene in ("revoked in an outage of 5 s", "revoked, 10 % cut off for 5 s"):
        assert figures(scene, size, "longest_request") < 2.0 + 0.6, scene


def test_the_faults_happen(figures: Figures) -> None:
    """Messages are lost, commands fail, and who is cut off logs in for itself."""
    assert figures("revoked, 1 % of messages lost", "100", "lost_messages") > 0
    assert figures("revoked, 1 % of messages lost", "100", "all_serve") > figures(
        "revoked, healthy", "100", "all_serve"
    )
    assert figures("revoked in an outage of 5 s", "10", "failed_commands") >= 10
    assert figures("revoked in an outage of 5 s", "10", "logins") == 10
    assert figures("revoked, 10 % cut off for 5 s", "100", "logins") == 1 + 10
    assert (
        figures("revoked, healthy", "100", "failed_commands")
        == figures("revoked, healthy", "100", "lost_messages")
        == 0
    )


def test_a_picture_needs_matplotlib_and_says_so(tmp_path: Path) -> None:
    """Without matplotlib ``--plot`` ends at once in one sentence with what to install."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    command = [sys.executable, "-m", "benchmarks", "simulation", "--quick", "--plot", str(tmp_path / "fleet.svg")]
    environ = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == "--plot needs matplotlib; run: pip install 'exterview-auth[bench]'"


def test_the_picture_is_an_svg_with_both_halves(report: Report, tmp_path: Path) -> None:
    """The file is a picture that says what the load and the times are of."""
    pytest.importorskip("matplotlib", exc_type=ImportError)
    from benchmarks.simulation.picture import canvas, draw  # noqa: PLC0415 - with matplotlib alone

    for name in ("one.svg", "two.svg"):
        draw(canvas(), report.data, str(tmp_path / name))
    picture = (tmp_path / "one.svg").read_text()
    assert picture.startswith("<?xml")
    assert picture == (tmp_path / "two.svg").read_text()


def test_a_picture_of_another_scenario_is_refused() -> None:
    """``--plot`` without the simulation is a mistake that is named."""
    command = [sys.executable, "-m", "benchmarks", "storm", "--plot", "storm.svg"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "simulation" in done.stderr


# -- chance and time ----------------------------------------------------------------------------------------------------


def test_dice_fall_the_same_way_and_evenly() -> None:
    """The same seeds give the same numbers, others give others, and all are spread from 0 to 1."""
    one, same, other = (Dice(*seeds) for seeds in ((1, 2), (1, 2), (2, 1)))
    drawn = [one.random() for _ in range(2000)]
    assert drawn == [same.random() for _ in range(2000)]
    assert drawn[:5] != [other.random() for _ in range(5)]
    assert min(drawn) >= 0.0
    assert max(drawn) < 1.0
    assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.03)


def test_round_trips_are_short_with_a_tail() -> None:
    """Half take no more than 0.6 ms, none but one in a thousand more than 5 ms, and those up to 200 ms."""
    ordered = sorted(ROUND_TRIPS)
    assert ordered[len(ordered) // 2] == pytest.approx(0.6e-3, rel=0.01)
    assert ordered[0] == 0.3e-3
    slow = [seconds for seconds in ordered if seconds > 5e-3]
    assert len(slow) / len(ordered) == pytest.approx(1e-3, rel=0.1)
    assert max(slow) == 0.2


# -- the simulated server -----------------------------------------------------------------------------------------------


class Kept:
    """A keyspace on a clock that a test moves, and what it published."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000
        self.published: list[tuple[bytes, bytes]] = []
        self.keyspace = Keyspace(lambda: self.now, self._publish)

    def _publish(self, channel: bytes, message: bytes) -> int:
        self.published.append((channel, message))
        return 0

    def __call__(self, name: str, *arguments: object) -> Any:
        raw = [one if isinstance(one, bytes) else str(one).encode() for one in arguments]
        return self.keyspace.execute(name.encode(), raw)

    def load(self) -> Any:
        return self("EVAL", LOAD, 3, "token", "lock", "news")

    def save(self, mark: str, seen: str, kept: int, payload: str) -> Any:
        return self("EVAL", SAVE, 3, "token", "lock", "news", mark, seen, kept, payload)


@pytest.fixture
def redis() -> Kept:
    return Kept()


def digest(redis: Kept) -> str:
    return hashlib.sha1(redis("GET", "token")).hexdigest()


def test_set_if_absent_holds_until_its_end(redis: Kept) -> None:
    """``SET NX PX`` sets once, refuses while the key lives, and sets again after its end."""
    assert redis("SET", "lock", "a", "PX", 1000, "NX") is True
    assert redis("SET", "lock", "b", "PX", 1000, "NX") is None
    redis.now += 1_000_000
    assert redis("GET", "lock") == b"a"
    redis.now += 1_000
    assert redis("GET", "lock") is None
    assert redis("SET", "lock", "b", "PX", 1000, "NX") is True


def test_load_tells_the_entry_and_the_servers_time(redis: Kept) -> None:
    """Without an entry it is nothing; the time has six decimals always."""
    redis.now = 1_800_000_000_000_042
    assert redis.load() == [None, b"1800000000.000042"]
    redis("SET", "token", "x")
    assert redis.load() == [b"x", b"1800000000.000042"]


def test_a_save_without_a_lock_replaces_what_is_there(redis: Kept) -> None:
    """The entry has the server's time, is kept for as long as it is told, and is announced."""
    assert redis.save("", "", 1500, "{1}") == [1, b"exterview_auth/1 1800000000.000000 {1}", b"1800000000.000000"]
    assert redis.save("", "", -1, "{2}")[0] == 1
    redis.now += 10_000_000
    assert redis("GET", "token") == b"exterview_auth/1 1800000000.000000 {2}"
    assert redis.published == [(b"news", b"saved")] * 2


def test_an_entry_ends_with_its_token(redis: Kept) -> None:
    """A number of milliseconds is the key's end; none at all removes it."""
    redis.save("", "", 1500, "{1}")
    redis.now += 1_501_000
    assert redis("GET", "token") is None
    redis.save("", "", -1, "{2}")
    redis.save("", "", 0, "{3}")
    assert redis("GET", "token") is None


def test_a_holder_who_was_overtaken_gets_the_newer_entry(redis: Kept) -> None:
    """Whoever has neither seen the entry as it is nor holds the lock replaces nothing, and announces nothing."""
    redis.save("", "", -1, "{1}")
    seen = digest(redis)
    assert redis.save("mine", seen, -1, "{2}")[0] == 1
    done, present, _ = redis.save("mine", seen, -1, "{3}")
    assert (done, present.endswith(b"{2}")) == (0, True)
    redis("SET", "lock", "mine")
    assert redis.save("mine", seen, -1, "{3}")[0] == 1
    redis("SET", "lock", "other")
    assert redis.save("mine", seen, -1, "{4}")[0] == 0
    assert len(redis.published) == 3


def test_redis_pys_lock_scripts_heed_the_owner(redis: Kept) -> None:
    """Only the owner's mark releases the lock or begins its lease anew."""
    redis("SET", "lock", "mine", "PX", 1000)
    assert redis("EVAL", Lock.LUA_REACQUIRE_SCRIPT, 1, "lock", "other", 9000) == 0
    assert redis("EVAL", Lock.LUA_REACQUIRE_SCRIPT, 1, "lock", "mine", 9000) == 1
    redis.now += 5_000_000
    assert redis("EVAL", Lock.LUA_RELEASE_SCRIPT, 1, "lock", "other") == 0
    assert redis("EVAL", Lock.LUA_RELEASE_SCRIPT, 1, "lock", "mine") == 1
    assert redis("EVAL", Lock.LUA_RELEASE_SCRIPT, 1, "lock", "mine") == 0


def test_a_script_is_known_by_its_text_alone(redis: Kept) -> None:
    """Its digest is unknown until it was loaded; another text is an error, and so is an unknown command."""
    with pytest.raises(NoScriptError):
        redis("EVALSHA", "0" * 40, 1, "lock", "mine")
    sha = redis("SCRIPT LOAD", Lock.LUA_RELEASE_SCRIPT)
    assert redis("EVALSHA", sha, 1, "lock", "mine") == 0
    with pytest.raises(ResponseError):
        redis("EVAL", "return 1", 0)
    with pytest.raises(ResponseError):
        redis("LPUSH", "list", "1")


def simulated(main: Callable[[SimulatedRedis, Link], Awaitable[None]], **options: float) -> None:
    async def entered() -> None:
        await main(SimulatedRedis(Dice(1), **options), Link(Dice(2)))

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
        assert server.connections == 1

    simulated(main)


@pytest.mark.parametrize(("loss", "heard"), [(0.0, True), (1.0, False)])
def test_a_message_may_be_lost(loss: float, heard: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """With a loss of all messages nothing is heard but the confirmation."""

    async def main(server: SimulatedRedis, link: Link) -> None:
        listener = SimulatedClient(server, link).pubsub()
        await listener.subscribe("news")
        await listener.get_message(timeout=1.0)
        await SimulatedClient(server, link).publish("news", "x")
        assert (await listener.get_message(timeout=1.0) is not None) is heard
        assert server.lost == (not heard)
        await listener.aclose()

    simulated(main, loss=loss)


def test_who_is_cut_off_waits_for_nothing() -> None:
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


def told(found: Token | None) -> object:
    """What can be compared of a token."""
    if found is None:
        return None
    return found.value, found.refresh_token, found.expires_in and round(found.expires_in, -2)


class Followed:
    """Three stores that carry out operations, and what came of each."""

    def __init__(self, clients: list[Any]) -> None:
        self._client = clients[0]
        self._stores = [RedisStore(client) for client in clients]
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
            return await self._client.delete(Keys.of("exterview_auth", step.account).lock)
        if step.name == "save":
            return told(await store.save(step.account, token(step.number)))
        if step.name == "delete":
            await store.delete(step.account)
        if step.name == "brief":
            await store.save(step.account, Token("brief", expires_in=0.01))
            await asyncio.sleep(0.02)
        return told(await store.load(step.account))

    async def _take(self, step: Operation) -> object:
        if (step.process, step.account) in self._locks:
            return "held"
        lock = self._stores[step.process].account_lock(step.account)
        if await lock.try_acquire():
            self._locks[step.process, step.account] = lock
            return True
        await lock.__aexit__(None, None, None)
        return False

    async def _holding(self, step: Operation, lock: AccountLock) -> object:
        if step.name == "save under lock":
            return told(await lock.save(token(step.number)))
        if step.name == "load under lock":
            return told((await lock.read()).token)
        del self._locks[step.process, step.account]
        await lock.__aexit__(None, None, None)
        return "left"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("there is no redis-server on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    command = [binary, "--port", str(free), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            yield free
        finally:
            server.terminate()


async def connected(port: int) -> list[Redis]:
    clients = [Redis(host="127.0.0.1", port=port, protocol=2) for _ in range(3)]
    for _ in range(200):
        try:
            await clients[0].flushall()
        except RedisError:
            await asyncio.sleep(0.02)
        else:
            return clients
    raise AssertionError("the redis-server does not answer")


async def really(port: int, seed: int, count: int) -> list[tuple[str, object]]:
    clients = await connected(port)
    try:
        return await Followed(clients).all(operations(seed, count))
    finally:
        for client in clients:
            await client.aclose()


async def as_simulated(seed: int, count: int) -> list[tuple[str, object]]:
    server = SimulatedRedis(Dice(seed), clock_error=100.0)
    return await Followed([SimulatedClient(server, Link(Dice(seed, one))) for one in range(3)]).all(
        operations(seed, count)
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_real_redis_does_the_same(port: int, seed: int) -> None:
    """The same operations of three processes come out the same at the simulated server and at a real one."""
    real = asyncio.run(really(port, seed, 250))
    assert run(as_simulated(seed, 250)) == real
    assert {"load", "take", "leave", "load under lock", "save under lock", "lose lock"} <= {
        name for name, outcome in real if outcome
    }
