"""Public bug reports about other clients, each replayed against this library. The reports are named by repository and number."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from exterview_auth import (
    AuthSession,
    ConfigurationError,
    CredentialsRejectedError,
    ExterviewAuth,
    FileStore,
    LoginBudgetExceededError,
    LoginContext,
    LoginUnavailableError,
    OAuth2Login,
    StaticLogin,
    Token,
)
from tests.kit.api import KEY, PLAIN, Api, Login, answering, form_of, leads_to, post, revoked, scene, signed_in, until
from tests.kit.login_endpoint import PASSWORD, SECRET, Reply, login_endpoint, refusal
from tests.kit.raw_server import raw_server
from tests.kit.tokens import raw_jwt

# -- requests -----------------------------------------------------------------------------------------------------------


async def _refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer when the head is there; read the body of a request with the good token only, and close."""
    head = await reader.readuntil(b"\r\n\r\n")
    good = b"Bearer token-2" in head
    if good:
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
    status = b"200 OK" if good else b"401 Unauthorized"
    writer.write(b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}" % status)
    await writer.drain()
    if not good:
        # As servers do that linger: without it, the refusal may be lost with the connection.
        writer.write_eof()
        while await reader.read(2**20):
            pass


@PLAIN
async def test_an_upload_that_is_refused_before_it_ends_is_sent_again(*, plain: bool) -> None:
    """aio-libs/aiohttp#7599, psf/requests#2422: the server answers the head of a long body, and the next request is fine."""
    numbers = iter(range(1, 9))

    async def log_in(_context: LoginContext) -> Token:
        return Token(f"token-{next(numbers)}")

    async with raw_server(_refuse_early) as port:
        url = f"http://127.0.0.1:{port}/graphql"
        auth = ExterviewAuth(log_in, api_key=KEY, endpoint=url)
        async with auth, aiohttp.ClientSession(middlewares=(auth,) if plain else ()) as http:
            client: Any = http if plain else AuthSession(http, auth)
            for _ in range(3):
                assert await post(client, url, data=io.BytesIO(bytes(2**24))) == (200, {})
        assert auth.stats().logins == 2


@PLAIN
async def test_a_form_outlives_a_refusal_and_a_redirect(*, plain: bool) -> None:
    """aio-libs/aiohttp#5577, inyutin/aiohttp_retry#61: "Form data has been processed already"."""
    async with revoked(plain=plain) as at:
        at.api.answers["/a"] = leads_to("/b")
        form = aiohttp.FormData({"jobId": "7"})
        form.add_field("files", b"resume", filename="a.pdf")
        assert (await at.post("/a", data=form))[0] == 200
        assert [(arrival.path, arrival.status) for arrival in at.api.arrivals] == [
            ("/a", 401),
            ("/a", 307),
            ("/b", 200),
        ]
        assert [[part.content for part in form_of(arrival)] for arrival in at.api.arrivals] == [[b"7", b"resume"]] * 3


@PLAIN
async def test_a_path_that_needs_another_scope_does_not_log_in_for_ever(*, plain: bool) -> None:
    """nicklaw5/helix#204: one path answers 401 whatever the token, and the others are served all the time."""
    async with signed_in(plain=plain) as at:
        challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
        at.api.answers["/followers"] = answering(401, headers=challenge)
        for _ in range(10):
            refused = asyncio.gather(*(at.post("/followers") for _ in range(5)), return_exceptions=True)
            assert await at.statuses(5) == {200}
            for answer in await refused:
                status = 401 if isinstance(answer, LoginBudgetExceededError) else answer[0]  # type: ignore[index]
                assert status == 401
        assert at.login.count <= 6


@PLAIN
async def test_an_expired_token_may_be_answered_with_400(*, plain: bool) -> None:
    """mblayman/conductor#175: "Signature has expired." with status 400, which a test of one's own recognises."""

    async def expired(response: aiohttp.ClientResponse) -> bool:
        return response.status == 400 and "has expired" in await response.text()

    async with revoked(plain=plain, is_unauthorized=expired) as at:
        at.api.refusals["/graphql"] = answering(400, {"non_field_errors": ["Signature has expired."]})
        assert await at.statuses(50) == {200}
        assert at.login.count == 2


