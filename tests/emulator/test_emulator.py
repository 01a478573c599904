"""The emulator as its user sees it: starting, stopping, and every control."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import FrozenInstanceError
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from exterview_auth.emulator import Emulator, EmulatorStats
from exterview_auth.emulator._emulator import _cannot_listen
from exterview_auth.errors import ConfigurationError

LOGIN = "mutation Login($email: String!, $password: String!) { login(email: $email, password: $password) { token expiresIn } }"


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def headers(emulator: Emulator, token: str | None = None) -> dict[str, str]:
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    return {"x-api-key": emulator.api_key, "Content-Type": "application/json", **bearer}


async def smoke(emulator: Emulator, http: aiohttp.ClientSession, token: str) -> int:
    body = {"query": "query { __typename }"}
    async with http.post(emulator.endpoint, json=body, headers=headers(emulator, token)) as response:
        await response.read()
        return response.status


async def log_in(emulator: Emulator, http: aiohttp.ClientSession) -> tuple[int, Any, Any]:
    variables = {"email": emulator.email, "password": emulator.password}
    body = {"query": LOGIN, "variables": variables}
    async with http.post(emulator.endpoint, json=body, headers=headers(emulator)) as response:
        return response.status, await response.json(), response.headers


async def until_running(emulator: Emulator, logins: int) -> None:
    while emulator.stats().logins_running < logins:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
        await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_login_gives_a_token_that_serves_until_it_is_revoked(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """A login's token passes, and `revoke` makes every token invalid at once."""
    status, answer, _ = await log_in(emulator, http)
    token, other = answer["data"]["login"]["token"], emulator.issue_token()
    assert status == 200
    assert answer["data"]["login"]["expiresIn"] == 3600
    assert [await smoke(emulator, http, one) for one in (token, other)] == [200, 200]
    emulator.revoke()
    assert [await smoke(emulator, http, one) for one in (token, other)] == [401, 401]
    assert await smoke(emulator, http, emulator.issue_token()) == 200


