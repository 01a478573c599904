"""What a service sees over real sockets: one login, replays, headers, connections given back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exterview_auth import (
    AuthSession,
    ClosedError,
    ConfigurationError,
    CredentialsRejectedError,
    ExterviewAuth,
    InsecureTransportError,
    LoginBudgetExceededError,
    LoginContext,
    LoginError,
    LoginUnavailableError,
    MemoryStore,
    ReentrantLoginError,
    StaticLogin,
    Token,
    graphql_unauthenticated,
)
from exterview_auth._options import RenewalOptions
from tests.kit.api import (
    KEY,
    QUERY,
    TEAPOT_TESTS,
    Api,
    Login,
    is_teapot,
    nobody_is_sent_with_a_dead_token,
    post,
    scene,
    teapot,
    until,
)

pytestmark = pytest.mark.asyncio


async def test_a_cold_start_is_one_login_and_no_refusal() -> None:
    """Rule 1: 300 requests that find no token."""
    async with scene(seconds=0.05) as at:
        results = await asyncio.gather(*(at.post() for _ in range(300)))
        assert {status for status, _ in results} == {200}
        assert at.login.count == 1
        assert len(at.api.arrivals) == 300


@pytest.mark.parametrize("plain", [True, False])
async def test_a_revoked_token_is_one_login_and_everybody_is_replayed(plain: bool) -> None:  # noqa: FBT001 - a parameter
    """Rule 1: 300 requests in flight with a dead token, as a middleware and through `AuthSession`."""
    async with Api() as api:
        login = Login(api, seconds=0.05)
        async with ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint) as auth:
            middlewares = (auth,) if plain else ()
            async with aiohttp.ClientSession(middlewares=middlewares) as http:
                client: Any = http if plain else AuthSession(http, auth)
                await post(client, api.endpoint)
                api.revoke()
                results = await asyncio.gather(*(post(client, api.endpoint, json={"n": n}) for n in range(300)))
                assert {status for status, _ in results} == {200}
                assert login.count == 2
                stats = auth.stats()
                assert (stats.logins, stats.replays, stats.unauthorized) == (2, stats.unauthorized, stats.replays)
                assert (
                    sorted(a.body for a in api.arrivals if a.status == 200)[1:]
                    == sorted(a.body for a in api.arrivals if a.status == 200)[1:]
                )


async def test_a_late_refusal_of_an_older_token_is_replayed_without_a_login() -> None:
    """Rule 2: the refusal that comes after the login."""
    async with scene() as at:
        await at.post()
        held, hold = asyncio.Event(), asyncio.Event()

        async def late(_request: web.Request, _body: bytes) -> None:
            held.set()
            await hold.wait()

        at.api.refusals["/late"] = late
        at.api.revoke()
        slow = asyncio.create_task(at.post("/late"))
        await held.wait()
        await at.post()
        assert at.login.count == 2
        hold.set()
        assert (await slow)[0] == 200
        assert at.login.count == 2


async def test_nothing_is_sent_with_a_token_known_to_be_dead() -> None:
    """Rule 4: requests that come while the login runs wait for it."""
    async with scene() as at:
        await at.post()
        await nobody_is_sent_with_a_dead_token(at)


async def test_a_fresh_token_that_is_refused_too_is_the_callers_401() -> None:
    """Rule 3: with the server's own body, as from plain aiohttp, after one login and one replay."""
    async with scene() as at:
        await at.post()
        at.api.keys.clear()
        mark = len(at.api.arrivals)
        assert await at.post() == (401, {"error": "Missing or invalid token"})
        assert at.login.count == 2
        assert len(at.api.since(mark)) == 2


async def test_an_api_that_refuses_for_ever_meets_the_budget() -> None:
    """Rule 7: no more useless logins than allowed, then `LoginBudgetExceededError`."""
    async with scene(max_logins=(3, 60.0)) as at:
        at.api.keys.clear()
        outcomes: list[Any] = []
        for _ in range(8):
            try:
                outcomes.append((await at.post())[0])
            except LoginBudgetExceededError:
                outcomes.append("budget")
        assert outcomes == [401] * 2 + ["budget"] * 6
        assert at.login.count == 3


