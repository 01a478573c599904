"""A fleet of real processes that share one account, on files and on a real Redis: one login for all, whichever process dies or pauses."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from exterview_auth import AuthSession, ClosedError, ExterviewAuth, FileStore, OAuth2Login, RedisStore, Token
from exterview_auth.stores._shared import LEASE
from tests.kit.api import post, until
from tests.kit.stores import content
from tests.kit.workers import ACCOUNT, Fleet, Order, Realm, Worker, WorkerPool, answers, sent, store_in, summed

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the workers' pipes belong to one loop

EACH = 50
"""Requests of one process at once."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    """Idle workers for the tests of this module."""
    waiting = WorkerPool()
    yield waiting
    await waiting.close()


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store's directory or URL."""
    if request.param == "file":
        return str(tmp_path / "tokens")
    url: str = request.getfixturevalue("redis_url")
    return url


@contextlib.asynccontextmanager
async def fleet_at(
    pool: WorkerPool, place: str, *, lease: float = LEASE, poll_interval: float | None = None, **kind: bool
) -> AsyncIterator[tuple[Fleet, Realm]]:
    """Serve a realm of a *kind*, and a fleet of its account."""
    async with Realm(**kind) as realm:
        fleet = Fleet(pool, realm, place, lease=lease, poll_interval=poll_interval)
        try:
            yield fleet, realm
        finally:
            realm.release_logins()
            await fleet.leave()


def all_began(workers: list[Worker]) -> list[Order]:
    """Begin requests by each of *workers*."""
    return [worker.begin("send", requests=EACH) for worker in workers]


async def revoked(realm: Realm, workers: list[Worker]) -> None:
    """Revoke every token while requests of all *workers* are in flight; all are answered."""
    async with realm.revoking(len(workers) * EACH):
        orders = all_began(workers)
    assert await answers(orders) == {"200": len(workers) * EACH}


class HeldLogin(NamedTuple):
    """A login that the realm does not answer yet, and requests of all processes that wait for it."""

    orders: dict[int, Order]
    holder: Worker
    others: list[Worker]

    @property
    def workers(self) -> list[Worker]:
        """All processes, the holder first."""
        return [self.holder, *self.others]

    async def answers_of(self, *workers: Worker) -> dict[str, int]:
        """Wait for the answers to *workers*, and count them."""
        return await answers([self.orders[worker.pid] for worker in workers])


async def held_login(fleet: Fleet, realm: Realm, processes: int, *, owners: int = 1, hold: int = 1) -> HeldLogin:
    """Start so many processes with *owners* each; return when all requests wait for the first of *hold* logins."""
    realm.hold_logins(hold)
    workers = await fleet.join(processes, owners=owners)
    orders = dict(zip([worker.pid for worker in workers], all_began(workers), strict=True))
    await until(lambda: bool(realm.logins), 30)
    await until_counted(workers, processes * EACH, "waiting")
    workers.sort(key=lambda worker: worker.pid != realm.pids[0])
    return HeldLogin(orders, workers[0], workers[1:])


async def until_counted(workers: list[Worker], least: int, *counters: str) -> None:
    """Wait until these *counters* of all *workers* together are at least so large."""
    async with asyncio.timeout(30):
        told = await summed(workers)
        while sum(told[name] for name in counters) < least:
            told = await summed(workers)


# -- one login for all --------------------------------------------------------------------------------------------------


async def test_one_login_for_all_processes_at_the_start_and_after_each_revocation(pool: WorkerPool, place: str) -> None:
    """Where each login ends the session before it, four processes with 200 requests make one."""
    async with fleet_at(pool, place, one_session=True) as (fleet, realm):
        workers = await fleet.join(4)
        assert await sent(workers, EACH) == {"200": 4 * EACH}
        assert len(realm.logins) == 1
        for revocations in range(1, 6):
            await revoked(realm, workers)
            assert len(realm.logins) == 1 + revocations
        told = await summed(workers)
        assert (told["logins"], told["adopted"]) == (6, 6 * 3)
        assert (told["store_failures"], told["warnings"]) == (0, [])
        later = await fleet.join(1)
        assert await sent(later, 5) == {"200": 5}
        told = await summed(later)
        assert (told["logins"], told["adopted"], len(realm.logins)) == (0, 1, 6)


