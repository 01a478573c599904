"""The emulator as its user sees it: starting, stopping, and every control."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import FrozenInstanceError

import aiohttp
import pytest
from aiohttp import ClientSession, web

from exterview_auth.emulator import Emulator, EmulatorStats
from exterview_auth.emulator._faults import Delays, StoppingError
from exterview_auth.errors import ConfigurationError
from tests.kit.api import until
from tests.kit.emulator import SMOKE, answer, credentials, log_in, smoke


async def test_a_login_gives_a_token_that_serves_until_it_is_revoked(emulator: Emulator, http: ClientSession) -> None:
    """A login's token passes, and `revoke` makes every token invalid at once."""
    login = (await log_in(emulator, http)).content["data"]["login"]
    assert login["expiresIn"] == 3600
    tokens = login["token"], emulator.issue_token()
    assert [await smoke(emulator, http, one) for one in tokens] == [200, 200]
    emulator.revoke()
    assert [await smoke(emulator, http, one) for one in tokens] == [401, 401]
    assert await smoke(emulator, http) == 200


async def test_expired_tokens_are_answered_401(emulator: Emulator, http: ClientSession) -> None:
    """`expire` ends every token, and `token_lifetime` that of the next ones."""
    headers = credentials(emulator)
    emulator.expire()
    refused = await answer(http.post(emulator.endpoint, json=SMOKE, headers=headers))
    assert refused.body == (401, {"error": "The bearer token has expired"})
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    emulator.token_lifetime = 0
    assert emulator.token_lifetime == 0.0
    assert await smoke(emulator, http) == 401


async def test_a_rotated_api_key_replaces_the_old_one_at_once(emulator: Emulator, http: ClientSession) -> None:
    """After `rotate_api_key` the old key is answered 401, and tokens stay valid with the new one."""
    token = emulator.issue_token()
    old = credentials(emulator, token)
    assert emulator.rotate_api_key() == emulator.api_key != old["x-api-key"]
    assert await smoke(emulator, http, token) == 200
    refused = await answer(http.post(emulator.endpoint, json=SMOKE, headers=old))
    assert refused.body == (401, {"error": "Invalid API key"})


async def test_failing_logins_heal_after_the_given_number(emulator: Emulator, http: ClientSession) -> None:
    """`fail_logins` refuses so many logins with its status and Retry-After, then they work again."""
    emulator.fail_logins(2, status=429, retry_after=1.5)
    for _ in range(2):
        refused = await log_in(emulator, http)
        assert refused.body == (429, {"error": "Logins fail for the moment"})
        assert refused.headers["Retry-After"] == "1.5"
    assert (await log_in(emulator, http)).status == 200
    emulator.fail_logins(1, retry_after="Fri, 31 Dec 2027 23:59:59 GMT")
    refused = await log_in(emulator, http)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "Fri, 31 Dec 2027 23:59:59 GMT")
    emulator.fail_logins(5)
    emulator.fail_logins(0)
    assert (await log_in(emulator, http)).status == 200
    assert (emulator.stats().logins, emulator.stats().logins_refused) == (5, 3)


async def test_refused_requests_are_counted_down_and_spare_logins(emulator: Emulator, http: ClientSession) -> None:
    """`refuse` answers the next requests with its status although their token is valid; logins and wrong ones do not count."""
    emulator.refuse(1)
    assert (await log_in(emulator, http)).status == 200
    emulator.refuse(1, status=500)
    assert await smoke(emulator, http, "wrong") == 401
    assert [await smoke(emulator, http) for _ in range(2)] == [500, 200]
    emulator.refuse(1)
    assert await smoke(emulator, http) == 401


async def test_silence_holds_logins_and_nothing_else(emulator: Emulator, http: ClientSession) -> None:
    """While `silence` lasts a login is accepted and not answered; ended, by a control or by itself, it is answered at once."""
    emulator.silence(3600)
    login = asyncio.create_task(log_in(emulator, http))
    await until(lambda: emulator.stats().logins_running == 1)
    assert await smoke(emulator, http) == 200
    emulator.silence(1800)
    await asyncio.sleep(0)
    assert not login.done()
    emulator.silence(0)
    assert (await login).status == 200
    emulator.silence(0.05)
    begun = time.monotonic()
    assert (await log_in(emulator, http)).status == 200
    assert 0.04 < time.monotonic() - begun < 60


async def test_slow_logins_overlap_and_the_peak_is_remembered(emulator: Emulator, http: ClientSession) -> None:
    """`login_delay` makes each login slow, and the statistics show how many ran at once."""
    emulator.login_delay = 0.05
    assert emulator.login_delay == 0.05
    await asyncio.gather(*(log_in(emulator, http) for _ in range(3)))
    stats = emulator.stats()
    assert (stats.logins, stats.logins_running, stats.logins_running_peak) == (3, 0, 3)


