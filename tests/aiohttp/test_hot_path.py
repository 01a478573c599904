"""What a request may cost, in steps that are counted: the same on a busy machine as on an idle one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

import aiohttp
import pytest
from yarl import URL

import exterview_auth
from exterview_auth import AuthSession, ExterviewAuth, LoginContext, Token
from exterview_auth._aiohttp.middleware import Middleware
from tests.kit.api import scene
from tests.kit.clock import settle
from tests.kit.telemetry import Seen

ENDPOINT = URL("http://127.0.0.1:9/graphql")
PACKAGE = str(Path(exterview_auth.__file__).parent)
LIFETIMES = pytest.mark.parametrize("expires_in", [None, 3600.0], ids=["opaque", "with a lifetime"])


class Answer:
    """As much of a response as the middleware reads."""

    status = 200


ANSWER = cast("aiohttp.ClientResponse", Answer())


async def answer(_: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
    return ANSWER


@contextlib.asynccontextmanager
async def signed_in(expires_in: float | None = 3600.0) -> AsyncIterator[ExterviewAuth]:
    """An owner that has its token."""

    async def login(_: LoginContext) -> Token:
        return Token("token", expires_in=expires_in)

    async with ExterviewAuth(login, api_key="key", endpoint=ENDPOINT) as auth:
        await auth.token()
        yield auth


async def created_by_aiohttp(*urls: URL) -> list[aiohttp.ClientRequest]:
    """Return requests that were taken from their session before they are sent."""
    requests = []

    async def take(request: aiohttp.ClientRequest, _: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        requests.append(request)
        raise aiohttp.ClientError

    async with aiohttp.ClientSession(middlewares=(take,)) as session:
        for url in urls:
            with contextlib.suppress(aiohttp.ClientError):
                await session.post(url, json={})
    return requests


@dataclass
class Steps:
    """Calls of the package's own functions, their calls of functions in C, and their instructions (all until 3.12)."""

    own: Counter[str] = field(default_factory=Counter)
    in_c: Counter[str] = field(default_factory=Counter)
    instructions: int = 0

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return
        if event == "call":
            self.own[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            self.in_c[argument.__name__] += 1

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.instructions += event == "opcode"
        return self.trace


@contextlib.contextmanager
def counted() -> Iterator[Steps]:
    """Count what happens in the package."""
    steps = Steps()
    before = sys.getprofile(), sys.gettrace()
    sys.setprofile(steps.profile)
    sys.settrace(steps.trace)
    try:
        yield steps
    finally:
        sys.setprofile(before[0])
        sys.settrace(before[1])


async def steps_of(call: Callable[[], Awaitable[object]]) -> Steps:
    """Return the steps of a usual *call*, that is not the first one."""
    for _ in range(3):
        await call()
    with counted() as steps:
        await call()
    return steps


@LIFETIMES
async def test_a_usual_request_takes_one_call_of_ours(expires_in: float | None) -> None:
    """The middleware alone, in about a hundred instructions of the interpreter."""
    [request] = await created_by_aiohttp(ENDPOINT)
    async with signed_in(expires_in) as auth:
        steps = await steps_of(lambda: auth(request, answer))
    assert steps.own == {"ExterviewAuth.__call__": 1}
    assert steps.in_c.total() <= 2
    assert 0 < steps.instructions <= 110


async def test_an_observed_owner_takes_no_more_steps() -> None:
    """Neither OpenTelemetry nor ``on_login`` is on the way of a request that finds its token."""
    [request] = await created_by_aiohttp(ENDPOINT)

    async def login(_: LoginContext) -> Token:
        return Token("token", expires_in=3600.0)

    async with ExterviewAuth(login, api_key="key", endpoint=ENDPOINT, on_login=lambda _: None) as auth:
        Seen().observe(auth, "acme")
        await auth.token()
        steps = await steps_of(lambda: auth(request, answer))
    assert steps.own == {"ExterviewAuth.__call__": 1}
    assert steps.in_c.total() <= 2
    assert 0 < steps.instructions <= 110


async def test_another_url_of_the_origin_takes_one_more_call() -> None:
    """Its origin is compared as it is written."""
    requests = await created_by_aiohttp(ENDPOINT, ENDPOINT / "more")
    async with signed_in() as auth:

        async def both() -> None:
            for request in requests:
                await auth(request, answer)

        steps = await steps_of(both)
    assert steps.own == {"ExterviewAuth.__call__": 2, "Origins.is_ours": 2}


async def test_a_request_leaves_nothing_allocated() -> None:
    """Ten thousand requests take as many blocks of memory as one; a few are the interpreter's own."""
    [request] = await created_by_aiohttp(ENDPOINT)
    async with signed_in() as auth:
        await auth(request, answer)
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(10_000):
            await auth(request, answer)
        assert sys.getallocatedblocks() - before < 100


async def test_other_requests_in_flight_cost_a_request_nothing() -> None:
    """However many are in flight, the next takes the same steps."""
    over = asyncio.Event()

    async def slow(_: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
        await over.wait()
        return ANSWER

    request, *others = await created_by_aiohttp(*[ENDPOINT] * 300)
    async with signed_in() as auth:
        await auth(request, answer)
        tasks = [asyncio.ensure_future(auth(other, slow)) for other in others]
        await settle(2)
        steps = await steps_of(lambda: auth(request, answer))
        over.set()
        await asyncio.gather(*tasks)
    assert steps.own == {"ExterviewAuth.__call__": 1}


@pytest.mark.parametrize("url", [ENDPOINT, str(ENDPOINT), "/graphql"], ids=["URL", "str", "relative"])
@pytest.mark.parametrize(
    "body", [{"json": {}}, {"data": {"a": "form"}}, {"data": b"{}"}], ids=["json", "form", "bytes"]
)
async def test_a_verb_of_the_session_takes_few_calls_of_ours(url: URL | str, body: dict[str, Any]) -> None:
    """The verb, and whether anybody stands before aiohttp's own request; for ``data=`` also what it is. No clock is read."""
    async with signed_in() as auth, aiohttp.ClientSession() as http:
        [request] = await created_by_aiohttp(ENDPOINT)
        await auth(request, answer)
        api = AuthSession(http, auth)

        async def make() -> None:
            api.post(url, **body).close()

        steps = await steps_of(make)
    expected = {"AuthSession.post": 1, "AuthSession._send": 1, "inner_request_of": 1}
    if "data" in body:
        expected |= {"is_factory": 1, "AuthSession._owns": 1, "name_json": 1}
    form = body.get("data") == {"a": "form"}
    assert steps.own == expected | ({"_names_a_type": 1} if form else {})
    assert steps.in_c.total() <= (5 if "data" in body else 1)
    assert steps.instructions <= (190 if "data" in body else 110)


async def test_requests_that_waited_early_go_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of them opens it; each of the others is one coroutine of ours."""
    slow: list[aiohttp.ClientRequest] = []
    send = Middleware.send

    async def note(self: Middleware, request: aiohttp.ClientRequest, *arguments: Any, **options: Any) -> Any:
        slow.append(request)
        return await send(self, request, *arguments, **options)

    monkeypatch.setattr(Middleware, "send", note)
    async with scene() as at:
        assert await at.statuses(20) == {200}
        assert at.auth.stats().waiting_peak == 20
    assert len(slow) == 1


async def bytes_of_waiting(*, session: bool, count: int = 400) -> float:
    """Return what Python allocates for each of so many requests that wait for a login, aiohttp's part included."""
    gate = asyncio.Event()

    async def login(_: LoginContext) -> Token:
        await gate.wait()
        return Token("token")

    async def ask(make: Callable[[], Any]) -> None:
        async with make():
            pass

    async with contextlib.AsyncExitStack() as stack:
        auth = await stack.enter_async_context(ExterviewAuth(login, api_key="key", endpoint=ENDPOINT))
        middlewares = () if session else (auth,)
        http = await stack.enter_async_context(aiohttp.ClientSession(middlewares=middlewares))
        post = AuthSession(http, auth).post if session else http.post
        tasks = []

        async def begin(number: int) -> None:
            tasks.extend([asyncio.create_task(ask(lambda: post(ENDPOINT, json={}))) for _ in range(number)])
            await settle(5)

        await begin(50)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await begin(count)
            gc.collect()
            size = (tracemalloc.get_traced_memory()[0] - before) / count
        finally:
            tracemalloc.stop()
        assert auth.stats().waiting == count + 50
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return size


async def test_a_request_that_waits_early_takes_a_third_of_the_memory() -> None:
    """It is a coroutine, a waiter and a future, beside the caller's own task; coverage adds to both."""
    session, middleware = await bytes_of_waiting(session=True), await bytes_of_waiting(session=False)
    assert session < 3000
    assert session < middleware / 2.4
