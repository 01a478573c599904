"""`AuthSession` waits for a token before aiohttp creates the request, and nothing shows it but the memory."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import inspect
import io
import json
import math
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientTimeout, web
from aiohttp.helpers import sentinel

from exterview_auth import (
    AuthSession,
    ClosedError,
    CredentialsRejectedError,
    GraphQLError,
    LoggedOutError,
    LoginBudgetExceededError,
    Token,
)
from exterview_auth._aiohttp.early_wait import with_deadline
from tests.kit.api import PLAIN, QUERY, TEAPOT_TESTS, Api, Scene, held, post, scene, until

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
    """Run an async test on such a loop; no task may be left, and no timer of a waiter."""

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
    """Return how many timers of waiters are set."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # asyncio has no public one
    return sum(not handle.cancelled() and "_expire" in repr(handle) for handle in scheduled)


# -- requests that wait -------------------------------------------------------------------------------------------------


class CountedRequest(aiohttp.ClientRequest):
    """Counts the requests that aiohttp creates; `held_up` makes a class with a separate count."""

    created = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        type(self).created += 1
        super().__init__(*args, **options)


@contextlib.asynccontextmanager
async def held_up(*, session: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Scene]:
    """A scene whose login waits for its gate, and whose ``/held`` is not answered, however far its time leaps."""
    counted = type("Counted", (CountedRequest,), {"created": 0})
    over = asyncio.Event()
    async with scene(session={"request_class": counted, **(session or {})}, login_timeout=1e7, **options) as at:
        at.login.gate.clear()
        at.api.answers["/held"] = held(over)
        try:
            yield at
        finally:
            at.login.gate.set()
            over.set()


def created(at: Scene) -> int:
    """Return how many requests aiohttp has created."""
    return int(at.http._request_class.created)  # type: ignore[attr-defined]  # `held_up` sets it


async def begun(at: Scene, number: int = 1, path: str = "/graphql", **options: Any) -> list[asyncio.Task[Any]]:
    """So many requests that wait for the login."""
    return await waiting(at, number, lambda: at.post(path, **options))


async def waiting(at: Scene, number: int, call: Callable[[], Coroutine[Any, Any, Any]]) -> list[asyncio.Task[Any]]:
    """So many tasks of *call*, each of which waits for the login."""
    before = at.auth.stats().waiting
    tasks = [asyncio.create_task(call()) for _ in range(number)]
    await until(lambda: at.auth.stats().waiting == before + number)
    return tasks


async def served(at: Scene, tasks: list[asyncio.Task[Any]]) -> list[Any]:
    """The requests' answers, after the login."""
    at.login.gate.set()
    return await asyncio.gather(*tasks)


async def ends_of(tasks: list[asyncio.Task[Any]]) -> list[type[BaseException]]:
    """The kinds of errors that the requests end in, all of them within ten seconds of real time."""
    async with asyncio.timeout(10):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, BaseException) for result in results), results
    return [type(result) for result in results]


OK = (200, {"data": {"__typename": "Query"}})
EITHER = pytest.mark.parametrize("where", ["session", "request"])
"""An option of the session, or of the request."""