async def test_one_operation_that_is_always_refused_costs_the_others_nothing() -> None:
    """Rule 19: its caller gets its 401, the others their answers, and logins stay within the budget."""

    async def refuse(_request: web.Request, _body: bytes) -> web.Response:
        return web.json_response({"error": "not for you"}, status=401)

    async with scene(max_logins=(3, 60.0)) as at:
        at.api.answers["/forbidden"] = refuse
        for _ in range(8):
            assert (await at.post())[0] == 200
            assert await at.post("/forbidden") == (401, {"error": "not for you"})
        assert at.login.count <= 4
        assert (await at.post())[0] == 200


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_one_connection_is_enough(size: int) -> None:
    """Rule 9: the connection of a refusal is given back before anything waits, however large its body."""

    async def large(_request: web.Request, _body: bytes) -> web.Response:
        return web.json_response({"error": "x" * size}, status=401)

    async with scene(session={"connector": aiohttp.TCPConnector(limit=1)}, seconds=0.02) as at:
        await at.post()
        at.api.refusals["/graphql"] = large
        at.api.revoke()
        results = await asyncio.wait_for(asyncio.gather(*(at.post() for _ in range(5))), 20)
        assert {status for status, _ in results} == {200}
        assert at.login.count == 2


async def test_a_small_refusal_keeps_its_connection_usable() -> None:
    """Rule 9: read to its end, it costs no new connection."""
    async with scene(session={"connector": aiohttp.TCPConnector(limit=1)}) as at:
        for _ in range(3):
            await at.post()
            at.api.revoke()
        assert len(at.api.connections) == 1


async def test_a_refusal_whose_body_never_ends_is_given_up() -> None:
    """The fault table: a 401 that trickles on for ever holds its request up for about a second."""

    async def endless(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=401)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.02)
        except (ConnectionError, asyncio.CancelledError):
            return response

    async with scene(session={"connector": aiohttp.TCPConnector(limit=1)}) as at:
        await at.post()
        at.api.refusals["/graphql"] = endless
        at.api.revoke()
        assert (await asyncio.wait_for(at.post(), 10))[0] == 200


async def test_a_large_refusal_comes_back_whole_where_nothing_newer_is_to_be_had() -> None:
    """Rule 3: a fixed token that is refused is the caller's 401, with all of its body."""

    async def large(_request: web.Request, _body: bytes) -> web.Response:
        return web.json_response({"error": "x" * 200_000}, status=401)

    async with scene(login=StaticLogin("fixed")) as at:
        status, body = await at.post()
        assert (status, body) == (401, {"error": "Missing or invalid token"})
        assert len(at.api.arrivals) == 1
        at.api.refusals["/graphql"] = large
        status, body = await at.post()
        assert (status, len(body["error"])) == (401, 200_000)


async def test_401_then_close_is_replayed_on_a_new_connection() -> None:
    """Lesson 22: ``Connection: close`` on the refusal."""

    async def closing(_request: web.Request, _body: bytes) -> web.Response:
        response = web.json_response({"error": "no"}, status=401)
        response.force_close()
        return response

    async with scene() as at:
        await at.post()
        at.api.refusals["/graphql"] = closing
        at.api.revoke()
        assert (await at.post())[0] == 200


async def test_callers_credentials_are_replaced_never_doubled() -> None:
    """Rule 13: in any spelling, from the session and from the request."""
    async with scene(session={"headers": {"Authorization": "Bearer stale", "X-API-KEY": "stale"}}) as at:
        assert (await at.post(headers={"authorization": "Bearer mine", "x-api-key": "mine"}))[0] == 200


