"""A chain of redirects: what counts is where it began, not what an answer says of where it leads."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from exterview_auth import AuthSession, ExterviewAuth
from exterview_auth._aiohttp import origins
from exterview_auth._aiohttp.chains import Chains
from tests.kit.api import (
    PLAIN,
    QUERY,
    SIGNED,
    UNSIGNED,
    Api,
    Handler,
    Login,
    answering,
    leads_to,
    post,
    scene,
    signed_in,
)

DEFAULTS: dict[str, Any] = {"headers": {"x-api-key": "default-key"}}
THEIRS = {"Authorization": "Bearer theirs", "x-api-key": "theirs"}
FOLLOWED = pytest.mark.parametrize("status", [301, 302, 303, 307, 308])


@pytest_asyncio.fixture
async def stranger() -> AsyncIterator[Api]:
    """Another origin, to which any request is good."""
    async with Api() as api:
        yield api


# -- off our origin -----------------------------------------------------------------------------------------------------


@PLAIN
@FOLLOWED
@pytest.mark.parametrize("location", [None, ""], ids=["no Location", "empty Location"])
async def test_uri_leads_away_as_location_does(
    stranger: Api, status: int, location: str | None, *, plain: bool
) -> None:
    """Aiohttp follows either of them."""
    async with signed_in(plain=plain, session=DEFAULTS) as at:
        headers = {"URI": f"{stranger.base}/steal"} | ({} if location is None else {"Location": location})
        at.api.answers["/away"] = answering(status, headers=headers)
        assert (await at.post("/away"))[0] == 401
        assert stranger.signatures == [UNSIGNED]


@pytest.mark.parametrize("status", [302, 307, 308])
@pytest.mark.parametrize("good", [True, False], ids=["good token", "no good token"])
async def test_an_answer_that_counts_as_a_refusal_leads_away_too(stranger: Api, status: int, *, good: bool) -> None:
    """An API that redirects to its identity provider instead of answering 401."""

    def refuses(response: aiohttp.ClientResponse) -> bool:
        return response.status in {status, 401}

    async with scene(session=DEFAULTS, is_unauthorized=refuses) as at:
        handlers = at.api.answers if good else at.api.refusals
        handlers["/graphql"] = leads_to(f"{stranger.base}/sso", status)
        if not good:
            at.api.keys.clear()  # no token will do
        assert (await at.post(headers={"x-api-key": "mine"}))[0] == 401
        assert stranger.signatures == [UNSIGNED]


@PLAIN
async def test_headers_of_an_earlier_request_are_credentials_too(stranger: Api, *, plain: bool) -> None:
    """Whoever copies them from an answer has copied secrets; no hop and no direct request takes them to a stranger."""
    async with signed_in(plain=plain) as at:
        at.api.answers["/away"] = leads_to(f"{stranger.base}/steal")
        async with at.client.post(at.api.endpoint, json=QUERY) as response:
            copied = response.request_info.headers
        assert (await at.post("/away", headers=copied))[0] == 401
        async with at.client.post(f"{at.api.base}/away", json=QUERY, allow_redirects=False) as response:
            assert response.status == 307
        assert (await post(at.client, response.headers["Location"], headers=copied))[0] == 401
        theirs = ("x-api-key", "theirs")
        for mixed in ([*copied.items(), theirs], [theirs, *copied.items()]):
            assert (await post(at.client, stranger.endpoint, headers=mixed))[0] == 401
        assert stranger.signatures == [UNSIGNED] * 4


@pytest.mark.parametrize(
    "passed_on",
    [
        lambda value: value.strip(),
        lambda value: value[:],
        lambda value: value + "",
        lambda value: "" + value,
        lambda value: value.splitlines()[0],
        lambda value: value.partition(";")[0],
    ],
    ids=["strip", "slice", "plus nothing", "nothing plus", "splitlines", "partition"],
)
@PLAIN
async def test_a_method_that_changes_nothing_leaves_credentials_what_they_are(
    stranger: Api, passed_on: Callable[[str], str], *, plain: bool
) -> None:
    """Headers of an earlier request whose values were cleaned are copies too."""
    async with signed_in(plain=plain) as at:
        async with at.client.post(at.api.endpoint, json=QUERY) as response:
            names = ("Authorization", "x-api-key")
            copied = {name: passed_on(response.request_info.headers[name]) for name in names}
        assert (await post(at.client, stranger.endpoint, headers=copied))[0] == 401
        assert stranger.signatures == [UNSIGNED]


async def test_another_owners_key_does_not_protect_a_copied_one(stranger: Api) -> None:
    """With two owners on the session, headers of the one that were copied stay off the hop of the other."""
    async with scene() as at, Api() as other:
        other.keys = {"other-key"}
        async with (
            ExterviewAuth(Login(other), api_key="other-key", endpoint=other.endpoint) as auth,
            aiohttp.ClientSession(middlewares=(at.auth, auth)) as http,
        ):
            async with http.post(other.endpoint, json=QUERY) as response:
                copied = response.request_info.headers
            at.api.answers["/away"] = leads_to(f"{stranger.base}/steal")
            assert (await post(http, f"{at.api.base}/away", headers=copied))[0] == 401
            assert stranger.signatures == [UNSIGNED]
            at.api.answers["/away"] = leads_to(other.endpoint)
            assert (await post(http, f"{at.api.base}/away", headers=copied))[0] == 401
            assert other.signatures[-1] == UNSIGNED


async def test_a_host_that_is_followed_as_it_is_written_is_a_stranger(stranger: Api) -> None:
    """Without requoting, an ideographic full stop stays in the name, and the resolver reads it as a dot."""
    host = "127\u30020\u30020\u30021"
    port = URL(stranger.base).port
    session = {**DEFAULTS, "requote_redirect_url": False}
    async with signed_in(session=session) as at:
        at.api.answers["/away"] = leads_to(f"http://{host}:{port}/steal")
        assert (await at.post("/away"))[0] == 401
        at.api.answers["/away"] = leads_to(f"http://{host}:{URL(at.api.base).port}/graphql")
        assert (await at.post("/away"))[0] == 401
        assert stranger.signatures == [UNSIGNED]
        assert at.api.signatures[-1] == UNSIGNED


@pytest.mark.parametrize("host", ["xn--a.test", "xn--.test", "xn--0.xn--1"])
async def test_a_host_without_a_readable_form_is_a_stranger_like_any(host: str) -> None:
    """Directly and by redirect, the caller gets what plain aiohttp gives."""
    url = f"http://{host}/"
    async with signed_in() as at:
        at.api.answers["/away"] = leads_to(url)
        for target in (url, f"{at.api.base}/away"):
            with pytest.raises(aiohttp.ClientConnectorDNSError):
                await post(at.client, target)
        assert at.client._owns(URL(url)) is False


@pytest.mark.parametrize("attempts", [2, 4])
async def test_every_attempt_of_a_hop_is_stripped(stranger: Api, attempts: int) -> None:
    """A middleware that restores the headers and tries again, in another task, gains nothing."""
    hops = []

    async def retry(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        before = request.headers.copy()
        for _ in range(attempts - 1):
            response: aiohttp.ClientResponse = await asyncio.ensure_future(handler(request))
            if response.status not in {401, 503}:
                return response
            hops.append(response.status)
            request.headers.clear()
            request.headers.update({**before, "Authorization": "Bearer mine"})
        return await handler(request)

    async with signed_in(session={**DEFAULTS, "middlewares": (retry,)}) as at:
        at.api.answers["/away"] = leads_to(f"{stranger.base}/steal")
        stranger.refusals["/steal"] = answering(503)
        assert (await at.post("/away"))[0] == 503
        assert (stranger.signatures, len(hops)) == ([UNSIGNED] * attempts, attempts - 1)


class Replaced:
    """A middleware that gives aiohttp another object than the answer it got, and keeps nothing."""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await handler(request)
        if response.status != 307:
            return response
        twin = cast("Any", type(response).__new__(type(response)))
        twin.__dict__.update(vars(response))
        response._connection = None
        del response
        gc.collect()
        return cast("aiohttp.ClientResponse", twin)


async def test_an_answer_that_a_middleware_replaces_leads_away_too(stranger: Api) -> None:
    """The chain stands for as long as its call, whatever becomes of its answers."""
    async with signed_in(session={**DEFAULTS, "middlewares": (Replaced(),)}) as at:
        at.api.answers["/away"] = leads_to(f"{stranger.base}/on")
        stranger.refusals["/on"] = leads_to(f"{stranger.base}/steal")
        assert (await at.post("/away"))[0] == 401
        assert stranger.signatures == [UNSIGNED] * 2


async def test_an_answer_that_is_not_judged_leads_away_too(stranger: Api) -> None:
    """Where a middleware further in sends other credentials, the answer says nothing of ours, and redirects as any."""

    async def signs_otherwise(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.url.path == "/away":
            request.headers["Authorization"] = "Bearer another"
        return await handler(request)

    async with scene() as at:
        at.api.answers["/away"] = at.api.refusals["/away"] = leads_to(f"{stranger.base}/steal")
        async with aiohttp.ClientSession(middlewares=(at.auth, signs_otherwise), **DEFAULTS) as http:
            assert (await post(http, f"{at.api.base}/away", headers=THEIRS))[0] == 401
        assert stranger.signatures == [UNSIGNED]


class Remembers:
    """A middleware that answers a redirect from its memory, as a cache does."""

    def __init__(self) -> None:
        self.known: dict[URL, aiohttp.ClientResponse] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.url not in self.known:
            response = await handler(request)
            if response.status != 301:
                return response
            self.known[request.url] = response
        return self.known[request.url]


async def relabels(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware that makes a redirect of another answer."""
    response = await handler(request)
    if "X-Moved" in response.headers:
        response.status = 301
    return response


