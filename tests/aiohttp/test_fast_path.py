"""The express lane: a usual request asks nothing but the time, and nothing goes out on it that should have been asked."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from exterview_auth import AuthSession, ClosedError, ConfigurationError, ExterviewAuth, LoginUnavailableError, Token
from tests.kit.api import (
    KEY,
    TEAPOT_TESTS,
    Api,
    Login,
    Scene,
    nobody_is_sent_with_a_dead_token,
    post,
    scene,
    teapot,
    until,
)


def lane_is_open(auth: ExterviewAuth) -> bool:
    """Whether the next usual request asks nothing but the time."""
    return auth._state.fast_path is not None


@contextlib.asynccontextmanager
async def express(**options: Any) -> AsyncIterator[Scene]:
    """A scene whose requests go by the express lane."""
    async with scene(**options) as at:
        for _ in range(3):
            assert (await at.post())[0] == 200
        assert lane_is_open(at.auth)
        yield at


def signatures(api: Api, mark: int = 0) -> list[tuple[str | None, str | None]]:
    """What arrived of both credentials after the first *mark*."""
    found = []
    for arrival in api.arrivals[mark:]:
        headers = {name.lower(): value for name, value in arrival.headers.items()}
        found.append((headers.get("authorization"), headers.get("x-api-key")))
    return found


def leads_to(target: str, status: int = 307) -> Any:
    """An answer that redirects."""

    async def answer(_request: web.Request, _body: bytes) -> web.Response:
        return web.Response(status=status, headers={"Location": target})

    return answer


# -- what goes out on it ------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_usual_requests_are_signed_one_like_the_other() -> None:
    """Rule 13: the same headers on the first request and on the hundredth, the caller's own replaced; one login."""
    async with express() as at:
        for _ in range(20):
            await at.post(headers={"Authorization": "Bearer mine", "X-Api-Key": "mine"})
        await asyncio.gather(*(at.post() for _ in range(50)))
        assert set(signatures(at.api)) == {("Bearer token-1", KEY)}
        assert {arrival.headers["Content-Type"] for arrival in at.api.arrivals} == {"application/json"}
        assert (at.login.count, at.auth.stats().unauthorized) == (1, 0)


@pytest.mark.asyncio
async def test_through_the_plain_middleware_likewise() -> None:
    """Rule 13: an absent content type is filled in, one that is there stays."""
    async with express() as at, aiohttp.ClientSession(middlewares=(at.auth,)) as http:
        mark = len(at.api.arrivals)
        for _ in range(5):
            async with http.get(at.api.endpoint) as response:
                assert response.status == 200
            assert (await post(http, at.api.endpoint, data=b"x"))[0] == 200
        assert set(signatures(at.api, mark)) == {("Bearer token-1", KEY)}
        kinds = [arrival.headers["Content-Type"] for arrival in at.api.arrivals[mark:]]
        assert kinds == ["application/json", "application/octet-stream"] * 5


@pytest.mark.asyncio
async def test_a_rotated_key_is_on_the_next_request() -> None:
    """The contract: the key is read anew after a 401, on the lane too."""
    keys = [KEY]
    async with express(api_key=lambda: keys[-1]) as at:
        keys.append("the-next-key")
        at.api.keys = {"the-next-key"}
        assert [(await at.post())[0] for _ in range(5)] == [200] * 5
        assert {key for _, key in signatures(at.api)[-4:]} == {"the-next-key"}


@pytest.mark.asyncio
async def test_a_refusal_on_the_lane_is_renewed_and_costs_no_budget() -> None:
    """Rules 1 and 7: a hundred at once meet a revoked token, one login serves them, and it was not the old one's fault."""
    async with express() as at:
        at.api.revoke()
        results = await asyncio.gather(*(at.post(data=str(n).encode()) for n in range(100)))
        assert {status for status, _ in results} == {200}
        assert len({arrival.body for arrival in at.api.arrivals if arrival.status == 200}) == 101
        stats = at.auth.stats()
        assert (at.login.count, stats.useless_logins) == (2, 0)


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
@pytest.mark.asyncio
async def test_any_other_status_is_the_callers(status: int) -> None:
    """Rule 3: only a refusal is renewed."""

    async def answer(_request: web.Request, _body: bytes) -> web.Response:
        return web.json_response({"error": "no"}, status=status)

    async with express() as at:
        at.api.answers["/other"] = answer
        assert [(await at.post("/other"))[0] for _ in range(3)] == [status] * 3
        assert (at.login.count, at.auth.stats().replays) == (1, 0)
        assert lane_is_open(at.auth)


