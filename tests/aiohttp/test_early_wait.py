"""`AuthSession` waits for a token before aiohttp makes the request, and nobody can tell but by the memory."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import inspect
import io
import itertools
import json
import math
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientTimeout, web

from exterview_auth import (
    AuthSession,
    ClosedError,
    CredentialsRejectedError,
    GraphQLError,
    LoggedOutError,
    LoginBudgetExceededError,
    ReentrantLoginError,
    Token,
)
from tests.kit.api import QUERY, TEAPOT_TESTS, Api, Login, Scene, post, scene, teapot, until

# -- a loop whose time a test moves on ----------------------------------------------------------------------------------


class LeapingLoop(asyncio.SelectorEventLoop):
    """Real time, and what a test adds to it."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def leap(seconds: float) -> None:
    """Move the running loop's time on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LeapingLoop)
    loop.ahead += seconds


def leaping(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on such a loop; no task of its own may be left, and no timer of a waiter."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            await test(*args, **kwargs)
            await turns()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert deadlines() == 0

        with asyncio.Runner(loop_factory=LeapingLoop) as runner:
            runner.run(main())

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]  # pytest reads the parameters from it
    del run.__wrapped__  # and must not see a coroutine function
    return run


async def turns(number: int = 30) -> None:
    """Let what is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


def deadlines() -> int:
    """How many timers of those who wait for a token are set."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # asyncio has no public one
    return sum(not handle.cancelled() and "_expire" in repr(handle) for handle in scheduled)


# -- requests that wait -------------------------------------------------------------------------------------------------


class Noted(aiohttp.ClientRequest):
    """Counts the requests that aiohttp makes."""

    made = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        type(self).made += 1
        super().__init__(*args, **options)


def noting() -> type[Noted]:
    """A class of requests with a count of its own."""
    return type("Noting", (Noted,), {"made": 0})


@contextlib.asynccontextmanager
async def held_up(**options: Any) -> AsyncIterator[Scene]:
    """A scene whose login waits for its gate, and whose ``/held`` has no answer, however far its time leaps."""
    options.setdefault("login_timeout", 1e7)
    over = asyncio.Event()

    async def held(_request: web.Request, _body: bytes) -> None:
        await over.wait()

    async with scene(**options) as at:
        at.login.gate.clear()
        at.api.answers["/held"] = held
        try:
            yield at
        finally:
            at.login.gate.set()
            over.set()


async def begun(at: Scene, number: int = 1, path: str = "/graphql", **options: Any) -> list[asyncio.Task[Any]]:
    """So many requests that wait for the login."""
    before = at.auth.stats().waiting
    tasks = [asyncio.create_task(at.post(path, **options)) for _ in range(number)]
    await until(lambda: at.auth.stats().waiting == before + number)
    return tasks


async def ends_of(tasks: list[asyncio.Task[Any]]) -> list[BaseException]:
    """The errors that the requests ended in, all of them within ten seconds of real time."""
    async with asyncio.timeout(10):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, BaseException) for result in results), results
    return results


def impatient(timeout: ClientTimeout | float | None) -> dict[str, Any]:
    """A session with that timeout of its own."""
    return {"timeout": timeout}


# -- where it waits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete", "head", "options"])
@leaping
async def test_no_request_is_made_before_there_is_a_token(verb: str) -> None:
    """A thousand that wait cost no thousand requests; afterwards each is sent once, signed."""
    requests = noting()
    async with held_up(session={"request_class": requests}) as at:
        tasks = [asyncio.ensure_future(getattr(at.client, verb)("/graphql").__aenter__()) for _ in range(20)]
        await until(lambda: at.auth.stats().waiting == 20)
        assert (requests.made, at.api.arrivals) == (0, [])
        at.login.gate.set()
        for response in await asyncio.gather(*tasks):
            assert response.status == 200
            response.release()
        assert (requests.made, at.login.count) == (20, 1)
        assert at.api.since(0) == [(200, "token-1")] * 20
        assert (at.auth.stats().waiting, at.auth.stats().waiting_peak) == (0, 20)


@pytest.mark.parametrize("where", ["session", "request"])
@leaping
async def test_own_middlewares_run_before_the_wait(where: str) -> None:
    """The contract: they see each request when it begins, as without us."""
    seen: list[str] = []

    async def note(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append("begun")
        response = await handler(request)
        seen.append("answered")
        return response

    own: dict[str, Any] = {"middlewares": (note,)}
    async with held_up(session=own if where == "session" else None) as at:
        tasks = await begun(at, 1, **(own if where == "request" else {}))
        assert seen == ["begun"]
        at.login.gate.set()
        assert [(await task)[0] for task in tasks] == [200]
        assert seen == ["begun", "answered"]


@pytest.mark.parametrize("given", [None, ()], ids=["ours", "none"])
@leaping
async def test_the_owner_among_the_middlewares_is_no_own_one(given: tuple[()] | None) -> None:
    """The owner as the session's middleware, or the session's own taken away: the request waits first all the same."""
    requests = noting()
    async with held_up() as at, aiohttp.ClientSession(middlewares=(at.auth,), request_class=requests) as http:
        here = at._replace(client=AuthSession(http, at.auth))
        options: dict[str, Any] = {} if given is None else {"middlewares": given}
        [task] = await begun(here, 1, **options)
        assert requests.made == 0
        at.login.gate.set()
        assert ((await task)[0], requests.made, len(at.api.arrivals)) == (200, 1, 1)


@leaping
async def test_traces_see_the_wait_inside_the_request() -> None:
    """The contract: tracing works as before, from the request's beginning to its end."""
    seen: list[str] = []

    async def started(*_: object) -> None:
        seen.append("start")

    async def ended(*_: object) -> None:
        seen.append("end")

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(started)
    tracing.on_request_end.append(ended)
    async with held_up(session={"trace_configs": [tracing]}) as at:
        [task] = await begun(at)
        assert seen == ["start"]
        at.login.gate.set()
        assert (await task)[0] == 200
        assert seen == ["start", "end"]


