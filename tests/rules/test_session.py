"""`AuthSession`: aiohttp's verbs with aiohttp's behaviour, around a session that has its own settings."""

from __future__ import annotations

import inspect
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from exterview_auth import AuthSession, ConfigurationError
from tests.kit.api import KEY, QUERY, Scene, scene


async def echo(request: web.Request, body: bytes) -> web.Response:
    """Answer with what arrived."""
    return web.json_response(
        {"method": request.method, "query": dict(request.query), "cookies": dict(request.cookies), "size": len(body)}
    )


async def answered(at: Scene, verb: str, **options: Any) -> dict[str, Any]:
    """Send a request by *verb*; return what arrived."""
    async with getattr(at.client, verb)("/echo", **options) as response:
        assert response.status == 200
        return dict(await response.json())


async def test_every_verb_is_signed_with_async_with_and_with_await() -> None:
    """The verbs are aiohttp's own."""
    async with scene() as at:
        at.api.answers["/echo"] = echo
        for verb in ("get", "post", "put", "patch", "delete", "options"):
            assert (await answered(at, verb, params={"a": "b"}))["method"] == verb.upper()
        response = await at.client.request("REPORT", "/echo")
        assert (await response.json())["method"] == "REPORT"
        async with at.client.head("/echo") as head:
            assert head.status == 200
        assert all(arrival.token == "token-1" for arrival in at.api.arrivals)


async def test_the_verbs_have_aiohttps_parameters() -> None:
    """Every name that aiohttp's own verbs have."""
    keywords = {*aiohttp.client._RequestOptions.__annotations__, *aiohttp.client._WSConnectOptions.__annotations__}
    for verb in ("request", "get", "options", "head", "post", "put", "patch", "delete", "ws_connect"):
        ours = set(inspect.signature(getattr(AuthSession, verb)).parameters)
        theirs = set(inspect.signature(getattr(aiohttp.ClientSession, verb)).parameters)
        assert theirs <= ours | keywords, verb


async def test_relative_urls_are_resolved_against_the_endpoint() -> None:
    """The empty one is the endpoint itself."""
    async with scene() as at:
        for url in ("", "/graphql", "graphql", "?a=b", "/ats/candidates/bulk-upload"):
            async with at.client.post(url, json=QUERY) as response:
                assert response.status == 200
        assert [a.path for a in at.api.arrivals] == ["/graphql"] * 4 + ["/ats/candidates/bulk-upload"]


async def test_urls_that_alternate_are_each_resolved() -> None:
    """The newest URL is remembered, as the same object or an equal text, and no other is taken for it."""
    async with scene() as at:
        absolute = URL(at.api.base) / "d"
        given = [
            "/a",
            "/a",
            "/b",
            "/a",
            f"{at.api.base}/c",
            f"{at.api.base}/c",
            absolute,
            absolute,
            "",
        ]
        for url in given:
            await at.client.post(url, json=QUERY)
        for wrong in ("http://[::1", "http://[::1", None):
            with pytest.raises((aiohttp.InvalidURL, TypeError)):
                await at.client.post(wrong, json=QUERY)
        await at.client.post("/a", json=QUERY)
        assert [a.path for a in at.api.arrivals] == [
            f"/{n}" for n in ("a", "a", "b", "a", "c", "c", "d", "d", "graphql", "a")
        ]


async def test_a_base_url_of_the_session_comes_first() -> None:
    """Relative URLs are resolved against it, not against the endpoint."""
    async with scene() as at, aiohttp.ClientSession(base_url=at.api.base + "/v2/") as http:
        async with AuthSession(http, at.auth).post("graphql", json=QUERY) as response:
            assert response.status == 200
        assert at.api.arrivals[-1].path == "/v2/graphql"


async def test_the_sessions_middlewares_run_outside_ours() -> None:
    """Auth is the innermost, also with per-request middlewares, and never doubled."""
    seen: list[tuple[str, bool]] = []

    def noting(name: str) -> aiohttp.ClientMiddlewareType:
        async def middleware(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            seen.append((name, "Authorization" in request.headers))
            return await handler(request)

        return middleware

    async with scene(session={"middlewares": (noting("session"),)}) as at:
        await at.post()
        await at.post(middlewares=(noting("request"), at.auth))
        assert seen == [("session", False), ("request", False)]
        async with (
            aiohttp.ClientSession(middlewares=(noting("outer"), at.auth)) as http,
            AuthSession(http, at.auth).post("", json=QUERY) as response,
        ):
            assert response.status == 200
        assert at.auth.stats().logins == 1


async def test_cookies_headers_and_tracing_work_as_before() -> None:
    """And a replay is no second request for the tracer."""
    traced: list[str] = []
    tracing = aiohttp.TraceConfig()

    async def on_start(_session: object, _context: object, params: aiohttp.TraceRequestStartParams) -> None:
        traced.append(params.method)

    tracing.on_request_start.append(on_start)
    jar = aiohttp.CookieJar(unsafe=True)
    async with scene(session={"trace_configs": [tracing], "cookie_jar": jar, "headers": {"X-App": "a"}}) as at:
        at.api.answers["/echo"] = echo
        jar.update_cookies({"c": "1"})
        at.api.revoke()
        assert (await answered(at, "post", json={}))["cookies"] == {"c": "1"}
        at.api.revoke()
        assert (await answered(at, "post", json={}))["cookies"] == {"c": "1"}
        assert traced == ["POST", "POST"]
        assert at.api.arrivals[-1].headers["X-App"] == "a"
        assert at.api.arrivals[-1].headers["x-api-key"] == KEY


async def test_the_session_is_never_closed() -> None:
    """It belongs to the application."""
    async with scene() as at:
        await at.post()
        assert (at.client.closed, at.client.auth) == (False, at.auth)
        await at.http.close()
        assert (at.client.closed, at.client.auth) == (True, at.auth)
        with pytest.raises(RuntimeError, match="closed"):
            await at.post()
        assert KEY not in repr(at.client)


async def test_wrong_arguments_are_refused() -> None:
    """Bad input: the sentence names the classes."""
    async with scene() as at:
        with pytest.raises(ConfigurationError, match=r"aiohttp\.ClientSession, not str"):
            AuthSession("http", at.auth)  # type: ignore[arg-type]  # a wrong use
        with pytest.raises(ConfigurationError, match="ExterviewAuth, not str"):
            AuthSession(at.http, "auth")  # type: ignore[arg-type]  # a wrong use
