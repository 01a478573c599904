"""What wraps, subclasses or patches a session meets the same calls whether or not a token is at hand."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import aiohttp
import pytest
import vcr
from aiohttp import web
from aiohttp_client_cache import CacheBackend, CachedSession
from aiohttp_retry import ExponentialRetry, RetryClient

from exterview_auth import AuthSession, ConfigurationError, ExterviewAuth, StaticLogin
from exterview_auth._aiohttp.internals.sessions import _aiohttps_own
from tests.kit.api import Scene, scene

Calls = list[tuple[Any, ...]]
QUERY = {"query": "{ a }"}


class Recording(aiohttp.ClientSession):
    """A subclass that looks at the arguments, as caches and recorders do."""

    calls: ClassVar[Calls] = []

    async def _request(self, *arguments: Any, **options: Any) -> aiohttp.ClientResponse:
        self.calls.append((*arguments, {name: value for name, value in options.items() if name != "middlewares"}))
        return await super()._request(*arguments, **options)


def recorded(calls: Calls) -> Callable[..., Any]:
    """A replacement for aiohttp's own method, as tracing agents make them."""
    real = aiohttp.ClientSession._request

    @functools.wraps(real)
    async def record(self: aiohttp.ClientSession, *arguments: Any, **options: Any) -> aiohttp.ClientResponse:
        calls.append((*arguments, {name: value for name, value in options.items() if name != "middlewares"}))
        return await real(self, *arguments, **options)

    return record


def noted(real: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    """A replacement for a method of a session, or of an instance, that needs not be a coroutine."""

    @functools.wraps(real)
    def note(*arguments: Any, **options: Any) -> Any:
        seen = arguments[1:] if isinstance(arguments[0], aiohttp.ClientSession) else arguments
        calls.append((*seen, {name: value for name, value in options.items() if name != "middlewares"}))
        return real(*arguments, **options)

    return note


class Proxied:
    """What shows the attributes of the method that it stands for, as tracing agents' proxies do."""

    def __init__(self, method: Callable[..., Any], calls: Calls) -> None:
        self._method, self._calls = method, calls

    def __get__(self, session: aiohttp.ClientSession | None, kind: type) -> Any:
        return self if session is None else functools.partial(noted(self._method, self._calls), session)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)


@contextlib.asynccontextmanager
async def subclassed() -> AsyncIterator[tuple[aiohttp.ClientSession, Calls]]:
    Recording.calls.clear()
    async with Recording() as http:
        yield http, Recording.calls


@contextlib.asynccontextmanager
async def patched_class() -> AsyncIterator[tuple[aiohttp.ClientSession, Calls]]:
    calls: Calls = []
    with mock.patch.object(aiohttp.ClientSession, "_request", recorded(calls)):
        async with aiohttp.ClientSession() as http:
            yield http, calls


@contextlib.asynccontextmanager
async def patched_instance() -> AsyncIterator[tuple[aiohttp.ClientSession, Calls]]:
    calls: Calls = []
    async with aiohttp.ClientSession() as http:
        with mock.patch.object(http, "_request", functools.partial(recorded(calls), http)):
            yield http, calls


@contextlib.asynccontextmanager
async def overridden_verb() -> AsyncIterator[tuple[aiohttp.ClientSession, Calls]]:
    calls: Calls = []
    real = aiohttp.ClientSession.request

    def request(self: aiohttp.ClientSession, *arguments: Any, **options: Any) -> Any:
        calls.append((*arguments, {name: value for name, value in options.items() if name != "middlewares"}))
        return real(self, *arguments, **options)

    with mock.patch.object(aiohttp.ClientSession, "request", request):
        async with aiohttp.ClientSession() as http:
            yield http, calls


@contextlib.asynccontextmanager
async def subclassed_verb() -> AsyncIterator[tuple[aiohttp.ClientSession, Calls]]:
    calls: Calls = []
    kind = type("Verb", (aiohttp.ClientSession,), {"request": noted(aiohttp.ClientSession.request, calls)})
    async with kind() as http:
        yield http, calls


@contextlib.asynccontextmanager
async def patched_verb() -> AsyncIterator[tuple[aiohttp.ClientSession, Calls]]:
    calls: Calls = []
    async with aiohttp.ClientSession() as http:
        with mock.patch.object(http, "request", noted(http.request, calls)):
            yield http, calls


@contextlib.asynccontextmanager
async def proxied() -> AsyncIterator[tuple[aiohttp.ClientSession, Calls]]:
    calls: Calls = []
    with mock.patch.object(aiohttp.ClientSession, "_request", Proxied(aiohttp.ClientSession._request, calls)):
        async with aiohttp.ClientSession() as http:
            yield http, calls


