"""Plain HTTP goes to this machine alone, also where a proxy stands on the way."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from exterview_auth import InsecureTransportError, LoginContext
from exterview_auth._endpoint import require_safe_transport
from tests.kit.api import QUERY, Api, leads_to, post, scene, signed_in

WAYS = pytest.mark.parametrize("way", ["argument", "session", "environment", "middleware"])


class ProxyHere(AbstractResolver):
    """Finds every name on this machine, so that a request which is sent arrives."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


def through(proxy: URL, way: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arguments of a session and of its requests, which go through *proxy*."""

    async def divert(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.proxy = proxy
        return await handler(request)

    if way == "environment":
        monkeypatch.setenv("http_proxy", str(proxy))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
    session: dict[str, dict[str, Any]] = {
        "argument": {},
        "session": {"proxy": proxy},
        "environment": {"trust_env": True},
        "middleware": {"middlewares": (divert,)},
    }
    connector = {"connector": aiohttp.TCPConnector(resolver=ProxyHere())}
    return {**connector, **session[way]}, {"proxy": str(proxy)} if way == "argument" else {}


@WAYS
async def test_a_request_does_not_pass_a_proxy_in_clear(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before anything is sent, the login included, in whichever way the proxy was named."""
    async with Api() as proxy:
        name = URL(proxy.base).with_host("proxy.example").with_user("user").with_password("s3cret")
        session, request = through(name, way, monkeypatch)
        async with scene(session=session) as at:
            for _ in range(2):
                for send in (at.client.post, at.client.ws_connect):
                    with pytest.raises(InsecureTransportError, match=r"proxy proxy\.example") as caught:
                        async with send(at.api.endpoint, **request):
                            pass
                    assert "s3cret" not in str(caught.value)
                assert (at.login.count, at.api.arrivals, proxy.arrivals) == (0, [], [])
                await at.auth.token()  # the second time, on the fast path
                at.login.contexts.clear()
            assert len(at.auth._unanswered) == 0


async def test_a_proxy_that_comes_up_later_is_seen() -> None:
    """On the fast path, at a hop, and when a middleware tries again."""
    proxies: list[URL | None] = []

    async def divert(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        for proxy in proxies or [None]:
            request.proxy = proxy
            response = await handler(request)
        return response

    async with Api() as second, signed_in(session={"middlewares": (divert,)}, origins=(second.base,)) as at:
        for urls in ([URL("http://proxy.example:1")], [None, URL("http://proxy.example:1")]):
            proxies[:] = urls
            with pytest.raises(InsecureTransportError):
                await at.post()
        proxies.clear()
        at.api.answers["/on"] = leads_to(second.endpoint)

        async def at_the_hop(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
            request.proxy = URL("http://proxy.example:1") if request.url == URL(second.endpoint) else None
            return await handler(request)  # type: ignore[no-any-return]

        with pytest.raises(InsecureTransportError):
            await post(at.client, f"{at.api.base}/on", middlewares=(at_the_hop,))
        assert second.arrivals == []


@WAYS
async def test_a_proxy_on_this_machine_is_this_machine(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does with a request is between the two."""
    async with Api() as proxy:
        session, request = through(URL(proxy.base).with_host("localhost"), way, monkeypatch)
        async with scene(session=session) as at:
            proxy.tokens = at.api.tokens
            for _ in range(3):
                assert (await post(at.client, at.api.endpoint, **request))[0] == 200
            assert (len(proxy.arrivals), at.api.arrivals) == (3, [])
            at.api.revoke()
            assert (await post(at.client, at.api.endpoint, **request))[0] == 200
            assert at.login.count == 2


@WAYS
async def test_strangers_are_reached_through_any_proxy(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to another origin passes untouched."""
    async with Api() as proxy:
        session, request = through(URL(proxy.base).with_host("proxy.example"), way, monkeypatch)
        async with scene(session=session) as at:
            assert (await post(at.client, "http://stranger.example/x", **request))[0] == 401
            assert [arrival.path for arrival in proxy.arrivals] == ["/x"]


async def test_a_login_does_not_pass_a_proxy_in_clear() -> None:
    """With a ``login_session`` of the application that has one."""
    async with Api() as proxy:
        name = URL(proxy.base).with_host("proxy.example")
        connector = aiohttp.TCPConnector(resolver=ProxyHere())
        async with aiohttp.ClientSession(proxy=name, connector=connector) as own, scene(login_session=own) as at:

            async def login(context: LoginContext) -> None:
                await context.session.post(f"{at.api.base}/login", json=QUERY)

            at.login.first = login
            with pytest.raises(InsecureTransportError, match=r"the login's URL .* proxy\.example"):
                await at.auth.token()
            assert (proxy.arrivals, at.api.arrivals) == ([], [])


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_https_passes_any_proxy(scheme: str) -> None:
    """The proxy sees a tunnel."""
    require_safe_transport(URL(f"{scheme}://api.example/"), "it", proxy=URL("http://proxy.example:3128"))


async def test_requests_through_a_proxy_on_this_machine_wait_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only there is the proxy of the environment known, and a login would be too early."""
    async with Api() as proxy:
        session, _ = through(URL(proxy.base), "environment", monkeypatch)
        async with scene(session=session) as at:
            proxy.tokens = at.api.tokens
            assert await at.statuses(5) == {200}
            assert at.login.count == 1