async def test_headers_are_secret_in_aiohttps_own_errors() -> None:
    """Lesson 41: neither token nor key in repr, str, args and request_info."""
    async with scene(session={"raise_for_status": True}) as at:

        async def broken(_request: web.Request, _body: bytes) -> web.Response:
            return web.Response(status=500)

        await at.post()
        at.api.answers["/graphql"] = broken
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await at.post()
        shown = f"{caught.value!r} {caught.value} {caught.value.args!r} {caught.value.request_info!r}"
        assert KEY not in shown
        assert "token-1" not in shown


async def test_a_session_that_raises_for_status_is_replayed_all_the_same() -> None:
    """The contract: ``raise_for_status=True`` keeps working, and sees the last answer alone."""
    async with scene(session={"raise_for_status": True}) as at:
        await at.post()
        at.api.revoke()
        assert (await at.post())[0] == 200
        at.api.keys.clear()
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await at.post()
        assert caught.value.status == 401


async def test_the_login_has_connections_of_its_own() -> None:
    """Lesson 10: with the caller's only connection held by an unread answer, a login over HTTP completes."""
    async with Api() as api:

        async def login(context: LoginContext) -> Token:
            async with context.session.get(api.base + "/login") as response:
                assert response.status == 401
            return Token(api.issue())

        connector = aiohttp.TCPConnector(limit=1)
        async with (
            ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint) as auth,
            aiohttp.ClientSession(connector=connector) as http,
        ):
            client = AuthSession(http, auth)

            async def large(_request: web.Request, _body: bytes) -> web.Response:
                return web.Response(body=b"x" * 2_000_000)

            api.answers["/large"] = large
            unread = await client.get("/large")
            auth.invalidate(await auth.token())
            assert (await asyncio.wait_for(auth.token(), 5)).value == "token-2"
            unread.close()


async def test_unread_answers_and_open_sockets_hold_no_login_up() -> None:
    """Lesson 45: no lock spans a response."""
    async with scene() as at:
        unread = await at.client.post(at.api.endpoint, json=QUERY)
        at.api.revoke()
        results = await asyncio.wait_for(asyncio.gather(*(at.post() for _ in range(20))), 10)
        assert {status for status, _ in results} == {200}
        unread.close()


async def test_a_callers_timeout_is_its_own() -> None:
    """Rule 5: the login goes on for the others."""
    async with scene() as at:
        at.login.gate.clear()
        patient = asyncio.create_task(at.post())
        with pytest.raises(TimeoutError):
            await at.post(timeout=aiohttp.ClientTimeout(total=0.05))
        at.login.gate.set()
        assert (await patient)[0] == 200
        assert at.login.count == 1


async def test_a_login_through_the_guarded_session_fails_at_once() -> None:
    """Rule 14: as does one that asks the owner for its token or headers."""
    async with Api() as api:
        holder: dict[str, Any] = {}

        async def through_session(_context: LoginContext) -> Token:
            async with holder["http"].post(api.endpoint, json=QUERY) as response:
                return Token((await response.json())["token"])

        async def through_token(_context: LoginContext) -> Token:
            return await holder["auth"].token()  # type: ignore[no-any-return]  # a dict of anything

        async def through_headers(_context: LoginContext) -> Token:
            await holder["auth"].headers()
            raise AssertionError("not reached")

        for login in (through_session, through_token, through_headers):
            async with (
                ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint) as auth,
                aiohttp.ClientSession(middlewares=(auth,)) as http,
            ):
                holder.update(http=http, auth=auth)
                with pytest.raises(ReentrantLoginError, match=r"context\.session"):
                    await asyncio.wait_for(post(http, api.endpoint), 5)
        assert api.arrivals == []


