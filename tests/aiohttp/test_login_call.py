"""The application's login: the session that it is given, and what its failures become."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from yarl import URL

from exterview_auth import (
    AuthSession,
    ClosedError,
    CredentialsRejectedError,
    ExterviewAuthError,
    InsecureTransportError,
    LoginContext,
    LoginError,
    LoginUnavailableError,
    ReentrantLoginError,
    Token,
)
from tests.kit.api import Api, Scene, answering, endless, leads_to, scene, signed_in, until
from tests.kit.raw_server import raw_server
from tests.kit.showing import assert_shows_none


def posting(url: str, **options: Any) -> Callable[[LoginContext], Awaitable[str]]:
    """Return what a login does first: it posts a password to *url* with the session that it is given."""

    async def post(context: LoginContext) -> str:
        async with context.session.post(url, json={"password": "p"}, **options) as response:
            return await response.text()

    return post


# -- its session --------------------------------------------------------------------------------------------------------


async def test_the_login_has_separate_connections() -> None:
    """A login over HTTP completes although an unread answer holds the caller's only connection."""
    async with signed_in(connections=1) as at:
        at.api.answers["/large"] = answering(200, b"x" * 2_000_000)
        at.login.first = posting(f"{at.api.base}/login")
        unread = await at.client.get("/large")
        at.auth.invalidate(await at.auth.token())
        assert (await asyncio.wait_for(at.auth.token(), 20)).value == "token-2"
        unread.close()


async def test_a_given_login_session_is_used_and_not_closed() -> None:
    """``login_session`` is the application's own, and held to the same origin."""

    async def mark(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers["X-Own"] = "1"
        return await handler(request)

    async with (
        Api() as other,
        aiohttp.ClientSession(middlewares=(mark,)) as own,
        scene(login_session=own) as at,
    ):
        at.login.first = posting(f"{at.api.base}/login")
        token = await at.auth.token()
        assert at.api.arrivals[-1].headers["X-Own"] == "1"
        at.api.refusals["/login"] = leads_to(other.base)
        at.auth.invalidate(token)
        with pytest.raises(LoginError, match="another origin"):
            await at.auth.token()
        await at.auth.aclose()
        assert (other.arrivals, own.closed) == ([], False)


async def test_a_closed_login_session_is_named() -> None:
    """Bad input: one sentence, from the first login that needs it."""
    own = aiohttp.ClientSession()
    await own.close()
    async with scene(login_session=own) as at:
        at.login.first = posting(f"{at.api.base}/login")
        with pytest.raises(LoginError, match="login_session is closed"):
            await at.post()


@pytest.mark.parametrize("plain", [False, True], ids=["session", "middleware"])
@pytest.mark.parametrize("way", ["token", "headers", "post", "graphql"])
async def test_a_login_through_the_guarded_session_fails_immediately(way: str, *, plain: bool) -> None:
    """So does one that asks the owner for its token or headers."""
    async with scene(plain=plain) as at:
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "token": at.auth.token,
            "headers": at.auth.headers,
            "post": at.post,
            "graphql": lambda: AuthSession(at.http, at.auth).graphql("{ a }"),
        }
        at.login.first = lambda _: ways[way]()
        with pytest.raises(ReentrantLoginError, match=r"context\.session"):
            await asyncio.wait_for(at.auth.token(), 20)
        assert at.api.arrivals == []


@pytest.mark.parametrize("plain", [False, True], ids=["session", "middleware"])
async def test_two_logins_through_each_others_sessions_fail_immediately(*, plain: bool) -> None:
    """Also where each login was begun by a request of its own, so that neither is inside the other."""
    async with scene(plain=plain) as one, scene(plain=plain) as other:
        begun = asyncio.Barrier(2)

        def through(owner: Scene) -> Callable[[LoginContext], Awaitable[object]]:
            async def login(_context: LoginContext) -> object:
                await begun.wait()
                return await owner.post()

            return login

        one.login.first, other.login.first = through(other), through(one)
        async with asyncio.timeout(20):
            failures = await asyncio.gather(one.auth.token(), other.auth.token(), return_exceptions=True)
        assert [type(failure) for failure in failures] == [ReentrantLoginError] * 2
        assert [*one.api.arrivals, *other.api.arrivals] == []


# -- one origin ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "headers",
    [{"Location": "TO"}, {"URI": "TO"}, {"Location": "", "URI": "TO"}],
    ids=["Location", "URI", "empty Location"],
)
async def test_a_login_is_not_redirected_off_its_origin(status: int, headers: dict[str, str]) -> None:
    """Wherever aiohttp would follow; neither password nor headers arrive there."""
    async with scene() as at, Api() as other:
        to = {name: value.replace("TO", f"{other.base}/steal") for name, value in headers.items()}
        at.api.refusals["/login"] = answering(status, headers=to)
        at.login.first = posting(f"{at.api.base}/login", headers={"x-api-key": "key"})
        with pytest.raises(LoginError, match="another origin"):
            await at.auth.token()
        assert other.arrivals == []


