"""`reset` and the clock: what a test begins with, and how an hour passes in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator
from exterview_auth.emulator._faults import StoppingError
from exterview_auth.emulator._graphql.websocket import PROTOCOL
from exterview_auth.errors import ConfigurationError
from tests.kit.api import until
from tests.kit.emulator import answer, credentials, log_in, smoke


async def test_reset_is_as_new() -> None:
    """Tokens are dead; times, data, faults, canned answers, counters and journal are those of the beginning."""
    given = {"token_lifetime": 50.0, "login_delay": 0.01, "latency": 0.001}
    async with Emulator(seed=3, **given) as emulator, ClientSession() as http:  # type: ignore[arg-type]  # all are seconds
        fresh, candidates = emulator.stats(), dict(emulator._state.data.candidates)
        token = emulator.issue_token()
        form: dict[str, Any] = {"grant_type": "password", "username": emulator.email, "password": emulator.password}
        client = {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
        issued = (await answer(http.post(emulator.token_endpoint, data={**form, **client}))).content
        emulator.token_lifetime = emulator.login_delay = emulator.latency = 0
        emulator._state.data.candidates.clear()
        emulator.fail_logins(5)
        emulator.refuse(5)
        emulator.silence(3600)
        emulator.answer("Jobs", data={})
        emulator.reset()
        assert emulator.stats() == fresh
        assert (emulator.journal, emulator._state.data.candidates) == ((), candidates)
        assert {name: getattr(emulator, name) for name in given} == given
        assert [await smoke(emulator, http, one) for one in (token, issued["access_token"])] == [401, 401]
        refresh = {"grant_type": "refresh_token", "refresh_token": issued["refresh_token"], **client}
        assert (await answer(http.post(emulator.token_endpoint, data=refresh))).status == 400
        assert emulator.stats().refresh_tokens_reused == 0
        assert (await log_in(emulator, http)).content["data"]["login"]["expiresIn"] == 50
        body = {"query": "query Jobs { jobs { id } }"}
        jobs = await answer(http.post(emulator.endpoint, json=body, headers=credentials(emulator)))
        assert jobs.content["data"]["jobs"]


async def test_reset_keeps_the_credentials(emulator: Emulator, http: ClientSession) -> None:
    """A client that was configured before goes on; a rotated key stays the one that is valid."""
    key = emulator.rotate_api_key()
    names = ("email", "password", "client_id", "client_secret", "restricted_api_key", "organization_id", "job_ids")
    before = {name: getattr(emulator, name) for name in names}
    emulator.reset()
    assert emulator.api_key == key
    assert {name: getattr(emulator, name) for name in names} == before
    assert (await log_in(emulator, http)).status == 200


async def test_what_was_in_progress_shows_in_nothing_that_comes_after(emulator: Emulator, http: ClientSession) -> None:
    """Delayed requests and silent logins are answered at once, and neither counters nor journal of the next test know them."""
    emulator.silence(3600)
    login = asyncio.create_task(log_in(emulator, http))
    wrong = asyncio.create_task(log_in(emulator, http, password="wrong"))
    await until(lambda: emulator.stats().logins_running == 2)
    emulator.latency = 3600
    request = asyncio.create_task(smoke(emulator, http))
    await until(lambda: emulator.stats().requests == 3)
    emulator.reset()
    assert [(await login).status, (await wrong).status, await request] == [200, 200, 401]
    stats = emulator.stats()
    assert (stats.requests, stats.requests_running, stats.logins, stats.logins_refused, stats.statuses) == (
        0,
        0,
        0,
        0,
        {},
    )
    assert (stats.logins_running, stats.logins_running_peak, emulator.journal) == (0, 0, ())


async def test_a_login_from_before_a_reset_uses_up_no_fault_that_comes_after(
    emulator: Emulator, http: ClientSession
) -> None:
    """Neither a delayed one nor one that had not begun to count; the next test's first login meets the next test's fault."""
    emulator.login_delay = 3600
    delayed = asyncio.create_task(log_in(emulator, http))
    await until(lambda: emulator.stats().logins_running == 1)
    emulator.latency = 3600
    late = asyncio.create_task(log_in(emulator, http))
    await until(lambda: emulator.stats().requests == 2)
    emulator.reset()
    emulator.fail_logins(1)
    emulator.silence(3600)  # does not hold up what began before, either
    assert [(await delayed).status, (await late).status] == [200, 200]
    emulator.silence(0)
    assert emulator.stats().logins == 0
    assert [(await log_in(emulator, http)).status for _ in range(2)] == [503, 200]


async def test_a_login_from_before_a_reset_leaves_no_valid_token(emulator: Emulator, http: ClientSession) -> None:
    """By either way to log in: neither its token nor its refresh token is of use, and the page counts none."""
    emulator.login_delay = 3600
    client = {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
    form = {"grant_type": "password", "username": emulator.email, "password": emulator.password, **client}
    login = asyncio.create_task(log_in(emulator, http))
    granted = asyncio.create_task(answer(http.post(emulator.token_endpoint, data=form)))
    await until(lambda: emulator.stats().logins_running == 2)
    emulator.reset()
    tokens = [(await login).content["data"]["login"]["token"], (await granted).content["access_token"]]
    assert emulator._state.accounts.tokens_known == 0
    assert [await smoke(emulator, http, one) for one in tokens] == [401, 401]
    used = {"grant_type": "refresh_token", "refresh_token": (await granted).content["refresh_token"], **client}
    assert (await answer(http.post(emulator.token_endpoint, data=used))).status == 400
    assert emulator.stats().refresh_tokens_reused == 0


async def test_an_upload_from_before_a_reset_adds_nothing(emulator: Emulator, api: ClientSession) -> None:
    """Its candidate is none of the data that begins with the reset."""
    candidates, arrived = set(emulator._state.data.candidates), asyncio.Event()

    async def resume() -> AsyncIterator[bytes]:
        yield b"a resume"
        await arrived.wait()

    form = aiohttp.FormData({"jobId": emulator.job_ids[0]})
    form.add_field("files", resume(), filename="ada.pdf", content_type="application/pdf")
    upload = asyncio.create_task(answer(api.post("/ats/candidates/bulk-upload", data=form)))
    await until(lambda: emulator.stats().requests_running == 1)
    await asyncio.sleep(0.05)  # its token is accepted
    emulator.reset()
    arrived.set()
    assert (await upload).content["created"] == 1
    assert set(emulator._state.data.candidates) == candidates


async def test_a_reset_while_it_stops_lets_nothing_wait(emulator: Emulator) -> None:
    """A delay that begins at the end of the emulator ends at once, after a reset too."""
    await emulator.stop()
    emulator.reset()
    with pytest.raises(StoppingError):
        await emulator._state.faults.delays.sleep(3600)
    await emulator.start()
    assert not emulator._state.faults.are_stopped


async def test_open_sockets_are_still_counted_after_a_reset(emulator: Emulator, api: ClientSession) -> None:
    """A socket stays open, and its number is right before and after it is closed."""
    async with api.ws_connect("/graphql", protocols=[PROTOCOL]):
        await until(lambda: emulator.stats().websockets_open == 1)
        emulator.reset()
        assert emulator.stats().websockets_open == 1
    await until(lambda: emulator.stats().websockets_open == 0)


async def test_tokens_expire_by_the_given_clock(http: ClientSession) -> None:
    """Moved on by an hour, every token of an hour is over; delays are not, because they take real time."""
    now = [1000.0]
    async with Emulator(clock=lambda: now[0]) as emulator:
        token = emulator.issue_token()
        now[0] += 3599
        assert await smoke(emulator, http, token) == 200
        now[0] += 1
        assert await smoke(emulator, http, token) == 401
        assert emulator.journal[-1].reason == "The bearer token has expired"
        assert await smoke(emulator, http) == 200


def test_a_clock_is_a_callable() -> None:
    """Anything else is named."""
    with pytest.raises(ConfigurationError, match="clock must be a callable, not float"):
        Emulator(clock=1.5)  # type: ignore[arg-type]  # what is refused
