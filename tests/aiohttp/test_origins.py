"""Credentials go to the configured origins only, on every hop."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from exterview_auth import ExterviewAuth
from tests.kit.api import PLAIN, QUERY, SIGNED, UNSIGNED, Api, Login, answering, cut, leads_to, post, scene, signed_in

DEFAULTS: dict[str, Any] = {"headers": {"x-api-key": "default-key", "X-Other": "kept"}}
THEIRS = {"Authorization": "Bearer theirs", "x-api-key": "theirs"}


# -- whose request it is ------------------------------------------------------------------------------------------------


async def test_the_origin_is_scheme_host_and_port() -> None:
    """As they are written; path, query and object do not matter, and a WebSocket has the origin of its handshake."""
    async with signed_in() as at:
        owns, url = at.auth._middleware.owns, at.auth.endpoint
        for ours in (url, URL(str(url)), url.with_path("/ats"), url % {"a": "b"}, url.with_scheme("ws")):
            assert owns(ours)
        for other in (url.with_port((url.port or 0) + 1), url.with_scheme("https"), url.with_host("localhost")):
            assert not owns(other)
            assert owns(url)


@PLAIN
async def test_direct_requests_elsewhere_pass_untouched(*, plain: bool) -> None:
    """Nothing is added or removed, and their 401 causes no login, before and between our requests."""
    async with scene(plain=plain) as at, Api() as foreign:
        for number in range(3):
            assert (await post(at.client, foreign.endpoint))[0] == 401
            assert (await post(at.client, foreign.endpoint, headers=THEIRS))[0] == 401
            assert at.login.count == min(number, 1)
            assert (await at.post())[0] == 200
        assert foreign.signatures == [UNSIGNED, ("Bearer theirs", "theirs")] * 3
        assert at.api.signatures == [SIGNED] * 3


async def test_what_other_origins_get_is_left_alone() -> None:
    """The content type too."""
    async with scene() as at, Api() as foreign:
        await post(at.client, foreign.endpoint, data=b"x")
        assert foreign.arrivals[-1].headers["Content-Type"] == "application/octet-stream"


async def test_further_origins_are_ours_too() -> None:
    """Each origin that was named gets the credentials, directly and by redirect, and no third one does."""
    async with Api() as second, Api() as third, scene(origins=(second.base,)) as at:
        second.tokens = at.api.tokens
        at.api.answers["/there"] = leads_to(second.endpoint)
        for _ in range(4):
            assert [(await post(at.client, api.endpoint))[0] for api in (at.api, second, third)] == [200, 200, 401]
        assert (await at.post("/there"))[0] == 200
        assert set(at.api.signatures + second.signatures) == {SIGNED}
        assert set(third.signatures) == {UNSIGNED}


@pytest.mark.parametrize("order", [1, -1])
async def test_two_owners_sign_their_own_requests(order: int) -> None:
    """On one session in any order. Where one's server redirects to the other's API, it chooses what is asked there."""
    async with scene() as at, Api() as other:
        other.keys = {"other-key"}
        at.api.answers["/away"] = leads_to(other.endpoint)
        async with (
            ExterviewAuth(Login(other), api_key="other-key", endpoint=other.endpoint) as auth,
            aiohttp.ClientSession(middlewares=(at.auth, auth)[::order], **DEFAULTS) as http,
        ):
            for url, status in ((f"{at.api.base}/away", 401), (other.endpoint, 200), (at.api.endpoint, 200)) * 3:
                assert (await post(http, url))[0] == status
            assert (auth.stats().unauthorized, at.auth.stats().unauthorized) == (0, 0)
        assert set(at.api.signatures) == {SIGNED}
        assert other.signatures == [UNSIGNED, ("Bearer token-1", "other-key")] * 3


async def test_an_outer_middleware_that_leads_a_request_away_takes_no_credentials_along() -> None:
    """Only where the request goes when it is signed counts."""
    targets: list[URL] = []

    async def elsewhere(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.url = targets[0] if targets else request.url
        return await handler(request)

    async with Api() as foreign, scene(session={"middlewares": (elsewhere,)}) as at:
        url = URL(at.api.endpoint)
        assert (await post(at.client, url))[0] == 200
        targets.append(URL(foreign.endpoint))
        assert (await post(at.client, url))[0] == 401
        targets.clear()
        assert (await post(at.client, url))[0] == 200
        assert (foreign.signatures, at.api.signatures) == ([UNSIGNED], [SIGNED] * 2)


# -- redirects off the origin -------------------------------------------------------------------------------------------


@PLAIN
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_off_the_origin_takes_no_credentials_along(status: int, *, plain: bool) -> None:
    """Neither ours nor the session's or caller's own, among other requests; the foreign 401 means nothing."""
    async with Api() as foreign, signed_in(plain=plain, session=DEFAULTS) as at:
        at.api.answers["/away"] = leads_to(f"{foreign.base}/é steal", status)
        paths = ["/away", "/graphql", "/graphql"] * 10
        mine = {"Authorization": "Bearer mine", "X-Api-Key": "mine"}
        results = await asyncio.gather(*(at.post(path, headers=mine) for path in paths))
        assert [status for status, _ in results] == [401, 200, 200] * 10
        assert foreign.signatures == [UNSIGNED] * 10
        assert foreign.arrivals[0].headers["X-Other"] == "kept"
        assert (set(at.api.signatures), at.login.count) == ({SIGNED}, 1)


async def test_a_hop_that_aiohttp_sends_once_more_takes_none_along_either() -> None:
    """If the stranger drops the connection, aiohttp repeats the hop."""

    async def drop_the_first(request: web.Request, body: bytes) -> None:
        if len(foreign.arrivals) == 1:
            await cut(request, body)

    async with scene(session=DEFAULTS) as at, Api() as foreign:
        at.api.answers["/away"] = leads_to(f"{foreign.base}/steal", 302)
        foreign.refusals["/steal"] = drop_the_first
        async with at.client.get("/away") as response:
            assert response.status == 401
        assert foreign.signatures == [UNSIGNED] * 2


async def test_a_chain_of_strangers_gets_nothing_and_our_hop_at_its_end_is_signed() -> None:
    """Every hop counts by itself."""
    async with scene(session=DEFAULTS) as at, Api() as first, Api() as second:
        at.api.answers["/away"] = leads_to(f"{first.base}/on")
        first.refusals["/on"] = leads_to(f"{second.base}/back")
        second.refusals["/back"] = leads_to(at.api.endpoint)
        for _ in range(3):
            assert (await at.post("/away"))[0] == 200
        assert set(first.signatures + second.signatures) == {UNSIGNED}
        assert at.api.signatures == [SIGNED] * 6


async def test_a_redirect_on_our_origin_is_signed_and_replayed() -> None:
    """It is a request like any other."""
    async with signed_in() as at:
        at.api.answers["/here"] = leads_to("/graphql")
        assert (await at.post("/here"))[0] == 200
        at.api.revoke()
        assert ((await at.post("/here"))[0], at.login.count) == (200, 2)


async def test_a_middleware_with_a_task_for_each_hop_changes_nothing() -> None:
    """A hop is known by its call, also if other requests are sent before it."""
    reached, over = asyncio.Event(), asyncio.Event()

    async def late(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.url.path == "/steal":
            reached.set()
            await over.wait()
        return await asyncio.create_task(handler(request))  # type: ignore[arg-type]  # a coroutine, as aiohttp's is

    async with scene(session={**DEFAULTS, "middlewares": (late,)}) as at, Api() as foreign:
        at.api.answers["/away"] = leads_to(f"{foreign.base}/steal")
        hop = asyncio.create_task(at.post("/away"))
        await reached.wait()
        assert await at.statuses(5) == {200}
        over.set()
        assert (await hop)[0] == 401
        assert (foreign.signatures, set(at.api.signatures)) == ([UNSIGNED], {SIGNED})


# -- redirects that lead nowhere ----------------------------------------------------------------------------------------


@PLAIN
async def test_a_redirect_that_is_not_followed_leaves_the_next_request_alone(*, plain: bool) -> None:
    """With ``allow_redirects=False``, following by hand is a direct request."""
    async with scene(plain=plain) as at, Api() as foreign:
        at.api.answers["/away"] = leads_to(f"{foreign.base}/there")
        async with at.client.post(f"{at.api.base}/away", json=QUERY, allow_redirects=False) as response:
            location = response.headers["Location"]
        await post(at.client, location, headers=THEIRS)
        assert foreign.signatures == [("Bearer theirs", "theirs")]


@pytest.mark.parametrize("location", ["http://[broken", "ftp://127.0.0.1/", "//[]@", "https://example.com:port/"])
async def test_a_location_that_cannot_be_followed_leads_nowhere(location: str) -> None:
    """Aiohttp complains about a server's nonsense, and the next request to a stranger is a direct one."""
    async with scene() as at, Api() as foreign:
        at.api.answers["/away"] = leads_to(location)
        with pytest.raises((aiohttp.ClientError, ValueError, IndexError)):
            await at.post("/away")
        assert (await at.post())[0] == 200
        await post(at.client, foreign.endpoint, headers={"x-api-key": "theirs"})
        assert foreign.signatures == [(None, "theirs")]


async def test_an_answer_that_does_not_redirect_leads_nowhere() -> None:
    """A 3xx without ``Location`` comes back as it is, and so does a 304 with one."""
    async with scene() as at, Api() as foreign:
        for answer in (answering(302), answering(304, headers={"Location": foreign.base})):
            at.api.answers["/graphql"] = answer
            assert (await at.post())[0] in {302, 304}
            await post(at.client, foreign.endpoint, headers={"x-api-key": "theirs"})
        assert foreign.signatures == [(None, "theirs")] * 2
