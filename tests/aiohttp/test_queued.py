"""Requests that queue for a connection when the token dies are not sent with it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exterview_auth import LoginError, LoginUnavailableError
from tests.kit.api import Api, Login, Scene, scene, until

pytestmark = pytest.mark.asyncio


def narrow(limit: int) -> dict[str, Any]:
    """A session of so many connections."""
    return {"connector": aiohttp.TCPConnector(limit=limit)}


async def queued(at: Scene, number: int) -> tuple[list[asyncio.Task[Any]], asyncio.Event]:
    """Requests of which the first is held by the server and the others queue behind it; and what lets it go on."""
    going_on, held = asyncio.Event(), asyncio.Event()

    async def hold(_request: web.Request, _body: bytes) -> None:
        held.set()
        await going_on.wait()

    await at.post()
    at.api.revoke()
    at.api.refusals["/held"] = hold
    first = asyncio.create_task(at.post("/held"))
    await held.wait()
    rest = [asyncio.create_task(at.post(data=str(n).encode())) for n in range(number)]
    await asyncio.sleep(0.02)
    return [first, *rest], going_on


async def test_what_queues_when_the_token_is_refused_is_not_sent_with_it() -> None:
    """Rule 4: one refusal, one login, and everything behind it goes out once, with the new token."""
    async with scene(session=narrow(1), seconds=0.02) as at:
        tasks, go_on = await queued(at, 30)
        mark = len(at.api.arrivals) - 1
        go_on.set()
        assert {status for status, _ in await asyncio.gather(*tasks)} == {200}
        assert at.api.since(mark).count((401, "token-1")) == 1
        assert {token for status, token in at.api.since(mark) if status == 200} == {"token-2"}
        assert len({a.body for a in at.api.arrivals[mark:]}) == 31
        assert at.login.count == 2
        assert at.auth.stats().replays == 1
        assert len(at.api.connections) == 1


async def test_what_queues_while_the_token_is_replaced_goes_out_with_the_new_one() -> None:
    """Rule 4: signed again in its place in the queue."""
    async with scene(session=narrow(1)) as at:
        tasks, go_on = await queued(at, 3)
        at.auth.invalidate(await at.auth.token())
        assert (await at.auth.token()).value == "token-2"
        mark = len(at.api.arrivals) - 1
        go_on.set()
        assert {status for status, _ in await asyncio.gather(*tasks)} == {200}
        assert [token for _, token in at.api.since(mark)].count("token-1") == 1


async def test_what_queues_when_the_login_fails_ends_with_its_error() -> None:
    """Rule 6: nothing hangs in the queue, and nothing is sent."""
    async with Api() as api:
        login = Login(api)
        outcome: list[Exception] = []

        async def failing(context: Any) -> Any:
            if outcome:
                raise outcome[0]
            return await login(context)

        async with scene(session=narrow(1), login=failing, login_timeout=0.2, endpoint=api.endpoint) as made:
            at = made._replace(api=api, login=login)
            tasks, go_on = await queued(at, 5)
            outcome.append(LoginUnavailableError("down", retry_after=100))
            mark = len(api.arrivals)
            go_on.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, LoginError) for result in results)
            assert len(api.arrivals) == mark


async def test_a_middleware_of_ones_own_that_retries_sends_no_dead_token() -> None:
    """Rule 4: whatever stands between us and the wire, each of its attempts is looked at."""

    async def retry(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except Exception:  # noqa: BLE001 - as careless as some are
            return await handler(request)

    async with scene(session=narrow(1), seconds=0.02) as at:
        async with aiohttp.ClientSession(middlewares=(at.auth, retry), **narrow(1)) as http:
            tasks, go_on = await queued(at._replace(client=http), 10)  # type: ignore[arg-type]  # the same verbs
            mark = len(at.api.arrivals) - 1
            go_on.set()
            assert {status for status, _ in await asyncio.gather(*tasks)} == {200}
        assert [status for status, _ in at.api.since(mark)].count(401) == 1


async def test_a_queueing_request_that_is_cancelled_leaves_the_queue_to_the_others() -> None:
    """Rule 5: its place is given up, and the rest is answered."""
    async with scene(session=narrow(1), seconds=0.02) as at:
        tasks, go_on = await queued(at, 10)
        for task in tasks[1:6]:
            task.cancel()
        go_on.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results].count(asyncio.CancelledError) == 5
        assert [result[0] for result in results if isinstance(result, tuple)] == [200] * 6
        await until(lambda: at.auth.stats().waiting == 0)


@pytest.mark.parametrize(
    "connector", [{"limit": 0}, {"limit": 4}, {"limit": 0, "limit_per_host": 4}], ids=["none", "limit", "per host"]
)
async def test_any_limit_serves_everybody(connector: dict[str, Any]) -> None:
    """Rule 1: with any number of connections."""
    async with scene(session={"connector": aiohttp.TCPConnector(**connector)}, seconds=0.01) as at:
        await at.post()
        at.api.revoke()
        results = await asyncio.gather(*(at.post() for _ in range(60)))
        assert {status for status, _ in results} == {200}
        assert at.login.count == 2
        refused = [status for status, _ in at.api.since(1)].count(401)
        assert refused <= (60 if connector == {"limit": 0} else 4)


async def test_a_middleware_that_answers_by_itself_is_believed() -> None:
    """Whatever stands between us and the wire: an answer that nothing was sent for is an answer."""
    kept: list[aiohttp.ClientResponse] = []

    async def cache(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if not kept:
            kept.append(await handler(request))
        return kept[0]

    async with scene() as at, aiohttp.ClientSession(middlewares=(at.auth, cache), **narrow(1)) as http:
        for _ in range(3):
            async with http.post(at.api.endpoint, json={}) as response:
                assert response.status == 200
        assert len(at.api.arrivals) == 1


async def test_a_request_is_known_exactly_while_it_is_under_way() -> None:
    """However it ends: answered, refused, failed, cancelled; nothing of it is left."""
    going_on = asyncio.Event()

    async def hold(_request: web.Request, _body: bytes) -> None:
        await going_on.wait()

    async with scene(session=narrow(4)) as at:
        under_way = at.auth._middleware.in_flight.pending
        at.api.answers["/held"] = at.api.refusals["/held"] = hold
        await at.post()
        at.api.revoke()
        assert (await at.post())[0] == 200
        tasks = [asyncio.create_task(at.post("/held")) for _ in range(3)]
        await until(lambda: len(at.api.arrivals) == 6)
        assert len(under_way) == 3
        tasks[2].cancel()
        going_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        at.api.answers["/broken"] = cut
        with pytest.raises(aiohttp.ClientError):
            await at.post("/broken")
        assert under_way == {}


async def test_what_queues_behind_answers_that_are_being_read_is_not_sent_with_a_dead_token() -> None:
    """Rules 4 and 21: whatever takes the connections, a request that queues looks at the token when it is written."""

    async def long(_request: web.Request, _body: bytes) -> web.Response:
        return web.Response(body=bytes(4_000_000))

    async with scene(session=narrow(2)) as at, contextlib.AsyncExitStack() as unread:
        at.api.answers["/long"] = long
        for _ in range(2):
            await unread.enter_async_context(at.client.post("/long", json={}))
        dead = await at.auth.token()
        task = asyncio.create_task(at.post())
        await until(lambda: len(at.auth._middleware.in_flight.pending) == 1)
        at.auth.invalidate(dead)
        mark = len(at.api.arrivals)
        await unread.aclose()
        assert (await task)[0] == 200
        assert [token for _, token in at.api.since(mark)] == ["token-2"]


async def cut(request: web.Request, _body: bytes) -> None:
    """The connection ends instead of an answer."""
    assert request.transport is not None
    request.transport.abort()


async def test_a_request_keeps_nothing_of_the_queue() -> None:
    """Once it has its answer, aiohttp sends it as it would without us."""
    seen: list[aiohttp.ClientRequest] = []

    async def look(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request)
        return await handler(request)

    async with (
        scene() as at,
        aiohttp.ClientSession(middlewares=(at.auth, look), **narrow(1)) as http,
        http.post(at.api.endpoint, json={}) as response,
    ):
        assert response.status == 200
    assert "send" not in vars(seen[0])
