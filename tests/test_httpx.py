"""`HttpxAuth`: an owner's credentials on the clients of httpx and httpx2, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import os
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from hpack import NeverIndexedHeaderTuple

from exterview_auth import (
    AuthSession,
    ClosedError,
    ConfigurationError,
    ExterviewAuth,
    LoginBudgetExceededError,
    LoginContext,
    ReentrantLoginError,
    StaticLogin,
    Token,
)
from exterview_auth._clock import boot_time
from exterview_auth.httpx import HttpxAuth, _libraries
from tests.kit.api import KEY, QUERY, SIGNED, UNSIGNED, Api, Scene, answering, endless, form_of, leads_to, post, scene

REDIRECTS = [301, 302, 303, 307, 308]


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Each library whose clients `HttpxAuth` works with."""
    return import_module(request.param)


class At(NamedTuple):
    """A scene, and a client of one of the libraries with its owner."""

    scene: Scene
    client: Any

    @property
    def api(self) -> Api:
        """The server."""
        return self.scene.api

    async def post(self, path: str = "/graphql", **options: Any) -> Any:
        """Return the answer to a POST, by default of the smoke test's query."""
        if not {"json", "content", "data", "files"} & set(options):
            options["json"] = QUERY
        return await self.client.post(self.api.base + path, **options)