async def test_a_login_slower_than_the_lease_renews_it(pool: WorkerPool, place: str) -> None:
    """Slow but alive is not dead."""
    async with fleet_at(pool, place, lease=2.0) as (fleet, realm):
        realm.seconds = 3.5
        workers = await fleet.join(4)
        assert await sent(workers, EACH) == {"200": 4 * EACH}
        assert len(realm.logins) == 1
        assert (await summed(workers))["warnings"] == []


async def test_a_login_of_most_of_the_login_timeout_serves_all_processes(pool: WorkerPool, place: str) -> None:
    """A holder that keeps its lease is waited for until the waiter's own deadline."""
    async with fleet_at(pool, place, lease=1.0) as (fleet, realm):
        realm.seconds = 4.8
        workers = await fleet.join(2, login_timeout=8.0)
        assert await sent(workers, EACH) == {"200": 2 * EACH}
        assert len(realm.logins) == 1
        told = await summed(workers)
        assert (told["logins"], told["adopted"], told["warnings"]) == (1, 1, [])


# -- whoever logs in dies, sleeps or leaves -------------------------------------------------------------------------------


@pytest.mark.parametrize("owners", [1, 2])
async def test_a_process_paused_beyond_its_lease_adopts_the_newer_token(
    pool: WorkerPool, place: str, owners: int
) -> None:
    """One other takes over; the sleeper ends with its token, also where a second owner beside it looks first."""
    lease = 2.0
    async with fleet_at(pool, place, lease=lease, one_session=True) as (fleet, realm):
        realm.seconds = 0.3
        held = await held_login(fleet, realm, 4, owners=owners)
        sleeper = held.holder
        sleeper.signal(signal.SIGSTOP)
        slept = time.monotonic()
        assert await held.answers_of(*held.others) == {"200": 3 * EACH}
        assert len(realm.logins) == 2
        assert realm.logins[1].at - slept < 2 * lease
        sleeper.signal(signal.SIGCONT)
        await until_counted([sleeper], owners - 1, "logins", "adopted")
        realm.release_logins()
        assert await held.answers_of(sleeper) == {"200": EACH}
        assert await sent(held.workers, EACH) == {"200": 4 * EACH}
        assert (await summed(held.workers))["warnings"] == []
        assert content(await fleet.stored()) == ("token-2", None)
        assert len(realm.logins) == 2


async def test_a_process_paused_beyond_its_lease_does_not_disturb_the_login_that_took_over(
    pool: WorkerPool, place: str
) -> None:
    """It wakes, and ends its login, while another's is under way; the later token is the one that all end with."""
    async with fleet_at(pool, place, lease=1.0, one_session=True) as (fleet, realm):
        held = await held_login(fleet, realm, 3, hold=2)
        held.holder.signal(signal.SIGSTOP)
        await until(lambda: len(realm.logins) == 2, 30)
        held.holder.signal(signal.SIGCONT)
        realm.release_login()
        await until_counted([held.holder], 1, "logins", "adopted")
        realm.release_login()
        assert await held.answers_of(*held.workers) == {"200": 3 * EACH}
        assert content(await fleet.stored()) == ("token-2", None)
        assert len(realm.logins) == 2


async def test_a_process_that_ends_releases_the_lock_at_once(pool: WorkerPool, place: str) -> None:
    """SIGTERM to a waiter disturbs nobody; to the process that logs in, it costs the others no lease."""
    lease = 30.0
    async with fleet_at(pool, place, lease=lease) as (fleet, realm):
        held = await held_login(fleet, realm, 4)
        waiter, *others = held.others
        waiter.signal(signal.SIGTERM)
        await waiter.ended()
        assert len(realm.logins) == 1
        held.holder.signal(signal.SIGTERM)
        left = time.monotonic()
        assert await held.answers_of(*others) == {"200": 2 * EACH}
        assert len(realm.logins) == 2
        assert realm.logins[1].at - left < lease / 2
        await held.holder.ended()


async def test_cancelled_requests_take_no_login_with_them(pool: WorkerPool, place: str) -> None:
    """All requests of the process that logs in are cancelled; its login is everybody's."""
    async with fleet_at(pool, place) as (fleet, realm):
        held = await held_login(fleet, realm, 3)
        *leaving, staying = held.workers
        for worker in leaving:
            await worker.ask("cancel", which=held.orders[worker.pid].number)
            assert (await held.orders[worker.pid].answer)["cancelled"]
        realm.release_logins()
        assert await held.answers_of(staying) == {"200": EACH}
        assert await sent(held.workers, EACH) == {"200": 3 * EACH}
        assert len(realm.logins) == 1