@leaping
async def test_a_strangers_url_waits_for_nothing() -> None:
    """Rule 10: requests to another origin pass through, without a login."""
    async with held_up() as at, Api() as foreign:
        assert (await post(at.client, foreign.endpoint))[0] == 401
        assert (at.login.count, foreign.arrivals[0].token) == (0, "")


@leaping
async def test_a_closed_session_is_closed_at_once() -> None:
    """The contract: aiohttp's own error, and no login."""
    async with held_up() as at:
        await at.http.close()
        with pytest.raises(RuntimeError, match="closed"):
            await at.post()
        assert at.login.count == 0


@leaping
async def test_with_a_token_at_hand_nothing_waits() -> None:
    """Rule 1: also for what was called before there was a token, and is awaited after: one login for all."""
    async with scene() as at:
        called = [at.client.post("", json=QUERY) for _ in range(5)]
        for call in called:
            async with call as response:
                assert response.status == 200
        assert at.login.count == 1
        assert at.api.since(0) == [(200, "token-1")] * 5


# -- the request's time -------------------------------------------------------------------------------------------------

TOTALS = [
    pytest.param({}, {"timeout": ClientTimeout(total=50)}, id="ClientTimeout"),
    pytest.param({}, {"timeout": 50.0}, id="float"),
    pytest.param({}, {"timeout": 50}, id="int"),
    pytest.param(impatient(ClientTimeout(total=50)), {}, id="session"),
    pytest.param(impatient(ClientTimeout(total=7)), {"timeout": ClientTimeout(total=50)}, id="the request's before it"),
]


@pytest.mark.parametrize(("session", "options"), TOTALS)
@leaping
async def test_the_wait_ends_with_the_total_and_leaves_the_login_alone(
    session: dict[str, Any], options: dict[str, Any]
) -> None:
    """Rule 5: TimeoutError when the time is over, nothing sent, and the login serves whoever comes next."""
    async with held_up(session=session) as at:
        tasks = await begun(at, 3, **options)
        leap(45)
        await turns()
        assert not any(task.done() for task in tasks)
        leap(6.5)
        assert [type(error) for error in await ends_of(tasks)] == [TimeoutError] * 3
        assert (at.auth.stats().waiting, at.api.arrivals) == (0, [])
        at.login.gate.set()
        assert (await at.post())[0] == 200
        assert (at.login.count, at.api.since(0)) == (1, [(200, "token-1")])