async def test_a_login_is_refused_at_each_attempt_of_a_hop_off_its_origin() -> None:
    """Whatever a middleware of ``login_session`` tries again, and also after hops on the origin."""

    async def again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except LoginError:
            return await handler(request)

    async with Api() as other, aiohttp.ClientSession(middlewares=(again,)) as own, scene(login_session=own) as at:
        at.api.refusals |= {"/login": leads_to("/on"), "/on": leads_to(f"{other.base}/steal")}
        at.login.first = posting(f"{at.api.base}/login")
        with pytest.raises(LoginError, match="another origin"):
            await at.auth.token()
        assert (other.arrivals, [arrival.path for arrival in at.api.arrivals]) == ([], ["/login", "/on"])


async def _pass_on(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    return await handler(request)


@pytest.mark.parametrize("own", [(), (_pass_on,)], ids=["none", "one"])
async def test_middlewares_of_a_call_do_not_replace_what_holds_a_login(own: tuple[Any, ...]) -> None:
    """Its origin, the safety of its URL, and the end of its answers."""
    async with scene() as at, Api() as other:
        at.api.refusals["/login"] = leads_to(f"{other.base}/steal")
        at.api.refusals["/endless"] = endless(200, b"x" * 2**16, 0)
        for url, said in (
            (f"{at.api.base}/login", "another origin"),
            (f"{at.api.base}/endless", "more than 1048576 bytes"),
            ("http://example.invalid/login", "https"),
        ):
            at.login.first = posting(url, headers={"x-api-key": "key"}, middlewares=own)
            with pytest.raises(ExterviewAuthError, match=said):
                await at.auth.token()
            await at.auth.logout()
        assert other.arrivals == []


class Remembers:
    """A middleware that answers a redirect from its memory."""

    def __init__(self) -> None:
        self.known: dict[str, aiohttp.ClientResponse] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if str(request.url) not in self.known:
            response = await handler(request)
            if response.status != 308:
                return response
            self.known[str(request.url)] = response
        return self.known[str(request.url)]


async def _relabels(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    response = await handler(request)
    response.status = 307
    return response


async def _follows(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    response = await handler(request)
    request.url = URL(response.headers["Location"])
    return await handler(request)


@pytest.mark.parametrize(
    ("status", "middleware"),
    [(308, Remembers()), (203, _relabels), (307, _follows)],
    ids=["remembers", "relabels", "follows itself"],
)
async def test_middlewares_of_a_login_session_lead_no_login_off_its_origin(status: int, middleware: Any) -> None:
    """Whoever made the redirect, and whether or not the library has seen it."""
    async with Api() as other, aiohttp.ClientSession(middlewares=(middleware,)) as own, scene(login_session=own) as at:
        at.api.refusals["/login"] = answering(status, headers={"Location": f"{other.base}/steal"})
        at.login.first = posting(f"{at.api.base}/login")
        for _ in range(2):
            with pytest.raises(LoginError, match="another origin"):
                await at.auth.token()
            await at.auth.logout()
        assert other.arrivals == []


async def test_a_middleware_of_a_login_session_may_choose_where_a_login_goes() -> None:
    """Its origin is then the chosen one, for the redirects of its answers too."""

    async def choose(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.url = URL(at.api.base).with_path(request.url.path)
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(choose,)) as own, scene(login_session=own) as at:
        at.api.refusals |= {"/login": leads_to("/on"), "/on": leads_to(f"{at.api.base}/there")}
        at.login.first = posting("http://idp.localhost:1/login")
        assert await at.auth.token()
        assert [arrival.path for arrival in at.api.arrivals] == ["/login", "/on", "/there"]


async def test_an_answer_that_is_too_long_shows_nothing_of_itself() -> None:
    """No frame of the error holds the answer, whose repr shows its headers."""
    async with scene() as at:
        at.api.refusals["/login"] = answering(200, b"x" * 2**21, headers={"X-Session": "hidden-value"})
        at.login.first = posting(f"{at.api.base}/login")
        with pytest.raises(LoginError, match="more than") as caught:
            await at.auth.token()
        assert type(caught.value) is LoginError
        assert_shows_none(caught.value, "hidden-value")


@pytest.mark.parametrize("target", ["http://[bad", "ftp://127.0.0.1/", "http://h:99999/"])
async def test_a_redirect_that_cannot_be_followed_is_definite(target: str) -> None:
    """The login is not repeated, and the error names no part of the target."""
    async with scene() as at:
        at.api.refusals["/login"] = leads_to(target)
        at.login.first = posting(f"{at.api.base}/login")
        with pytest.raises(LoginError, match="give its final URL") as caught:
            await at.auth.token()
        assert (type(caught.value), len(at.api.arrivals), target in str(caught.value)) == (LoginError, 1, False)


async def test_a_login_goes_to_safe_urls_alone() -> None:
    """HTTPS or loopback, also where the host's name has no readable form."""
    for url in ("http://example.invalid/login", "http://xn--a.test/login"):
        async with scene() as at:
            at.login.first = posting(url)
            with pytest.raises(InsecureTransportError, match="https"):
                await at.auth.token()


async def test_an_answer_without_an_end_is_not_an_answer_to_a_login() -> None:
    """At most 1 MiB of it is read."""
    async with scene() as at:
        at.api.refusals["/login"] = endless(200, b"x" * 2**16, 0)
        at.login.first = posting(f"{at.api.base}/login")
        with pytest.raises(LoginError, match="more than 1048576 bytes"):
            await at.auth.token()


# -- its failures -------------------------------------------------------------------------------------------------------


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
async def test_whatever_a_login_raises_is_a_typed_error(failure: Exception, expected: type) -> None:
    """Immediately, for every request that waits, and nothing is sent."""
    # Only an endpoint that may come back is asked again for as long as that.
    async with scene(login_timeout=0.3 if expected is LoginUnavailableError else 30) as at:
        at.login.error = failure
        results = await asyncio.gather(*(at.post() for _ in range(5)), return_exceptions=True)
        assert {type(result) for result in results} == {expected}
        assert issubclass(expected, aiohttp.ClientError)
        assert at.api.arrivals == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, CredentialsRejectedError), (403, CredentialsRejectedError), (404, LoginError), (429, LoginUnavailableError)],
)
async def test_a_login_that_raises_for_status_is_understood(status: int, expected: type) -> None:
    """The status of the application's own login call says what failed, and no header shows in the error."""
    async with scene() as at:
        at.api.refusals["/login"] = answering(status, headers={"Retry-After": "100"})
        headers = {"Authorization": "Basic c2VjcmV0"}
        at.login.first = posting(f"{at.api.base}/login", headers=headers, raise_for_status=True)
        with pytest.raises(LoginError) as caught:
            await at.auth.token()
        error = caught.value
        assert type(error) is expected
        assert getattr(error, "retry_after", None) == (100 if status == 429 else None)
        assert "c2VjcmV0" not in f"{error!r}{error.__cause__!r}{error.__context__!r}"


