"""One request and its answer over real sockets: one login for all, replays, and what counts against the budget."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exterview_auth import LoginBudgetExceededError, StaticLogin, Token
from tests.kit.api import KEY, PLAIN, SIGNED, Handler, answering, cut, held, post, revoked, scene, signed_in, until

FORBIDDEN = {"error": "not for you"}


# -- a refusal, a login, a replay ---------------------------------------------------------------------------------------


@PLAIN
async def test_a_cold_start_is_one_login_and_no_refusal(*, plain: bool) -> None:
    """300 requests that find no token; each is signed once, and the caller's own credentials are replaced."""
    own = {"Authorization": "Bearer stale", "X-API-KEY": "stale"}
    async with scene(plain=plain, seconds=0.05, session={"headers": own}) as at:
        mine = {"authorization": "Bearer mine", "x-api-key": "mine", "Content-Type": "text/x"}
        assert await at.statuses(300, headers=mine) == {200}
        assert await at.statuses(20, headers=mine) == {200}
        assert at.api.signatures == [SIGNED] * 320
        assert {arrival.headers["Content-Type"] for arrival in at.api.arrivals} == {"text/x"}
        assert (at.login.count, at.auth.stats().unauthorized) == (1, 0)


@PLAIN
async def test_a_revoked_token_is_one_login_and_every_request_is_replayed(*, plain: bool) -> None:
    """300 requests in flight with a dead token, whose login was not useless."""
    async with revoked(plain=plain, seconds=0.05) as at:
        results = await asyncio.gather(*(at.post(json={"n": n}) for n in range(300)))
        assert {status for status, _ in results} == {200}
        assert len({arrival.body for arrival in at.api.arrivals if arrival.status == 200}) == 300
        stats = at.auth.stats()
        assert (at.login.count, stats.logins, stats.useless_logins) == (2, 2, 0)
        assert stats.replays == stats.unauthorized == len(at.api.arrivals) - 300


async def test_a_late_refusal_of_an_older_token_is_replayed_without_a_login() -> None:
    """The refusal comes after the login."""
    reached, over = asyncio.Event(), asyncio.Event()
    async with revoked() as at:
        at.api.refusals["/late"] = held(over, reached)
        late = asyncio.create_task(at.post("/late"))
        await reached.wait()
        assert (await at.post())[0] == 200
        over.set()
        assert (await late)[0] == 200
        assert at.login.count == 2


async def test_nothing_is_sent_with_a_token_known_to_be_rejected() -> None:
    """While the login for a refused token runs, 20 new requests wait; all are sent with the next token."""
    async with revoked() as at:
        at.login.gate.clear()
        first = asyncio.create_task(at.post())
        await until(lambda: at.login.count == 2)
        rest = asyncio.create_task(at.statuses(20))
        await until(lambda: at.auth.stats().waiting == 21)
        assert at.api.since(0) == [(401, "token-1")]
        at.login.gate.set()
        assert ((await first)[0], await rest) == (200, {200})
        assert {token for _, token in at.api.since(1)} == {"token-2"}


async def test_a_session_that_raises_for_status_sees_the_last_answer_alone() -> None:
    """``raise_for_status=True`` keeps working."""
    async with revoked(session={"raise_for_status": True}) as at:
        assert (await at.post())[0] == 200
        at.api.keys.clear()
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await at.post()
        assert caught.value.status == 401


async def test_headers_are_secret_in_aiohttps_own_errors() -> None:
    """Neither token nor key in repr, str, args and request_info."""
    async with signed_in(session={"raise_for_status": True}) as at:
        at.api.answers["/graphql"] = answering(500)
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await at.post()
        error = caught.value
        shown = f"{error!r} {error} {error.args!r} {error.request_info!r}"
        assert KEY not in shown
        assert "token-1" not in shown


# -- a refusal that stays -----------------------------------------------------------------------------------------------