@leaping
async def test_aiohttps_own_default_is_the_total_of_who_says_nothing() -> None:
    """The contract: five minutes."""
    async with held_up() as at:
        tasks = await begun(at, 2)
        leap(290)
        await turns()
        assert not any(task.done() for task in tasks)
        leap(12)
        assert [type(error) for error in await ends_of(tasks)] == [TimeoutError] * 2


ENDLESS = [
    pytest.param({}, {"timeout": None}, id="None"),
    pytest.param({}, {"timeout": 0}, id="zero"),
    pytest.param({}, {"timeout": ClientTimeout(total=None, sock_read=5)}, id="total None"),
    pytest.param({}, {"timeout": ClientTimeout(total=0)}, id="total zero"),
    pytest.param(impatient(ClientTimeout(total=None)), {}, id="session"),
]


@pytest.mark.parametrize(("session", "options"), ENDLESS)
@leaping
async def test_without_a_total_there_is_no_limit(session: dict[str, Any], options: dict[str, Any]) -> None:
    """The contract: as for aiohttp, none is none."""
    async with held_up(session=session) as at:
        [task] = await begun(at, 1, **options)
        assert deadlines() == 0
        leap(1e6)
        await turns()
        assert not task.done()
        at.login.gate.set()
        assert (await task)[0] == 200


@pytest.mark.parametrize(("session", "options"), TOTALS)
@leaping
async def test_what_is_left_of_the_total_is_what_the_request_gets(
    session: dict[str, Any], options: dict[str, Any]
) -> None:
    """The wait counts against the total: after 45 of 50 seconds five are left for the answer, and not 50 again."""
    async with held_up(session=session) as at:
        tasks = await begun(at, 2, "/held", **options)
        leap(45)
        at.login.gate.set()
        await until(lambda: len(at.api.arrivals) == 2)
        assert not any(task.done() for task in tasks)
        leap(7)
        assert all(isinstance(error, TimeoutError) for error in await ends_of(tasks))


@leaping
async def test_a_far_end_lies_on_the_full_second_with_and_without_a_wait() -> None:
    """A far end is rounded up once, by aiohttp; a request that waited first ends on the same second."""
    async with held_up() as at:
        now = asyncio.get_running_loop().time
        leap(math.ceil(now()) + 0.1 - now())
        [task] = await begun(at, 1, "/held", timeout=20.0)
        end = math.ceil(now() + 20)
        at.login.gate.set()
        await until(lambda: len(at.api.arrivals) == 1)
        leap(end - now() - 0.1)
        await turns()
        assert not task.done()
        leap(0.15)
        await turns()
        assert task.done()
        assert [type(error) for error in await ends_of([task])] == [TimeoutError]


@pytest.mark.parametrize("where", ["session", "request"])
@leaping
async def test_the_other_limits_of_a_timeout_hold_after_the_wait(where: str) -> None:
    """`sock_read` is what it was; the wait does not count against it."""
    limits: dict[str, Any] = {"timeout": ClientTimeout(total=1000, sock_read=20)}
    async with held_up(session=limits if where == "session" else None) as at:
        [task] = await begun(at, 1, "/held", **(limits if where == "request" else {}))
        leap(500)
        at.login.gate.set()
        await until(lambda: len(at.api.arrivals) == 1)
        await turns()
        leap(22)
        assert [type(error) for error in await ends_of([task])] == [aiohttp.SocketTimeoutError]