UNSEEN = pytest.mark.parametrize(
    ("status", "middleware"), [(301, Remembers), (401, lambda: relabels)], ids=["remembered", "relabelled"]
)


@PLAIN
@UNSEEN
async def test_a_redirect_that_a_middleware_makes_leads_away_as_a_servers_does(
    stranger: Api, status: int, middleware: Any, *, plain: bool
) -> None:
    """Of the session or of one request; the plain middleware sees it where it stands first."""
    own = middleware()
    async with signed_in(session=DEFAULTS) as at, aiohttp.ClientSession(middlewares=(at.auth, own), **DEFAULTS) as http:
        moved = {"Location": f"{stranger.base}/steal", "X-Moved": "1"}
        at.api.answers["/away"] = answering(status, headers=moved)
        way: dict[str, Any] = {} if plain else {"middlewares": (own,)}
        for _ in range(3):
            assert (await post(http if plain else at.client, f"{at.api.base}/away", **way))[0] == 401
        assert stranger.signatures == [UNSIGNED] * 3


@UNSEEN
async def test_a_redirect_that_a_middleware_makes_of_a_strangers_answer_is_not_signed(
    stranger: Api, status: int, middleware: Any
) -> None:
    """Nor is what the caller sends there itself removed."""
    async with signed_in(session={"middlewares": (middleware(),)}) as at:
        stranger.refusals["/on"] = answering(status, headers={"Location": at.api.endpoint, "X-Moved": "1"})
        for _ in range(3):
            assert (await post(at.client, f"{stranger.base}/on", headers={"x-api-key": "theirs"}))[0] == 401
        assert at.api.signatures == [(None, "theirs")] * 3
        assert (await at.post())[0] == 200