async def test_a_fresh_token_that_is_refused_too_is_the_callers_401(caplog: pytest.LogCaptureFixture) -> None:
    """With the server's own body, as from plain aiohttp, after one login and one replay; no test has failed."""
    async with signed_in() as at:
        at.api.keys.clear()
        assert await at.post() == (401, {"error": "Missing or invalid token"})
        assert (at.login.count, len(at.api.arrivals)) == (2, 2)
    assert "is_unauthorized.failed" not in caplog.text


async def test_an_api_that_refuses_for_ever_meets_the_budget() -> None:
    """No more useless logins than allowed, then `LoginBudgetExceededError`."""
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
    """Its caller gets its 401 within the budget, and a real revocation is still renewed after one 401."""
    async with scene(max_logins=(3, 60.0)) as at:
        at.api.answers["/forbidden"] = answering(401, FORBIDDEN)
        for _ in range(12):
            assert (await at.post())[0] == 200
            assert await at.post("/forbidden") == (401, FORBIDDEN)
        assert at.login.count <= 4
        assert (await at.post())[0] == 200
        at.api.revoke()
        assert [(await at.post())[0] for _ in range(3)] in ([200, 200, 200], [401, 200, 200])


async def test_a_token_that_is_revoked_before_its_first_use_is_a_useless_login() -> None:
    """Whoever is refused with it, also a request that found it there; the login after it serves."""
    async with scene() as at:
        await at.auth.token()
        at.api.revoke()
        assert (await at.post())[0] == 200
        assert (at.auth.stats().useless_logins, at.login.count) == (1, 2)