@leaping
async def test_the_limit_for_connecting_begins_after_the_wait() -> None:
    """`connect` counts the queue for a connection and not the login."""
    async with held_up(session={"connector": aiohttp.TCPConnector(limit=1)}) as at:
        tasks = await begun(at, 2, "/held", timeout=ClientTimeout(total=1000, connect=20))
        leap(500)
        await turns()
        assert not any(task.done() for task in tasks)
        at.login.gate.set()
        await until(lambda: len(at.api.arrivals) == 1)
        await turns()
        leap(22)
        await until(lambda: any(task.done() for task in tasks))
        [over] = [task for task in tasks if task.done()]
        assert isinstance(over.exception(), aiohttp.ConnectionTimeoutError)
        [other] = [task for task in tasks if task is not over]
        other.cancel()
        await asyncio.wait([other])


@leaping
async def test_each_waits_for_its_own_time() -> None:
    """Rule 5: the impatient end, in their order, and the patient are answered."""
    async with held_up() as at:
        tasks = [(await begun(at, 1, timeout=seconds))[0] for seconds in (40.0, 20.0, 80.0)]
        leap(21.5)
        await ends_of([tasks[1]])
        assert [task.done() for task in tasks] == [False, True, False]
        leap(20)
        await ends_of([tasks[0]])
        at.login.gate.set()
        assert ((await tasks[2])[0], at.login.count) == (200, 1)


@leaping
async def test_many_with_the_same_timeout_share_a_few_timers() -> None:
    """A far end lies on a full second: what arrives within one waits with one timer."""
    async with held_up() as at:
        tasks = await begun(at, 300)
        assert 1 <= deadlines() <= 5
        at.login.gate.set()
        assert {status for status, _ in await asyncio.gather(*tasks)} == {200}


# -- how it ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 5, 9])
@leaping
async def test_cancelling_one_leaves_the_login_and_the_others_alone(position: int) -> None:
    """Rule 5: the first one too."""
    async with held_up() as at:
        tasks = await begun(at, 10)
        tasks[position].cancel()
        await asyncio.wait([tasks[position]])
        assert tasks[position].cancelled()
        assert at.auth.stats().waiting == 9
        at.login.gate.set()
        rest = [task for task in tasks if task is not tasks[position]]
        assert {status for status, _ in await asyncio.gather(*rest)} == {200}
        assert (at.login.count, len(at.api.arrivals)) == (1, 9)


@leaping
async def test_cancelling_all_loses_no_login() -> None:
    """Rule 5: its token serves the next request."""
    async with held_up() as at:
        tasks = await begun(at, 10)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        at.login.gate.set()
        assert (await at.post())[0] == 200
        assert (at.login.count, at.api.since(0)) == (1, [(200, "token-1")])


@leaping
async def test_a_session_closed_while_they_wait_sends_nothing() -> None:
    """The fault table: an error of aiohttp's own kind, one sentence, and the login is kept."""
    async with held_up() as at:
        tasks = await begun(at, 3)
        await at.http.close()
        at.login.gate.set()
        errors = await ends_of(tasks)
        assert [type(error) for error in errors] == [aiohttp.ClientConnectionError] * 3
        assert "closed while this request waited" in str(errors[0])
        assert (at.api.arrivals, (await at.auth.token()).value) == ([], "token-1")


@pytest.mark.parametrize(("leave", "error"), [("aclose", ClosedError), ("logout", LoggedOutError)])
@leaping
async def test_an_owner_that_leaves_ends_the_wait(leave: str, error: type[Exception]) -> None:
    """Rule 21: whoever waits when it is closed or logged out ends at once, and is not sent."""
    async with held_up() as at:
        tasks = await begun(at, 30)
        await getattr(at.auth, leave)()
        assert {type(each) for each in await ends_of(tasks)} == {error}
        assert (at.api.arrivals, at.auth.stats().waiting) == ([], 0)


@leaping
async def test_a_closed_owner_lets_nobody_wait() -> None:
    """Rule 21: every later use raises, and no login begins."""
    async with held_up() as at:
        await at.auth.aclose()
        with pytest.raises(ClosedError):
            await at.post()
        assert at.login.count == 0