async def test_what_a_middleware_remembers_of_another_owners_api_leads_away_too(stranger: Api) -> None:
    """The session's key was meant for an owner's API."""
    async with scene(session=DEFAULTS) as at, Api() as other:
        other.keys = {"other-key"}
        other.answers["/away"] = leads_to(f"{stranger.base}/steal", 301)
        async with (
            ExterviewAuth(Login(other), api_key="other-key", endpoint=other.endpoint) as auth,
            aiohttp.ClientSession(middlewares=(Remembers(), auth), **DEFAULTS) as http,
        ):
            for _ in range(3):
                assert (await post(AuthSession(http, at.auth), f"{other.base}/away"))[0] == 401
        assert stranger.signatures == [UNSIGNED] * 3


# -- from a stranger to us ----------------------------------------------------------------------------------------------


@PLAIN
@FOLLOWED
async def test_a_stranger_cannot_have_requests_signed(stranger: Api, status: int, *, plain: bool) -> None:
    """Its redirect to us is followed as plain aiohttp does, among signed requests; no login is made for it."""
    async with scene(plain=plain) as at:
        stranger.refusals["/resume.pdf"] = leads_to(f"{at.api.endpoint}?query=all", status)
        for number in range(4):
            assert (await post(at.client, f"{stranger.base}/resume.pdf"))[0] == 401
            assert at.login.count == min(number, 1)
            assert await at.statuses(3) == {200}
        assert [signature for signature in at.api.signatures if signature != SIGNED] == [UNSIGNED] * 4
        assert (at.login.count, at.auth.stats().unauthorized) == (1, 0)


