"""What an answer says of its token, and how a refusal's connection is given back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exterview_auth import StaticLogin, graphql_unauthenticated
from tests.kit.api import TEAPOT_TESTS, Api, answering, endless, is_teapot, post, revoked, scene, teapot, until

# -- the connection -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_one_connection_is_enough(size: int) -> None:
    """The connection of a refusal is given back before anything waits, however large its body."""
    async with revoked(connections=1, seconds=0.02) as at:
        at.api.refusals["/graphql"] = answering(401, b"x" * size)
        assert await asyncio.wait_for(at.statuses(5), 20) == {200}
        assert at.login.count == 2
        # A small body is read to its end, so its connection is used again.
        assert len(at.api.connections) == (1 if size == 10 else 2)


async def test_a_request_elsewhere_has_the_connection_while_the_login_runs() -> None:
    """The connection is free before the refused request waits, and not only before it is sent again."""
    async with revoked(connections=1) as at, Api() as foreign:
        at.api.refusals["/graphql"] = answering(401, b"x" * 2_000_000)
        at.login.gate.clear()
        refused = asyncio.create_task(at.post())
        await until(lambda: at.auth.stats().waiting == 1)
        assert (await asyncio.wait_for(post(at.client, foreign.endpoint), 20))[0] == 401
        at.login.gate.set()
        assert (await refused)[0] == 200


@pytest.mark.parametrize("status", [401, 418])
async def test_a_refusal_whose_body_never_ends_is_given_up(status: int) -> None:
    """The fault table: a refusal that trickles on, whatever its status, holds its request up for about a second."""
    test = is_teapot if status == 418 else None
    async with revoked(connections=1, is_unauthorized=test) as at:
        at.api.refusals["/graphql"] = endless(status)
        assert (await asyncio.wait_for(at.post(), 20))[0] == 200


def stalling(status: int) -> Any:
    """Answer with half a body, and nothing more."""

    async def answer(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(
            status=status, headers={"Content-Type": "application/json", "Content-Length": "99"}
        )
        await response.prepare(request)
        await response.write(b'{"data"')
        with contextlib.suppress(ConnectionError, TimeoutError):
            await until(lambda: request.transport is None or request.transport.is_closing())
        return response

    return answer


async def reading(response: aiohttp.ClientResponse) -> bool:
    """An application's test that reads the body."""
    return bool((await response.json()).get("errors"))


