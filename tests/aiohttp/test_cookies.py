"""A request that waited for a token, or is sent again, has the cookies that its session has by then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractCookieJar
from yarl import URL

from exterview_auth import AuthSession, ExterviewAuth, LoginContext, Token
from tests.kit.api import KEY, PLAIN, Api, post, until


class Scene:
    """An API, and a session whose cookies each login renews, as one does that shares the session's jar."""

    def __init__(self, api: Api, jar: AbstractCookieJar, connections: int, *, plain: bool) -> None:
        self.api = api
        self.jar = jar
        self.renewed: dict[str, str] = {}
        self.logins = 0
        self.auth = ExterviewAuth(self.log_in, api_key=KEY, endpoint=api.endpoint)
        middlewares = (self.auth,) if plain else ()
        connector = aiohttp.TCPConnector(limit=connections)
        self.http = aiohttp.ClientSession(cookie_jar=jar, connector=connector, middlewares=middlewares)
        self.client: Any = self.http if plain else AuthSession(self.http, self.auth)

    async def log_in(self, _context: LoginContext) -> Token:
        await asyncio.sleep(0)
        self.logins += 1
        self.jar.update_cookies(self.renewed, URL(self.api.base))
        token = f"token-{self.logins}"
        self.api.tokens = {token}
        return Token(token)

    def has(self, **cookies: str) -> None:
        self.jar.update_cookies(cookies, URL(self.api.base))

    async def sent(self, **options: Any) -> list[dict[str, str]]:
        """Send a request; return the cookies of each of its attempts."""
        mark = len(self.api.arrivals)
        assert (await post(self.client, self.api.endpoint, **options))[0] == 200
        headers = (arrival.headers.get("Cookie", "") for arrival in self.api.arrivals[mark:])
        return [dict(pair.split("=", 1) for pair in header.split("; ") if pair) for header in headers]


@contextlib.asynccontextmanager
async def scene(*, plain: bool, jar: AbstractCookieJar | None = None, connections: int = 10) -> AsyncIterator[Scene]:
    async with Api() as api:
        jar = aiohttp.CookieJar(unsafe=True) if jar is None else jar
        at = Scene(api, jar, connections, plain=plain)
        async with at.http, at.auth:
            yield at


def setting(*cookies: str) -> Any:
    """Refuse, and set *cookies*."""

    async def refuse(_request: web.Request, _body: bytes) -> web.Response:
        response = web.json_response({}, status=401)
        for cookie in cookies:
            response.headers.add("Set-Cookie", cookie)
        return response

    return refuse


@PLAIN
async def test_a_replay_has_the_cookies_that_its_login_renewed(*, plain: bool) -> None:
    """And those that the login added."""
    async with scene(plain=plain) as at:
        await at.auth.token()
        at.has(session="old", theme="dark")
        at.api.revoke()
        at.renewed = {"session": "new", "extra": "1"}
        before, after = await at.sent()
        assert before == {"session": "old", "theme": "dark"}
        assert after == {"session": "new", "theme": "dark", "extra": "1"}


@PLAIN
async def test_what_a_refusal_sets_goes_into_the_jar_and_along(*, plain: bool) -> None:
    """A cookie that it deletes is not sent again; later requests have them too."""
    async with scene(plain=plain) as at:
        await at.auth.token()
        at.has(session="old", stale="x")
        at.api.refusals["/graphql"] = setting("session=new; Path=/", "csrf=7; Path=/", "stale=; Max-Age=0; Path=/")
        at.api.revoke()
        _, after = await at.sent()
        assert after == {"session": "new", "csrf": "7"}
        assert await at.sent() == [after]


@PLAIN
async def test_the_callers_own_cookies_stay(*, plain: bool) -> None:
    """Those of the request alone, given either way, are sent with each attempt."""
    async with scene(plain=plain) as at:
        await at.auth.token()
        for options in ({"cookies": {"mine": "1"}}, {"headers": {"Cookie": "mine=1"}}):
            at.jar.clear()
            at.api.refusals["/graphql"] = setting("session=new; Path=/")
            at.api.revoke()
            assert await at.sent(**options) == [{"mine": "1"}, {"mine": "1", "session": "new"}]


@PLAIN
async def test_a_first_request_has_the_cookies_that_its_login_set(*, plain: bool) -> None:
    """As one that begins after the login, wherever it waits."""
    async with scene(plain=plain) as at:
        at.has(session="old")
        at.renewed = {"session": "new"}
        assert await at.sent() == [{"session": "new"}]


@PLAIN
async def test_a_session_without_cookies_keeps_none(*, plain: bool) -> None:
    """A jar that holds nothing gets nothing, and a header of the caller is sent as it is written."""
    async with scene(plain=plain, jar=aiohttp.DummyCookieJar()) as at:
        await at.auth.token()
        at.api.refusals["/graphql"] = setting("session=new")
        at.api.revoke()
        mark = len(at.api.arrivals)
        await post(at.client, at.api.endpoint, headers={"Cookie": "a=1;b=2"})
        assert [arrival.headers["Cookie"] for arrival in at.api.arrivals[mark:]] == ["a=1;b=2"] * 2


@PLAIN
async def test_a_request_that_is_sent_back_from_its_queue_has_the_newest_cookies(*, plain: bool) -> None:
    """It waits for a token, and goes with what the session has by then."""
    async with scene(plain=plain, connections=1) as at:
        await at.auth.token()
        at.has(session="old")
        over, reached = asyncio.Event(), asyncio.Event()
        at.api.answers["/held"] = held(over, reached)
        first = asyncio.create_task(post(at.client, f"{at.api.base}/held"))
        await reached.wait()
        queued = asyncio.create_task(at.sent())
        await until(lambda: len(at.auth._middleware.signed.unanswered) == 2)
        at.renewed = {"session": "new"}
        at.auth.invalidate(await at.auth.token())
        over.set()
        await first
        assert await queued == [{"session": "new"}]


def held(over: asyncio.Event, reached: asyncio.Event) -> Any:
    """Set *reached*, and answer when *over* is set."""

    async def answer(_request: web.Request, _body: bytes) -> web.Response:
        reached.set()
        await over.wait()
        return web.json_response({})

    return answer
