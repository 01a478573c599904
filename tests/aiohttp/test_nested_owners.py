"""Two owners on one request: each judges only what it has signed itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp
import pytest

from exterview_auth import AuthSession, ExterviewAuth, StaticLogin
from tests.kit.api import KEY, Api, Login, answering, held, post, until

KEYS = {"outer-key", "inner-key"}
TESTS = pytest.mark.parametrize("test", [None, lambda response: response.status == 401], ids=["fast path", "slow path"])
WAYS = pytest.mark.parametrize("way", ["middlewares", "session", "session around session"])


class Nested(NamedTuple):
    """An outer and an inner owner of the same origin."""

    api: Api
    outer: ExterviewAuth
    inner: ExterviewAuth
    client: Any


@contextlib.asynccontextmanager
async def nested(
    way: str = "middlewares", test: Any = None, *, connector: aiohttp.BaseConnector | None = None
) -> AsyncIterator[Nested]:
    """Two owners whose tokens have served, each by itself."""
    async with Api() as api:
        api.keys = set(KEYS)
        outer, inner = (
            ExterviewAuth(Login(api), api_key=f"{name}-key", endpoint=api.endpoint, is_unauthorized=test)
            for name in ("outer", "inner")
        )
        middlewares = (outer, inner) if way == "middlewares" else (outer,)
        async with (
            outer,
            inner,
            aiohttp.ClientSession() as plain,
            aiohttp.ClientSession(middlewares=middlewares, connector=connector) as http,
        ):
            for owner in (outer, inner):
                assert (await post(AuthSession(plain, owner), api.endpoint))[0] == 200
            api.arrivals.clear()
            yield Nested(api, outer, inner, AuthSession(http, inner) if way != "middlewares" else http)


@contextlib.asynccontextmanager
async def queueing() -> AsyncIterator[tuple[Nested, asyncio.Event, list[asyncio.Task[tuple[int, Any]]]]]:
    """A request that the server holds until the event is set, and one that queues behind it for the only connection."""
    async with nested(connector=aiohttp.TCPConnector(limit=1)) as at:
        reached, over = asyncio.Event(), asyncio.Event()
        at.api.answers["/held"] = held(over, reached)
        first = asyncio.create_task(post(at.client, f"{at.api.base}/held"))
        await reached.wait()
        second = asyncio.create_task(post(at.client, at.api.endpoint))
        await until(lambda: len(at.inner._unanswered) == 2)
        yield at, over, [first, second]


def learned(owner: ExterviewAuth) -> tuple[int, int, int, bool]:
    """Return what *owner* has made of answers."""
    stats, issued = owner.stats(), owner._state.current
    assert issued is not None
    return stats.logins, stats.unauthorized, stats.replays, issued.rejected


@TESTS
@WAYS
async def test_an_answer_is_judged_by_the_owner_whose_credentials_it_is_about(way: str, test: Any) -> None:
    """The inner one signs last; refusals, replays and acceptance are its alone."""
    async with nested(way, test) as at:
        at.outer._state.current.accepted_since_refusal = False  # type: ignore[union-attr]
        for status in (200, 418, 200):
            at.api.answers["/graphql"] = answering(status, {})
            assert (await post(at.client, at.api.endpoint))[0] == status
        assert {token for _, token in at.api.since(0)} == {"token-2"}
        at.api.tokens -= {"token-2"}
        assert (await post(at.client, at.api.endpoint))[0] == 200
        assert (learned(at.outer), learned(at.inner)) == ((1, 0, 0, False), (2, 1, 1, False))
        assert at.outer._state.current.accepted_since_refusal is False  # type: ignore[union-attr]


@TESTS
@WAYS
async def test_a_refusal_that_stays_is_the_inner_owners_alone(way: str, test: Any) -> None:
    """For its key, and for a body that cannot be sent twice; the outer owner's token serves on."""

    async def once() -> AsyncIterator[bytes]:
        yield b"x"

    async with nested(way, test) as at:
        at.api.keys = {"outer-key"}
        assert (await post(at.client, at.api.endpoint))[0] == 401
        assert (await post(at.client, at.api.endpoint, data=once()))[0] == 401
        assert (learned(at.outer), at.outer.stats().logins) == ((1, 0, 0, False), 1)
        assert at.inner.stats().unauthorized >= 2