@pytest.mark.parametrize(
    ("status", "test"), [(401, None), (401, reading), (200, reading), (200, graphql_unauthenticated)]
)
async def test_a_callers_timeout_is_its_own_while_the_body_is_read(
    status: int, test: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Aiohttp's TimeoutError at once, however long the login would take; no test of the application has failed."""
    async with revoked(is_unauthorized=test) as at:
        at.login.gate.clear()
        at.api.answers["/graphql"] = at.api.refusals["/graphql"] = stalling(status)
        request = asyncio.ensure_future(at.post(timeout=aiohttp.ClientTimeout(total=0.3)))
        await asyncio.wait([request], timeout=20)
        assert request.done()
        assert isinstance(request.exception(), TimeoutError)
        at.login.gate.set()
    assert "is_unauthorized.failed" not in caplog.text


@pytest.mark.parametrize("test", [reading, graphql_unauthenticated])
async def test_an_answer_that_breaks_off_is_no_failure_of_the_test(test: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads it meets aiohttp's own error."""
    async with scene(is_unauthorized=test) as at:
        at.api.answers["/graphql"] = functools.partial(breaks_off, status=200)
        with pytest.raises(aiohttp.ClientPayloadError):
            await at.post()
    assert "is_unauthorized.failed" not in caplog.text


async def breaks_off(request: web.Request, _body: bytes, *, status: int = 401) -> web.StreamResponse:
    """Send half of a refusal."""
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json", "Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"half")
    assert request.transport is not None
    request.transport.close()
    return response


@pytest.mark.parametrize("refusal", [breaks_off, answering(401, close=True)], ids=["breaks off", "closes"])
async def test_a_refusal_that_takes_its_connection_along_is_replayed(refusal: Any) -> None:
    """Its body does not matter."""
    async with revoked() as at:
        at.api.refusals["/graphql"] = refusal
        assert (await at.post())[0] == 200


async def chunked(request: web.Request, _body: bytes) -> web.StreamResponse:
    """Refuse in chunks."""
    response = web.StreamResponse(status=401, headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(b'{"error": ')
    await response.write(b'"no"}')
    return response


async def test_a_refusal_comes_back_whole_if_there_is_nothing_newer() -> None:
    """A fixed token that is refused is sent once, and is the caller's 401, whatever the framing of its body."""
    async with scene(login=StaticLogin("fixed"), connections=1) as at:
        for number, refusal in enumerate((chunked, chunked, answering(401, {"error": "no"})), 1):
            at.api.refusals["/graphql"] = refusal
            assert await at.post() == (401, {"error": "no"})
            assert (len(at.api.arrivals), len(at.api.connections)) == (number, 1)
        at.api.refusals["/graphql"] = answering(401, {"error": "x" * 200_000})
        assert await at.post() == (401, {"error": "x" * 200_000})


@pytest.mark.parametrize("where", ["refusal", "graphql", "test"])
async def test_a_request_that_is_cancelled_while_its_answer_is_read_leaves_no_connection(where: str) -> None:
    """With one connection, the next request has it."""
    over = asyncio.Event()

    async def stalled(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(status=401 if where == "refusal" else 200)
        response.content_type, response.content_length = "application/json", 100
        await response.prepare(request)
        await response.write(b"{")
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await over.wait()
        return response

    async def hangs(_response: aiohttp.ClientResponse) -> bool:
        return not await over.wait()

    async with scene(connections=1, is_unauthorized=hangs if where == "test" else None) as at:
        await at.auth.token()
        if where == "refusal":
            at.api.revoke()
            at.api.refusals["/graphql"] = stalled
        elif where == "graphql":
            at.api.answers["/graphql"] = stalled
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await (at.client.graphql("{ a }") if where == "graphql" else at.post())
        over.set()
        at.api.answers.clear()
        at.api.refusals.clear()
        assert (await asyncio.wait_for(at.post(), 20))[0] == 200


# -- the application's own test -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", TEAPOT_TESTS)
async def test_is_unauthorized_replaces_the_status(test: Any) -> None:
    """Sync or async, for each request and again for each token."""
    async with scene(is_unauthorized=test) as at:
        at.api.refusals["/graphql"] = teapot
        for number in range(1, 4):
            assert [(await at.post())[0] for _ in range(3)] == [200] * 3
            assert at.login.count == number
            at.api.revoke()


async def test_a_refusal_by_the_applications_own_test_does_not_accept_the_token() -> None:
    """Whatever its status is."""
    async with scene(is_unauthorized=is_teapot) as at:
        at.api.answers["/graphql"] = teapot
        issued = await at.auth._keeper.obtain()
        assert (await at.post())[0] == 418
        assert not issued.ever_accepted


@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), asyncio.CancelledError(), BaseExceptionGroup("own", [GeneratorExit()])]
)
async def test_a_test_that_fails_is_logged_and_the_status_decides(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault table: a broken ``is_unauthorized`` breaks no request, whatever it raises."""

    def broken(_response: aiohttp.ClientResponse) -> bool:
        raise error

    with caplog.at_level(logging.ERROR, "exterview_auth"):
        async with revoked(is_unauthorized=broken, account="a") as at:
            assert (await at.post())[0] == 200
            assert at.login.count == 2
    told = {message.partition(" where=")[0] for message in caplog.messages}
    assert told == {f"is_unauthorized.failed account='a' error={type(error).__name__!r}"}