async def test_on_token_may_send_requests_through_the_same_session() -> None:
    """The contract: they go out with the new token."""
    async with Api() as api:
        seen: list[Any] = []

        async def on_token(_new: Token, _old: Token | None, _reason: object) -> None:
            seen.append(await post(http, api.endpoint, json={"from": "hook"}))

        login = Login(api)
        async with (
            ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, on_token=on_token) as auth,
            aiohttp.ClientSession(middlewares=(auth,)) as http,
        ):
            assert (await asyncio.wait_for(post(http, api.endpoint), 4))[0] == 200
            assert [status for status, _ in seen] == [200]
            api.keys.clear()
            assert (await asyncio.wait_for(post(http, api.endpoint), 4))[0] == 401
            assert [status for status, _ in seen] == [200, 401]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (CredentialsRejectedError("no"), CredentialsRejectedError),
        (LoginUnavailableError("down", retry_after=100), LoginUnavailableError),
        (KeyError("surprise"), LoginError),
        (aiohttp.ServerDisconnectedError(), LoginUnavailableError),
        (aiohttp.InvalidURL("x"), LoginUnavailableError),
    ],
)
async def test_whatever_a_login_raises_is_a_typed_error_and_holds_nothing(failure: Exception, expected: type) -> None:
    """Rule 6: at once, for all, and the connector holds no connection afterwards (lesson 21)."""

    async def login(_context: LoginContext) -> Token:
        raise failure

    async with scene(login=login, login_timeout=0.3) as at:
        results = await asyncio.gather(*(at.post() for _ in range(5)), return_exceptions=True)
        assert {type(result) for result in results} == {expected}
        assert all(isinstance(result, aiohttp.ClientError) for result in results)
        assert at.api.arrivals == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, CredentialsRejectedError), (403, CredentialsRejectedError), (404, LoginError), (429, LoginUnavailableError)],
)
async def test_a_login_that_raises_for_status_is_understood(status: int, expected: type) -> None:
    """Rule 7: the status of the application's own login call says what failed, and no header shows in the error."""
    async with Api() as api:

        async def answer(_request: web.Request, _body: bytes) -> web.Response:
            return web.Response(status=status, headers={"Retry-After": "100"})

        api.refusals["/login"] = answer

        async def login(context: LoginContext) -> Token:
            headers = {"Authorization": "Basic c2VjcmV0"}
            async with context.session.post(api.base + "/login", headers=headers, raise_for_status=True):
                raise AssertionError("not reached")

        async with ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, login_timeout=1) as auth:
            with pytest.raises(LoginError) as caught:
                await auth.token()
            assert type(caught.value) is expected
            assert getattr(caught.value, "retry_after", None) == (100 if status == 429 else None)
            assert "c2VjcmV0" not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}"


async def test_a_login_that_is_not_async_is_told_so() -> None:
    """Bad input: the sentence says what to make of it."""
    async with scene(login=lambda _context: Token("token")) as at:
        with pytest.raises(LoginError, match="returned Token at once; make it an async callable"):
            await at.post()


async def test_a_login_is_not_redirected_off_its_origin() -> None:
    """Rule 22: neither by the session that it is given, nor to plain HTTP."""
    async with Api() as api, Api() as other:

        async def away(_request: web.Request, _body: bytes) -> web.Response:
            return web.Response(status=307, headers={"Location": target})

        api.refusals["/login"] = away

        async def login(context: LoginContext) -> Token:
            async with context.session.post(url, json={"password": "p"}) as response:
                return Token(await response.text())

        async with ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint) as auth:
            url, target = api.base + "/login", other.base + "/steal"
            with pytest.raises(LoginError, match="another origin"):
                await auth.token()
            assert other.arrivals == []
            target = "http://[bad"
            with pytest.raises(LoginError):
                await auth.token()
            url = "http://example.invalid/login"
            with pytest.raises(InsecureTransportError, match="https"):
                await auth.token()