@leaping
async def test_a_failed_login_ends_all_with_the_same_typed_error() -> None:
    """Rules 6 and 7: for each an error of its own, the cause chained; no second login, now and in the pause."""
    calls: list[object] = []
    gate = asyncio.Event()

    async def failing(context: object) -> Token:
        calls.append(context)
        await gate.wait()
        raise CredentialsRejectedError("no such user", reason="user") from OSError("the cause")

    async with scene(login=failing) as at:
        tasks = await begun(at, 40)
        gate.set()
        errors: list[Any] = await ends_of(tasks)
        assert {(type(e), e.reason, str(e), type(e.__cause__)) for e in errors} == {
            (CredentialsRejectedError, "user", "no such user", OSError)
        }
        assert len({id(error) for error in errors}) == 40
        with pytest.raises(CredentialsRejectedError):
            await at.post()
        assert (len(calls), at.api.arrivals) == (1, [])


@leaping
async def test_inside_a_login_it_is_refused_at_once() -> None:
    """Rule 14: the verbs and `graphql()` do not wait for the login that they are part of."""
    seen: list[str] = []
    made: list[Scene] = []

    async def login(_context: object) -> Token:
        for call in (made[0].post, functools.partial(made[0].client.graphql, "{ __typename }")):
            with pytest.raises(ReentrantLoginError):
                await call()
            seen.append("refused")
        return Token(made[0].api.issue())

    async with scene(login=login) as at:
        made.append(at)
        assert (await at.post())[0] == 200
        assert (seen, len(at.api.arrivals)) == (["refused"] * 2, 1)


# -- the request that goes on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "graphql", "/graphql", "?a=b"])
@leaping
async def test_relative_urls_are_the_endpoints(url: str) -> None:
    """The contract: resolved as without a wait."""
    async with held_up() as at:
        task = asyncio.create_task(post(at.client, url))
        await until(lambda: at.auth.stats().waiting == 1)
        at.login.gate.set()
        assert ((await task)[0], at.api.arrivals[0].path) == (200, "/graphql")


@leaping
async def test_the_sessions_base_url_comes_first() -> None:
    """The contract: ours or a stranger's, by what it is resolved to."""
    requests = noting()
    async with held_up() as at, Api() as foreign:
        base: dict[str, Any] = {"base_url": at.api.base + "/v2/", "request_class": requests}
        async with aiohttp.ClientSession(**base) as http:
            task = asyncio.create_task(post(AuthSession(http, at.auth), "graphql"))
            await until(lambda: at.auth.stats().waiting == 1)
            assert requests.made == 0
            at.login.gate.set()
            assert ((await task)[0], at.api.arrivals[0].path) == (200, "/v2/graphql")
        await at.auth.logout()
        async with aiohttp.ClientSession(base_url=foreign.base) as http:
            assert (await post(AuthSession(http, at.auth), "graphql"))[0] == 401
        assert (at.login.count, foreign.arrivals[0].token) == (1, "")


@leaping
async def test_what_a_body_factory_takes_is_time_of_the_request() -> None:
    """Rule 5: with half of the time gone for the body, the answer has the other half."""

    async def make() -> bytes:
        leap(0.6)
        return b"{}"

    async with held_up() as at:
        at.login.gate.set()
        task = asyncio.create_task(post(at.client, at.api.base + "/held", data=make, timeout=ClientTimeout(total=1)))
        await until(lambda: len(at.api.arrivals) == 1)
        leap(0.5)
        with pytest.raises(TimeoutError):
            await task


@leaping
async def test_a_body_factory_makes_a_body_for_each_sending() -> None:
    """Rule 12: one before the wait, another for the replay, each whole."""
    numbers = itertools.count(1)

    def make() -> bytes:
        return f"body-{next(numbers)}".encode()

    async with held_up() as at:
        tasks = await begun(at, 1, data=make)
        at.login.gate.set()
        assert (await tasks[0])[0] == 200
        assert [arrival.body for arrival in at.api.arrivals] == [b"body-1"]
        assert at.api.arrivals[0].headers["Content-Type"] == "application/json"
        await at.auth.logout()
        at.login.gate.clear()
        tasks = await begun(at, 1, data=make)
        at.api.keys.clear()
        at.api.refusals["/graphql"] = accept_keys_from_now_on(at.api)
        at.login.gate.set()
        assert (await tasks[0])[0] == 200
        assert [arrival.body for arrival in at.api.arrivals] == [b"body-1", b"body-2", b"body-3"]