SECRET_HEADER = {"Authorization": "Basic c2VjcmV0"}


async def by_urllib(url: str) -> object:
    def post() -> object:
        request = urllib.request.Request(url, b"{}", SECRET_HEADER)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            raise

    return await asyncio.to_thread(post)


async def by_requests(url: str) -> object:
    def post() -> object:
        with requests.Session() as session, session.post(url, json={}, headers=SECRET_HEADER) as answer:
            answer.raise_for_status()
            return answer.text

    return await asyncio.to_thread(post)


async def by_httpx(url: str) -> object:
    async with httpx.AsyncClient() as client:
        return (await client.post(url, json={}, headers=SECRET_HEADER)).raise_for_status()


OTHER_LIBRARIES = pytest.mark.parametrize("send", [by_urllib, by_requests, by_httpx])


@OTHER_LIBRARIES
@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, CredentialsRejectedError), (404, LoginError), (408, LoginUnavailableError), (503, LoginUnavailableError)],
)
async def test_a_status_means_the_same_from_every_http_library(
    send: Callable[[str], Awaitable[object]], status: int, expected: type
) -> None:
    """A wrong password that counted as a network failure would be sent again and again, and lock the account."""
    async with scene() as at:
        at.api.refusals["/login"] = answering(status, headers={"Retry-After": "100"})
        at.login.first = lambda _: send(f"{at.api.base}/login")
        with pytest.raises(LoginError) as caught:
            await at.auth.token()
        assert (type(caught.value), len(at.api.arrivals)) == (expected, 1)
        if isinstance(caught.value, LoginUnavailableError):
            assert caught.value.retry_after == 100
        assert str(caught.value).startswith(f"the login answered {status}")
        assert_shows_none(caught.value, "c2VjcmV0")


@OTHER_LIBRARIES
async def test_an_endpoint_that_is_down_is_asked_again_by_every_http_library(
    send: Callable[[str], Awaitable[object]], unused_tcp_port: int
) -> None:
    """Also where the library wraps the system's error into one of its own."""
    async with scene() as at:
        at.login.first = lambda _: send(f"http://127.0.0.1:{unused_tcp_port}/login")
        asking = asyncio.ensure_future(at.auth.token())
        await until(lambda: at.login.count >= 2)
        await at.auth.aclose()
        with pytest.raises(ClosedError):
            await asking


async def test_a_login_that_is_not_async_is_one_sentence() -> None:
    """Bad input: the error says what to do."""
    async with scene(login=lambda _context: Token("token")) as at:
        with pytest.raises(LoginError, match="returned Token at once; make it an async callable"):
            await at.post()


async def test_garbage_instead_of_http_does_not_reject_the_credentials() -> None:
    """The fault table: the endpoint is not available, and is asked again for the next request."""

    async def garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01 what is this\r\n\r\n")

    async with raw_server(garbage) as port, scene(login_timeout=0.2) as at:
        at.login.first = posting(f"http://127.0.0.1:{port}/login")
        for _ in range(2):
            with pytest.raises(LoginUnavailableError):
                await at.post()
        assert at.login.count >= 2