async def test_an_upload_passes_the_guard_of_apollo_server() -> None:
    """apollographql/apollo-server#6433: a form without one of three headers is taken for a foreign page's."""
    guards = {"x-apollo-operation-name", "apollo-require-preflight"}

    async with signed_in() as at:
        for headers in (None, {"X-Apollo-Operation-Name": "upload"}, {"apollo-require-preflight": "yes"}):
            await at.client.graphql("mutation ($f: Upload!) { f }", files={"variables.f": b"x"}, headers=headers)
        await at.client.graphql("{ __typename }")
        sent = [{name for name in guards if arrival.headers.get(name)} for arrival in at.api.arrivals]
        assert sent == [{"apollo-require-preflight"}, guards, {"apollo-require-preflight"}, set()]
        assert at.api.arrivals[2].headers.getall("Apollo-Require-Preflight") == ["yes"]


# -- tokens -------------------------------------------------------------------------------------------------------------


def oauth(endpoint: URL, **options: Any) -> ExterviewAuth:
    return ExterviewAuth(OAuth2Login(endpoint, "client", SECRET, **options), api_key=KEY, endpoint=str(endpoint))


@pytest.mark.parametrize(
    ("lifetime", "seconds"), [("2700", 2700), (3600.0, 3600), ("3600.0", 3600), (0, None), (-3600, None), (None, None)]
)
async def test_a_lifetime_is_read_however_it_is_written(lifetime: object, seconds: float | None) -> None:
    """
    badgateway/oauth2-client#123, reddit-archive/reddit#761: as text, and with a fraction.

    decocms/studio#6199, spring-projects/spring-security#4810: what is no lifetime makes a token neither dead nor immortal;
    it serves until it is refused.
    """
    reply = Reply(200, {"access_token": "t", "token_type": "Bearer", "expires_in": lifetime})
    async with login_endpoint(reply) as server, oauth(server.url) as auth:
        tokens = await asyncio.gather(*(auth.token() for _ in range(20)))
        assert {token.expires_in for token in tokens} == {seconds}
        assert len(server.forms) == 1
        auth.invalidate(tokens[0])
        await auth.token()
        assert len(server.forms) == 2


async def test_a_refresh_without_a_lifetime_takes_none_from_the_token_before() -> None:
    """openclaw/openclaw#144082, ayunis-core/ayunis-core#544: the new token with the old one's expiry was refreshed for ever."""
    first = {"access_token": "one", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r"}
    async with login_endpoint(Reply(200, first), Reply(200, {"access_token": "two", "token_type": "Bearer"})) as server:
        async with oauth(server.url) as auth:
            auth.invalidate(await auth.token())
            assert {(await auth.token()).expires_in for _ in range(5)} == {None}
        assert [form["grant_type"] for form in server.forms] == ["client_credentials", "refresh_token"]


@pytest.mark.parametrize("skew", [-3600, -50, 50, 3600])
async def test_a_token_of_a_minute_serves_on_a_machine_whose_clock_is_wrong(skew: float) -> None:
    """koala73/worldmonitor#5932, workos/authkit-nextjs#470: 60 seconds from the login, whatever this machine's clock says."""
    issued = int(time.time() + skew)
    token = raw_jwt(json.dumps({"iat": issued, "exp": issued + 60}).encode())
    async with login_endpoint(Reply(200, {"access_token": token, "token_type": "Bearer"})) as server:
        async with oauth(server.url) as auth:
            assert {(await auth.token()).value for _ in range(10)} == {token}
        assert len(server.forms) == 1


@pytest.mark.parametrize("options", [{}, {"grant_type": "password", "username": "ada", "password": PASSWORD}])
async def test_a_refresh_asks_for_the_scope_of_the_first_grant(options: dict[str, str]) -> None:
    """anthropics/claude-code#89862: without it, Entra ID answers with a token for something else, which the API refuses."""
    granted = {"access_token": "t", "token_type": "Bearer", "refresh_token": "r"}
    async with login_endpoint(Reply(200, granted)) as server:
        async with oauth(server.url, scope="api/read", **options) as auth:
            auth.invalidate(await auth.token())
            await auth.token()
        assert [form["scope"] for form in server.forms] == ["api/read", "api/read"]
        assert server.forms[1]["grant_type"] == "refresh_token"


class RotatingIssuer:
    """An issuer whose refresh tokens work once: the reuse of one ends its whole family."""

    def __init__(self) -> None:
        self.grants: list[str] = []
        self.loses_next = False
        self._good = ""

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.grants.append(str(form["grant_type"]))
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self._good:
            self._good = ""
            return web.json_response({"error": "invalid_grant"}, status=400)
        self._good = f"r-{len(self.grants)}"
        if self.loses_next:
            self.loses_next = False
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"access_token": self._good, "token_type": "Bearer", "refresh_token": self._good})