async def test_a_given_login_session_is_used_and_not_closed() -> None:
    """The contract: ``login_session`` is the application's own; its connections serve, and rule 22 holds for it too."""
    async with Api() as api, Api() as other, aiohttp.ClientSession(headers={"X-Own": "1"}) as own:

        async def away(_request: web.Request, _body: bytes) -> web.Response:
            return web.Response(status=307, headers={"Location": other.base})

        async def login(context: LoginContext) -> Token:
            async with context.session.post(api.base + "/login", json={"password": "p"}) as response:
                assert response.status == 401
            return Token(api.issue())

        async with ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, login_session=own) as auth:
            await auth.token()
            assert api.arrivals[-1].headers["X-Own"] == "1"
            api.refusals["/login"] = away
            auth.invalidate(await auth.token())
            with pytest.raises(LoginError, match="another origin"):
                await auth.token()
        assert other.arrivals == []
        assert not own.closed


async def test_an_answer_without_an_end_is_no_answer_to_a_login() -> None:
    """Rule 22: 1 MiB is read, also by an application's own login."""
    sent = 0

    async def endless(request: web.Request, _body: bytes) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while sent < 100 * 2**20:
                await response.write(b"x" * 2**16)
                sent += 2**16
        except ConnectionError:
            pass
        return response

    async with Api() as api:
        api.refusals["/login"] = endless

        async def login(context: LoginContext) -> Token:
            async with context.session.post(api.base + "/login") as response:
                return Token((await response.json())["token"])

        async with ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint) as auth:
            with pytest.raises(LoginError, match="more than 1048576 bytes"):
                await auth.token()
        assert sent < 50 * 2**20


async def test_garbage_instead_of_http_is_no_rejection() -> None:
    """The fault table: the endpoint is not available, and is asked again as soon as somebody asks."""

    async def garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01 what is this\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/login"

    async def login(context: LoginContext) -> Token:
        async with context.session.post(url) as response:
            return Token(await response.text())

    async with server, scene(login=login, login_timeout=0.2) as at:
        for _ in range(2):
            with pytest.raises(LoginUnavailableError):
                await at.post()


async def test_a_session_closed_while_its_requests_wait_ends_them() -> None:
    """The fault table: with an `aiohttp.ClientConnectionError`, for the first sending and for a replay."""
    for revoked in (False, True):
        async with scene() as at:
            if revoked:
                await at.post()
                at.api.revoke()
            at.login.gate.clear()
            waiting = asyncio.create_task(at.post())
            await until(lambda: at.auth.stats().waiting == 1)
            await at.http.close()
            at.login.gate.set()
            with pytest.raises(aiohttp.ClientConnectionError, match="closed while"):
                await waiting


async def test_a_chunked_refusal_is_kept_too() -> None:
    """Rule 3, `StaticLogin`: a refused token is not sent again, whatever the framing of its 401."""

    async def chunked(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=401, headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'{"error": ')
        await response.write(b'"no"}')
        return response

    connector = aiohttp.TCPConnector(limit=1)
    async with scene(login=StaticLogin("fixed"), session={"connector": connector}) as at:
        at.api.refusals["/graphql"] = chunked
        for number in range(1, 4):
            assert await at.post() == (401, {"error": "no"})
            assert len(at.api.arrivals) == number
        assert len(at.api.connections) == 1


async def test_a_rotated_key_serves_a_token_that_stays() -> None:
    """The contract: a key read anew after a 401 is a reason to send again, although the token is the same."""
    current = [KEY]
    async with scene(login=StaticLogin("token-1"), api_key=lambda: current[0]) as at:
        at.api.issue()
        assert (await at.post())[0] == 200
        current[0] = "rotated"
        at.api.keys = {"rotated"}
        results = await asyncio.gather(*(at.post() for _ in range(5)))
        assert {status for status, _ in results} == {200}


async def test_others_are_renewed_although_one_caller_is_always_refused() -> None:
    """Rules 1 and 19: with the budget nearly used up by one caller, a real revocation is renewed after one 401."""

    async def refuse(_request: web.Request, _body: bytes) -> web.Response:
        return web.json_response({"error": "not for you"}, status=401)

    async with scene() as at:
        at.api.answers["/forbidden"] = refuse
        for _ in range(12):
            assert (await at.post())[0] == 200
            assert (await at.post("/forbidden"))[0] == 401
        assert at.login.count <= 5
        assert (await at.post())[0] == 200
        at.api.revoke()
        assert [(await at.post())[0] for _ in range(3)] in ([200, 200, 200], [401, 200, 200])


