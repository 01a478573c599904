"""Credentials go to the configured origins only, on every hop."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from exterview_auth import AuthSession, ExterviewAuth
from exterview_auth._aiohttp.origins import MAX_PENDING
from exterview_auth._endpoint import origin_after
from tests.kit.api import KEY, QUERY, Api, Login, Scene, post, scene

pytestmark = pytest.mark.asyncio

DEFAULTS: dict[str, Any] = {"headers": {"x-api-key": "default-key", "X-Other": "kept"}}


def leads_to(target: str, status: int = 307) -> Any:
    """An answer that redirects."""

    async def answer(_request: web.Request, _body: bytes) -> web.Response:
        return web.Response(status=status, headers={"Location": target})

    return answer


def credentials(api: Api) -> list[tuple[str | None, str | None]]:
    """What arrived of both headers, in any spelling."""
    found = []
    for arrival in api.arrivals:
        headers = {name.lower(): value for name, value in arrival.headers.items()}
        found.append((headers.get("authorization"), headers.get("x-api-key")))
    return found


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_off_the_origin_takes_no_credentials_along(plain: bool, status: int) -> None:  # noqa: FBT001 - a parameter
    """Rule 10, lesson 23: neither ours nor the session's default headers; the foreign 401 means nothing."""
    async with Api() as api, Api() as foreign:
        login = Login(api)
        async with ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint) as auth:
            middlewares = (auth,) if plain else ()
            async with aiohttp.ClientSession(middlewares=middlewares, **DEFAULTS) as http:
                client: Any = http if plain else AuthSession(http, auth)
                api.answers["/away"] = leads_to(foreign.base + "/é steal", status)
                assert (await post(client, api.base + "/away"))[0] == 401
                assert credentials(foreign) == [(None, None)]
                assert foreign.arrivals[0].headers["X-Other"] == "kept"
                assert login.count == 1


async def test_a_hop_that_aiohttp_sends_once_more_takes_none_along_either() -> None:
    """Rule 10: where the stranger drops the connection, aiohttp repeats the hop, and it is one still."""
    async with scene(session=DEFAULTS) as at, Api() as foreign:
        at.api.answers["/away"] = leads_to(foreign.base + "/steal", 302)
        foreign.refusals["/steal"] = drop_the_first(foreign)
        async with at.client.get("/away") as response:
            assert response.status == 401
        assert credentials(foreign) == [(None, None)] * 2


def drop_the_first(api: Api) -> Any:
    """Ends the connection of the first request instead of an answer."""

    async def answer(request: web.Request, _body: bytes) -> None:
        if len(api.arrivals) == 1:
            assert request.transport is not None
            request.transport.abort()

    return answer


async def test_credentials_of_the_caller_do_not_follow_either() -> None:
    """Rule 10: a bearer and a key given for one request stay on our origin."""
    async with scene() as at, Api() as foreign:
        at.api.answers["/away"] = leads_to(foreign.base + "/steal")
        await at.post("/away", headers={"Authorization": "Bearer mine", "X-Api-Key": "mine"})
        assert credentials(foreign) == [(None, None)]


async def test_a_chain_of_strangers_gets_nothing_and_ours_at_its_end_is_signed() -> None:
    """Rule 10: every hop by itself."""
    async with scene(session=DEFAULTS) as at, Api() as first, Api() as second:
        at.api.answers["/away"] = leads_to(first.base + "/on")
        first.refusals["/on"] = leads_to(second.base + "/back")
        second.refusals["/back"] = leads_to(at.api.base + "/graphql")
        assert (await at.post("/away"))[0] == 200
        assert credentials(first) == credentials(second) == [(None, None)]
        assert credentials(at.api)[-1] == ("Bearer token-1", KEY)


async def test_a_redirect_on_our_origin_is_signed_and_replayed() -> None:
    """Rule 10: as is one to a further origin of ours."""
    async with scene() as at:
        at.api.answers["/here"] = leads_to("/graphql")
        assert (await at.post("/here"))[0] == 200
        at.api.revoke()
        assert (await at.post("/here"))[0] == 200
        assert at.login.count == 2
    async with Api() as api, Api() as more:
        login = Login(api)
        more.tokens = api.tokens
        auth = ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, origins=[more.base])
        async with auth, aiohttp.ClientSession(middlewares=(auth,)) as http:
            api.answers["/there"] = leads_to(more.base + "/graphql")
            assert (await post(http, api.base + "/there"))[0] == 200


async def test_direct_requests_elsewhere_pass_untouched() -> None:
    """Rule 10, lesson 24: neither ours added nor theirs stripped, and their 401 makes no login."""
    async with scene() as at, Api() as foreign:
        await post(at.client, foreign.endpoint)
        headers = {"Authorization": "Bearer theirs", "x-api-key": "theirs"}
        await post(at.client, foreign.endpoint, headers=headers)
        assert credentials(foreign) == [(None, None), ("Bearer theirs", "theirs")]
        assert at.login.count == 0