def accept_keys_from_now_on(api: Api) -> Callable[[web.Request, bytes], Coroutine[Any, Any, None]]:
    """A refusal that is the last one."""

    async def refuse(request: web.Request, _body: bytes) -> None:
        api.keys.add(request.headers["x-api-key"])

    return refuse


BODIES = {
    "json": {"json": {"a": ["b", "ü"]}},
    "empty json": {"json": {}},
    "text": {"data": "text"},
    "bytes": {"data": b"bytes"},
    "form": {"data": {"a": "form"}},
    "stream": {"data": io.BytesIO(b"stream")},
    "own type": {"json": [1], "headers": {"Content-Type": "application/x-own"}},
    "own credentials": {"data": b"x", "headers": {"Authorization": "Bearer mine", "X-Api-Key": "mine", "X-Mine": "1"}},
    "query": {"data": b"x", "params": {"a": "b"}},
}


@pytest.mark.parametrize("options", BODIES.values(), ids=BODIES)
@leaping
async def test_bodies_and_headers_arrive_as_without_a_wait(options: dict[str, Any]) -> None:
    """Rules 12 and 13: the same bytes, the same headers, and the caller's options left as they were."""
    async with held_up(session={"json_serialize": lambda value: f"{json.dumps(value)} "}) as at:
        before = copy.copy(options)
        [task] = await begun(at, 1, **options)
        at.login.gate.set()
        assert (await task)[0] == 200
        if isinstance(stream := options.get("data"), io.BytesIO):
            options = {"data": io.BytesIO(b"stream")}
            stream.close()
        else:
            assert options == before
        await at.post(**options)
        first, second = at.api.arrivals
        assert (first.body, first.headers) == (second.body, second.headers)
        assert first.token == "token-1"


@leaping
async def test_a_request_is_what_it_was_when_it_began() -> None:
    """Rule 12: what the caller does with its list and headers afterwards does not change what is sent."""
    async with held_up() as at:
        names, headers = ["first"], {"X-Mine": "first"}
        [task] = await begun(at, 1, json=names, headers=headers)
        names.append("second")
        headers["X-Mine"] = "second"
        at.login.gate.set()
        assert (await task)[0] == 200
        assert (at.api.arrivals[0].body, at.api.arrivals[0].headers["X-Mine"]) == (b'["first"]', "first")


WRONG: dict[str, dict[str, Any]] = {
    "json and data": {"json": {}, "data": b""},
    "timeout": {"timeout": "5"},
    "json": {"json": object()},
}


@pytest.mark.parametrize("options", WRONG.values(), ids=WRONG)
@leaping
async def test_a_wrong_argument_is_refused_as_with_a_token_at_hand(options: dict[str, Any]) -> None:
    """The contract: aiohttp's own errors, whether or not there is a token."""
    async with scene() as at:
        errors = []
        for _ in range(2):
            with pytest.raises((TypeError, ValueError)) as caught:
                async with at.client.post("", **options):
                    pass
            errors.append((type(caught.value), str(caught.value)))
            await at.auth.token()
        assert errors[0] == errors[1]
        assert at.api.arrivals == []


@pytest.mark.parametrize("end", ["served", "timed out", "logged out"])
@leaping
async def test_an_upload_tracker_hears_of_the_end(end: str) -> None:
    """Rule 6, nothing hangs: whoever awaits aiohttp's own record of the upload goes on, however the request ended."""
    async with held_up() as at:
        tracker = aiohttp.UploadTracker()
        [task] = await begun(at, 1, timeout=50, upload_tracker=tracker)
        if end == "served":
            at.login.gate.set()
        elif end == "timed out":
            leap(52)
        else:
            await at.auth.logout()
        await asyncio.wait([task])
        failed = task.exception() is not None
        await turns()
        assert (failed, tracker.upload_complete.done()) == (end != "served", True)
        assert (tracker.upload_complete.exception() is not None) == failed


