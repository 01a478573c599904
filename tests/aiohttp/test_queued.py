"""Requests that queue for a connection while their token is rejected are not sent with it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from exterview_auth import LoginError, LoginUnavailableError
from exterview_auth._aiohttp.queued import LateSignature
from tests.kit.api import Scene, answering, cut, held, revoked, signed_in, until

PATHS = pytest.mark.parametrize("test", [None, lambda response: response.status == 401], ids=["fast path", "slow path"])
"""An owner with its own test has no fast path."""


@contextlib.asynccontextmanager
async def queue(number: int, at: Scene) -> AsyncIterator[tuple[asyncio.Event, list[asyncio.Task[Any]]]]:
    """A request that the server holds until the event is set, and so many that queue behind it for the only connection."""
    reached, over = asyncio.Event(), asyncio.Event()
    at.api.refusals["/held"] = held(over, reached)
    first = asyncio.create_task(at.post("/held"))
    await reached.wait()
    rest = [asyncio.create_task(at.post(data=str(n).encode())) for n in range(number)]
    await asyncio.sleep(0.02)
    yield over, [first, *rest]


@contextlib.asynccontextmanager
async def sent_back(test: Any) -> AsyncIterator[tuple[Scene, list[asyncio.Task[Any]]]]:
    """A request that was refused, and three that queued behind it: all wait for the login, which has begun."""
    async with revoked(connections=1, is_unauthorized=test) as at, queue(3, at) as (over, tasks):
        at.login.gate.clear()
        over.set()
        await until(lambda: at.auth.stats().waiting == 4)
        yield at, tasks


async def statuses(tasks: list[asyncio.Task[Any]]) -> set[int]:
    """Return the statuses of all requests."""
    return {status for status, _ in await asyncio.gather(*tasks)}


@PATHS
async def test_requests_that_queue_when_the_token_is_refused_are_not_sent_with_it(test: Any) -> None:
    """One refusal, one login, and every request behind it is sent once, with the new token."""
    async with (
        revoked(connections=1, seconds=0.02, is_unauthorized=test) as at,
        queue(30, at) as (over, tasks),
    ):
        over.set()
        assert await statuses(tasks) == {200}
        assert sorted(at.api.since(0)) == [(200, "token-2")] * 31 + [(401, "token-1")]
        assert len({arrival.body for arrival in at.api.arrivals}) == 31
        assert (at.login.count, at.auth.stats().replays, len(at.api.connections)) == (2, 1, 1)


async def test_requests_that_queue_while_the_token_is_replaced_are_signed_again() -> None:
    """In their place in the queue."""
    async with revoked(connections=1) as at, queue(3, at) as (over, tasks):
        at.auth.invalidate(await at.auth.token())
        assert (await at.auth.token()).value == "token-2"
        over.set()
        assert await statuses(tasks) == {200}
        assert [token for _, token in at.api.since(0)].count("token-1") == 1


@PATHS
async def test_a_request_that_was_signed_again_in_its_queue_blames_the_token_that_it_carried(test: Any) -> None:
    """If that is refused too, it is replaced at once, and is not sent a second time."""
    async with signed_in(connections=1, is_unauthorized=test) as at:
        over, reached = asyncio.Event(), asyncio.Event()
        at.api.answers["/held"] = held(over, reached)
        first = asyncio.create_task(at.post("/held"))
        await reached.wait()
        queued = asyncio.create_task(at.post())
        await until(lambda: len(at.auth._middleware.signed.unanswered) == 2)
        at.auth.invalidate(await at.auth.token())
        assert (await at.auth.token()).value == "token-2"
        at.api.revoke()
        over.set()
        assert await statuses([first, queued]) == {200}
        assert at.api.since(0) == [(200, "token-1"), (401, "token-2"), (200, "token-3")]
        stats = at.auth.stats()
        assert (at.login.count, stats.unauthorized, stats.replays) == (3, 1, 1)


async def test_requests_that_queue_when_the_login_fails_end_with_its_error() -> None:
    """Nothing hangs in the queue, and nothing is sent."""
    async with revoked(connections=1) as at, queue(5, at) as (over, tasks):
        at.login.error = LoginUnavailableError("down", retry_after=100)
        over.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, LoginError) for result in results)
        assert len(at.api.arrivals) == 1


@PATHS
async def test_closing_the_session_ends_the_requests_that_left_the_queue_to_wait(test: Any) -> None:
    """The fault table: with the same error as the request that was refused."""
    async with sent_back(test) as (at, tasks):
        await at.http.close()
        at.login.gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [aiohttp.ClientConnectionError] * 4
        assert all("closed while this request waited" in str(result) for result in results)


@PATHS
async def test_requests_that_left_the_queue_to_wait_keep_nothing_of_it(test: Any) -> None:
    """Thousands wait then, and each object more of every one brings the next full garbage collection nearer."""
    async with sent_back(test) as (at, tasks):
        assert not any(isinstance(one, LateSignature) for one in gc.get_objects())
        at.login.gate.set()
        assert await statuses(tasks) == {200}


async def test_a_middleware_that_retries_sends_no_rejected_token() -> None:
    """Each attempt of a middleware between us and the wire is checked."""

    async def retry(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except Exception:  # noqa: BLE001 - as careless as some are
            return await handler(request)

    async with revoked(seconds=0.02) as at:
        connector = aiohttp.TCPConnector(limit=1)
        async with (
            aiohttp.ClientSession(middlewares=(at.auth, retry), connector=connector) as http,
            queue(10, at._replace(client=http)) as (over, tasks),
        ):
            over.set()
            assert await statuses(tasks) == {200}
        assert [status for status, _ in at.api.since(0)].count(401) == 1


async def test_a_queueing_request_that_is_cancelled_leaves_the_queue_to_the_others() -> None:
    """It gives its place up, and the others are answered."""
    async with revoked(connections=1, seconds=0.02) as at, queue(10, at) as (over, tasks):
        for task in tasks[1:6]:
            task.cancel()
        over.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results[1:6]] == [asyncio.CancelledError] * 5
        assert [result[0] for result in (results[0], *results[6:]) if isinstance(result, tuple)] == [200] * 6
        await until(lambda: at.auth.stats().waiting == 0)


@pytest.mark.parametrize(
    "connector", [{"limit": 0}, {"limit": 4}, {"limit": 0, "limit_per_host": 4}], ids=["none", "limit", "per host"]
)
async def test_any_limit_serves_every_request(connector: dict[str, Any]) -> None:
    """With any number of connections."""
    async with revoked(session={"connector": aiohttp.TCPConnector(**connector)}, seconds=0.01) as at:
        assert (await at.statuses(60), at.login.count) == ({200}, 2)
        refused = [status for status, _ in at.api.since(0)].count(401)
        assert refused <= (60 if connector == {"limit": 0} else 4)


async def test_a_request_is_pending_exactly_while_its_handler_runs() -> None:
    """However it ends: answered, refused, failed or cancelled."""
    over = asyncio.Event()
    async with revoked(connections=4) as at:
        pending = at.auth._middleware.signed.unanswered
        at.api.answers |= {"/held": held(over), "/cut": cut}
        assert (await at.post())[0] == 200
        tasks = [asyncio.create_task(at.post("/held")) for _ in range(3)]
        await until(lambda: len(at.api.arrivals) == 5)
        assert len(pending) == 3
        tasks[2].cancel()
        over.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        with pytest.raises(aiohttp.ClientError):
            await at.post("/cut")
        assert pending == {}


async def test_a_request_that_queues_behind_unread_answers_is_not_sent_with_a_rejected_token() -> None:
    """Whatever takes the connections, the token is checked when the request is written."""
    async with signed_in(connections=2) as at, contextlib.AsyncExitStack() as unread:
        at.api.answers["/long"] = answering(200, bytes(4_000_000))
        for _ in range(2):
            await unread.enter_async_context(at.client.post("/long", json={}))
        task = asyncio.create_task(at.post())
        await until(lambda: len(at.auth._middleware.signed.unanswered) == 1)
        at.auth.invalidate(await at.auth.token())
        await unread.aclose()
        assert (await task)[0] == 200
        assert [token for _, token in at.api.since(2)] == ["token-2"]


async def test_a_request_keeps_nothing_of_the_queue() -> None:
    """Once it has its answer, aiohttp sends it as it would without us."""
    seen: list[aiohttp.ClientRequest] = []

    async def record(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request)
        return await handler(request)

    async with revoked() as at:
        async with (
            aiohttp.ClientSession(middlewares=(at.auth, record), connector=aiohttp.TCPConnector(limit=1)) as http,
            queue(3, at._replace(client=http)) as (over, tasks),
        ):
            over.set()
            assert await statuses(tasks) == {200}
        assert len(seen) > 4
        assert all("send" not in vars(request) for request in seen)