async def test_a_refusal_of_ones_own_kind_with_an_endless_body_is_given_up_too() -> None:
    """The fault table: what ``is_unauthorized`` knows need not be a 401, nor have an end."""

    async def endless(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=418, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.02)
        return response

    async with scene(is_unauthorized=is_teapot) as at:
        await at.post()
        at.api.refusals["/graphql"] = endless
        at.api.revoke()
        assert (await asyncio.wait_for(at.post(), 10))[0] == 200


@pytest.mark.parametrize("where", ["refusal", "graphql", "hook"])
async def test_who_is_interrupted_while_an_answer_is_looked_into_leaves_no_connection(where: str) -> None:
    """Rules 5 and 9: cancelled from outside, with one connection, the next request has it."""

    async def stalled(request: web.Request, _body: bytes) -> web.StreamResponse:
        status = 401 if where == "refusal" else 200
        response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
        response.content_length = 100
        await response.prepare(request)
        await response.write(b"{")
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await stop.wait()
        return response

    async def hangs(_response: aiohttp.ClientResponse) -> bool:
        await stop.wait()
        return False

    stop = asyncio.Event()
    options: dict[str, Any] = {"is_unauthorized": hangs} if where == "hook" else {}
    async with scene(session={"connector": aiohttp.TCPConnector(limit=1)}, **options) as at:
        await at.auth.token()
        if where == "refusal":
            at.api.revoke()
        if where != "hook":
            (at.api.refusals if where == "refusal" else at.api.answers)["/graphql"] = stalled
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await (at.client.graphql("{ a }") if where == "graphql" else at.post())
        stop.set()
        at.api.answers.clear()
        at.api.refusals.clear()
        assert (await asyncio.wait_for(at.post(), 5))[0] == 200


async def test_a_closed_login_session_is_named() -> None:
    """Bad input: one sentence, from the first login that needs it."""

    async def login(context: LoginContext) -> Token:
        return Token(str(context.session))

    own = aiohttp.ClientSession()
    await own.close()
    async with scene(login=login, login_session=own) as at:
        with pytest.raises(LoginError, match="login_session is closed"):
            await at.post()