async def test_an_abandoned_login_ends_with_its_connection(emulator: Emulator, http: ClientSession) -> None:
    """A client that goes away leaves no running login behind."""
    emulator.silence(3600)
    login = asyncio.create_task(log_in(emulator, http))
    await until(lambda: emulator.stats().logins_running == 1)
    login.cancel()
    await until(lambda: emulator.stats().logins_running == 0)


async def test_latency_delays_each_request_before_it_is_looked_at(emulator: Emulator, http: ClientSession) -> None:
    """Of hundreds of requests on their way, none passes with a token that is revoked by then."""
    emulator.latency = 0.05
    assert emulator.latency == 0.05
    token, begun = emulator.issue_token(), time.monotonic()
    requests = [asyncio.create_task(smoke(emulator, http, token)) for _ in range(300)]
    await until(lambda: emulator.stats().requests > 0)
    emulator.revoke()
    assert set(await asyncio.gather(*requests)) == {401}
    assert emulator.stats().statuses == {401: 300}
    assert time.monotonic() - begun > 0.04


async def test_the_statistics_are_a_frozen_moment(emulator: Emulator, http: ClientSession) -> None:
    """`stats` counts requests, logins and statuses, and a record once taken does not change."""
    before = emulator.stats()
    await log_in(emulator, http)
    await smoke(emulator, http, "wrong")
    assert isinstance(before, EmulatorStats)
    assert (before.requests, before.statuses) == (0, {})
    after = emulator.stats()
    assert (after.requests, after.logins, after.statuses) == (2, 1, {200: 1, 401: 1})
    with pytest.raises(FrozenInstanceError):
        after.requests = 0  # type: ignore[misc]  # that it cannot be assigned is the rule


async def test_properties_need_a_start() -> None:
    """Each property that describes a running emulator raises a sentence that says what to do."""
    emulator = Emulator()
    for name in (
        *("endpoint", "token_endpoint", "api_key", "restricted_api_key", "email", "password"),
        *("client_id", "client_secret", "organization_id", "job_ids", "page"),
    ):
        with pytest.raises(ConfigurationError, match="was not started; use 'async with"):
            getattr(emulator, name)
    assert repr(emulator) == "<Emulator not started>"


async def test_help_shows_what_is_for_users() -> None:
    """The class has credentials, times and controls, each with a docstring, and nothing else in public."""
    public = {name for name in dir(Emulator) if not name.startswith("_")}
    assert public == {
        *("start", "stop", "endpoint", "token_endpoint", "api_key", "restricted_api_key", "email", "password"),
        *("client_id", "client_secret", "organization_id", "job_ids", "token_lifetime", "login_delay", "latency"),
        *("issue_token", "revoke", "expire", "rotate_api_key", "fail_logins", "refuse", "silence", "answer", "reset"),
        *("stats", "journal", "page"),
    }
    assert all(getattr(Emulator, name).__doc__ for name in public)


async def test_it_starts_again_at_the_same_endpoint_with_the_same_accounts(http: ClientSession) -> None:
    """Stopping twice is fine, starting twice is refused; a restart keeps endpoint, keys, tokens and counters, and `repr` shows the state alone."""
    emulator = Emulator()
    assert await emulator.start() is emulator
    endpoint, token = emulator.endpoint, emulator.issue_token()
    assert repr(emulator) == f"<Emulator {endpoint} running>"
    with pytest.raises(ConfigurationError, match="is running already"):
        await emulator.start()
    await emulator.stop()
    await emulator.stop()
    assert repr(emulator) == f"<Emulator {endpoint} stopped>"
    with pytest.raises(aiohttp.ClientConnectorError):
        await smoke(emulator, http, token)
    async with emulator:
        assert emulator.endpoint == endpoint
        emulator.latency = 0.01
        assert await smoke(emulator, http, token) == 200


async def test_a_taken_port_is_named(emulator: Emulator) -> None:
    """The error names the port and what to do, with nothing chained, and the emulator can be started later."""
    port = int(emulator.endpoint.split(":")[2].split("/")[0])
    second = Emulator(port=port)
    with pytest.raises(ConfigurationError) as caught:
        await second.start()
    assert str(caught.value) == f"port {port} on 127.0.0.1 is taken; choose another one, or 0 for any free port"
    assert caught.value.__suppress_context__
    assert repr(second) == "<Emulator not started>"
    await emulator.stop()
    async with second:
        assert f":{port}/" in second.endpoint