def given(where: str, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return *options* for the session and for the request."""
    return (options, {}) if where == "session" else ({}, options)


# -- where it waits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete", "head", "options"])
@leaping
async def test_no_request_is_created_before_there_is_a_token(verb: str) -> None:
    """Many requests that wait cost aiohttp nothing; afterwards each is sent once, signed."""
    async with held_up() as at:
        tasks = await waiting(at, 20, lambda: getattr(at.client, verb)("/graphql").__aenter__())
        assert (created(at), at.api.arrivals) == (0, [])
        for response in await served(at, tasks):
            assert response.status == 200
            response.release()
        assert (created(at), at.login.count) == (20, 1)
        assert at.api.since(0) == [(200, "token-1")] * 20
        assert (at.auth.stats().waiting, at.auth.stats().waiting_peak) == (0, 20)


@leaping
async def test_graphql_waits_early_too() -> None:
    """It returns the data after the wait, and the session's timeout ends the wait."""
    async with held_up(session={"timeout": ClientTimeout(total=50)}) as at:
        call = functools.partial(at.client.graphql, "{ __typename }")
        tasks = await waiting(at, 1, call)
        assert created(at) == 0
        assert await served(at, tasks) == [{"__typename": "Query"}]
        await at.auth.logout()
        at.login.gate.clear()
        late = await waiting(at, 1, call)
        leap(52)
        assert await ends_of(late) == [TimeoutError]


@pytest.mark.parametrize("options", [{}, {"middlewares": ()}], ids=["the session's", "none"])
@leaping
async def test_the_owner_among_the_middlewares_does_not_count_as_an_own_one(options: dict[str, Any]) -> None:
    """A request still waits early if the owner is the session's middleware, or if the request has none."""
    async with held_up() as at:
        at.http._middlewares = (at.auth,)
        tasks = await begun(at._replace(client=AuthSession(at.http, at.auth)), **options)
        assert created(at) == 0
        assert (await served(at, tasks), created(at), len(at.api.arrivals)) == ([OK], 1, 1)


@pytest.mark.parametrize("where", ["session", "request", "tracing"])
@leaping
async def test_middlewares_and_traces_see_the_wait_inside_the_request(where: str) -> None:
    """They see each request when it begins and when it is answered, as without us."""
    seen: list[str] = []

    async def record(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append("begun")
        response = await handler(request)
        seen.append("answered")
        return response

    async def begin(*_: object) -> None:
        seen.append("begun")

    async def end(*_: object) -> None:
        seen.append("answered")

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(begin)
    tracing.on_request_end.append(end)
    session, options = given(where, middlewares=(record,))
    async with held_up(session={"trace_configs": [tracing]} if where == "tracing" else session) as at:
        tasks = await begun(at, **(options if where == "request" else {}))
        assert seen == ["begun"]
        assert await served(at, tasks) == [OK]
        assert seen == ["begun", "answered"]


@leaping
async def test_the_sessions_base_url_comes_first() -> None:
    """It decides whether the request is ours or a stranger's."""
    async with held_up() as at, Api() as foreign:
        async with aiohttp.ClientSession(base_url=f"{at.api.base}/v2/") as http:
            tasks = await waiting(at, 1, functools.partial(post, AuthSession(http, at.auth), "graphql"))
            assert await served(at, tasks) == [OK]
            assert at.api.arrivals[0].path == "/v2/graphql"
        await at.auth.logout()
        async with aiohttp.ClientSession(base_url=foreign.base) as http:
            assert (await post(AuthSession(http, at.auth), "graphql"))[0] == 401
        assert (at.login.count, foreign.arrivals[0].token) == (1, "")


@leaping
async def test_a_closed_session_is_closed_immediately() -> None:
    """Aiohttp's own error, and no login."""
    async with held_up() as at:
        await at.http.close()
        with pytest.raises(RuntimeError, match="closed"):
            await at.post()
        assert at.login.count == 0


@leaping
async def test_a_call_that_is_awaited_later_waits_for_nothing() -> None:
    """It began before there was a token and is awaited afterwards; one login serves all."""
    async with scene() as at:
        calls = [at.client.post("", json=QUERY) for _ in range(5)]
        for call in calls:
            async with call as response:
                assert response.status == 200
        assert at.login.count == 1
        assert at.api.since(0) == [(200, "token-1")] * 5


@leaping
async def test_an_expired_token_is_waited_for_early_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with no token: only the request that finds its life over is created, and none of the next."""
    monkeypatch.setattr("exterview_auth._auth.boot_time", asyncio.get_running_loop().time)
    async with held_up(refresh_ahead=0) as at:
        at.login.expires_in = 100
        at.login.gate.set()
        assert await at.post() == OK
        leap(101)
        assert at.auth._middleware.must_wait
        at.login.gate.clear()
        tasks = await begun(at, 5)
        assert created(at) == 2
        assert await served(at, tasks) == [OK] * 5
        assert at.api.since(1) == [(200, "token-2")] * 5


# -- the request's time -------------------------------------------------------------------------------------------------

TOTALS = [
    pytest.param({}, {"timeout": ClientTimeout(total=50)}, 50, id="ClientTimeout"),
    pytest.param({}, {"timeout": 50.0}, 50, id="float"),
    pytest.param({}, {"timeout": 50}, 50, id="int"),
    pytest.param({"timeout": ClientTimeout(total=50)}, {}, 50, id="session"),
    pytest.param({"timeout": ClientTimeout(total=7)}, {"timeout": ClientTimeout(total=50)}, 50, id="both"),
    pytest.param({}, {}, 300, id="aiohttp's default"),
]


@pytest.mark.parametrize(("session", "options", "total"), TOTALS)
@leaping
async def test_the_wait_counts_against_the_total(
    session: dict[str, Any], options: dict[str, Any], total: float
) -> None:
    """It ends in TimeoutError, the answer has what is left of it, and the login serves the next request."""
    async with held_up(session=session) as at:
        for answered in (False, True):
            tasks = await begun(at, 3, "/held", **options)
            leap(total - 5)
            if answered:
                at.login.gate.set()
                await until(lambda: len(at.api.arrivals) == 3)
            await turns()
            assert not any(task.done() for task in tasks)
            leap(6.5)
            assert await ends_of(tasks) == [TimeoutError] * 3
            assert (at.auth.stats().waiting, len(at.api.arrivals)) == (0, 3 * answered)
        assert await at.post() == OK
        assert (at.login.count, at.api.since(0)) == (1, [(200, "token-1")] * 4)


ENDLESS = [
    pytest.param({}, {"timeout": None}, id="None"),
    pytest.param({}, {"timeout": 0}, id="zero"),
    pytest.param({}, {"timeout": ClientTimeout(total=None, sock_read=5)}, id="total None"),
    pytest.param({}, {"timeout": ClientTimeout(total=0)}, id="total zero"),
    pytest.param({"timeout": ClientTimeout(total=None)}, {}, id="session"),
]


@pytest.mark.parametrize(("session", "options"), ENDLESS)
@leaping
async def test_without_a_total_there_is_no_limit(session: dict[str, Any], options: dict[str, Any]) -> None:
    """As for aiohttp."""
    async with held_up(session=session) as at:
        tasks = await begun(at, **options)
        assert deadlines() == 0
        leap(1e6)
        await turns()
        assert not tasks[0].done()
        assert await served(at, tasks) == [OK]


@leaping
async def test_a_far_deadline_is_a_full_second_with_and_without_a_wait() -> None:
    """A far deadline is rounded up once, by aiohttp; a request that waited early ends on the same second."""
    async with held_up() as at:
        now = asyncio.get_running_loop().time
        leap(math.ceil(now()) + 0.05 - now())
        tasks = await begun(at, 1, "/held", timeout=20.0)
        end = math.ceil(now() + 20)
        at.login.gate.set()
        await until(lambda: len(at.api.arrivals) == 1)
        leap(end - now() - 0.7)  # time that has passed since then counts too
        await turns()
        assert not tasks[0].done()
        leap(0.75)
        await turns()
        assert tasks[0].done()
        assert await ends_of(tasks) == [TimeoutError]


@EITHER
@leaping
async def test_the_other_limits_of_a_timeout_hold_after_the_wait(where: str) -> None:
    """`sock_read` stays what it was, and the wait does not count against it."""
    session, options = given(where, timeout=ClientTimeout(total=1000, sock_read=20))
    async with held_up(session=session) as at:
        tasks = await begun(at, 1, "/held", **options)
        leap(500)
        at.login.gate.set()
        await until(lambda: len(at.api.arrivals) == 1)
        await turns()
        leap(22)
        assert await ends_of(tasks) == [aiohttp.SocketTimeoutError]


@leaping
async def test_the_limit_for_connecting_begins_after_the_wait() -> None:
    """`connect` counts the queue for a connection and not the login."""
    async with held_up(connections=1) as at:
        tasks = await begun(at, 2, "/held", timeout=ClientTimeout(total=1000, connect=20))
        leap(500)
        await turns()
        assert not any(task.done() for task in tasks)
        at.login.gate.set()
        await until(lambda: len(at.api.arrivals) == 1)
        await turns()
        leap(22)
        await until(lambda: any(task.done() for task in tasks))
        other, over = sorted(tasks, key=asyncio.Task.done)
        assert isinstance(over.exception(), aiohttp.ConnectionTimeoutError)
        other.cancel()
        await asyncio.wait([other])


@leaping
async def test_making_the_first_body_counts_against_the_total() -> None:
    """With half of the time gone for the body, the answer has the other half."""

    async def make() -> bytes:
        leap(0.6)
        return b"{}"

    async with held_up() as at:
        at.login.gate.set()
        task = asyncio.create_task(at.post("/held", data=make, timeout=ClientTimeout(total=1)))
        await until(lambda: len(at.api.arrivals) == 1)
        leap(0.5)
        assert await ends_of([task]) == [TimeoutError]


@pytest.mark.parametrize("limit", [ClientTimeout(total=50, connect=1, sock_read=2, sock_connect=3), 50.0])
@leaping
async def test_what_is_left_of_the_time_is_rounded_up_to_a_millisecond(limit: Any) -> None:
    """The other limits stay; a time that is over ends at once, and is not taken for no limit."""
    now = asyncio.get_running_loop().time
    left = with_deadline(now() + 5, limit)
    assert left.total is not None
    assert 4.9 < left.total <= 5.001
    assert (left.connect, left.sock_read, left.sock_connect) == (
        (1, 2, 3) if isinstance(limit, ClientTimeout) else (None,) * 3
    )
    assert 0 < (with_deadline(now() - 5, limit).total or 0) < 0.001


# -- how the wait ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [slice(0, 1), slice(9, 10), slice(10)], ids=["first", "last", "all"])
@leaping
async def test_cancelled_requests_leave_the_login_and_the_others_alone(gone: slice) -> None:
    """Whichever they are; the login also serves the next request."""
    async with held_up() as at:
        tasks = await begun(at, 10)
        cancelled = tasks[gone]
        del tasks[gone]
        for task in cancelled:
            task.cancel()
        await asyncio.wait(cancelled)
        assert at.auth.stats().waiting == len(tasks)
        assert await served(at, tasks) == [OK] * len(tasks)
        assert await at.post() == OK
        assert (at.login.count, at.api.since(0)) == (1, [(200, "token-1")] * (len(tasks) + 1))


@pytest.mark.parametrize(("leave", "error"), [("aclose", ClosedError), ("logout", LoggedOutError)])
@leaping
async def test_leaving_ends_the_wait(leave: str, error: type[Exception]) -> None:
    """Requests that wait when the owner is closed or logged out end immediately, and are not sent."""
    async with held_up() as at:
        tasks = await begun(at, 30)
        await getattr(at.auth, leave)()
        assert set(await ends_of(tasks)) == {error}
        assert (at.api.arrivals, at.auth.stats().waiting) == ([], 0)


@leaping
async def test_a_failed_login_ends_all_requests_with_the_same_typed_error() -> None:
    """Each has its own copy, with the cause chained; there is no second login during the pause."""
    async with held_up() as at:
        at.login.error = CredentialsRejectedError("no such user", reason="user")
        at.login.error.__cause__ = OSError("the cause")
        tasks = await begun(at, 40)
        at.login.gate.set()
        assert await ends_of(tasks) == [CredentialsRejectedError] * 40
        errors: Any = [task.exception() for task in tasks]
        assert {(e.reason, str(e), type(e.__cause__)) for e in errors} == {("user", "no such user", OSError)}
        assert len({id(error) for error in errors}) == 40
        with pytest.raises(CredentialsRejectedError):
            await at.post()
        assert (at.login.count, at.api.arrivals) == (1, [])


# -- what is sent after it ----------------------------------------------------------------------------------------------

BODIES: dict[str, dict[str, Any]] = {
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
    """The same bytes, the same headers, and the caller's options left as they were."""
    async with held_up(session={"json_serialize": lambda value: f"{json.dumps(value)} "}) as at:
        before = copy.copy(options)
        tasks = await begun(at, **options)
        assert await served(at, tasks) == [OK]
        if isinstance(stream := options.get("data"), io.BytesIO):
            options = {"data": io.BytesIO(b"stream")}
            stream.close()
        else:
            assert options == before
        await at.post(**options)
        first, second = at.api.arrivals
        assert (first.body, sorted(first.headers.items())) == (second.body, sorted(second.headers.items()))
        assert first.token == "token-1"


@leaping
async def test_a_request_is_sent_as_it_was_when_it_began() -> None:
    """Changing the list and the headers afterwards does not change what is sent."""
    async with held_up() as at:
        names, headers = ["first"], {"X-Mine": "first"}
        tasks = await begun(at, json=names, headers=headers)
        names.append("second")
        headers["X-Mine"] = "second"
        assert await served(at, tasks) == [OK]
        assert (at.api.arrivals[0].body, at.api.arrivals[0].headers["X-Mine"]) == (b'["first"]', "first")


WRONG: dict[str, dict[str, Any]] = {
    "json and data": {"json": {}, "data": b""},
    "timeout": {"timeout": "5"},
    "json": {"json": object()},
}


@pytest.mark.parametrize("options", WRONG.values(), ids=WRONG)
@leaping
async def test_a_wrong_argument_is_refused_with_and_without_a_token(options: dict[str, Any]) -> None:
    """By aiohttp's own errors, and nothing is sent."""
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


@leaping
async def test_aiohttps_placeholder_for_a_timeout_is_none() -> None:
    """Aiohttp's own signatures, for a body factory too; whoever passes arguments on passes its default."""
    async with scene() as at:
        assert (await at.post(data=lambda: b"{}", timeout=sentinel))[0] == 200


@leaping
async def test_a_text_that_is_not_a_url_is_aiohttps_to_refuse() -> None:
    """As from a plain session: when the request is awaited, with aiohttp's error, and without a login."""
    async with scene() as at:
        request = at.client.get("http://[::1")
        with pytest.raises(aiohttp.InvalidURL):
            await request
        assert at.login.count == 0


@pytest.mark.parametrize("end", ["served", "timed out", "logged out"])
@leaping
async def test_an_upload_tracker_completes(end: str) -> None:
    """Nothing hangs: aiohttp's own record of the upload ends, however the request does."""
    async with held_up() as at:
        tracker = aiohttp.UploadTracker()
        tasks = await begun(at, timeout=50, upload_tracker=tracker)
        if end == "served":
            at.login.gate.set()
        elif end == "timed out":
            leap(52)
        else:
            await at.auth.logout()
        await asyncio.wait(tasks)
        failed = tasks[0].exception() is not None
        await turns()
        assert (failed, tracker.upload_complete.done()) == (end != "served", True)
        assert (tracker.upload_complete.exception() is not None) == failed


def refusing_once(api: Api, status: int) -> Any:
    """Return a handler for the last refusal: the key of its request is good from then on."""

    async def refuse(request: web.Request, _body: bytes) -> web.Response:
        api.keys.add(request.headers["x-api-key"])
        return web.Response(status=status)

    return refuse


@leaping
async def test_a_body_factory_makes_a_body_for_each_attempt() -> None:
    """One before the wait, another for the replay, each whole."""
    bodies = iter([b"body-1", b"body-2"])
    async with held_up() as at:
        tasks = await begun(at, data=bodies.__next__)
        at.api.keys.clear()
        at.api.refusals["/graphql"] = refusing_once(at.api, 401)
        assert await served(at, tasks) == [OK]
        assert [arrival.body for arrival in at.api.arrivals] == [b"body-1", b"body-2"]
        assert {arrival.headers["Content-Type"] for arrival in at.api.arrivals} == {"application/json"}


@pytest.mark.parametrize("test", TEAPOT_TESTS)
@leaping
async def test_the_applications_own_test_counts_after_the_wait(test: Any) -> None:
    """`is_unauthorized` replaces the status also for a request that waited early."""
    async with held_up(is_unauthorized=test) as at:
        tasks = await begun(at)
        at.api.keys.clear()
        at.api.refusals["/graphql"] = refusing_once(at.api, 418)
        assert await served(at, tasks) == [OK]
        assert [status for status, _ in at.api.since(0)] == [418, 200]


@pytest.mark.parametrize("good", ["token-2", "none"])
@leaping
async def test_graphqls_own_refusal_counts_after_the_wait(good: str) -> None:
    """Renewed and sent again once, as without a wait; then it is the caller's."""

    async def refuse(request: web.Request, _body: bytes) -> web.Response | None:
        if request.headers["Authorization"] == f"Bearer {good}":
            return None
        return web.json_response({"errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]})

    async with held_up() as at:
        at.api.answers["/graphql"] = refuse
        tasks = await waiting(at, 1, functools.partial(at.client.graphql, "{ __typename }"))
        if good == "none":
            at.login.gate.set()
            assert await ends_of(tasks) == [GraphQLError]
        else:
            assert await served(at, tasks) == [{"__typename": "Query"}]
        assert [token for _, token in at.api.since(0)] == ["token-1", "token-2"]


# -- useless logins -----------------------------------------------------------------------------------------------------


async def useless(number: int, *, plain: bool) -> tuple[int, int, list[object]]:
    """Return logins, useless logins and results of so many concurrent requests, which the API always refuses."""
    async with scene(plain=plain, max_logins=(4, 60.0)) as at:
        at.api.keys.clear()
        results: list[object] = []
        for _ in range(4):
            ends = await asyncio.gather(*(at.post() for _ in range(number)), return_exceptions=True)
            results += sorted({end[0] if isinstance(end, tuple) else type(end).__name__ for end in ends}, key=str)
        return at.login.count, at.auth.stats().useless_logins, results


@pytest.mark.parametrize("number", [1, 20])
@leaping
async def test_a_token_refused_to_a_request_that_waited_early_is_useless(number: int) -> None:
    """`max_logins`: counted as through the plain middleware, and no login exceeds the budget."""
    early, plain = await useless(number, plain=False), await useless(number, plain=True)
    assert early == plain
    assert early[:2] == (4, 4)
    assert early[2][-1] == LoginBudgetExceededError.__name__


@PLAIN
@leaping
async def test_a_token_that_is_refused_before_any_request_resumes_is_useless(*, plain: bool) -> None:
    """`max_logins`: a hook that invalidates every token ends within the budget."""

    async def invalidate(new: Token, *_: object) -> None:
        at.auth.invalidate(new)

    async with scene(plain=plain, max_logins=(3, 60.0), on_token=invalidate) as at:
        tasks = [asyncio.create_task(at.post()) for _ in range(5)]
        assert set(await ends_of(tasks)) == {LoginBudgetExceededError}
        assert (at.login.count, at.api.arrivals) == (3, [])


# -- many ---------------------------------------------------------------------------------------------------------------


def calls_for(number: int) -> int:
    """Return how many calls it takes for so many requests, each with its own deadline, to wait and to time out."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    def exactly(seconds: float) -> ClientTimeout:
        """Return a total that is not rounded to the full second."""
        return ClientTimeout(total=seconds, ceil_threshold=math.inf)

    @leaping
    async def run() -> None:
        async with held_up() as at:
            sys.setprofile(count)
            try:
                requests = [at.client.post("", json=QUERY, timeout=exactly(1000 + nth / 7)) for nth in range(number)]
                tasks = [asyncio.ensure_future(request.__aenter__()) for request in requests]
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


def test_ten_times_as_many_requests_take_ten_times_the_steps() -> None:
    """10 000 requests that wait with separate deadlines and give up cost no quadratic time."""
    assert calls_for(10_000) < 2 * 10 * calls_for(1_000)