# -- refresh tokens -----------------------------------------------------------------------------------------------------


async def test_a_rotating_refresh_token_is_presented_once(pool: WorkerPool, place: str) -> None:
    """Where a second use logs everybody out, four processes with 200 requests refresh once per revocation."""
    async with fleet_at(pool, place, rotating=True) as (fleet, realm):
        workers = await fleet.join(4, refresh_token="R0")
        assert await sent(workers, EACH) == {"200": 4 * EACH}
        for _ in range(5):
            await revoked(realm, workers)
        assert [login.refresh_token for login in realm.logins] == ["R0", "R1", "R2", "R3", "R4", "R5"]
        assert realm.reuses == 0


@pytest.mark.parametrize("lives", [True, False], ids=["token-lives", "token-is-over"])
async def test_the_stores_refresh_token_beats_the_configured_one(pool: WorkerPool, place: str, lives: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A process that starts later, with the refresh token that others have used up, presents the newest."""
    async with fleet_at(pool, place, rotating=True) as (fleet, realm):
        realm.expires_in = 3600 if lives else 0.5
        workers = await fleet.join(2, refresh_token="R0")
        assert await sent(workers, 5) == {"200": 10}
        used = len(realm.logins)
        for worker in workers:
            await worker.ask("close")
        if not lives:
            await asyncio.sleep(0.6)
        realm.revoke()
        later = await fleet.join(1, refresh_token="R0")
        assert await sent(later, EACH) == {"200": EACH}
        assert realm.logins[used].refresh_token == f"R{used}"
        assert realm.reuses == 0


# -- ahead of expiry ----------------------------------------------------------------------------------------------------


async def test_one_process_of_the_fleet_renews_ahead_of_expiry(
    pool: WorkerPool, redis_url: str, tmp_path: Path
) -> None:
    """A short life under steady load is renewed once per life, not once per process, and no request waits."""
    places = (str(tmp_path / "tokens"), redis_url)  # two fleets at a time: a life takes as long as it takes
    await asyncio.gather(*(assert_renewed_once_per_life(pool, place) for place in places))


async def assert_renewed_once_per_life(pool: WorkerPool, place: str) -> None:
    """Three processes, two renewals."""
    async with fleet_at(pool, place) as (fleet, realm):
        realm.expires_in = 10.0
        workers = await fleet.join(3)
        assert await sent(workers, 1) == {"200": 3}
        realm.seconds = 0.2
        streams = [worker.begin("stream", requests=5, pause=0.05) for worker in workers]
        await until(lambda: len(realm.logins) == 2, 30)
        realm.expires_in = 3600  # of the third
        await until(lambda: len(realm.logins) == 3, 30)
        await until_counted(workers, 3 * 3, "logins", "adopted")
        await asyncio.gather(*(worker.ask("halt") for worker in workers))
        assert set(await answers(streams)) == {"200"}
        told = await summed(workers)
        assert (told["logins"], told["refreshes_ahead"], realm.refused) == (3, 2, 0)
        assert told["waiting_peak"] == 3  # of the first request in each process
        assert len(realm.logins) == 3


# -- forks --------------------------------------------------------------------------------------------------------------


async def test_a_fork_after_use_serves_in_parent_and_child(pool: WorkerPool, place: str) -> None:
    """Both use what was there before, and after a revocation make one login together."""
    async with fleet_at(pool, place) as (fleet, realm):
        (parent,) = await fleet.join(1)
        assert await sent([parent], 5) == {"200": 5}
        _, served = await parent.fork(20)
        assert (await served)["answers"] == {"200": 40}
        assert await sent([parent], 20) == {"200": 20}
        assert len(realm.logins) == 1
        for revocations in range(1, 4):
            async with realm.revoking(EACH):
                orders = all_began([parent])
                _, served = await parent.fork(20)
            assert await answers(orders) == {"200": EACH}
            child = await served
            assert (child["answers"], child["warnings"]) == ({"200": 40}, [])
            assert len(realm.logins) == 1 + revocations
        told = await summed([parent])
        assert (told["store_failures"], told["warnings"]) == (0, [])


async def test_a_fork_in_the_middle_of_a_login_leaves_it_to_the_parent(pool: WorkerPool, place: str) -> None:
    """Children of the one that logs in, and of one that waits, wait for that login like everybody."""
    async with fleet_at(pool, place) as (fleet, realm):
        held = await held_login(fleet, realm, 2)
        children = [(await worker.fork(20))[1] for worker in held.workers * 3]
        await asyncio.sleep(0.3)
        assert len(realm.logins) == 1
        realm.release_logins()
        assert await held.answers_of(*held.workers) == {"200": 2 * EACH}
        for child in await asyncio.gather(*children):
            assert (child["answers"], child["logins"], child["warnings"]) == ({"200": 40}, 0, [])
        assert await sent(held.workers, EACH) == {"200": 2 * EACH}
        told = await summed(held.workers)
        assert (len(realm.logins), told["store_failures"], told["warnings"]) == (1, 0, [])


async def test_a_child_does_not_keep_the_lock_of_its_dead_parent(pool: WorkerPool, place: str) -> None:
    """The fault table: the one that logs in has forked, and is killed; another goes on within two leases."""
    lease = 2.0
    async with fleet_at(pool, place, lease=lease) as (fleet, realm):
        held = await held_login(fleet, realm, 4)
        child, _ = await held.holder.fork(0)
        try:
            held.holder.signal(signal.SIGKILL)
            died = time.monotonic()
            assert await held.answers_of(*held.others) == {"200": 3 * EACH}
            assert realm.logins[1].at - died < 2 * lease
        finally:
            os.kill(child, signal.SIGKILL)
        await held.holder.ended()
        assert len(realm.logins) == 2


# -- event loops --------------------------------------------------------------------------------------------------------


def owner_at(realm: Realm, store: FileStore | RedisStore) -> ExterviewAuth:
    """An owner in this process."""
    login = OAuth2Login(f"{realm.origin}/token", "client", "secret", headers={"X-Pid": "0"})
    return ExterviewAuth(login, api_key="key", endpoint=f"{realm.origin}/graphql", store=store, account=ACCOUNT)


async def statuses(auth: ExterviewAuth, requests: int) -> list[int]:
    """Return the statuses of so many *requests* at once."""
    async with aiohttp.ClientSession() as http:
        client = AuthSession(http, auth)
        return [status for status, _ in await asyncio.gather(*(post(client, "/graphql") for _ in range(requests)))]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio's own, where a loop ends with the store open
@pytest.mark.parametrize("closes", [True, False], ids=["closed", "left-open"])
async def test_one_owner_and_one_store_serve_one_run_after_another(place: str, closes: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """`asyncio.run` again and again, revoked in between; each 20 of 20, and one login each."""
    async with Realm() as realm:
        await asyncio.to_thread(run_again_and_again, realm, place, closes=closes)
    gc.collect()  # here, where it may warn, and not in the thread: a collection that another thread has begun is not waited for


def run_again_and_again(realm: Realm, place: str, *, closes: bool) -> None:
    """One owner in three loops, one after the other; the store *closes* with each, or with the last."""
    store = store_in(place)
    auth = owner_at(realm, store)

    async def run() -> list[int]:
        answered = await statuses(auth, 20)
        if closes:
            await store.aclose()
        return answered

    for runs in range(1, 4):
        assert asyncio.run(run()) == [200] * 20
        assert len(realm.logins) == runs
        realm.revoke()
    asyncio.run(auth.aclose())
    asyncio.run(store.aclose())


async def test_owners_in_two_running_loops_share_one_store_object(place: str) -> None:
    """One owner for each loop, one store between them; one login at the start, and one after each revocation."""
    async with Realm() as realm:
        realm.seconds = 0.2
        store = store_in(place)
        barrier = threading.Barrier(2, timeout=30)

        async def run() -> list[list[int]]:
            rounds = []
            async with owner_at(realm, store) as auth:
                for _ in range(3):
                    await asyncio.to_thread(barrier.wait)
                    rounds.append(await statuses(auth, 20))
                    if await asyncio.to_thread(barrier.wait) == 0:
                        realm.revoke()
            await store.aclose()
            return rounds

        both = await asyncio.gather(*(asyncio.to_thread(asyncio.run, run()) for _ in range(2)))
        assert both == [[[200] * 20] * 3] * 2
        assert len(realm.logins) == 3


async def test_a_stall_is_no_failure_of_the_store(place: str) -> None:
    """A process that was paused with a command in flight finds the response when it goes on."""
    async with store_in(place) as store:
        await store.save("a", Token("T"))
        for turns in (1, 4):
            loading = asyncio.create_task(store.load("a"))
            await turns_of_the_loop(turns)
            time.sleep(1.5)  # noqa: ASYNC251 - the whole process, as SIGSTOP would
            assert content(await loading) == ("T", None)


# -- what it costs ------------------------------------------------------------------------------------------------------


async def test_a_token_in_use_is_not_loaded_again(pool: WorkerPool, place: str) -> None:
    """In steady state no command is sent to Redis, no file is opened, no thread is used."""
    async with fleet_at(pool, place) as (fleet, _):
        workers = await fleet.join(2)
        assert await sent(workers, EACH) == {"200": 2 * EACH}
        before = await summed(workers)
        for _ in range(4):
            assert await sent(workers, EACH) == {"200": 2 * EACH}
        after = await summed(workers)
        costs = ("file_events", "thread_calls", "commands")
        assert [after[cost] for cost in costs] == [before[cost] for cost in costs]


async def test_a_revocation_costs_few_commands(pool: WorkerPool, redis_url: str) -> None:
    """At most six commands per revocation and process, and one more for each second that a login takes."""
    async with fleet_at(pool, redis_url, poll_interval=60.0, one_session=True) as (fleet, realm):
        realm.seconds = 0.2
        workers = await fleet.join(4)
        assert await sent(workers, EACH) == {"200": 4 * EACH}
        for _ in range(3):
            before = [(await worker.ask("stats"))["commands"] for worker in workers]
            await revoked(realm, workers)
            after = [(await worker.ask("stats"))["commands"] for worker in workers]
            each = [count - earlier for count, earlier in zip(after, before, strict=True)]
            assert 0 < min(each) <= max(each) <= 6


# -- cancelled anywhere -------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def nothing_left(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """After the block no task is left of it, and asyncio has nothing to complain about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what other tests have left
        gc.collect()
    before = asyncio.all_tasks()
    with caplog.at_level(logging.WARNING, "asyncio"):
        yield
        gc.collect()
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def turns_of_the_loop(count: int) -> None:
    """Let the loop iterate so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def moments() -> Iterator[Awaitable[None]]:
    """Return ever later moments: first in iterations of the loop, then in time, so that threads and servers take part."""
    for step in range(61):
        yield turns_of_the_loop(step)
    for step in range(61):
        yield asyncio.sleep(step / 10_000)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel *task*, and wait for its end."""
    task.cancel()
    await asyncio.wait([task])


async def assert_free_and_exclusive(account: str, one: FileStore | RedisStore, two: FileStore | RedisStore) -> None:
    """The account's lock can be had at once, and by one alone."""
    async with asyncio.timeout(20), one.lock(account), two._account_lock(account) as lock:
        assert not await lock.try_acquire()


@pytest.mark.parametrize("contended", [False, True], ids=["free", "contended"])
async def test_a_cancellation_at_any_await_leaves_the_lock_free(
    place: str,
    tmp_path: Path,
    contended: bool,  # noqa: FBT001 - a parameter of the test
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While a task acquires, holds, waits for or releases the lock; long before a lease is over."""
    account = str(tmp_path)

    async def contend(store: FileStore | RedisStore) -> None:
        async with store._account_lock(account) as lock:
            while not await lock.try_acquire():
                await lock.wait_for_change()
            await store.load(account)

    async with (
        nothing_left(caplog),
        store_in(place, 60.0) as ours,
        store_in(place, 60.0) as other,
        store_in(place, 60.0) as third,
    ):
        for moment in moments():
            async with contextlib.AsyncExitStack() as stack:
                if contended:
                    await stack.enter_async_context(other.lock(account))
                task = asyncio.create_task(contend(ours))
                await moment
                await cancelled(task)
            await assert_free_and_exclusive(account, other, third)


async def test_an_owner_that_is_closed_at_any_await_leaves_the_lock_free(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its login was doing, the next owner goes on at once."""
    async with (
        nothing_left(caplog),
        Realm() as realm,
        store_in(place, 60.0) as ours,
        store_in(place, 60.0) as other,
        store_in(place, 60.0) as third,
    ):
        for moment in moments():
            auth = owner_at(realm, ours)
            asking = asyncio.create_task(auth.token())
            await moment
            await auth.aclose()
            with contextlib.suppress(ClosedError):
                await asking
            await assert_free_and_exclusive(realm.account, other, third)
            await other.delete(realm.account)