@pytest.mark.parametrize(
    "options",
    [
        {"json": QUERY},
        {"data": b"{}"},
        {"data": "text"},
        {"data": {"a": "b"}},
        {"json": QUERY, "headers": {"X-Mine": "1"}},
    ],
)
@pytest.mark.parametrize(
    "wrapped",
    [
        subclassed,
        patched_class,
        patched_instance,
        overridden_verb,
        subclassed_verb,
        patched_verb,
        proxied,
    ],
)
async def test_the_call_is_the_same_with_and_without_a_token(wrapped: Any, options: dict[str, Any]) -> None:
    """A cache finds the same key, and a recorder the same request."""
    async with scene() as at, wrapped() as (http, calls):
        api = AuthSession(http, at.auth)
        for _ in range(2):
            async with api.post("/graphql", **options) as response:
                assert response.status == 200
        cold, warm = calls
        assert cold == warm
        assert cold[-1].get("data") == options.get("data")
        assert at.login.count == 1


BODIES: dict[str, dict[str, Any]] = {
    "json": {"json": QUERY},
    "bytes": {"data": b"{}"},
    "no bytes": {"data": b"", "compress": True},
    "text": {"data": "\u00fc"},
    "form": {"data": {"a": "b"}},
    "own type": {"data": b"{}", "headers": {"content-type": "text/x-own"}},
    "no automatic type": {"data": b"{}", "skip_auto_headers": ["Content-Type"]},
    "compressed": {"data": b"{}" * 100, "compress": "gzip"},
    "nothing": {},
    "own credentials": {"json": QUERY, "headers": {"authorization": "Bearer mine", "X-Api-Key": "mine"}},
}