@pytest.mark.asyncio
async def test_a_request_that_fails_or_is_cancelled_leaves_the_lane_as_it_was() -> None:
    """Rule 5: more of them than there are connections, and the next are still answered."""
    async with express(session={"connector": aiohttp.TCPConnector(limit=4)}) as at:
        arrived, over = asyncio.Event(), asyncio.Event()

        async def hold(request: web.Request, _body: bytes) -> None:
            arrived.set()
            await over.wait()

        async def cut(request: web.Request, _body: bytes) -> None:
            assert request.transport is not None
            request.transport.abort()

        at.api.answers |= {"/held": hold, "/cut": cut}
        for _ in range(10):
            with pytest.raises(aiohttp.ClientError):
                await at.post("/cut")
            arrived.clear()
            task = asyncio.create_task(at.post("/held"))
            await arrived.wait()
            task.cancel()
            await asyncio.wait([task])
        over.set()
        assert {status for status, _ in await asyncio.gather(*(at.post() for _ in range(20)))} == {200}
        assert (lane_is_open(at.auth), at.login.count) == (True, 1)


# -- what closes it -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_expired_token_is_not_sent() -> None:
    """Rule 1: the lane ends with the token's life, and nobody else needs to notice."""
    async with scene(refresh_ahead=0) as at:
        at.login.expires_in = 0.4
        assert [(await at.post())[0] for _ in range(3)] == [200] * 3
        assert lane_is_open(at.auth)
        await until(lambda: at.auth._state.unexpired is None)
        at.login.expires_in = 3600
        mark = len(at.api.arrivals)
        assert {status for status, _ in await asyncio.gather(*(at.post() for _ in range(10)))} == {200}
        assert at.api.since(mark) == [(200, "token-2")] * 10
        assert at.login.count == 2


@pytest.mark.asyncio
async def test_an_invalidated_token_is_not_sent() -> None:
    """Rule 4: from the very next request on, at once or many."""
    async with express() as at:
        at.auth.invalidate(await at.auth.token())
        assert not lane_is_open(at.auth)
        mark = len(at.api.arrivals)
        await asyncio.gather(*(at.post() for _ in range(10)))
        assert at.api.since(mark) == [(200, "token-2")] * 10


@pytest.mark.asyncio
async def test_a_token_that_was_logged_out_is_not_sent() -> None:
    """The contract: the next request logs in anew, also one that begins while the logout is under way."""
    async with express() as at:
        leaving = asyncio.create_task(at.auth.logout())
        await asyncio.sleep(0)
        mark = len(at.api.arrivals)
        await asyncio.gather(leaving, *(at.post() for _ in range(10)))
        assert at.api.since(mark) == [(200, "token-2")] * 10


@pytest.mark.asyncio
async def test_a_closed_owner_sends_nothing() -> None:
    """Rule 21: every later use raises."""
    async with express() as at, aiohttp.ClientSession(middlewares=(at.auth,)) as http:
        await post(http, at.api.endpoint)
        await at.auth.aclose()
        mark = len(at.api.arrivals)
        for client in (at.client, http):
            with pytest.raises(ClosedError):
                await post(client, at.api.endpoint)
        assert len(at.api.arrivals) == mark


@pytest.mark.asyncio
async def test_after_a_refusal_nobody_is_sent_with_the_dead_token() -> None:
    """Rule 4: while the login for it runs, new requests wait."""
    async with express() as at:
        await nobody_is_sent_with_a_dead_token(at)


@pytest.mark.asyncio
async def test_a_renewed_token_is_the_one_that_is_sent() -> None:
    """Rule 8: renewed ahead, the old one is still good, and is not sent any more."""
    async with scene(refresh_ahead=100) as at:
        at.login.expires_in = 0.8
        assert (await at.post())[0] == 200
        at.login.expires_in = 3600
        assert lane_is_open(at.auth)
        await until(lambda: at.auth.stats().refreshes_ahead == 1)
        mark = len(at.api.arrivals)
        assert [(await at.post())[0] for _ in range(5)] == [200] * 5
        assert at.api.since(mark) == [(200, "token-2")] * 5


@pytest.mark.asyncio
async def test_a_token_whose_renewal_is_overdue_is_asked_for() -> None:
    """Rule 8: the request that finds it so is sent with it, and has the renewal begun."""
    async with express() as at:
        grant = at.auth._state.current
        assert grant is not None
        grant.renew_at = 0.0
        at.auth._state.defer_renewal(grant)
        assert not lane_is_open(at.auth)
        mark = len(at.api.arrivals)
        assert (await at.post())[0] == 200
        await until(lambda: at.auth.stats().refreshes_ahead == 1)
        assert (await at.post())[0] == 200
        assert at.api.since(mark) == [(200, "token-1"), (200, "token-2")]