def stream() -> Any:
    """Return a body that can be sent once."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    return {"data": chunks()}


@pytest.mark.parametrize("test", [None, lambda response: response.status == 401], ids=["fast path", "slow path"])
@pytest.mark.parametrize(
    ("replayed", "options"),
    [(answering(500), dict), (answering(400), dict), (cut, dict), (answering(401), stream)],
    ids=["500", "400", "connection error", "not sent again"],
)
async def test_tokens_that_are_never_accepted_are_useless_logins(
    replayed: Handler, options: Callable[[], dict[str, Any]], test: Any
) -> None:
    """An API that refuses each new token once, and then answers without looking at it, costs ``max_logins`` logins."""
    async with scene(max_logins=(3, 60.0), is_unauthorized=test) as at:
        at.api.keys.clear()
        arrivals = itertools.count()

        async def refuse_every_other(request: web.Request, body: bytes) -> web.StreamResponse | None:
            return await replayed(request, body) if next(arrivals) % 2 else None

        at.api.refusals["/graphql"] = refuse_every_other
        ends: list[int | str] = []
        for _ in range(10):
            try:
                ends.append((await at.post(**options()))[0])
            except aiohttp.ClientError as error:
                ends.append(type(error).__name__)
        assert at.login.count == at.auth.stats().useless_logins == 3
        assert options is stream or LoginBudgetExceededError.__name__ in ends


async def test_a_token_that_is_new_when_a_slow_request_is_refused_is_not_its_own_login() -> None:
    """The request is sent again with it, and if it was revoked too, with that of the next login."""
    over, reached = asyncio.Event(), asyncio.Event()
    async with signed_in() as at:
        at.api.refusals["/slow"] = at.api.answers["/slow"] = held(over, reached)
        at.api.revoke()
        slow = asyncio.create_task(at.post("/slow"))
        await reached.wait()
        assert (await at.post())[0] == 200
        at.api.revoke()
        over.set()
        assert (await slow)[0] == 200
        stats = at.auth.stats()
        assert (at.login.count, stats.useless_logins, stats.replays) == (3, 0, 3)


@pytest.mark.parametrize(
    ("status", "accepted"),
    [(200, True), (204, True), (304, True), (403, True), (404, True), (400, False), (503, False)],
)
async def test_any_other_status_is_the_callers_and_says_whether_the_token_was_accepted(
    status: int, *, accepted: bool
) -> None:
    """Only a refusal is renewed; a server that has looked at the token has accepted it."""
    async with scene() as at:
        at.api.answers["/graphql"] = answering(status)
        for _ in range(2):
            assert (await at.post())[0] == status
        issued = await at.auth._keeper.obtain()
        assert (issued.ever_accepted, issued.accepted_since_refusal) == (accepted, accepted)
        assert (at.login.count, at.auth.stats().replays) == (1, 0)


# -- a request that waits -----------------------------------------------------------------------------------------------


async def test_a_callers_timeout_is_its_own() -> None:
    """The login continues for the others."""
    async with scene(plain=True) as at:
        at.login.gate.clear()
        patient = asyncio.create_task(at.post())
        with pytest.raises(TimeoutError):
            await at.post(timeout=aiohttp.ClientTimeout(total=0.05))
        at.login.gate.set()
        assert ((await patient)[0], at.login.count) == (200, 1)


@pytest.mark.parametrize(
    ("open_scene", "plain"), [(scene, False), (scene, True), (revoked, False)], ids=["early", "middleware", "replay"]
)
async def test_closing_the_session_ends_the_requests_that_wait(open_scene: Any, *, plain: bool) -> None:
    """The fault table: with an `aiohttp.ClientConnectionError`; nothing more is sent, and the login is kept."""
    async with open_scene(plain=plain) as at:
        at.login.gate.clear()
        waiting = asyncio.create_task(at.post())
        await until(lambda: at.auth.stats().waiting == 1)
        sent = len(at.api.arrivals)
        await at.http.close()
        at.login.gate.set()
        with pytest.raises(aiohttp.ClientConnectionError, match="closed while this request waited"):
            await waiting
        assert len(at.api.arrivals) == sent
        assert (await at.auth.token()).value in at.api.tokens


async def test_on_token_may_send_requests_through_the_same_session() -> None:
    """They go out with the new token."""
    answers: list[int] = []

    async def send(_new: Token, _old: Token | None, _reason: object) -> None:
        answers.append((await at.post())[0])

    async with scene(on_token=send, plain=True) as at:
        assert (await asyncio.wait_for(at.post(), 20))[0] == 200
        at.api.keys.clear()
        assert (await asyncio.wait_for(at.post(), 20))[0] == 401
        assert answers == [200, 401]


# -- the API key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_rotated_api_key_is_picked_up(kind: str) -> None:
    """A callable is read at every login and after a 401, and not for each request."""
    current, reads = [KEY], []

    def read() -> str:
        reads.append(current[0])
        return current[0]

    async def read_async() -> str:
        return read()

    async with scene(api_key=read if kind == "sync" else read_async) as at:
        assert await at.statuses(5) == {200}
        assert len(reads) == 1
        current[0] = "rotated"
        at.api.keys = {"rotated"}
        assert [(await at.post())[0] for _ in range(5)] == [200] * 5
        assert (await at.auth.headers())["x-api-key"] == "rotated"
        assert len(reads) == 2


async def test_a_rotated_key_is_a_reason_to_send_the_same_token_again() -> None:
    """With a fixed token too, a key read again after a 401 helps."""
    current = [KEY]
    async with scene(login=StaticLogin("token-1"), api_key=lambda: current[0]) as at:
        at.api.issue()
        assert (await at.post())[0] == 200
        current[0] = "rotated"
        at.api.keys = {"rotated"}
        assert await at.statuses(5) == {200}


# -- middlewares of the application -------------------------------------------------------------------------------------


async def test_a_middleware_that_answers_by_itself_is_believed() -> None:
    """An answer from between us and the wire is an answer, although nothing was sent for it."""
    kept: list[aiohttp.ClientResponse] = []

    async def cache(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if not kept:
            kept.append(await handler(request))
        return kept[0]

    async with scene() as at, aiohttp.ClientSession(middlewares=(at.auth, cache)) as http:
        for _ in range(3):
            assert (await post(http, at.api.endpoint))[0] == 200
        assert len(at.api.arrivals) == 1