@TESTS
async def test_a_refusal_of_the_same_text_is_the_inner_owners_too(test: Any) -> None:
    """Owners that share a token, by a store or by its source, still judge what each has signed itself."""
    async with Api() as api, aiohttp.ClientSession() as plain:
        login, api.keys = StaticLogin(api.issue()), {"outer-key"}
        outer, inner = (
            ExterviewAuth(login, api_key=f"{name}-key", endpoint=api.endpoint, is_unauthorized=test)
            for name in ("outer", "inner")
        )
        async with outer, inner, aiohttp.ClientSession(middlewares=(outer, inner)) as http:
            assert (await post(AuthSession(plain, outer), api.endpoint))[0] == 200
            for _ in range(2):
                assert (await post(http, api.endpoint))[0] == 401
            assert learned(outer) == (1, 0, 0, False)
            assert inner.stats().unauthorized >= 2


@pytest.mark.parametrize("first", ["outer", "inner"])
async def test_a_queueing_request_is_signed_again_by_its_last_signer_alone(first: str) -> None:
    """Whichever owner's token changes, and in whichever order."""
    async with queueing() as (at, over, tasks):
        for owner in (at.outer, at.inner) if first == "outer" else (at.inner, at.outer):
            owner.invalidate(await owner.token())
            await owner.token()
        over.set()
        assert [(await task)[0] for task in tasks] == [200, 200]
        inner = await at.inner.token()
        assert [token for _, token in at.api.since(0)] == ["token-2", inner.value]
        assert (at.outer._unanswered, at.inner._unanswered) == ({}, {})


async def test_an_outer_owner_without_a_token_does_not_hold_up_what_the_inner_one_signed() -> None:
    """Only a request with the dead token is sent back."""
    async with queueing() as (at, over, tasks):
        at.outer.invalidate(await at.outer.token())
        over.set()
        assert [(await task)[0] for task in tasks] == [200, 200]
        assert (at.outer.stats().logins, at.api.since(0)) == (1, [(200, "token-2")] * 2)


async def test_an_outer_owner_that_changes_while_the_inner_one_waits_leaves_the_request_to_it() -> None:
    """The request carries the outer one's token for a while, and is written with the inner one's."""
    async with nested() as at:
        login = Login(at.api)
        login.gate.clear()
        async with (
            ExterviewAuth(login, api_key="inner-key", endpoint=at.api.endpoint) as late,
            aiohttp.ClientSession(middlewares=(at.outer, late)) as http,
        ):
            task = asyncio.create_task(post(http, at.api.endpoint))
            await until(lambda: login.count == 1)
            at.outer.invalidate(await at.outer.token())
            login.gate.set()
            assert (await task)[0] == 200
            assert at.api.since(0) == [(200, "token-3")]
            assert at.outer.stats().logins == 1


async def pass_on(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware."""
    return await handler(request)


@TESTS
@pytest.mark.parametrize("between", [0, 1])
async def test_one_owner_twice_counts_each_refusal_once(test: Any, between: int) -> None:
    """It signs twice, and the inner one judges: everything happens as if it were there once."""

    async def story(*more: aiohttp.ClientMiddlewareType, times: int = 1) -> list[Any]:
        async with (
            Api() as api,
            ExterviewAuth(Login(api), api_key=KEY, endpoint=api.endpoint, is_unauthorized=test) as auth,
            aiohttp.ClientSession(middlewares=[auth, *more] * times) as http,
        ):
            api.refusals["/mine"] = api.answers["/mine"] = answering(401)
            told: list[Any] = []
            for path in ["/graphql", "/revoke", *["/graphql", "/mine"] * 6]:
                if path == "/revoke":
                    api.revoke()
                told.append(((await post(http, api.base + path))[0], learned(auth)))
            return told + api.since(0)

    assert await story(*[pass_on] * between, times=2) == await story()


async def test_a_middleware_that_writes_the_header_anew_takes_no_renewal_away() -> None:
    """The same text is still the owner's signature."""

    async def rewrite(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers["Authorization"] = request.headers["Authorization"].encode().decode()
        return await handler(request)

    async with (
        Api() as api,
        ExterviewAuth(Login(api), api_key=KEY, endpoint=api.endpoint) as auth,
        aiohttp.ClientSession(middlewares=(auth, rewrite)) as http,
    ):
        assert (await post(http, api.endpoint))[0] == 200
        api.revoke()
        assert (await post(http, api.endpoint))[0] == 200
        assert learned(auth) == (2, 1, 1, False)