@pytest.mark.asyncio
async def test_a_renewal_that_fails_leaves_the_token_in_use() -> None:
    """Rule 8: the lane goes on with the token that is still valid."""
    outcomes: list[Exception] = []
    made: list[Scene] = []

    async def login(context: Any) -> Token:
        if outcomes:
            raise outcomes[0]
        return Token(made[0].api.issue(), expires_in=3600)

    async with scene(login=login, login_timeout=0.2) as at:
        made.append(at)
        assert (await at.post())[0] == 200
        outcomes.append(LoginUnavailableError("down", retry_after=100))
        grant = at.auth._state.current
        assert grant is not None
        grant.renew_at = 0.0
        at.auth._state.defer_renewal(grant)
        assert (await at.post())[0] == 200
        await until(lambda: at.auth.stats().login_failures > 0)
        assert [(await at.post())[0] for _ in range(5)] == [200] * 5
        assert {token for _, token in at.api.since(0)} == {"token-1"}


@pytest.mark.parametrize("test", TEAPOT_TESTS)
@pytest.mark.asyncio
async def test_an_own_test_for_refusals_is_asked_each_time(test: Any) -> None:
    """The contract: `is_unauthorized` replaces the status, for the hundredth request as for the first."""
    async with scene(is_unauthorized=test) as at:
        at.api.refusals["/graphql"] = teapot
        for _ in range(5):
            assert (await at.post())[0] == 200
        assert not lane_is_open(at.auth)
        for number in range(2, 5):
            at.api.revoke()
            assert [(await at.post())[0] for _ in range(3)] == [200] * 3
            assert at.login.count == number