async def test_a_rotated_refresh_token_that_was_lost_on_its_way_costs_one_full_grant() -> None:
    """bluesky-social/atproto#5411, advplyr/audiobookshelf#5281: the issuer has rotated, and the answer never came."""
    issuer = RotatingIssuer()
    app = web.Application()
    app.router.add_post("/token", issuer.answer)
    user = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    async with TestServer(app) as server, oauth(server.make_url("/token"), **user) as auth:
        auth.invalidate(await auth.token())
        issuer.loses_next = True
        assert len({(await auth.token()).value for _ in range(10)}) == 1
    assert issuer.grants == ["password", "refresh_token", "refresh_token", "password"]


@pytest.mark.parametrize("token", ["hush-hush\nX: y", "hush-\rhush", "hush-\0hush"])
async def test_a_token_with_a_line_end_in_it_is_refused_without_being_shown(
    token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """slackapi/java-slack-sdk#566, TriplyDB/TriplyDB-JS#20: the HTTP library quoted the whole header in its error."""
    caplog.set_level(logging.DEBUG)
    async with scene(login=StaticLogin(lambda: token)) as at:
        with pytest.raises((ConfigurationError, aiohttp.ClientError)) as caught:
            await at.post()
        assert at.api.arrivals == []
    assert "hush" not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"


# -- waiters ------------------------------------------------------------------------------------------------------------


async def test_a_cancelled_waiter_spoils_no_later_request() -> None:
    """talkiq/gcloud-aio#500, universal-tool-calling-protocol/python-utcp#103: the shared future stayed cancelled."""
    async with scene() as at:
        at.login.gate.clear()
        waiters = [asyncio.ensure_future(at.post()) for _ in range(20)]
        await asyncio.sleep(0.01)
        for waiter in waiters[:10]:
            waiter.cancel()
        await asyncio.wait(waiters[:10])
        at.login.gate.set()
        assert {status for status, _ in await asyncio.gather(*waiters[10:])} == {200}
        assert (await at.post())[0] == 200
        assert at.login.count == 1


async def test_a_cancelled_wait_for_another_owners_lock_leaves_the_lock_free(tmp_path: Path) -> None:
    """bytedance/deer-flow#4240: the thread of a cancelled waiter took the lock after all, and nobody released it."""
    async with Api() as api:
        logins = [Login(api), Login(api)]
        owners = [
            ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint, store=FileStore(tmp_path), account="a")
            for login in logins
        ]
        logins[0].gate.clear()
        holder = asyncio.ensure_future(owners[0].token())
        await until(lambda: logins[0].count == 1)
        waiter = asyncio.ensure_future(owners[1].token())
        await asyncio.sleep(0.2)
        waiter.cancel()
        await asyncio.wait([waiter])
        logins[0].gate.set()
        token = await holder
        for owner in owners:
            owner.invalidate(token)
            async with asyncio.timeout(60):
                assert (await owner.token()).value != token.value
            await owner.aclose()


async def test_a_dead_refresh_token_ends_in_one_error_and_no_flood() -> None:
    """vaadin/vaadin-connect#335, exabird/ha-tado-x#36: the refusal was answered with the same request, without end."""
    refusal = {"error": "invalid_grant", "error_description": "The refresh_token is invalid."}
    async with login_endpoint(Reply(400, {**refusal, "error_reason": "refresh_token_not_found"})) as server:
        async with oauth(server.url, grant_type="refresh_token", refresh_token="dead") as auth:
            for _ in range(5):
                failures = await asyncio.gather(*(auth.token() for _ in range(100)), return_exceptions=True)
                assert {type(failure) for failure in failures} == {CredentialsRejectedError}
        assert len(server.forms) == 1


@pytest.mark.parametrize("wait", ["soon", "0x1A", "Wed, 09 Sep 2026", "", "-5", "1e999"])
async def test_an_unreadable_retry_after_is_no_error_of_its_own(wait: str) -> None:
    """sdebruyn/fabric-dw-mcp-cli#238: neither seconds nor a date, and a 429 became a crash."""
    async with login_endpoint(Reply(429, {}, {"Retry-After": wait})) as server:
        failure = await refusal(OAuth2Login(server.url, "client", SECRET), server.url)
    assert isinstance(failure, LoginUnavailableError)
    assert "it answered 429" in str(failure)