async def test_a_refusal_that_cancels_is_contained(caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: ``is_unauthorized`` that raises `CancelledError` is a broken hook; a real cancellation is one."""
    hanging = asyncio.Event()

    def cancels(_response: aiohttp.ClientResponse) -> bool:
        raise asyncio.CancelledError

    async def hangs(_response: aiohttp.ClientResponse) -> bool:
        hanging.set()
        await asyncio.sleep(60)
        return False

    async with scene(is_unauthorized=cancels) as at:
        assert (await at.post())[0] == 200
    assert "is_unauthorized.failed error='CancelledError'" in caplog.messages
    async with scene(is_unauthorized=hangs) as at:
        task = asyncio.create_task(at.post())
        await hanging.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_rotated_api_key_is_picked_up() -> None:
    """The contract: a sync or async callable is read at every login and after a 401, in no hot path."""
    current = [KEY]
    reads: list[str] = []

    def read() -> str:
        reads.append(current[0])
        return current[0]

    async def read_async() -> str:
        return read()

    for source in (read, read_async):
        reads.clear()
        current[0] = KEY
        async with scene(api_key=source) as at:
            for _ in range(5):
                assert (await at.post())[0] == 200
            assert len(reads) == 1
            current[0] = "rotated"
            at.api.keys = {"rotated"}
            assert (await at.post())[0] == 200
            assert (await at.auth.headers())["x-api-key"] == "rotated"
            assert len(reads) == 2


async def test_headers_and_token_serve_other_transports() -> None:
    """The contract: the two headers of a request, their values printing as stars."""
    async with scene() as at:
        headers = await at.auth.headers()
        assert headers == {"Authorization": "Bearer token-1", "x-api-key": KEY}
        assert repr(headers) == "{'Authorization': '***', 'x-api-key': '***'}"
        assert (await at.auth.token()).value == "token-1"


async def test_an_owner_shows_where_it_belongs_and_how_it_is() -> None:
    """Its endpoint, its account where it has one, and one word; no secret."""
    async with scene(account="me") as named, scene() as at:
        assert repr(named.auth) == f"<ExterviewAuth {named.api.endpoint!r}, account='me', signed out>"
        assert repr(at.auth) == f"<ExterviewAuth {at.api.endpoint!r}, signed out>"
        at.login.gate.clear()
        asking = asyncio.create_task(at.auth.token())
        await asyncio.sleep(0)
        assert repr(at.auth).endswith(", logging in>")
        at.login.gate.set()
        await asking
        assert repr(at.auth).endswith(", signed in>")
        await at.auth.aclose()
        assert repr(at.auth).endswith(", closed>")


async def test_the_defaults_are_the_contracts() -> None:
    """30 s for a login, renewal 300 s ahead, five useless logins a minute."""
    renewer = ExterviewAuth(StaticLogin("t"), api_key=KEY)._keeper._renewal
    assert tuple(renewer.acquisition._account.options) == (30.0, 300.0, (5, 60.0)) == tuple(RenewalOptions())


async def test_whoever_takes_a_token_is_somebody_who_asks() -> None:
    """Rule 8: an owner whose token is used by other transports goes on renewing ahead of expiry."""
    async with scene() as at:
        for use in (at.auth.token, at.auth.headers, at.post):
            grant = await at.auth._keeper.obtain()
            grant.used = False
            await use()
            assert grant.used is True


async def test_after_aclose_every_use_raises() -> None:
    """Rule 21."""
    async with scene() as at:
        await at.post()
        await at.auth.aclose()
        for use in (at.post, at.auth.token, at.auth.headers, at.auth.logout):
            with pytest.raises(ClosedError):
                await use()
        with pytest.raises(ClosedError):
            at.auth.invalidate(Token("any"))
        with pytest.raises(ClosedError):
            await at.auth.__aenter__()
        assert "closed" in repr(at.auth)


async def test_is_unauthorized_replaces_the_test_and_its_mistakes_are_contained(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The contract: sync or async; one that raises is told to the log, and the status decides."""
    for test in TEAPOT_TESTS:
        async with scene(is_unauthorized=test) as at:
            await at.post()
            at.api.refusals["/graphql"] = teapot
            at.api.revoke()
            assert (await at.post())[0] == 200
            assert at.login.count == 2

    def broken(_response: aiohttp.ClientResponse) -> bool:
        raise RuntimeError("broken")

    with caplog.at_level(logging.ERROR, "exterview_auth"):
        async with scene(is_unauthorized=broken) as at:
            await at.post()
            at.api.revoke()
            assert (await at.post())[0] == 200
    assert set(caplog.messages) == {"is_unauthorized.failed error='RuntimeError'"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"login": None}, "PasswordLogin"),
        ({"api_key": ""}, "api_key"),
        ({"api_key": "two words"}, "api_key"),
        ({"api_key": None}, "api_key"),
        ({"endpoint": "graphql"}, "absolute"),
        ({"endpoint": "https://u:p@h/"}, "user name"),
        ({"endpoint": 7}, "endpoint"),
        ({"endpoint": "http://api.exterview.ai/graphql"}, "HTTPS"),
        ({"origins": "https://a/"}, "brackets"),
        ({"origins": ["http://a/"]}, "HTTPS"),
        ({"origins": None}, "brackets"),
        ({"login": StaticLogin}, "the class StaticLogin; make one"),
        ({"store": MemoryStore, "account": "a"}, "the class MemoryStore; make one"),
        ({"endpoint": "prod"}, "'production' or 'sandbox'"),
        ({"store": object(), "account": "a"}, "store"),
        ({"login_timeout": 0}, "login_timeout"),
        ({"login_timeout": float("nan")}, "login_timeout"),
        ({"refresh_ahead": -1}, "refresh_ahead"),
        ({"refresh_ahead": "soon"}, "refresh_ahead"),
        ({"max_logins": 5}, "max_logins"),
        ({"max_logins": (0, 60)}, "max_logins"),
        ({"max_logins": (1, 2, 3)}, "max_logins"),
        ({"on_token": 1}, "on_token"),
        ({"is_unauthorized": 1}, "is_unauthorized"),
        ({"account": ""}, "account"),
        ({"store": object()}, "store"),
        ({"store": object(), "account": "a"}, "not be object"),
        ({"login": 7}, "not int"),
        ({"login_session": object()}, "login_session"),
    ],
)
async def test_a_wrong_argument_is_one_sentence_before_anything_is_sent(
    arguments: dict[str, Any], sentence: str
) -> None:
    """Bad input: `ConfigurationError` that names the argument and shows no secret."""
    given: dict[str, Any] = {"login": StaticLogin("secret-token"), "api_key": "secret-key", **arguments}
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        ExterviewAuth(**given)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_request_that_waited_for_no_login_makes_none_useless() -> None:
    """Rule 7: useless is a login whose own requests are refused; this one's token was taken, and revoked before it was used."""
    async with scene() as at:
        await at.auth.token()
        at.api.revoke()
        assert (await at.post())[0] == 200
        assert at.auth.stats().useless_logins == 0
        assert at.login.count == 2