@pytest.mark.asyncio
async def test_expired_tokens_are_answered_401(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """`expire` ends every token, and `token_lifetime` that of the next ones."""
    token = emulator.issue_token()
    emulator.expire()
    body = {"query": "{__typename}"}
    async with http.post(emulator.endpoint, json=body, headers=headers(emulator, token)) as response:
        assert response.status == 401
        assert await response.json() == {"error": "The bearer token has expired"}
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    emulator.token_lifetime = 0
    assert emulator.token_lifetime == 0.0
    assert await smoke(emulator, http, emulator.issue_token()) == 401


@pytest.mark.asyncio
async def test_a_rotated_api_key_replaces_the_old_one_at_once(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """After `rotate_api_key` the old key is answered 401, and tokens stay valid with the new one."""
    token, old = emulator.issue_token(), headers(emulator)["x-api-key"]
    new = emulator.rotate_api_key()
    assert new == emulator.api_key != old
    assert await smoke(emulator, http, token) == 200
    async with http.post(
        emulator.endpoint, json={"query": "{__typename}"}, headers={**headers(emulator, token), "x-api-key": old}
    ) as response:
        assert (response.status, await response.json()) == (401, {"error": "Invalid API key"})


@pytest.mark.asyncio
async def test_failing_logins_heal_after_the_given_number(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """`fail_logins` refuses so many logins with its status and Retry-After, then they work again."""
    emulator.fail_logins(2, status=429, retry_after=1.5)
    for _ in range(2):
        status, answer, sent = await log_in(emulator, http)
        assert (status, answer, sent["Retry-After"]) == (429, {"error": "Logins fail for the moment"}, "1.5")
    assert (await log_in(emulator, http))[0] == 200
    emulator.fail_logins(1, retry_after="Fri, 31 Dec 2027 23:59:59 GMT")
    status, _, sent = await log_in(emulator, http)
    assert (status, sent["Retry-After"]) == (503, "Fri, 31 Dec 2027 23:59:59 GMT")
    emulator.fail_logins(5)
    emulator.fail_logins(0)
    assert (await log_in(emulator, http))[0] == 200
    assert (emulator.stats().logins, emulator.stats().logins_refused) == (5, 3)


@pytest.mark.asyncio
async def test_refused_requests_are_counted_down_and_spare_logins(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """`refuse` answers the next requests with its status although their token is valid; logins go on."""
    token = emulator.issue_token()
    emulator.refuse(1)
    assert (await log_in(emulator, http))[0] == 200
    assert [await smoke(emulator, http, token) for _ in range(2)] == [401, 200]
    emulator.refuse(1, status=500)
    assert await smoke(emulator, http, token) == 500


@pytest.mark.asyncio
async def test_silence_holds_logins_and_nothing_else(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """While `silence` lasts a login is accepted and not answered; ended, it is answered at once."""
    emulator.silence(3600)
    login = asyncio.create_task(log_in(emulator, http))
    await until_running(emulator, 1)
    assert await smoke(emulator, http, emulator.issue_token()) == 200
    emulator.silence(1800)
    await asyncio.sleep(0)
    assert not login.done()
    emulator.silence(0)
    assert (await login)[0] == 200


@pytest.mark.asyncio
async def test_a_silence_ends_by_itself(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A login waits as long as the silence lasts, not longer."""
    emulator.silence(0.05)
    begun = time.monotonic()
    assert (await log_in(emulator, http))[0] == 200
    assert 0.04 < time.monotonic() - begun < 2


@pytest.mark.asyncio
async def test_slow_logins_overlap_and_the_peak_is_remembered(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """`login_delay` makes each login slow, and the statistics show how many ran at once."""
    emulator.login_delay = 0.05
    assert emulator.login_delay == 0.05
    await asyncio.gather(*(log_in(emulator, http) for _ in range(3)))
    stats = emulator.stats()
    assert (stats.logins, stats.logins_running, stats.logins_running_peak) == (3, 0, 3)


@pytest.mark.asyncio
async def test_an_abandoned_login_ends_with_its_connection(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A client that goes away leaves no running login behind."""
    emulator.silence(3600)
    login = asyncio.create_task(log_in(emulator, http))
    await until_running(emulator, 1)
    login.cancel()
    async with asyncio.timeout(5):
        while emulator.stats().logins_running:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_latency_delays_each_answer_and_is_looked_at_after_it(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """A token that is revoked while its request is on the way is refused."""
    emulator.latency = 0.05
    assert emulator.latency == 0.05
    begun = time.monotonic()
    request = asyncio.create_task(smoke(emulator, http, emulator.issue_token()))
    while emulator.stats().requests < 1:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
        await asyncio.sleep(0.001)
    emulator.revoke()
    assert await request == 401
    assert time.monotonic() - begun > 0.04


@pytest.mark.asyncio
async def test_concurrent_requests_see_a_revocation_all_alike(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Of hundreds of requests on their way none passes with a token that is revoked by then."""
    emulator.latency = 0.02
    token = emulator.issue_token()
    requests = [asyncio.create_task(smoke(emulator, http, token)) for _ in range(300)]
    await asyncio.sleep(0)
    emulator.revoke()
    assert set(await asyncio.gather(*requests)) == {401}
    assert emulator.stats().statuses == {401: 300}


@pytest.mark.asyncio
async def test_the_statistics_are_a_frozen_moment(emulator: Emulator, http: aiohttp.ClientSession) -> None:
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


def test_nothing_is_told_before_the_start() -> None:
    """Each property that describes a running emulator raises a sentence that says what to do."""
    emulator = Emulator()
    for name in (
        *("endpoint", "token_endpoint", "api_key", "restricted_api_key", "email", "password"),
        *("client_id", "client_secret", "organization_id", "job_ids"),
    ):
        with pytest.raises(ConfigurationError, match="was not started; use 'async with"):
            getattr(emulator, name)
    assert repr(emulator) == "<Emulator not started>"


@pytest.mark.asyncio
async def test_repr_shows_the_endpoint_and_no_secret(emulator: Emulator) -> None:
    """The representation tells endpoint and state only."""
    assert repr(emulator) == f"<Emulator {emulator.endpoint} running>"
    await emulator.stop()
    assert repr(emulator) == f"<Emulator {emulator.endpoint} stopped>"


@pytest.mark.asyncio
async def test_it_starts_again_at_the_same_endpoint_with_the_same_accounts(http: aiohttp.ClientSession) -> None:
    """Stopping twice is fine, and a restart keeps endpoint, keys, tokens and counters."""
    emulator = Emulator()
    assert await emulator.start() is emulator
    endpoint, token = emulator.endpoint, emulator.issue_token()
    await emulator.stop()
    await emulator.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await smoke(emulator, http, token)
    await emulator.start()
    assert emulator.endpoint == endpoint
    assert await smoke(emulator, http, token) == 200
    emulator.latency = 0.01
    assert await smoke(emulator, http, token) == 200
    await emulator.stop()


def test_it_runs_under_one_event_loop_after_another() -> None:
    """An emulator made outside a loop serves under each `asyncio.run` that starts it."""
    emulator = Emulator(login_delay=0.01)

    async def run() -> int:
        async with emulator, aiohttp.ClientSession() as http:
            return (await log_in(emulator, http))[0]

    assert [asyncio.run(run()), asyncio.run(run())] == [200, 200]


@pytest.mark.asyncio
async def test_starting_twice_is_refused(emulator: Emulator) -> None:
    """A running emulator says that it runs."""
    with pytest.raises(ConfigurationError, match="is running already"):
        await emulator.start()


@pytest.mark.asyncio
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


@pytest.mark.asyncio
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


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "port 80 needs more rights than this user has; choose one from 1024 on",
        ),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign"), r"cannot listen on port 80 of 127.0.0.1 \(Cannot assign\)"),
    ],
)
def test_other_reasons_not_to_listen_are_told(error: OSError, sentence: str) -> None:
    """A forbidden port and a missing address get a sentence of their own."""
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(_cannot_listen("127.0.0.1", 80, error))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.com", "", "::"])
def test_only_loopback_hosts_are_served(host: str) -> None:
    """Credentials over plain HTTP must not leave the machine."""
    with pytest.raises(ConfigurationError, match="loopback only"):
        Emulator(host=host)


@pytest.mark.asyncio
@pytest.mark.parametrize(("host", "shown"), [("localhost", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")])
async def test_every_loopback_address_will_do(host: str, shown: str, http: aiohttp.ClientSession) -> None:
    """The endpoint shows the address that is listened on."""
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with Emulator(host=host) as emulator:
        assert emulator.endpoint.startswith(f"http://{shown}:")
        assert await smoke(emulator, http, emulator.issue_token()) == 200


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_wrong_arguments_are_named() -> None:
    """Each argument and each control says what it takes."""
    for port in (-1, 65_536, "80", True):
        with pytest.raises(ConfigurationError, match="port must be a number from 0"):
            Emulator(port=port)  # type: ignore[arg-type]  # wrong on purpose
    for value in (-1.0, float("nan"), float("inf"), "1", True):
        with pytest.raises(ConfigurationError, match="latency must be a number of seconds"):
            Emulator(latency=value)  # type: ignore[arg-type]  # wrong on purpose
    emulator = Emulator()
    with pytest.raises(ConfigurationError, match="times must be a whole number"):
        emulator.fail_logins(-1)
    for status in (200, "503", True):
        with pytest.raises(ConfigurationError, match="status must be an HTTP error status"):
            emulator.refuse(1, status=status)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match="login_delay must be"):
        emulator.login_delay = -1
    with pytest.raises(ConfigurationError, match="silence must be"):
        emulator.silence(-1)
    assert emulator.login_delay == 0.0


@pytest.mark.asyncio
async def test_stopping_is_quick_and_leaves_no_task(http: aiohttp.ClientSession) -> None:
    """Hanging logins, delayed requests and open WebSockets end with the emulator, and no task stays behind."""
    before = asyncio.all_tasks()
    emulator = await Emulator().start()
    emulator.silence(3600)
    token = emulator.issue_token()
    hanging = [asyncio.create_task(log_in(emulator, http)) for _ in range(3)]
    await until_running(emulator, 3)
    emulator.latency = 3600
    hanging.append(asyncio.create_task(smoke(emulator, http, token)))  # type: ignore[arg-type]  # its result is of no interest
    while emulator.stats().requests < 4:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
        await asyncio.sleep(0.001)
    emulator.latency = 0
    websocket = await http.ws_connect(
        emulator.endpoint, headers=headers(emulator, token), protocols=["graphql-transport-ws"]
    )
    goodbye = asyncio.create_task(websocket.receive())
    deaf = await http.ws_connect(
        emulator.endpoint, headers=headers(emulator, token), protocols=["graphql-transport-ws"]
    )
    begun = time.monotonic()
    await emulator.stop()
    assert time.monotonic() - begun < 2
    assert all(
        isinstance(error, aiohttp.ClientError) for error in await asyncio.gather(*hanging, return_exceptions=True)
    )
    assert (await goodbye).type is aiohttp.WSMsgType.CLOSE
    assert (await deaf.receive()).data == websocket.close_code == 1001
    await http.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    gc.collect()


@pytest.mark.asyncio
async def test_a_request_that_comes_to_wait_while_it_stops_is_let_go() -> None:
    """A wait that begins after the stop ends at once."""
    emulator = Emulator()
    delays = emulator._state.faults.delays
    delays.stop()
    with pytest.raises(Exception, match=r"^$") as caught:
        await delays.sleep(3600)
    assert type(caught.value).__name__ == "StoppingError"


@pytest.mark.asyncio
async def test_a_wait_that_ended_is_not_ended_again() -> None:
    """Waking twice before the waiting request runs is harmless."""
    delays = Emulator()._state.faults.delays
    waiting = asyncio.create_task(delays.sleep(3600))
    await asyncio.sleep(0)
    delays.wake()
    delays.wake()
    await waiting


@pytest.mark.asyncio
async def test_an_upload_that_never_ends_does_not_hold_the_stop_up(http: aiohttp.ClientSession) -> None:
    """A client that sends half a body and waits is let go."""
    sent = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b'{"query": '
        sent.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    emulator = await Emulator().start()
    request = asyncio.create_task(http.post(emulator.endpoint, data=half(), headers=headers(emulator)).__aenter__())
    await sent.wait()
    begun = time.monotonic()
    await emulator.stop()
    assert time.monotonic() - begun < 3
    with pytest.raises(aiohttp.ClientError):
        await request
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@pytest.mark.asyncio
async def test_data_is_the_same_for_a_seed_and_secrets_never_are() -> None:
    """Two emulatores of one seed have the same people and different credentials; another seed has others."""
    async with Emulator(seed=7) as one, Emulator(seed=7) as two, Emulator(seed=8) as three:
        assert one._state.data.candidates == two._state.data.candidates
        assert one._state.data.interviews == two._state.data.interviews
        assert (one.email, one.organization_id, one.job_ids) == (two.email, two.organization_id, two.job_ids)
        assert one._state.data.candidates != three._state.data.candidates
        for name in ("api_key", "restricted_api_key", "password", "client_id", "client_secret"):
            assert getattr(one, name) != getattr(two, name)


@pytest.mark.asyncio
async def test_the_page_explains_itself_and_holds_no_secret(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The page runs its own script only, and neither it nor the counters hold a credential or count as requests."""
    origin = emulator.endpoint.removesuffix("/graphql")
    token = emulator.issue_token()
    async with http.get(origin) as response:
        page = await response.text()
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    async with http.get(f"{origin}/stats") as response:
        counters = await response.text()
    assert "Exterview emulator" in page
    assert "NONCE" not in page
    assert '<th scope="col">Status</th><th scope="col">Answers</th>' in page
    assert "Most logins at once" in page
    assert "@media (max-width: 600px)" in page
    for secret in (token, emulator.api_key, emulator.restricted_api_key, emulator.password, emulator.client_secret):
        assert secret not in page + counters
    assert '"requests":0' in counters


@pytest.mark.asyncio
async def test_other_paths_are_answered_404(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A path that the API does not have gets the API's error body and is not counted."""
    async with http.get(emulator.endpoint + "/nothing") as response:
        assert (response.status, await response.json()) == (404, {"error": "There is nothing at /graphql/nothing"})
    assert emulator.stats().requests == 0


def test_without_graphql_core_the_import_says_what_to_install() -> None:
    """Importing the emulator without its extra raises one sentence."""
    program = (
        "import sys; sys.modules['graphql'] = None\n"
        "try:\n    import exterview_auth.emulator\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.strip() == "the emulator needs graphql-core: install exterview-auth[emulator]"