async def test_a_url_that_has_just_been_signed_is_not_signed_for_a_strangers_chain(stranger: Api) -> None:
    """Whichever owner saw where the chain began: a middleware may choose the owner by the host."""
    async with scene() as at, scene() as other:

        async def route(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            owner = at.auth if request.url.port == URL(at.api.base).port else other.auth
            return await owner(request, handler)

        url = f"{at.api.endpoint}?query=all"
        stranger.refusals["/on"] = leads_to(url)
        async with aiohttp.ClientSession(middlewares=(route,)) as http:
            for _ in range(3):
                assert [(await post(http, url))[0] for _ in range(2)] == [200] * 2
                assert (await post(http, f"{stranger.base}/on"))[0] == 401
        assert at.api.signatures == [SIGNED, SIGNED, UNSIGNED] * 3


async def test_what_aiohttp_follows_is_what_is_noted(stranger: Api) -> None:
    """An aiohttp that follows more needs a look at `leads_on`; a mirror's other answers mean nothing."""
    async with scene() as at:

        async def mirror(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            response = await handler(request)
            if response.status not in origins.FOLLOWED and request.url.port != URL(at.api.base).port:
                request.url = URL(at.api.endpoint)
                return await handler(request)
            return response

        async with aiohttp.ClientSession(middlewares=(mirror, at.auth)) as http:
            for status in range(300, 400):
                stranger.refusals["/on"] = leads_to(f"{at.api.endpoint}?led", status)
                async with http.get(f"{stranger.base}/on") as response:
                    followed = response.history != ()
                assert followed is (status in origins.FOLLOWED)
                assert at.api.signatures[-1] == (UNSIGNED if followed else SIGNED)


@pytest.mark.parametrize("headers", [{}, {"URI": ""}])
async def test_a_redirect_without_a_target_is_not_noted(stranger: Api, headers: dict[str, str]) -> None:
    """Aiohttp follows an empty target, but no answer without one."""
    stranger.refusals["/on"] = answering(302, headers=headers)
    async with aiohttp.ClientSession() as http:
        response = await http.get(f"{stranger.base}/on", allow_redirects=False)
        assert origins.leads_on(response) is bool(headers)
        if headers:
            with pytest.raises(aiohttp.TooManyRedirects):
                await http.get(f"{stranger.base}/on")
        else:
            assert (await http.get(f"{stranger.base}/on")).status == 302


async def test_what_the_caller_itself_sends_along_such_a_chain_is_the_callers(stranger: Api) -> None:
    """Aiohttp strips one credential on the way and not the other; nothing is added or removed here."""
    async with signed_in() as at:
        stranger.refusals["/on"] = leads_to(at.api.endpoint)
        assert (await post(at.client, f"{stranger.base}/on", headers=THEIRS))[0] == 401
        assert (stranger.signatures, at.api.signatures) == ([("Bearer theirs", "theirs")], [(None, "theirs")])


async def test_a_stranger_gains_nothing_by_a_longer_way(stranger: Api) -> None:
    """Over other strangers, and over our own origin, whose redirects are part of the same chain."""
    async with signed_in() as at, Api() as second:
        stranger.refusals["/on"] = leads_to(f"{second.base}/on")
        second.refusals["/on"] = leads_to(f"{at.api.base}/here")
        at.api.refusals["/here"] = leads_to("/graphql")
        assert (await post(at.client, f"{stranger.base}/on"))[0] == 401
        assert at.api.signatures == [UNSIGNED] * 2
        assert (await at.post("/graphql"))[0] == 200


async def test_the_same_url_is_signed_for_others_while_such_a_chain_stands(
    stranger: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call counts, not the URL; when it is over, the newest URL is remembered again."""
    monkeypatch.setattr(origins, "_chains", Chains())
    reached, over = asyncio.Event(), asyncio.Event()

    async def late(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.url.query_string == "chain":
            reached.set()
            await over.wait()
            request.url = URL(at.api.endpoint)
        return await handler(request)

    # An idle connection knows of the call that used it last.
    session = {"middlewares": (late,), "connector": aiohttp.TCPConnector(force_close=True)}
    async with signed_in(session=session) as at:
        stranger.refusals["/on"] = leads_to(f"{at.api.endpoint}?chain")
        chain = asyncio.create_task(post(at.client, f"{stranger.base}/on"))
        await reached.wait()
        assert await at.statuses(3) == {200}
        assert at.auth._origins.last_url is None
        over.set()
        assert (await chain)[0] == 401
        del chain
        assert at.api.signatures == [SIGNED] * 3 + [UNSIGNED]
        gc.collect()
        assert await at.statuses(3) == {200}
        assert at.auth._origins.last_url == URL(at.api.endpoint)


async def test_a_chain_that_began_with_us_comes_back_signed(stranger: Api) -> None:
    """Also where the stranger on the way redirects more than once."""
    async with signed_in(session=DEFAULTS) as at:
        at.api.answers["/away"] = leads_to(f"{stranger.base}/one")
        stranger.refusals["/one"] = leads_to(f"{stranger.base}/two")
        stranger.refusals["/two"] = leads_to(at.api.endpoint)
        assert (await at.post("/away"))[0] == 200
        assert (stranger.signatures, at.api.signatures) == ([UNSIGNED] * 2, [SIGNED] * 2)


@PLAIN
async def test_a_handshake_is_a_request_like_any(stranger: Api, *, plain: bool) -> None:
    """Led to us by a stranger it is not signed, and led away from us it takes nothing along."""
    async with signed_in(plain=plain, session=DEFAULTS) as at:
        stranger.refusals["/on"] = leads_to(at.api.endpoint)
        at.api.answers["/away"] = leads_to(f"{stranger.base}/steal")
        for url in (f"{stranger.base}/on", f"{at.api.base}/away"):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await at.client.ws_connect(url)
        assert at.api.signatures == [(None, "default-key"), SIGNED]
        assert stranger.signatures == [(None, "default-key"), UNSIGNED]


async def test_two_redirects_of_a_body_that_is_made_anew_are_one_chain(stranger: Api) -> None:
    """With a body factory, after a wait for the first token, and through `graphql`."""
    async with scene(session=DEFAULTS) as at:
        away: Handler = leads_to(f"{stranger.base}/steal")
        at.api.answers |= {"/away": away, "/graphql": away}
        await post(at.client, f"{at.api.base}/away", data=lambda: b"{}")
        with pytest.raises(aiohttp.ClientError):
            await at.client.graphql("{ a }")
        assert stranger.signatures == [UNSIGNED] * 2


# -- what is remembered -------------------------------------------------------------------------------------------------


async def test_a_chain_is_forgotten_when_its_call_is_over(stranger: Api) -> None:
    """Nothing grows: neither with redirects that are followed nor with those that are not."""
    async with signed_in() as at:
        standing = origins._chains.standing
        at.api.answers["/away"] = leads_to(f"{stranger.base}/there")
        for number in range(60):
            await at.post("/away", allow_redirects=number % 2 == 0)
        assert len(standing) < 10


async def test_an_answer_that_is_kept_keeps_its_chain(stranger: Api) -> None:
    """A call is over when nobody has its answer any more."""
    chains: Chains[str] = Chains()
    kept: list[aiohttp.ClientResponse] = []

    async def note(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(chains.beginning(request))
        response = await handler(request)
        if response.status == 307:
            chains.note(request, request.url.path)
        return response

    seen: list[str | None] = []
    stranger.refusals |= {"/one": leads_to("/two"), "/two": leads_to("/three")}
    async with aiohttp.ClientSession(middlewares=(note,)) as http:
        kept.append(await http.get(f"{stranger.base}/one"))
        assert seen == [None, "/one", "/one"]
        await http.get(f"{stranger.base}/two")
        await http.get(f"{stranger.base}/four")
        assert "/one" in [first for _, first, _ in chains.standing.values()]
        assert len(chains.standing) <= 2
        kept[0].close()
        kept.clear()
    gc.collect()
    for _ in range(2):
        chains._sweep(asyncio.get_running_loop())
    assert chains.standing == {}


class Known:
    """As much of a request as a chain needs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._timer = object()


async def test_calls_of_one_use_each_are_forgotten_too() -> None:
    """Nothing grows with the logins of a process, whose calls are noted once and seldom redirected."""
    chains: Chains[str] = Chains()
    kept = [cast("Any", Known(asyncio.get_running_loop())) for _ in range(3)]
    for call in kept:
        chains.note(call, "kept")
    most = 0
    for _ in range(1000):
        chains.note(cast("Any", Known(asyncio.get_running_loop())), "gone")
        most = max(most, len(chains.standing))
    assert most < 10
    assert all(chains.beginning(call) == "kept" for call in kept)


async def test_a_chain_stands_for_as_long_as_anything_knows_its_call() -> None:
    """One holder is enough, and without any the next uses of others find it gone."""
    chains: Chains[str] = Chains()
    loop = asyncio.get_running_loop()
    first, second = cast("Any", Known(loop)), cast("Any", Known(loop))
    chains.note(first, "first")
    for _ in range(5):
        chains.note(second, "second")
        assert (chains.beginning(first), chains.beginning(second)) == ("first", "second")
    del first
    for _ in range(2):
        assert chains.beginning(second) == "second"
    assert len(chains.standing) == 1


def test_chains_of_an_ended_loop_are_gone_with_the_next_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of an old loop is kept: neither by many chains at once nor in another kind of use."""
    monkeypatch.setattr(origins, "_chains", Chains())

    async def many() -> weakref.ref[asyncio.AbstractEventLoop]:
        async with signed_in() as at:
            at.api.answers["/here"] = leads_to("/graphql")
            assert await at.statuses(30, "/here") == {200}
        return weakref.ref(asyncio.get_running_loop())

    async def one() -> None:
        async with signed_in():
            pass

    ended = asyncio.run(many())
    assert len(origins._chains.standing) > 20
    asyncio.run(one())
    gc.collect()
    assert (origins._chains.standing, ended()) == ({}, None)