@leaping
async def test_graphql_waits_first_too() -> None:
    """The contract: its data after the wait, and its own timeout's end is the session's."""
    requests = noting()
    session: dict[str, Any] = {"request_class": requests, "timeout": ClientTimeout(total=50)}
    async with held_up(session=session) as at:
        call = functools.partial(at.client.graphql, "{ __typename }")
        task = asyncio.create_task(call())
        await until(lambda: at.auth.stats().waiting == 1)
        assert requests.made == 0
        at.login.gate.set()
        assert await task == {"__typename": "Query"}
        await at.auth.logout()
        at.login.gate.clear()
        late = asyncio.create_task(call())
        await until(lambda: at.auth.stats().waiting == 1)
        leap(52)
        assert [type(error) for error in await ends_of([late])] == [TimeoutError]


def unauthenticated_until(token: str) -> Callable[[web.Request, bytes], Coroutine[Any, Any, web.Response | None]]:
    """GraphQL's own refusal of every token but *token*."""

    async def answer(request: web.Request, _body: bytes) -> web.Response | None:
        if request.headers["Authorization"] == f"Bearer {token}":
            return None
        return web.json_response({"errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]})

    return answer


@leaping
async def test_graphqls_own_refusal_counts_after_the_wait() -> None:
    """Rule 15: renewed and sent again once, as without a wait; then it is the caller's."""
    async with held_up() as at:
        at.api.answers["/graphql"] = unauthenticated_until("token-2")
        task = asyncio.create_task(at.client.graphql("{ __typename }"))
        await until(lambda: at.auth.stats().waiting == 1)
        at.login.gate.set()
        assert await task == {"__typename": "Query"}
        assert [token for _, token in at.api.since(0)] == ["token-1", "token-2"]
        at.api.answers["/graphql"] = unauthenticated_until("none")
        await at.auth.logout()
        with pytest.raises(GraphQLError):
            await at.client.graphql("{ __typename }")


@pytest.mark.parametrize("test", TEAPOT_TESTS)
@leaping
async def test_an_own_test_for_refusals_counts_after_the_wait(test: Any) -> None:
    """The contract: `is_unauthorized` replaces the status also for who waited first."""
    async with held_up(is_unauthorized=test) as at:
        at.api.refusals["/graphql"] = teapot
        [task] = await begun(at)
        at.api.keys.clear()
        at.api.refusals["/graphql"] = teapot_once(at.api)
        at.login.gate.set()
        assert (await task)[0] == 200
        assert [status for status, _ in at.api.since(0)] == [418, 200]


def teapot_once(api: Api) -> Callable[[web.Request, bytes], Coroutine[Any, Any, web.Response]]:
    """The last refusal, with a status of its own."""

    async def refuse(request: web.Request, body: bytes) -> web.Response:
        api.keys.add(request.headers["x-api-key"])
        return await teapot(request, body)

    return refuse


# -- useless logins -----------------------------------------------------------------------------------------------------


async def spent(number: int, *, plain: bool) -> tuple[int, int, list[object]]:
    """Logins, useless ones and results where the API refuses every token to so many requests at a time."""
    async with Api() as api:
        login = Login(api)
        async with scene(login=login, endpoint=api.endpoint, max_logins=(4, 60.0)) as at:
            api.keys.clear()
            async with aiohttp.ClientSession(middlewares=(at.auth,)) as http:
                client: Any = http if plain else at.client
                results: list[object] = []
                for _ in range(4):
                    ends = await asyncio.gather(
                        *(post(client, api.endpoint) for _ in range(number)), return_exceptions=True
                    )
                    results += sorted({e[0] if isinstance(e, tuple) else type(e).__name__ for e in ends}, key=str)
                return login.count, at.auth.stats().useless_logins, results


@pytest.mark.parametrize("number", [1, 20])
@leaping
async def test_a_token_refused_to_who_waited_first_is_useless(number: int) -> None:
    """Rule 7, `max_logins`: counted as through the plain middleware, and no login beyond the budget."""
    ours, plain = await spent(number, plain=False), await spent(number, plain=True)
    assert ours == plain
    assert ours[:2] == (4, 4)
    assert ours[2][-1] == LoginBudgetExceededError.__name__


@pytest.mark.parametrize("plain", [True, False])
@leaping
async def test_a_token_that_is_refused_before_anybody_resumes_is_useless(plain: bool) -> None:  # noqa: FBT001 - a parameter
    """Rule 7, `max_logins`: a hook that invalidates every token ends within the budget."""
    owner: list[Any] = []

    async with scene(on_token=lambda new, _old, _why: owner[0].invalidate(new), max_logins=(3, 60.0)) as at:
        owner.append(at.auth)
        async with aiohttp.ClientSession(middlewares=(at.auth,)) as http:
            client: Any = http if plain else at.client
            tasks = [asyncio.create_task(post(client, at.api.endpoint)) for _ in range(5)]
            assert {type(error) for error in await ends_of(tasks)} == {LoginBudgetExceededError}
        assert (at.login.count, at.api.arrivals) == (3, [])


@leaping
async def test_who_finds_the_token_over_waits_before_the_request_is_made_too() -> None:
    """As with no token: the expired one is not asked for by thousands of requests that aiohttp has made."""
    requests = noting()
    async with scene(refresh_ahead=0, session={"request_class": requests}) as at:
        at.login.expires_in = 0.2
        assert (await at.post())[0] == 200
        await until(lambda: at.auth._middleware.must_wait)
        at.login.gate.clear()
        made = requests.made
        tasks = await begun(at, 5)
        assert requests.made == made
        at.login.gate.set()
        assert {status for status, _ in await asyncio.gather(*tasks)} == {200}


@pytest.mark.parametrize("plain", [True, False])
@leaping
async def test_a_hook_slower_than_the_tokens_life_costs_one_login_more(plain: bool) -> None:  # noqa: FBT001 - a parameter
    """Rule 8: as for `auth.token()`, the second token is used although its life is over when the hook has ended."""

    async def slow(*_: object) -> None:
        await asyncio.sleep(0.4)

    async with scene(on_token=slow, refresh_ahead=0) as at:
        at.login.expires_in = 0.2
        async with aiohttp.ClientSession(middlewares=(at.auth,)) as http:
            client: Any = http if plain else at.client
            results = await asyncio.gather(*(post(client, at.api.endpoint) for _ in range(3)))
        assert ({status for status, _ in results}, at.login.count) == ({200}, 2)


@leaping
async def test_a_url_that_is_none_is_aiohttps_to_refuse() -> None:
    """As from a plain session: when the request is awaited, by an error of aiohttp's, and it costs no login."""
    async with scene() as at:
        request = at.client.get("http://[::1")
        with pytest.raises(aiohttp.InvalidURL):
            await request
        assert at.login.count == 0


# -- many ---------------------------------------------------------------------------------------------------------------


def exactly(seconds: float) -> ClientTimeout:
    """A total that is not rounded to the full second."""
    return ClientTimeout(total=seconds, ceil_threshold=math.inf)


def calls_for(number: int) -> int:
    """How many calls it takes for so many requests with timeouts of their own to wait, and to be told that time is over."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    @leaping
    async def run() -> None:
        async with held_up() as at:
            sys.setprofile(count)
            try:
                waiting = [at.client.post("", json=QUERY, timeout=exactly(1000 + nth / 7)) for nth in range(number)]
                tasks = [asyncio.ensure_future(call.__aenter__()) for call in waiting]
                await turns(2)
                assert at.auth.stats().waiting == number
                leap(20_000)
                await asyncio.wait(tasks)
            finally:
                sys.setprofile(None)
            assert {type(task.exception()) for task in tasks} == {TimeoutError}
            assert (at.login.count, at.auth.stats().waiting) == (1, 0)

    run()
    return calls


def test_ten_times_as_many_take_ten_times_the_steps() -> None:
    """Lesson 39: 10 000 that wait with deadlines of their own and give up cost no quadratic time."""
    assert calls_for(10_000) < 2 * 10 * calls_for(1_000)