async def test_a_cancelled_start_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """What interrupts the start comes through, and the emulator can be started again."""

    async def interrupted(self: web.TCPSite) -> None:
        raise asyncio.CancelledError

    emulator = Emulator()
    with monkeypatch.context() as patch:
        patch.setattr(web.TCPSite, "start", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await emulator.start()
    async with emulator:
        assert emulator.endpoint


@pytest.mark.parametrize(("host", "shown"), [("localhost", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")])
async def test_every_loopback_address_will_do(host: str, shown: str, http: ClientSession) -> None:
    """The endpoint shows the address that is listened on."""
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with Emulator(host=host) as emulator:
        assert emulator.endpoint.startswith(f"http://{shown}:")
        assert await smoke(emulator, http) == 200


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("turns", range(7))
async def test_a_connection_that_comes_at_the_last_moment_is_closed(turns: int) -> None:
    """At whatever step of asyncio's accepting the stop begins: no error is reported, and no socket is left open."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    emulator = await Emulator().start()
    port = int(emulator.endpoint.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as client:
        for _ in range(turns):
            await asyncio.sleep(0)
        await emulator.stop()
        client.settimeout(10)
        assert client.recv(1) == b""
    gc.collect()
    assert reported == []


async def test_stopping_is_quick_and_leaves_no_task(http: ClientSession) -> None:
    """Silent logins, delayed requests, half an upload and open WebSockets end with the emulator; no task stays behind."""
    before = asyncio.all_tasks()
    emulator = await Emulator().start()
    headers = credentials(emulator)

    async def half() -> AsyncIterator[bytes]:
        yield b'{"query": '
        await asyncio.Event().wait()

    emulator.silence(3600)
    hanging = [asyncio.create_task(log_in(emulator, http)) for _ in range(3)]
    await until(lambda: emulator.stats().logins_running == 3)
    upload = http.post(emulator.endpoint, data=half(), headers={**headers, "Content-Type": "application/json"})
    hanging.append(asyncio.create_task(answer(upload)))
    await until(lambda: emulator.stats().requests == 4)
    emulator.latency = 3600
    hanging.append(asyncio.create_task(answer(http.post(emulator.endpoint, json=SMOKE, headers=headers))))
    await until(lambda: emulator.stats().requests == 5)
    emulator.latency = 0
    protocols = ["graphql-transport-ws"]
    websocket, deaf = [await http.ws_connect(emulator.endpoint, headers=headers, protocols=protocols) for _ in "12"]
    goodbye = asyncio.create_task(websocket.receive())
    begun = time.monotonic()
    await emulator.stop()
    assert time.monotonic() - begun < 60
    assert all(isinstance(one, aiohttp.ClientError) for one in await asyncio.gather(*hanging, return_exceptions=True))
    assert (await goodbye).type is aiohttp.WSMsgType.CLOSE
    assert (await deaf.receive()).data == websocket.close_code == 1001
    await http.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    gc.collect()


async def test_delays_end_once_and_none_begins_at_the_end() -> None:
    """Waking twice before the delayed request runs is harmless; a request that arrives during the stop is not waited for."""
    delays = Delays()
    waiting = asyncio.create_task(delays.sleep(3600))
    await asyncio.sleep(0)
    delays.wake()
    delays.wake()
    await waiting
    delays.stop()
    with pytest.raises(StoppingError):
        await delays.sleep(3600)


async def test_data_is_the_same_for_a_seed_and_secrets_never_are() -> None:
    """Two emulators of one seed have the same people and different credentials; another seed has others."""
    async with Emulator(seed=7) as one, Emulator(seed=7) as two, Emulator(seed=8) as three:
        assert one._state.data.candidates == two._state.data.candidates != three._state.data.candidates
        assert one._state.data.interviews == two._state.data.interviews
        assert (one.email, one.organization_id, one.job_ids) == (two.email, two.organization_id, two.job_ids)
        for name in ("api_key", "restricted_api_key", "password", "client_id", "client_secret"):
            assert getattr(one, name) != getattr(two, name)


async def test_the_page_explains_itself_and_holds_no_secret(emulator: Emulator, api: ClientSession) -> None:
    """The page runs its own script only, and neither it nor the counters hold a credential or count as requests."""
    token = emulator.issue_token()
    async with api.get("/") as response:
        page = await response.text()
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    async with api.get("/stats") as response:
        counters = await response.text()
    assert "Exterview emulator" in page
    assert "NONCE" not in page
    for secret in (token, emulator.api_key, emulator.restricted_api_key, emulator.password, emulator.client_secret):
        assert secret not in page + counters
    assert '"requests":0' in counters


async def test_other_paths_are_answered_404(emulator: Emulator, api: ClientSession) -> None:
    """A path that the API does not have gets the API's error body, and is counted."""
    refused = await answer(api.get("/graphql/nothing"))
    assert refused.body == (404, {"error": "There is nothing at /graphql/nothing"})
    assert emulator.stats().statuses == {404: 1}