@pytest.mark.parametrize(
    ("status", "served"), [(200, True), (204, True), (304, True), (404, True), (403, True), (400, False), (500, False)]
)
async def test_which_answers_say_that_a_token_serves(status: int, *, served: bool) -> None:
    """Rule 19: those of a server that has looked at it."""

    async def answered(_request: web.Request, _body: bytes) -> web.Response:
        return web.Response(status=status)

    async with scene() as at:
        at.api.answers["/graphql"] = answered
        await at.post()
        grant = await at.auth._keeper.obtain()
        assert (grant.ever_accepted, grant.accepted_since_refusal) == (served, served)


async def test_a_refusal_of_ones_own_kind_says_that_a_token_does_not_serve() -> None:
    """Rule 19: whatever its status is."""
    async with scene(is_unauthorized=is_teapot) as at:
        at.api.answers["/graphql"] = at.api.refusals["/graphql"] = teapot
        grant = await at.auth._keeper.obtain()
        assert (await at.post())[0] == 418
        assert not grant.ever_accepted


async def test_a_refusal_that_breaks_off_is_replayed_all_the_same() -> None:
    """Rule 9: its body is of no interest."""

    async def breaks_off(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=401, headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async with scene() as at:
        await at.post()
        at.api.refusals["/graphql"] = breaks_off
        at.api.revoke()
        assert (await at.post())[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        ["UNAUTHENTICATED"],
        {"errors": ["UNAUTHENTICATED"]},
        {"errors": "UNAUTHENTICATED"},
        {"errors": [{"extensions": "UNAUTHENTICATED"}]},
        {"errors": [{"extensions": {"code": "unauthenticated"}, "message": "UNAUTHENTICATED"}]},
    ],
)
async def test_only_the_code_of_a_graphql_error_is_a_refusal(body: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Rule 15: the word elsewhere is not, and an answer of another shape is no error of ours."""

    async def answered(_request: web.Request, _body: bytes) -> web.Response:
        return web.json_response(body)

    async with scene(is_unauthorized=graphql_unauthenticated) as at:
        at.api.answers["/graphql"] = answered
        async with at.client.post(at.api.endpoint, json={}) as response:
            assert (response.status, await response.json()) == (200, body)
        assert at.login.count == 1
    assert caplog.messages == []