@pytest.mark.parametrize("options", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/x-session"}], ids=["", "session's type"])
async def test_what_arrives_is_the_same_from_a_wrapped_session(
    headers: dict[str, str], options: dict[str, Any]
) -> None:
    """The shorter way of a plain session, cold and warm, shows nowhere, and the caller's options stay as they are."""
    before = copy.deepcopy(options)
    async with scene(session={"headers": headers}) as at:
        for url in (at.api.endpoint, "/graphql"):
            for _ in range(2):
                async with at.client.post(url, **options) as response:
                    assert response.status == 200
        with mock.patch.object(at.http, "request", noted(at.http.request, [])):
            async with at.client.post("/graphql", **options) as response:
                assert response.status == 200
        first, *others = [(arrival.body, sorted(arrival.headers.items())) for arrival in at.api.arrivals]
        assert others == [first] * 4
    assert options == before


@pytest.mark.parametrize("wrap", [noted, Proxied], ids=["function", "proxy"])
def test_what_was_replaced_before_our_import_is_not_taken_for_aiohttps_own(wrap: Any) -> None:
    """An agent that comes first sees each call too, though its wrapper shows the attributes of what it wraps."""
    for name in ("request", "_request"):
        real = getattr(aiohttp.ClientSession, name)
        assert _aiohttps_own(name) is real
        with mock.patch.object(aiohttp.ClientSession, name, wrap(real, [])):
            assert _aiohttps_own(name) not in {real, aiohttp.ClientSession.__dict__[name]}


async def test_a_session_that_is_wrapped_for_a_while_goes_the_usual_way_for_that_while() -> None:
    """A recorder that comes later sees each call, and only while it is there."""
    calls: Calls = []
    async with scene() as at, aiohttp.ClientSession() as http:
        api = AuthSession(http, at.auth)
        for _ in range(2):
            await api.post("/graphql", json=QUERY)
            with mock.patch.object(aiohttp.ClientSession, "_request", recorded(calls)):
                await api.post("/graphql", json=QUERY)
        assert len(calls) == 2
        assert at.api.since(0) == [(200, "token-1")] * 4


@contextlib.asynccontextmanager
async def nobody_can_log_in(at: Scene) -> AsyncIterator[None]:
    """Nothing may ask for a token in here: its login does not end."""
    await at.auth.logout()
    at.login.gate.clear()
    yield
    assert at.auth.stats().waiting == 0
    assert at.login.count == 1


async def test_a_cached_answer_waits_for_no_login() -> None:
    """aiohttp-client-cache: what it holds is there, whether or not a token is."""
    async with scene() as at, CachedSession(cache=CacheBackend()) as http:
        api = AuthSession(http, at.auth)
        async with api.get("/graphql") as first:
            await first.read()
        async with nobody_can_log_in(at), api.get("/graphql") as second:
            assert second.from_cache  # type: ignore[attr-defined]  # the cache's own response
            assert await second.json() == await first.json()


async def test_a_cassette_matches_with_and_without_a_token(tmp_path: Path) -> None:
    """vcrpy: recorded with a token, played without one, matched by the body too."""
    cassette = vcr.VCR(match_on=["method", "uri", "body"]).use_cassette
    async with scene() as at, aiohttp.ClientSession() as http:
        api = AuthSession(http, at.auth)
        await at.auth.token()
        with cassette(str(tmp_path / "tape.yaml")):
            async with api.post("/graphql", json=QUERY) as recorded:
                await recorded.read()
        async with nobody_can_log_in(at):
            with cassette(str(tmp_path / "tape.yaml"), record_mode="none"):
                async with api.post("/graphql", json=QUERY) as played:
                    assert await played.json() == {"data": {"__typename": "Query"}}


async def compressed(_request: web.Request, _body: bytes) -> web.Response:
    """Answer as most APIs do."""
    response = web.json_response({"data": {"a": 1}})
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def test_a_cached_answer_was_decoded_before() -> None:
    """aiohttp-client-cache: what it keeps is no longer compressed, though its headers say so, at the first time too."""
    async with scene() as at, CachedSession(cache=CacheBackend(allowed_methods=("POST",))) as http:
        at.api.answers["/graphql"] = compressed
        api = AuthSession(http, at.auth)
        assert [await api.graphql("{ a }") for _ in range(2)] == [{"a": 1}, {"a": 1}]
        assert len(at.api.arrivals) == 1


async def test_a_recorded_answer_was_decoded_before(tmp_path: Path) -> None:
    """vcrpy: the same, while it records and while it plays."""
    async with scene() as at, aiohttp.ClientSession() as http:
        at.api.answers["/graphql"] = compressed
        api = AuthSession(http, at.auth)
        await at.auth.token()
        for mode in ("once", "none"):
            with vcr.VCR().use_cassette(str(tmp_path / "tape.yaml"), record_mode=mode):
                assert await api.graphql("{ a }") == {"a": 1}
        assert len(at.api.arrivals) == 1


async def test_a_retrying_client_sends_again_with_credentials() -> None:
    """aiohttp-retry, around ours: 503 is tried again, 401 is renewed, and closing it leaves the session open."""
    async with scene() as at, aiohttp.ClientSession() as http:
        answers = iter([503, 200])

        async def unsteady(_request: web.Request, _body: bytes) -> web.Response:
            return web.json_response({}, status=next(answers))

        at.api.answers["/graphql"] = unsteady
        options = ExponentialRetry(attempts=3, start_timeout=0.001)
        api: Any = AuthSession(http, at.auth)
        async with (
            RetryClient(client_session=api, retry_options=options) as client,
            client.post(at.api.endpoint, json=QUERY) as response,
        ):
            assert response.status == 200
        assert not http.closed
        assert [status for status, _ in at.api.since(0)] == [503, 200]


async def test_a_session_has_what_a_library_around_it_looks_at() -> None:
    """It is the wrapped session's own, and closing leaves that open."""
    async with scene() as at, aiohttp.ClientSession(headers={"X-Mine": "1"}, timeout=aiohttp.ClientTimeout(7)) as http:
        api = AuthSession(http, at.auth)
        assert (api.headers, api.cookie_jar, api.connector) == (http.headers, http.cookie_jar, http.connector)
        assert (api.timeout.total, api.loop) == (7, asyncio.get_running_loop())
        await api.close()
        assert (api.closed, http.closed) == (False, False)


class Proxy:
    """What a library puts around a session, and that says it is one."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @property  # type: ignore[misc]  # as wrapt does
    def __class__(self) -> Any:
        return aiohttp.ClientSession

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.mark.parametrize("wrap", [lambda _: mock.MagicMock(spec=aiohttp.ClientSession), Proxy, lambda _: RetryClient()])
async def test_what_only_looks_like_a_session_is_refused(wrap: Any) -> None:
    """In one sentence that says what to do."""
    async with scene() as at, aiohttp.ClientSession() as http:
        wrapped = wrap(http)
        for call in (lambda: AuthSession(wrapped, at.auth), lambda: at_owner(login_session=wrapped)):
            with pytest.raises(
                ConfigurationError, match=r"session must be an aiohttp.ClientSession, not \w+; wrap a real"
            ):
                call()
        if isinstance(wrapped, RetryClient):
            await wrapped.close()


def at_owner(**options: Any) -> ExterviewAuth:
    """An owner that is not used."""
    return ExterviewAuth(StaticLogin("token"), api_key="key", **options)