async def hop_by_hop(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware that runs each hop in a task of its own, as a timeout may."""
    return await asyncio.create_task(handler(request))  # type: ignore[arg-type]  # a coroutine, as aiohttp's is


async def test_a_middleware_with_a_task_for_each_hop_changes_nothing() -> None:
    """Rule 10: a hop is known by the call that it belongs to."""
    async with scene(session={**DEFAULTS, "middlewares": (hop_by_hop,)}) as at, Api() as foreign:
        at.api.answers["/away"] = leads_to(foreign.base + "/steal")
        await at.post("/away", headers={"Authorization": "Bearer mine"})
        assert credentials(foreign) == [(None, None)]


@pytest.mark.parametrize("order", [1, -1])
async def test_two_owners_sign_their_own_hops(order: int) -> None:
    """Rule 10: a redirect from one owner's origin to another's is signed by the other, in any order of the two."""
    async with Api() as api, Api() as other:
        other.keys = {"other-key"}
        api.answers["/away"] = leads_to(other.base + "/graphql")
        async with (
            ExterviewAuth(Login(api), api_key=KEY, endpoint=api.endpoint) as a,
            ExterviewAuth(Login(other), api_key="other-key", endpoint=other.endpoint) as b,
            aiohttp.ClientSession(middlewares=(a, b)[::order], **DEFAULTS) as http,
        ):
            assert (await post(http, api.base + "/away"))[0] == 200
            assert [arrival.status for arrival in other.arrivals] == [200]


async def test_only_so_many_redirects_are_remembered() -> None:
    """Nothing grows where redirects are not followed."""
    async with scene() as at:
        origins = at.auth._origins
        at.api.answers["/away"] = leads_to("https://elsewhere.invalid/")
        for _ in range(5):
            async with at.client.get("/away", allow_redirects=False):
                pass
        assert len(origins._leading_to) == 5
        origins._leading_to.update(dict.fromkeys(range(MAX_PENDING), (None, ("", "", None))))
        async with at.client.get("/away", allow_redirects=False):
            pass
        assert len(origins._leading_to) <= MAX_PENDING + 5


async def follow_by_hand(at: Scene, foreign: Api, **options: Any) -> None:
    """Ask for the redirect, and go there with credentials meant for it."""
    at.api.answers["/away"] = leads_to(foreign.base + "/there")
    async with at.client.post(at.api.base + "/away", json=QUERY, allow_redirects=False) as response:
        location = response.headers["Location"]
    await post(at.client, location, headers={"Authorization": "Bearer theirs", "x-api-key": "theirs"})


async def test_a_redirect_that_is_not_followed_leaves_the_next_request_alone() -> None:
    """Rule 10: with ``allow_redirects=False``, going there by hand is a direct request."""
    async with scene() as at, Api() as foreign, aiohttp.ClientSession(middlewares=(at.auth,)) as plain:
        await follow_by_hand(at, foreign)
        await follow_by_hand(at._replace(client=plain), foreign)  # type: ignore[arg-type]  # the same verbs
        assert credentials(foreign) == [("Bearer theirs", "theirs")] * 2


async def test_another_request_in_between_ends_the_redirect() -> None:
    """Rule 10: only the very next request of the same task can be a hop."""
    async with scene() as at, Api() as foreign:
        at.api.answers["/away"] = leads_to("http://[broken")
        with pytest.raises(aiohttp.ClientError):
            await at.post("/away")
        at.api.answers["/away"] = leads_to("ftp://127.0.0.1/")
        with pytest.raises(aiohttp.ClientError):
            await at.post("/away")
        await at.post()
        await post(at.client, foreign.endpoint, headers={"x-api-key": "theirs"})
        assert credentials(foreign) == [(None, "theirs")]


async def test_another_port_and_another_scheme_are_strangers() -> None:
    """Rule 10: the origin is scheme, host and port."""
    async with scene() as at:
        auth = at.auth
        port = at.auth.endpoint.port
        assert auth._middleware.owns(at.auth.endpoint.with_path("/ats/candidates/bulk-upload"))
        assert auth._middleware.owns(at.auth.endpoint.with_scheme("ws"))
        assert not auth._middleware.owns(at.auth.endpoint.with_port((port or 0) + 1))
        assert not auth._middleware.owns(at.auth.endpoint.with_scheme("https"))
        assert not auth._middleware.owns(at.auth.endpoint.with_host("localhost"))


async def test_a_redirect_without_a_place_leads_nowhere() -> None:
    """Rule 10: a 3xx without ``Location`` comes back as it is."""
    async with scene() as at, Api() as foreign:

        async def nowhere(_request: web.Request, _body: bytes) -> web.Response:
            return web.Response(status=304, headers={"Location": foreign.base} if at.login.count else {})

        at.api.answers["/graphql"] = nowhere
        assert (await at.post())[0] == 304
        await post(at.client, foreign.endpoint, headers={"x-api-key": "theirs"})
        assert credentials(foreign) == [(None, "theirs")]


@pytest.mark.parametrize("location", ["//[]@", "http://[", "https://example.com:port/"])
async def test_a_location_that_is_no_url_leads_nowhere(location: str) -> None:
    """Rule 10: a server's nonsense is aiohttp's to complain about, and no error of ours."""
    async with scene() as here:
        here.api.answers["/led"] = leads_to(location)
        with pytest.raises((aiohttp.ClientError, ValueError, IndexError)):
            await here.post("/led")
        assert (await here.post())[0] == 200
    assert origin_after(URL("https://example.com"), location) is None