@pytest.mark.asyncio
async def test_graphqls_own_refusal_is_seen_beside_the_lane() -> None:
    """Rule 15: always in `graphql()`, although plain requests of the same owner look at the status alone."""

    async def answer(request: web.Request, _body: bytes) -> web.Response | None:
        if request.headers["Authorization"] != "Bearer token-1":
            return None
        return web.json_response({"errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]})

    async with express() as at:
        at.api.answers["/graphql"] = answer
        assert "errors" in (await at.post())[1]
        assert at.login.count == 1
        assert await at.client.graphql("{ __typename }") == {"__typename": "Query"}
        assert at.login.count == 2


# -- whose request it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.asyncio
async def test_another_origin_with_the_same_path_gets_nothing(plain: bool) -> None:  # noqa: FBT001 - a parameter
    """Rule 10: in any order, and its 401 means nothing."""
    async with express() as at, Api() as foreign, aiohttp.ClientSession(middlewares=(at.auth,)) as http:
        client: Any = http if plain else at.client
        mark = len(at.api.arrivals)
        for _ in range(5):
            assert (await post(client, at.api.endpoint))[0] == 200
            assert (await post(client, foreign.endpoint, headers={"x-api-key": "theirs"}))[0] == 401
        assert signatures(foreign) == [(None, "theirs")] * 5
        assert signatures(at.api, mark) == [("Bearer token-1", KEY)] * 5
        assert at.login.count == 1


@pytest.mark.asyncio
async def test_another_name_of_the_same_host_is_another_origin() -> None:
    """Rule 10: scheme, host and port as they are written."""
    async with express() as at:
        other = URL(at.api.endpoint).with_host("localhost")
        mark = len(at.api.arrivals)
        for _ in range(2):
            assert (await at.post())[0] == 200
            assert (await post(at.client, other))[0] == 401
        assert signatures(at.api, mark) == [("Bearer token-1", KEY), (None, None)] * 2
        assert at.login.count == 1


@pytest.mark.asyncio
async def test_another_url_of_the_same_origin_is_ours() -> None:
    """Rule 10: another object, another path, another query."""
    async with express() as at:
        same = URL(at.api.endpoint)
        urls = [at.api.endpoint, same, URL(at.api.endpoint), at.api.base + "/ats", same % {"a": "b"}, same, "/ats", ""]
        mark = len(at.api.arrivals)
        for url in urls:
            assert (await post(at.client, url))[0] == 200
        assert signatures(at.api, mark) == [("Bearer token-1", KEY)] * len(urls)


@pytest.mark.asyncio
async def test_further_origins_are_ours_too() -> None:
    """Rule 10: each origin that was named gets the credentials, in turn, and no third one."""
    async with Api() as second, Api() as third, express(origins=(second.base,)) as at:
        second.tokens = at.api.tokens
        for _ in range(4):
            assert [(await post(at.client, api.endpoint))[0] for api in (at.api, second, third)] == [200, 200, 401]
        assert set(signatures(at.api)) == set(signatures(second)) == {("Bearer token-1", KEY)}
        assert set(signatures(third)) == {(None, None)}


@pytest.mark.asyncio
async def test_an_outer_middleware_that_leads_a_request_away_takes_no_credentials_along() -> None:
    """Rule 10: what counts is where the request goes when it is signed, whatever went before it."""
    targets: list[URL] = []

    async def elsewhere(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if targets:
            request.url = targets[0]
        return await handler(request)

    async with Api() as foreign, express(session={"middlewares": (elsewhere,)}) as at:
        url = URL(at.api.endpoint)
        assert (await post(at.client, url))[0] == 200
        targets.append(URL(foreign.endpoint))
        mark = len(at.api.arrivals)
        assert (await post(at.client, url))[0] == 401
        assert set(signatures(foreign) + signatures(at.api, mark)) == {(None, None)}
        targets.clear()
        assert (await post(at.client, url))[0] == 200
        assert (signatures(at.api)[-1], at.login.count) == (("Bearer token-1", KEY), 1)


@pytest.mark.asyncio
async def test_two_owners_each_sign_their_own() -> None:
    """Rule 10: on one session, in turn, with a lane each."""
    async with express() as at, Api() as other:
        login = Login(other)
        async with ExterviewAuth(login, api_key="other-key", endpoint=other.endpoint) as auth:
            other.keys = {"other-key"}
            async with aiohttp.ClientSession(middlewares=(at.auth, auth)) as http:
                for _ in range(5):
                    assert (await post(http, at.api.endpoint))[0] == 200
                    assert (await post(http, other.endpoint))[0] == 200
            assert (lane_is_open(at.auth), lane_is_open(auth)) == (True, True)
            assert set(signatures(at.api)) == {("Bearer token-1", KEY)}
            assert set(signatures(other)) == {("Bearer token-1", "other-key")}
            assert (at.login.count, login.count) == (1, 1)


# -- redirects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.asyncio
async def test_a_redirect_off_the_origin_takes_nothing_along(status: int) -> None:
    """Rule 10: among a hundred usual requests, with the session's default headers too; the rest is signed."""
    async with Api() as foreign, express(session={"headers": {"x-api-key": "default"}}) as at:
        at.api.answers["/away"] = leads_to(foreign.base + "/steal", status)
        results = await asyncio.gather(*(at.post("/away" if n % 3 == 0 else "/graphql") for n in range(90)))
        assert [got for got, _ in results] == [401 if n % 3 == 0 else 200 for n in range(90)]
        assert signatures(foreign) == [(None, None)] * 30
        assert set(signatures(at.api)) == {("Bearer token-1", KEY)}
        await at.post()
        assert (at.login.count, lane_is_open(at.auth)) == (1, True)


@pytest.mark.asyncio
async def test_a_hop_that_comes_late_is_known_as_one() -> None:
    """Rule 10: whatever is sent between a redirect's answer and its hop."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async with Api() as foreign:
        stranger = URL(foreign.base).origin()

        async def slow(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            if request.url.origin() == stranger:
                reached.set()
                await go_on.wait()
            return await handler(request)

        async with express(session={"middlewares": (slow,), "headers": {"x-api-key": "default"}}) as at:
            at.api.answers["/away"] = leads_to(foreign.base + "/steal")
            led = asyncio.create_task(at.post("/away"))
            await reached.wait()
            for _ in range(5):
                assert (await at.post())[0] == 200
            go_on.set()
            assert (await led)[0] == 401
            assert signatures(foreign) == [(None, None)]
            assert set(signatures(at.api)) == {("Bearer token-1", KEY)}
            await at.post()
            assert lane_is_open(at.auth)


@pytest.mark.asyncio
async def test_a_chain_that_comes_back_is_signed_again() -> None:
    """Rule 10: every hop by itself."""
    async with Api() as foreign, express() as at:
        at.api.answers["/away"] = leads_to(foreign.base + "/back")
        foreign.refusals["/back"] = leads_to(at.api.endpoint)
        for _ in range(3):
            mark = len(at.api.arrivals)
            assert (await at.post("/away"))[0] == 200
            assert signatures(at.api, mark) == [("Bearer token-1", KEY)] * 2
        assert signatures(foreign) == [(None, None)] * 3
        assert at.auth._origins._leading_to == {}


# -- sessions and loops -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_sessions_may_come_and_go_in_any_order() -> None:
    """Rule 1: another session, a narrow one, one that is closed; each is signed and renewed as the first."""
    async with express() as at:
        narrow = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=narrow) as second, aiohttp.ClientSession() as third:
            clients = [AuthSession(http, at.auth) for http in (second, third, at.http)]
            await asyncio.gather(*(post(client, at.api.endpoint) for client in clients * 10))
            at.api.revoke()
            mark = len(at.api.arrivals)
            results = await asyncio.gather(*(post(client, at.api.endpoint) for client in clients * 10))
            assert {status for status, _ in results} == {200}
            assert {token for status, token in at.api.since(mark) if status == 200} == {"token-2"}
        assert (await at.post())[0] == 200
        assert (at.login.count, {key for _, key in signatures(at.api)}) == (2, {KEY})


@pytest.mark.asyncio
async def test_what_queues_for_a_connection_is_signed_when_it_is_written() -> None:
    """Rule 4: a lane of one connection; of those behind the refusal none goes out with the dead token."""
    async with express(session={"connector": aiohttp.TCPConnector(limit=1)}) as at:
        at.api.revoke()
        mark = len(at.api.arrivals)
        results = await asyncio.gather(*(at.post() for _ in range(30)))
        assert {status for status, _ in results} == {200}
        assert at.api.since(mark) == [(401, "token-1")] + [(200, "token-2")] * 30


@contextlib.contextmanager
def served() -> Iterator[Api]:
    """An API on a loop of its own, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        api = Api()
        asyncio.run_coroutine_threadsafe(api.__aenter__(), loop).result(10)
        yield api
        asyncio.run_coroutine_threadsafe(api.__aexit__(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_the_next_loop_goes_on_with_the_token() -> None:
    """Rule 20: under another `asyncio.run`, by a session of its own, without another login, and renewed as ever."""
    with served() as api:
        login = Login(api)
        auth = ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint)

        async def run() -> None:
            async with aiohttp.ClientSession(middlewares=(auth,)) as http:
                for _ in range(3):
                    assert (await post(http, api.endpoint))[0] == 200
                assert lane_is_open(auth)

        asyncio.run(run())
        asyncio.run(run())
        assert api.since(0) == [(200, "token-1")] * 6
        api.revoke()
        asyncio.run(run())
        assert api.since(6) == [(401, "token-1")] + [(200, "token-2")] * 3
        assert login.count == 2
        asyncio.run(auth.aclose())


def test_a_second_loop_does_not_use_the_lane_of_one_that_runs() -> None:
    """Rule 20: refused in one sentence, nothing is sent, and the first loop goes on."""
    errors: list[BaseException] = []

    async def second(at: Scene) -> None:
        async with aiohttp.ClientSession(middlewares=(at.auth,)) as http:
            for client in (http, AuthSession(http, at.auth)):
                try:
                    await post(client, at.api.endpoint)
                except ConfigurationError as error:
                    errors.append(error)

    async def first() -> None:
        async with express() as at:
            mark = len(at.api.arrivals)
            thread = threading.Thread(target=lambda: asyncio.run(second(at)))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert len(at.api.arrivals) == mark
            assert (await at.post())[0] == 200
            assert at.login.count == 1

    asyncio.run(first())
    assert len(errors) == 2
    assert "one owner for each loop" in str(errors[0])


def test_a_loop_that_lost_its_owner_does_not_use_its_lane() -> None:
    """Rule 20: another loop, which runs still, has taken the owner over meanwhile; nothing is sent."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    thread = threading.Thread(target=second.run_forever)
    thread.start()
    with served() as api, contextlib.closing(first):
        auth = ExterviewAuth(Login(api), api_key=KEY, endpoint=api.endpoint)

        async def opened() -> aiohttp.ClientSession:
            http = aiohttp.ClientSession(middlewares=(auth,))
            assert (await post(http, api.endpoint))[0] == 200
            return http

        http = first.run_until_complete(opened())
        asyncio.run_coroutine_threadsafe(auth.token(), second).result(10)
        with pytest.raises(ConfigurationError, match="in use by another event loop"):
            first.run_until_complete(post(http, api.endpoint))
        assert len(api.arrivals) == 1
        first.run_until_complete(http.close())
        asyncio.run_coroutine_threadsafe(auth.aclose(), second).result(10)
        second.call_soon_threadsafe(second.stop)
        thread.join()
        second.close()