@contextlib.asynccontextmanager
async def client_of(library: ModuleType, *, client: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[At]:
    """A scene and a client of *library* with the arguments *client*."""
    async with (
        scene(**options) as at,
        library.AsyncClient(auth=HttpxAuth(at.auth), timeout=20, trust_env=False, **(client or {})) as made,
    ):
        yield At(at, made)


@contextlib.asynccontextmanager
async def revoked_for(library: ModuleType, **options: Any) -> AsyncIterator[At]:
    """The same, after a token that has served a request was revoked."""
    async with client_of(library, **options) as at:
        assert (await at.post()).status_code == 200
        at.api.arrivals.clear()
        at.api.revoke()
        yield at


# -- one login -----------------------------------------------------------------------------------------------------------


async def test_fifty_requests_without_a_token_make_one_login(library: ModuleType) -> None:
    """Each of them waits for it and is signed with its token."""
    async with client_of(library, seconds=0.05) as at:
        answers = await asyncio.gather(*(at.post() for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert at.scene.login.count == 1
        assert set(at.api.signatures) == {SIGNED}


async def test_fifty_refused_requests_make_one_login_and_are_sent_again(library: ModuleType) -> None:
    """A 401 is renewed and sent again once, and the caller sees the answer to that."""
    async with revoked_for(library, seconds=0.05) as at:
        answers = await asyncio.gather(*(at.post() for _ in range(50)))
        assert {answer.json()["data"]["__typename"] for answer in answers} == {"Query"}
        assert at.scene.login.count == 2
        stats = at.scene.auth.stats()
        assert stats.replays == stats.unauthorized == sum(arrival.status == 401 for arrival in at.api.arrivals)


async def test_requests_of_aiohttp_and_of_httpx_share_one_login(library: ModuleType) -> None:
    """The owner has one flight, whoever asks."""
    async with revoked_for(library, seconds=0.05) as at:
        api = AuthSession(at.scene.http, at.scene.auth)
        ours, theirs = (
            asyncio.gather(*(post(api, at.api.endpoint) for _ in range(20))),
            asyncio.gather(*(at.post() for _ in range(20))),
        )
        assert {status for status, _ in await ours} == {200}
        assert {answer.status_code for answer in await theirs} == {200}
        assert at.scene.login.count == 2


async def test_a_refusal_of_an_older_token_makes_no_login(library: ModuleType) -> None:
    """It is sent again with the token that has come meanwhile."""
    async with revoked_for(library) as at:

        async def renew_first(*_: Any) -> None:
            if at.scene.login.count == 1:
                at.scene.auth.invalidate(await at.scene.auth.token())
                await at.scene.auth.token()

        at.api.refusals["/graphql"] = renew_first
        assert (await at.post()).status_code == 200
        assert at.scene.login.count == 2


async def test_a_refusal_that_survives_the_new_token_is_the_callers(library: ModuleType) -> None:
    """One login, two attempts, and the server's 401 with its body."""
    async with client_of(library) as at:
        at.api.answers["/closed"] = answering(401, {"error": "not for you"})
        answer = await at.post("/closed")
        assert (answer.status_code, answer.json()) == (401, {"error": "not for you"})
        assert [arrival.token for arrival in at.api.arrivals] == ["token-1", "token-2"]


async def test_useless_logins_use_up_the_budget(library: ModuleType) -> None:
    """``max_logins`` counts refusals that httpx met like any others."""
    async with client_of(library, max_logins=(2, 60.0)) as at:
        at.api.answers["/graphql"] = answering(401, {"error": "no"})
        assert (await at.post()).status_code == 401
        with pytest.raises(LoginBudgetExceededError):
            await at.post()
        assert at.scene.login.count == 2


async def test_a_served_token_that_is_revoked_costs_no_budget(library: ModuleType) -> None:
    """An answer from our origin accepts the token, also one that leads to a stranger."""
    async with Api() as stranger, client_of(library, client={"follow_redirects": True}) as at:
        stranger.refusals["/elsewhere"] = answering(200)
        at.api.answers["/graphql"] = leads_to(f"{stranger.base}/elsewhere")
        assert (await at.post()).status_code == 200
        at.api.revoke()
        del at.api.answers["/graphql"]
        assert (await at.post()).status_code == 200
        assert at.scene.auth.stats().useless_logins == 0


async def test_a_login_that_has_nothing_newer_leaves_the_callers_refusal(library: ModuleType) -> None:
    """A fixed token is not sent twice; its 401 has its body."""
    async with client_of(library, login=StaticLogin("fixed")) as at:
        at.api.refusals["/graphql"] = answering(401, {"error": "unknown token"})
        answer = await at.post()
        assert (answer.status_code, answer.json()) == (401, {"error": "unknown token"})
        assert len(at.api.arrivals) == 1


async def test_a_rotated_key_is_sent_with_the_same_token(library: ModuleType) -> None:
    """Nothing newer than the token, but another key: that is worth one more attempt."""
    keys = iter(["old-key", KEY])
    async with client_of(library, login=StaticLogin("fixed"), api_key=lambda: next(keys, KEY)) as at:
        at.api.tokens.add("fixed")
        assert (await at.post()).status_code == 200
        assert [signature[1] for signature in at.api.signatures] == ["old-key", KEY]


async def test_a_closed_owner_raises_its_own_error(library: ModuleType) -> None:
    """Nothing is sent unsigned."""
    async with client_of(library) as at:
        await at.scene.auth.aclose()
        with pytest.raises(ClosedError):
            await at.post()
        assert at.api.arrivals == []


async def test_a_login_through_its_own_client_is_an_error_at_once(library: ModuleType) -> None:
    """It would wait for itself."""
    async with client_of(library) as at:

        async def through_the_client(_context: LoginContext) -> object:
            return await at.post()

        at.scene.login.first = through_the_client
        with pytest.raises(ReentrantLoginError):
            await at.post()


# -- where credentials go ------------------------------------------------------------------------------------------------


async def test_a_request_to_another_origin_passes_untouched(library: ModuleType) -> None:
    """No credential is added, the caller's own stay, and its 401 means nothing."""
    async with Api() as stranger, client_of(library) as at:
        assert (await at.client.post(f"{stranger.base}/a")).status_code == 401
        own = {"Authorization": "Bearer theirs", "x-api-key": "their key"}
        assert (await at.client.post(f"{stranger.base}/b", headers=own)).status_code == 401
        assert stranger.signatures == [UNSIGNED, ("Bearer theirs", "their key")]
        assert at.scene.login.count == 0


async def test_credentials_of_the_callers_are_replaced(library: ModuleType) -> None:
    """At our origin nothing of them is left, and nothing is doubled."""
    own = {"authorization": "Bearer theirs", "X-API-Key": "their key"}
    async with client_of(library, client={"headers": own}) as at:
        assert (await at.post()).status_code == 200
        assert at.api.signatures == [SIGNED]


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("own", [{}, {"Authorization": "Bearer theirs", "x-api-key": KEY}], ids=["ours", "defaults"])
async def test_a_redirect_to_another_origin_carries_no_credential(
    library: ModuleType, status: int, own: dict[str, str]
) -> None:
    """Neither of the two, although httpx removes one; also where the client's default headers hold them."""
    async with Api() as stranger, client_of(library, client={"follow_redirects": True, "headers": own}) as at:
        at.api.answers["/graphql"] = leads_to(f"{stranger.base}/elsewhere", status)
        assert (await at.post()).status_code == 401
        assert at.api.signatures == [SIGNED]
        assert stranger.signatures == [UNSIGNED]
        assert at.scene.login.count == 1


async def test_a_replayed_request_that_is_redirected_carries_none_either(library: ModuleType) -> None:
    """It was signed twice, and each signature is removed as a whole."""
    async with Api() as stranger, revoked_for(library, client={"follow_redirects": True}) as at:
        at.api.answers["/graphql"] = leads_to(f"{stranger.base}/elsewhere")
        await at.post()
        assert stranger.signatures == [UNSIGNED]


async def test_a_hook_that_copies_the_headers_changes_nothing(library: ModuleType) -> None:
    """Instrumentation replaces them by a copy before each request is sent."""

    async def copy_headers(request: Any) -> None:
        request.headers = library.Headers(request.headers)
        request.headers["traceparent"] = "00-1-2-03"

    client = {"follow_redirects": True, "event_hooks": {"request": [copy_headers]}}
    async with Api() as stranger, client_of(library, client=client) as at:
        at.api.answers["/graphql"] = leads_to(f"{stranger.base}/elsewhere")
        await at.post()
        assert at.api.signatures == [SIGNED]
        assert stranger.signatures == [UNSIGNED]


REBUILDS: dict[str, Callable[[ModuleType, Any], object]] = {
    "dict": lambda library, request: setattr(request, "headers", library.Headers({**request.headers, "x-trace": "1"})),
    "items": lambda library, request: setattr(request, "headers", library.Headers([*request.headers.items()])),
    "raw": lambda library, request: setattr(request, "headers", library.Headers(request.headers.raw)),
    "title": lambda library, request: setattr(
        request, "headers", library.Headers({name.title(): value for name, value in request.headers.items()})
    ),
    "upper": lambda library, request: setattr(
        request, "headers", library.Headers([(name.upper(), value) for name, value in request.headers.multi_items()])
    ),
    "update": lambda _library, request: request.headers.update(dict(request.headers)),
    "each": lambda _library, request: [
        request.headers.__setitem__(name, request.headers[name].strip()) for name in list(request.headers)
    ],
    "itself": lambda _library, request: request.headers.update(
        {"x-api-key": request.headers["x-api-key"]} if "x-api-key" in request.headers else {}
    ),
    "assigned": lambda _library, request: request.headers.__setitem__(
        "X-API-Key", request.headers.get("x-api-key", "")
    ),
    "again": lambda _library, request: request.headers.setdefault("x-api-key", request.headers.pop("x-api-key", "")),
}
"""What hooks do with the headers of each request."""


@pytest.mark.parametrize("rebuild", REBUILDS.values(), ids=REBUILDS)
async def test_a_hook_that_rebuilds_the_headers_lets_no_redirect_carry_them(
    library: ModuleType, rebuild: Callable[[ModuleType, Any], object]
) -> None:
    """Also through text, in which httpx returns a plain value."""

    async def hook(request: Any) -> None:
        rebuild(library, request)

    client = {"follow_redirects": True, "event_hooks": {"request": [hook]}}
    async with Api() as stranger, client_of(library, client=client) as at:
        at.api.answers["/graphql"] = leads_to(f"{stranger.base}/elsewhere", 307)
        await at.post()
        assert at.api.signatures == [SIGNED]
        assert stranger.signatures in ([UNSIGNED], [(None, "")])  # some of the hooks set an empty one by themselves


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_on_our_origin_stays_signed(library: ModuleType, status: int) -> None:
    """No request more than httpx makes by itself."""
    async with client_of(library, client={"follow_redirects": True}) as at:
        at.api.answers["/graphql"] = leads_to("/graphql/", status)
        assert (await at.post()).status_code == 200
        assert at.api.signatures == [SIGNED, SIGNED]
        assert at.api.arrivals[1].body == at.api.arrivals[0].body


async def test_a_redirect_from_one_of_our_origins_to_the_next_is_signed_when_asked_for(library: ModuleType) -> None:
    """The client takes the credentials off; where the next origin refuses such a request, they are put on again."""
    async with Api() as other, client_of(library, origins=[other.base], client={"follow_redirects": True}) as at:
        other.tokens, other.keys = at.api.tokens, at.api.keys
        at.api.answers["/graphql"] = leads_to(f"{other.base}/graphql")
        answer = await at.post()
        assert (answer.status_code, at.scene.login.count) == (200, 1)
        assert other.signatures == [UNSIGNED, SIGNED]
        # Nothing is sent again where nobody asks for credentials, or the body is gone.
        other.refusals["/graphql"] = answering(404)
        assert (await at.post()).status_code == 404
        del other.refusals["/graphql"]
        at.api.answers["/graphql"] = leads_to(f"{other.base}/graphql", 303)
        assert (await at.client.get(at.api.endpoint)).status_code == 200


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_chain_that_a_stranger_sends_back_to_us_is_not_signed(library: ModuleType, status: int) -> None:
    """The stranger has chosen what is asked for; the API's 401 is the caller's."""
    async with Api() as stranger, client_of(library, client={"follow_redirects": True}) as at:
        at.api.answers["/out"] = leads_to(f"{stranger.base}/back", status)
        stranger.refusals["/back"] = leads_to(f"{at.api.endpoint}?confirm=1", status)
        assert (await at.post("/out")).status_code == 401
        assert at.api.signatures == [SIGNED, UNSIGNED]
        assert stranger.signatures == [UNSIGNED]
        assert at.scene.login.count == 1


async def test_a_chain_that_began_at_a_stranger_is_not_signed(library: ModuleType) -> None:
    """The server there would choose what is asked in the application's name."""
    async with Api() as stranger, client_of(library, client={"follow_redirects": True}) as at:
        stranger.refusals["/lure"] = leads_to(at.api.endpoint)
        assert (await at.client.post(f"{stranger.base}/lure")).status_code == 401
        assert at.api.signatures == [UNSIGNED]
        assert at.scene.login.count == 0


async def test_headers_copied_from_an_earlier_request_do_not_reach_a_stranger(library: ModuleType) -> None:
    """What an owner has set is removed, what the caller has set is not."""
    async with Api() as stranger, client_of(library) as at:
        headers = library.Headers((await at.post()).request.headers)
        del headers["host"], headers["content-length"]
        headers["x-request-id"] = "7"
        await at.client.post(f"{stranger.base}/a", headers=headers)
        headers["Authorization"] = "Bearer theirs"
        await at.client.post(f"{stranger.base}/b", headers=headers)
        assert stranger.signatures == [UNSIGNED, ("Bearer theirs", None)]
        assert {arrival.headers["x-request-id"] for arrival in stranger.arrivals} == {"7"}


@pytest.mark.parametrize(
    "copied",
    [
        dict,
        lambda headers: headers.items(),
        lambda headers: headers.multi_items(),
        lambda headers: headers.raw,
        lambda headers: {name.lower(): value.strip() for name, value in headers.items()},
        lambda headers: [(str(name), value) for name, value in headers.items()],
        lambda headers: copy.deepcopy(dict(headers)),
    ],
    ids=["dict", "items", "multi_items", "raw", "comprehension", "new names", "deep copy"],
)
async def test_a_copy_through_text_does_not_reach_a_stranger(library: ModuleType, copied: Callable[[Any], Any]) -> None:
    """However the headers were copied; what the caller puts in their place stays."""
    async with Api() as stranger, client_of(library) as at:
        headers = (await at.post()).request.headers
        await at.client.post(f"{stranger.base}/a", headers=copied(headers), json=QUERY)
        own = dict(copied(headers))
        for name in list(own):
            if name.lower() in {"x-api-key", b"x-api-key"}:
                own[name] = b"theirs" if isinstance(name, bytes) else "theirs"
        await at.client.post(f"{stranger.base}/b", headers=own, json=QUERY)
        assert stranger.signatures == [UNSIGNED, (None, "theirs")]


async def test_headers_copied_from_a_request_of_aiohttp_do_not_reach_a_stranger(library: ModuleType) -> None:
    """One owner's credentials are the same thing in both."""
    async with Api() as stranger, client_of(library) as at:
        async with AuthSession(at.scene.http, at.scene.auth).post(at.api.endpoint, json=QUERY) as answer:
            headers = dict(answer.request_info.headers)
        del headers["Content-Length"]
        await at.client.post(f"{stranger.base}/a", headers=headers)
        assert stranger.signatures == [UNSIGNED]


async def test_the_names_of_copied_headers_are_plain_where_they_are_written_down(library: ModuleType) -> None:
    """Recorders do; neither the names nor their copies show what they stand for."""
    async with client_of(library) as at:
        names = [*dict((await at.post()).request.headers), b"x-api-key".decode()]
        shown = pickle.dumps(names)
        assert pickle.loads(shown) == names
        assert KEY.encode() not in shown
        assert {type(name) for name in pickle.loads(shown)} == {str}
        assert copy.copy(names[-2]) is names[-2]


@pytest.mark.parametrize(
    "url",
    ["http://a..b/", "/relative", "http://[::1]:1/", "http://127.0.0.1:99999/", "http://127.0.0.1.evil.example:1/"],
)
async def test_an_address_that_is_not_ours_gets_nothing(library: ModuleType, url: str) -> None:
    """Whatever the client, or the network, makes of it."""
    async with client_of(library) as at:
        with contextlib.suppress(Exception):
            await at.client.get(url)
        assert at.scene.login.count == 0


async def test_a_hook_that_signs_by_itself_keeps_its_refusal(library: ModuleType) -> None:
    """Its 401 says nothing of our token."""

    async def sign(request: Any) -> None:
        request.headers["Authorization"] = "Bearer mine"

    async with client_of(library, client={"event_hooks": {"request": [sign]}}) as at:
        assert (await at.post()).status_code == 401
        assert at.scene.login.count == 1


async def test_http_2_sends_the_credentials_as_they_are(library: ModuleType) -> None:
    """Its encoder treats subclasses of bytes in its own way, and knows the names of headers that it has sent before."""
    client = H2Connection(H2Configuration(client_side=True))
    server = H2Connection(H2Configuration(client_side=False, header_encoding="ascii"))
    client.initiate_connection()
    server.initiate_connection()
    async with client_of(library) as at:
        for stream in (1, 3):
            raw = (await at.post()).request.headers.raw
            pseudo = [(b":method", b"POST"), (b":authority", b"x"), (b":scheme", b"https"), (b":path", b"/")]
            # As httpcore does.
            sent = [(name.lower(), value) for name, value in raw if name in {b"Authorization", b"x-api-key"}]
            client.send_headers(stream, pseudo + sent, end_stream=True)
            events = server.receive_data(client.data_to_send())
            received: list[Any] = next(list(event.headers) for event in events if isinstance(event, RequestReceived))
            assert received[4:] == [("authorization", "Bearer token-1"), ("x-api-key", KEY)]
            # Neither is compressed with what an attacker may have chosen (RFC 7541, 7.1.3).
            assert {type(header) for header in received[4:]} == {NeverIndexedHeaderTuple}


# -- bodies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "content_type"),
    [
        ({"json": {"a": "ü"}}, "application/json"),
        ({"content": b"\x00\xff"}, "application/json"),
        ({"content": "text"}, "application/json"),
        ({"content": b"", "headers": {"Content-Type": "text/csv"}}, "text/csv"),
        ({"data": {"a": "b c"}}, "application/x-www-form-urlencoded"),
    ],
    ids=["json", "bytes", "text", "empty", "form"],
)
async def test_a_body_at_hand_arrives_twice_the_same(
    library: ModuleType, options: dict[str, Any], content_type: str
) -> None:
    """Byte by byte, with a content type that the API takes if the caller has set none."""
    async with revoked_for(library) as at:
        assert (await at.post(**options)).status_code == 200
        first, second = at.api.arrivals
        assert (first.status, second.status) == (401, 200)
        assert first.body == second.body
        assert first.headers["Content-Type"] == second.headers["Content-Type"] == content_type


async def test_a_form_with_files_arrives_twice_the_same(library: ModuleType) -> None:
    """Files are read again from their beginning."""
    async with revoked_for(library) as at:
        files = [("files", ("a.pdf", io.BytesIO(b"pdf" * 50_000))), ("files", ("b.txt", b"bytes"))]
        assert (await at.post(files=files, data={"jobId": "7"})).status_code == 200
        first, second = at.api.arrivals
        assert first.body == second.body
        assert {part.name for part in form_of(second)} == {"files", "jobId"}


async def lines() -> AsyncIterator[bytes]:
    """A body that can be sent once."""
    yield b"one"
    yield b"two"


class Pipe(io.BytesIO):
    """A file without a way back."""

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize(
    "body",
    [lambda: {"content": lines()}, lambda: {"files": {"file": Pipe(b"once")}}],
    ids=["generator", "file without seek"],
)
async def test_a_body_that_cannot_be_sent_twice_is_sent_once(
    library: ModuleType, body: Callable[[], dict[str, Any]]
) -> None:
    """Its 401 comes back with its body, and the login has begun for the next request."""
    async with revoked_for(library) as at:
        answer = await at.post(**body())
        assert (answer.status_code, answer.json()) == (401, {"error": "Missing or invalid token"})
        assert len(at.api.arrivals) == 1
        assert (await at.post()).status_code == 200
        assert at.scene.login.count == 2


async def test_a_generator_is_not_sent_again_on_another_hop(library: ModuleType) -> None:
    """A hop that lost its credentials is the caller's if its body is gone."""
    async with Api() as other, client_of(library, origins=[other.base], client={"follow_redirects": True}) as at:
        at.api.answers["/graphql"] = leads_to(f"{other.base}/graphql")
        with pytest.raises(library.StreamConsumed):
            await at.post(content=lines())
        assert other.arrivals == []


# -- answers --------------------------------------------------------------------------------------------------------------


async def test_the_connection_of_a_refusal_is_given_back(library: ModuleType) -> None:
    """With a pool of one connection, refusals of 2 MB and their logins come to an end."""
    client = {"limits": library.Limits(max_connections=1)}
    async with revoked_for(library, client=client) as at:
        at.api.refusals["/graphql"] = answering(401, b"x" * 2_000_000)
        answers = await asyncio.gather(*(at.post() for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}


async def test_a_refusal_without_an_end_is_given_up(library: ModuleType) -> None:
    """After a second, and the request is sent again."""
    async with revoked_for(library) as at:
        at.api.refusals["/graphql"] = endless(401)
        async with asyncio.timeout(10):
            assert (await at.post()).status_code == 200


async def test_a_refusal_with_a_damaged_body_is_no_obstacle(library: ModuleType) -> None:
    """Nobody reads it."""
    async with revoked_for(library) as at:
        at.api.refusals["/graphql"] = answering(401, b"not gzip", headers={"Content-Encoding": "gzip"})
        assert (await at.post()).status_code == 200


async def test_a_streamed_answer_is_the_callers_to_read(library: ModuleType) -> None:
    """After a replay, too."""
    async with (
        revoked_for(library) as at,
        at.client.stream("POST", at.api.endpoint, json=QUERY) as answer,
    ):
        assert answer.status_code == 200
        assert b"Query" in await answer.aread()


async def test_a_hook_may_read_a_refusal(library: ModuleType) -> None:
    """Its body is at hand then, and the request is sent again."""

    async def read(response: Any) -> None:
        await response.aread()

    async with revoked_for(library, client={"event_hooks": {"response": [read]}}) as at:
        assert (await at.post()).status_code == 200


async def test_a_hook_that_closes_a_refusal_ends_the_call(library: ModuleType) -> None:
    """The client could send nothing after it; the login has begun all the same."""

    async def close(response: Any) -> None:
        if response.status_code == 401:
            await response.aclose()

    async with revoked_for(library, client={"event_hooks": {"response": [close]}}) as at:
        async with at.client.stream("POST", at.api.endpoint, json=QUERY) as answer:
            assert answer.status_code == 401
        assert (await at.post()).status_code == 200
        assert at.scene.login.count == 2


async def test_a_replay_has_the_cookies_that_its_refusal_has_set(library: ModuleType) -> None:
    """And keeps the others."""
    async with revoked_for(library, client={"cookies": {"theme": "dark", "sid": "old"}}) as at:
        at.api.refusals["/graphql"] = answering(401, headers={"Set-Cookie": "sid=new"})
        assert (await at.post()).status_code == 200
        assert at.api.arrivals[1].headers["Cookie"] == "theme=dark; sid=new"


@pytest.mark.parametrize(
    ("refusal", "cookies"),
    [
        ("sid=; Path=/; Max-Age=0", "theme=dark"),
        ("sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "theme=dark"),
        ("sid=; Path=/admin; Max-Age=0", "theme=dark; sid=old"),
        ("sid=; Domain=other.example; Max-Age=0", "theme=dark; sid=old"),
        ("sid=new; Path=/admin", "theme=dark; sid=old"),
        ("sid=new; Secure", "theme=dark; sid=old"),
        ("sid=new; Domain=other.example", "theme=dark; sid=old"),
        ("sid=new; Path=/graphql; Max-Age=60", "theme=dark; sid=new"),
        ("csrf=1", "theme=dark; sid=old; csrf=1"),
    ],
)
async def test_a_replay_heeds_what_its_refusal_says_of_cookies(library: ModuleType, refusal: str, cookies: str) -> None:
    """As a new request would: one that is removed, or not for this URL, is not sent."""
    async with revoked_for(library, client={"cookies": {"theme": "dark", "sid": "old"}}) as at:
        at.api.refusals["/graphql"] = answering(401, headers={"Set-Cookie": refusal})
        assert (await at.post()).status_code == 200
        assert at.api.arrivals[1].headers["Cookie"] == cookies


async def test_a_replay_keeps_every_cookie_of_one_name(library: ModuleType) -> None:
    """A jar has one for each path; the caller's own header may have them too."""
    async with revoked_for(library) as at:
        at.api.refusals["/graphql"] = answering(401, headers={"Set-Cookie": "csrf=1"})
        assert (await at.post(headers={"Cookie": "a=1; a=2; flag"})).status_code == 200
        assert at.api.arrivals[1].headers["Cookie"] == "a=1; a=2; flag; csrf=1"


async def test_a_replay_whose_only_cookie_was_removed_sends_none(library: ModuleType) -> None:
    """Not an empty header either."""
    async with revoked_for(library, client={"cookies": {"sid": "old"}}) as at:
        at.api.refusals["/graphql"] = answering(401, headers={"Set-Cookie": "sid=; Max-Age=0"})
        assert (await at.post()).status_code == 200
        assert "Cookie" not in at.api.arrivals[1].headers


async def test_cancelling_the_first_caller_costs_the_others_nothing(library: ModuleType) -> None:
    """The login belongs to nobody."""
    async with client_of(library) as at:
        at.scene.login.gate.clear()
        first, *others = (asyncio.ensure_future(at.post()) for _ in range(5))
        await asyncio.sleep(0.05)
        first.cancel()
        at.scene.login.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*others)} == {200}
        with pytest.raises(asyncio.CancelledError):
            await first
        assert at.scene.login.count == 1


# -- wrong use, and what is shown -----------------------------------------------------------------------------------------


def test_a_sync_client_gets_one_sentence(library: ModuleType) -> None:
    """Before anything is sent."""
    auth = HttpxAuth(ExterviewAuth(StaticLogin("t"), api_key=KEY, endpoint="http://127.0.0.1:9/"))
    with (
        library.Client(auth=auth) as client,
        pytest.raises(
            ConfigurationError, match=r"^HttpxAuth works with AsyncClient alone, .*; use AsyncClient"
        ) as caught,
    ):
        client.get("http://127.0.0.1:9/")
    assert "\n" not in str(caught.value)


def test_another_event_loop_than_asyncios_gets_one_sentence(library: ModuleType) -> None:
    """Under trio, no event loop of asyncio runs."""
    auth = HttpxAuth(ExterviewAuth(StaticLogin("t"), api_key=KEY))
    flow = auth.async_auth_flow(library.Request("GET", "https://api.exterview.ai/"))
    with pytest.raises(ConfigurationError, match=r"^HttpxAuth needs asyncio; run the client in asyncio, not in trio$"):
        flow.__anext__().send(None)


@pytest.mark.parametrize("wrong", [None, "secret", ExterviewAuth], ids=str)
def test_what_is_no_owner_is_one_sentence(wrong: Any) -> None:
    """It names the type and shows no value."""
    with pytest.raises(ConfigurationError, match=r"^HttpxAuth takes an ExterviewAuth, not ") as caught:
        HttpxAuth(wrong)
    assert "secret" not in str(caught.value)


def test_plain_http_on_port_80_is_refused() -> None:
    """A redirect from there to HTTPS on the same host is the one on which httpx removes nothing."""
    owner = ExterviewAuth(StaticLogin("t"), api_key=KEY, endpoint="http://localhost/graphql")
    with pytest.raises(ConfigurationError, match=r"port 80.*; use another port, or https://$"):
        HttpxAuth(owner)


class _Plain(dict[str, str]):
    """Headers of a future version, which keep no list."""


class _KeepsTheKey:
    """Headers of a future version, which find a header in another way to remove it."""

    def __init__(self, headers: Any = ()) -> None:
        self._list = list(getattr(headers, "_list", []))

    def update(self, pairs: Any) -> None:
        self._list.extend((name, name.lower(), value) for name, value in pairs)

    def pop(self, name: str, default: Any = None) -> None:
        self._list = [item for item in self._list if bytes(item[1]) != name.lower().encode()]

    def __getitem__(self, name: str) -> str:
        return next(str(value, "ascii") for key, _, value in self._list if key.lower() == name.lower().encode())

    @property
    def raw(self) -> list[Any]:
        return self._list


@pytest.mark.parametrize("headers", [_Plain, _KeepsTheKey])
def test_an_unknown_version_of_the_library_is_one_sentence(
    library: ModuleType, headers: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent with a version that might take the API key along."""
    monkeypatch.setattr(library, "Headers", headers)
    with pytest.raises(ConfigurationError, match=f"^HttpxAuth does not know how {library.__name__} .* keeps headers"):
        HttpxAuth(ExterviewAuth(StaticLogin("t"), api_key=KEY))


async def test_nothing_shows_a_secret(library: ModuleType) -> None:
    """Neither the adapter, nor a request's headers, nor copies of them, nor the errors of httpx."""
    async with client_of(library) as at:
        at.api.answers["/graphql"] = answering(500)
        answer = await at.post()
        headers = answer.request.headers
        try:
            answer.raise_for_status()
        except library.HTTPStatusError as error:
            texts = [repr(error), str(error)]
        shown = [at.client.auth, headers, library.Headers(headers), headers.multi_items(), headers.raw, answer.request]
        for text in [*texts, *map(repr, shown)]:
            assert "token-1" not in text
            assert KEY not in text
        assert repr(at.client.auth) == f"HttpxAuth({at.scene.auth!r})"
        assert (headers["authorization"], headers["X-Api-Key"]) == SIGNED
        assert headers.get_list("x-api-key") == [KEY]
        for attempt in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match="secret"):
                attempt(at.client.auth)
        del headers["x-api-key"]
        assert "x-api-key" not in headers
        assert "authorization" in headers


def test_an_unfinished_adapter_can_be_shown() -> None:
    """As error trackers do with one whose constructor has refused its argument."""
    assert repr(HttpxAuth.__new__(HttpxAuth)) == "<HttpxAuth, not constructed>"


def test_without_the_extra_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """And names it."""
    monkeypatch.setattr(_libraries, "find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"^HttpxAuth needs httpx: install exterview_auth with its extra `httpx`$"):
        _libraries._installed()


def test_an_alias_of_one_library_for_the_other_is_one_library() -> None:
    """httpx2 can take the name httpx for a whole process."""
    program = """
import httpx2
httpx2.alias_httpx()
from exterview_auth import ExterviewAuth, StaticLogin
from exterview_auth.httpx import HttpxAuth
auth = HttpxAuth(ExterviewAuth(StaticLogin("t"), api_key="k"))
print([base.__module__.partition(".")[0] for base in type(auth).__mro__ if base.__name__ == "Auth"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ}, check=False
    )
    assert (done.stdout, done.stderr) == ("['httpx2']\n", "")


async def test_a_token_of_known_lifetime_is_replaced_before_it_is_sent(library: ModuleType) -> None:
    """An expired token is renewed first, without a 401."""
    ahead = 0.0
    async with client_of(library, clock=lambda: boot_time() + ahead, refresh_ahead=0) as at:
        await at.post()
        ahead = 3600.0
        assert (await at.post()).status_code == 200
        assert [arrival.status for arrival in at.api.arrivals] == [200, 200]
        assert at.scene.login.count == 2
        assert isinstance(at.scene.auth.current, Token)
