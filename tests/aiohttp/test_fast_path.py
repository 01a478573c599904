"""The fast path: a usual request reads nothing but the time, and no request goes out on it that needed more."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from exterview_auth import AuthSession, ConfigurationError, ExterviewAuth, LoginUnavailableError
from tests.kit.api import KEY, TEAPOT_TESTS, Api, Login, Scene, answering, cut, held, post, scene, signed_in, until


def is_open(auth: ExterviewAuth) -> bool:
    """Return whether the next usual request reads nothing but the time."""
    return auth._state.fast_path is not None


@contextlib.asynccontextmanager
async def on_fast_path(**options: Any) -> AsyncIterator[Scene]:
    """A scene whose requests take the fast path."""
    async with signed_in(**options) as at:
        assert is_open(at.auth)
        yield at


# -- what leaves it open ------------------------------------------------------------------------------------------------


async def test_requests_that_fail_or_are_cancelled_leave_the_fast_path_open() -> None:
    """There are more of them than connections, and the next ones are still answered."""
    async with on_fast_path(connections=4) as at:
        reached, over = asyncio.Event(), asyncio.Event()
        at.api.answers |= {"/held": held(over, reached), "/cut": cut}
        for _ in range(10):
            with pytest.raises(aiohttp.ClientError):
                await at.post("/cut")
            reached.clear()
            task = asyncio.create_task(at.post("/held"))
            await reached.wait()
            task.cancel()
            await asyncio.wait([task])
        over.set()
        assert await at.statuses(20) == {200}
        assert (is_open(at.auth), at.login.count) == (True, 1)


@pytest.mark.parametrize("headers", [{}, {"authorization": "mine", "X-API-KEY": "mine", "content-type": "text/x-own"}])
async def test_it_signs_as_the_slow_path_does(headers: dict[str, str]) -> None:
    """Both have the steps of `sign`, replaced and never doubled; a token that is sent is used."""
    async with on_fast_path(plain=True) as at:
        issued = at.auth._state.current
        assert issued is not None
        for fast in (True, False):
            if not fast:
                at.auth._state.close_fast_path()
            issued.used = False
            assert (await at.post(data=None, headers=headers))[0] == 200
            assert issued.used
        first, second = ([item for item in one.headers.items() if item[0] != "Host"] for one in at.api.arrivals)
        assert sorted(first) == sorted(second)
        assert at.api.signatures == [("Bearer token-1", KEY)] * 2
        assert at.api.arrivals[0].headers["Content-Type"] == headers.get("content-type", "application/json")


async def test_an_answer_on_it_accepts_a_token_that_was_refused_to_somebody() -> None:
    """Where one caller's refusal was not enough to give the token up, it works for the others again."""
    async with on_fast_path(max_logins=(2, 60.0)) as at:
        at.api.answers["/mine"] = answering(401)
        for _ in range(4):  # only the first has the token replaced, to no avail
            assert (await at.post("/mine"))[0] == 401
            assert (await at.post())[0] == 200
        assert at.login.count == 2


async def test_sessions_may_come_and_go_in_any_order() -> None:
    """Another session, a narrow one, one that is closed; requests of each are signed and renewed like the first's."""
    async with on_fast_path() as at:
        narrow = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=narrow) as second, aiohttp.ClientSession() as third:
            clients = [AuthSession(http, at.auth) for http in (second, third, at.http)] * 10
            await asyncio.gather(*(post(client, at.api.endpoint) for client in clients))
            at.api.revoke()
            at.api.arrivals.clear()
            results = await asyncio.gather(*(post(client, at.api.endpoint) for client in clients))
            assert {status for status, _ in results} == {200}
            assert {token for status, token in at.api.since(0) if status == 200} == {"token-2"}
        assert ((await at.post())[0], at.login.count) == (200, 2)


# -- what closes it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("test", TEAPOT_TESTS)
async def test_it_is_not_open_for_an_owner_with_its_own_test(test: Any) -> None:
    """`is_unauthorized` is called for each answer."""
    async with signed_in(is_unauthorized=test) as at:
        assert not is_open(at.auth)


async def test_an_expired_token_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast path ends with the token's life, without a timer."""
    now = 1000.0
    monkeypatch.setattr("exterview_auth._auth.boot_time", lambda: now)
    async with scene(refresh_ahead=0) as at:
        assert [(await at.post())[0] for _ in range(3)] == [200] * 3
        assert is_open(at.auth)
        now += 3600
        assert await at.statuses(10) == {200}
        assert at.api.since(3) == [(200, "token-2")] * 10


@pytest.mark.parametrize("how", ["invalidate", "logout"])
async def test_a_token_that_was_dropped_is_not_sent(how: str) -> None:
    """From the very next request on, also while the logout still runs."""
    async with on_fast_path() as at:
        logout = asyncio.create_task(at.auth.logout()) if how == "logout" else None
        if logout is None:
            at.auth.invalidate(await at.auth.token())
        await asyncio.sleep(0)
        assert not is_open(at.auth)
        assert await at.statuses(10) == {200}
        assert at.api.since(0) == [(200, "token-2")] * 10
        if logout is not None:
            await logout


async def test_a_renewed_token_is_the_one_that_is_sent() -> None:
    """Renewed ahead of expiry, the old token is still good, and is not sent any more."""
    async with on_fast_path() as at:
        issued = at.auth._state.current
        assert issued is not None
        issued.renew_at = 0.0
        at.auth._keeper._renewal.arm(issued.renew_at)
        await until(lambda: at.auth.stats().refreshes_ahead == 1)
        assert await at.statuses(5) == {200}
        assert at.api.since(0) == [(200, "token-2")] * 5


@pytest.mark.parametrize("fails", [False, True])
async def test_the_first_request_after_the_renewal_was_due_begins_it(*, fails: bool) -> None:
    """The request itself is sent with the token that is still valid, as are the next ones if the renewal fails."""
    async with on_fast_path() as at:
        issued = at.auth._state.current
        assert issued is not None
        issued.renew_at = 0.0
        at.auth._state.defer_renewal(issued)
        assert not is_open(at.auth)
        at.login.error = LoginUnavailableError("down", retry_after=100) if fails else None
        assert (await at.post())[0] == 200
        await until(lambda: at.auth.stats().login_failures + at.auth.stats().refreshes_ahead > 0)
        assert await at.statuses(5) == {200}
        newer = "token-1" if fails else "token-2"
        assert at.api.since(0) == [(200, "token-1")] + [(200, newer)] * 5


# -- event loops --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def served() -> Iterator[Api]:
    """An API on a loop in a thread."""
    with running_loop() as loop:
        api = Api()
        asyncio.run_coroutine_threadsafe(api.__aenter__(), loop).result(10)
        yield api
        asyncio.run_coroutine_threadsafe(api.__aexit__(), loop).result(10)


def test_the_next_loop_continues_with_the_token() -> None:
    """Under another `asyncio.run`, through another session, without another login, and renewed as before."""
    with served() as api:
        login = Login(api)
        auth = ExterviewAuth(login, api_key=KEY, endpoint=api.endpoint)

        async def run() -> None:
            async with aiohttp.ClientSession(middlewares=(auth,)) as http:
                for _ in range(3):
                    assert (await post(http, api.endpoint))[0] == 200
                assert is_open(auth)

        asyncio.run(run())
        asyncio.run(run())
        assert api.since(0) == [(200, "token-1")] * 6
        api.revoke()
        asyncio.run(run())
        assert api.since(6) == [(401, "token-1")] + [(200, "token-2")] * 3
        assert login.count == 2
        asyncio.run(auth.aclose())


def test_a_second_loop_does_not_use_the_fast_path_of_the_first() -> None:
    """Both clients are refused in one sentence, nothing is sent, and the first loop continues."""

    async def refused(at: Scene) -> None:
        async with aiohttp.ClientSession(middlewares=(at.auth,)) as http:
            for client in (http, AuthSession(http, at.auth)):
                with pytest.raises(ConfigurationError, match="one owner for each loop"):
                    await post(client, at.api.endpoint)

    async def first() -> None:
        async with on_fast_path() as at:
            await asyncio.to_thread(asyncio.run, refused(at))
            assert at.api.arrivals == []
            assert ((await at.post())[0], at.login.count) == (200, 1)

    asyncio.run(first())


def test_a_loop_that_lost_its_owner_does_not_use_its_fast_path() -> None:
    """Another loop, which still runs, has taken the owner over meanwhile; nothing is sent."""
    with served() as api, running_loop() as second, contextlib.closing(asyncio.new_event_loop()) as first:
        auth = ExterviewAuth(Login(api), api_key=KEY, endpoint=api.endpoint)

        async def opened() -> aiohttp.ClientSession:
            http = aiohttp.ClientSession(middlewares=(auth,))
            assert (await post(http, api.endpoint))[0] == 200
            return http

        http = first.run_until_complete(opened())
        asyncio.run_coroutine_threadsafe(auth.token(), second).result(10)
        with pytest.raises(ConfigurationError, match="in use by another event loop"):
            first.run_until_complete(post(http, api.endpoint))
        assert len(api.arrivals) == 1
        first.run_until_complete(http.close())
        asyncio.run_coroutine_threadsafe(auth.aclose(), second).result(10)
