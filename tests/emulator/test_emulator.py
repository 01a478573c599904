"""The sandbox as its user sees it: starting, stopping, and every control."""

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

from exterview_auth.errors import ConfigurationError
from exterview_auth.sandbox import Sandbox, SandboxStats
from exterview_auth.sandbox._sandbox import _cannot_listen

LOGIN = "mutation Login($email: String!, $password: String!) { login(email: $email, password: $password) { token expiresIn } }"


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def headers(sandbox: Sandbox, token: str | None = None) -> dict[str, str]:
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    return {"x-api-key": sandbox.api_key, "Content-Type": "application/json", **bearer}


async def smoke(sandbox: Sandbox, http: aiohttp.ClientSession, token: str) -> int:
    body = {"query": "query { __typename }"}
    async with http.post(sandbox.endpoint, json=body, headers=headers(sandbox, token)) as response:
        await response.read()
        return response.status


async def log_in(sandbox: Sandbox, http: aiohttp.ClientSession) -> tuple[int, Any, Any]:
    variables = {"email": sandbox.email, "password": sandbox.password}
    body = {"query": LOGIN, "variables": variables}
    async with http.post(sandbox.endpoint, json=body, headers=headers(sandbox)) as response:
        return response.status, await response.json(), response.headers


async def until_running(sandbox: Sandbox, logins: int) -> None:
    while sandbox.stats().logins_running < logins:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
        await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_login_gives_a_token_that_serves_until_it_is_revoked(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    """A login's token passes, and `revoke` makes every token invalid at once."""
    status, answer, _ = await log_in(sandbox, http)
    token, other = answer["data"]["login"]["token"], sandbox.issue_token()
    assert status == 200
    assert answer["data"]["login"]["expiresIn"] == 3600
    assert [await smoke(sandbox, http, one) for one in (token, other)] == [200, 200]
    sandbox.revoke()
    assert [await smoke(sandbox, http, one) for one in (token, other)] == [401, 401]
    assert await smoke(sandbox, http, sandbox.issue_token()) == 200


@pytest.mark.asyncio
async def test_expired_tokens_are_answered_401(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """`expire` ends every token, and `token_lifetime` that of the next ones."""
    token = sandbox.issue_token()
    sandbox.expire()
    body = {"query": "{__typename}"}
    async with http.post(sandbox.endpoint, json=body, headers=headers(sandbox, token)) as response:
        assert response.status == 401
        assert await response.json() == {"error": "The bearer token has expired"}
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    sandbox.token_lifetime = 0
    assert sandbox.token_lifetime == 0.0
    assert await smoke(sandbox, http, sandbox.issue_token()) == 401


@pytest.mark.asyncio
async def test_a_rotated_api_key_replaces_the_old_one_at_once(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """After `rotate_api_key` the old key is answered 401, and tokens stay valid with the new one."""
    token, old = sandbox.issue_token(), headers(sandbox)["x-api-key"]
    new = sandbox.rotate_api_key()
    assert new == sandbox.api_key != old
    assert await smoke(sandbox, http, token) == 200
    async with http.post(
        sandbox.endpoint, json={"query": "{__typename}"}, headers={**headers(sandbox, token), "x-api-key": old}
    ) as response:
        assert (response.status, await response.json()) == (401, {"error": "Invalid API key"})


@pytest.mark.asyncio
async def test_failing_logins_heal_after_the_given_number(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """`fail_logins` refuses so many logins with its status and Retry-After, then they work again."""
    sandbox.fail_logins(2, status=429, retry_after=1.5)
    for _ in range(2):
        status, answer, sent = await log_in(sandbox, http)
        assert (status, answer, sent["Retry-After"]) == (429, {"error": "Logins fail for the moment"}, "1.5")
    assert (await log_in(sandbox, http))[0] == 200
    sandbox.fail_logins(1, retry_after="Fri, 31 Dec 2027 23:59:59 GMT")
    status, _, sent = await log_in(sandbox, http)
    assert (status, sent["Retry-After"]) == (503, "Fri, 31 Dec 2027 23:59:59 GMT")
    sandbox.fail_logins(5)
    sandbox.fail_logins(0)
    assert (await log_in(sandbox, http))[0] == 200
    assert (sandbox.stats().logins, sandbox.stats().logins_refused) == (5, 3)


@pytest.mark.asyncio
async def test_refused_requests_are_counted_down_and_spare_logins(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    """`refuse` answers the next requests with its status although their token is valid; logins go on."""
    token = sandbox.issue_token()
    sandbox.refuse(1)
    assert (await log_in(sandbox, http))[0] == 200
    assert [await smoke(sandbox, http, token) for _ in range(2)] == [401, 200]
    sandbox.refuse(1, status=500)
    assert await smoke(sandbox, http, token) == 500


@pytest.mark.asyncio
async def test_silence_holds_logins_and_nothing_else(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """While `silence` lasts a login is accepted and not answered; ended, it is answered at once."""
    sandbox.silence(3600)
    login = asyncio.create_task(log_in(sandbox, http))
    await until_running(sandbox, 1)
    assert await smoke(sandbox, http, sandbox.issue_token()) == 200
    sandbox.silence(1800)
    await asyncio.sleep(0)
    assert not login.done()
    sandbox.silence(0)
    assert (await login)[0] == 200


@pytest.mark.asyncio
async def test_a_silence_ends_by_itself(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """A login waits as long as the silence lasts, not longer."""
    sandbox.silence(0.05)
    begun = time.monotonic()
    assert (await log_in(sandbox, http))[0] == 200
    assert 0.04 < time.monotonic() - begun < 2


@pytest.mark.asyncio
async def test_slow_logins_overlap_and_the_peak_is_remembered(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """`login_delay` makes each login slow, and the statistics show how many ran at once."""
    sandbox.login_delay = 0.05
    assert sandbox.login_delay == 0.05
    await asyncio.gather(*(log_in(sandbox, http) for _ in range(3)))
    stats = sandbox.stats()
    assert (stats.logins, stats.logins_running, stats.logins_running_peak) == (3, 0, 3)


@pytest.mark.asyncio
async def test_an_abandoned_login_ends_with_its_connection(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """A client that goes away leaves no running login behind."""
    sandbox.silence(3600)
    login = asyncio.create_task(log_in(sandbox, http))
    await until_running(sandbox, 1)
    login.cancel()
    async with asyncio.timeout(5):
        while sandbox.stats().logins_running:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_latency_delays_each_answer_and_is_looked_at_after_it(
    sandbox: Sandbox, http: aiohttp.ClientSession
) -> None:
    """A token that is revoked while its request is on the way is refused."""
    sandbox.latency = 0.05
    assert sandbox.latency == 0.05
    begun = time.monotonic()
    request = asyncio.create_task(smoke(sandbox, http, sandbox.issue_token()))
    while sandbox.stats().requests < 1:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
        await asyncio.sleep(0.001)
    sandbox.revoke()
    assert await request == 401
    assert time.monotonic() - begun > 0.04


@pytest.mark.asyncio
async def test_concurrent_requests_see_a_revocation_all_alike(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """Of hundreds of requests on their way none passes with a token that is revoked by then."""
    sandbox.latency = 0.02
    token = sandbox.issue_token()
    requests = [asyncio.create_task(smoke(sandbox, http, token)) for _ in range(300)]
    await asyncio.sleep(0)
    sandbox.revoke()
    assert set(await asyncio.gather(*requests)) == {401}
    assert sandbox.stats().statuses == {401: 300}


@pytest.mark.asyncio
async def test_the_statistics_are_a_frozen_moment(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """`stats` counts requests, logins and statuses, and a record once taken does not change."""
    before = sandbox.stats()
    await log_in(sandbox, http)
    await smoke(sandbox, http, "wrong")
    assert isinstance(before, SandboxStats)
    assert (before.requests, before.statuses) == (0, {})
    after = sandbox.stats()
    assert (after.requests, after.logins, after.statuses) == (2, 1, {200: 1, 401: 1})
    with pytest.raises(FrozenInstanceError):
        after.requests = 0  # type: ignore[misc]  # that it cannot be assigned is the rule


def test_nothing_is_told_before_the_start() -> None:
    """Each property that describes a running sandbox raises a sentence that says what to do."""
    sandbox = Sandbox()
    for name in (
        *("endpoint", "token_endpoint", "api_key", "restricted_api_key", "email", "password"),
        *("client_id", "client_secret", "organization_id", "job_ids"),
    ):
        with pytest.raises(ConfigurationError, match="was not started; use 'async with"):
            getattr(sandbox, name)
    assert repr(sandbox) == "<Sandbox not started>"


@pytest.mark.asyncio
async def test_repr_shows_the_endpoint_and_no_secret(sandbox: Sandbox) -> None:
    """The representation tells endpoint and state only."""
    assert repr(sandbox) == f"<Sandbox {sandbox.endpoint} running>"
    await sandbox.stop()
    assert repr(sandbox) == f"<Sandbox {sandbox.endpoint} stopped>"


@pytest.mark.asyncio
async def test_it_starts_again_at_the_same_endpoint_with_the_same_accounts(http: aiohttp.ClientSession) -> None:
    """Stopping twice is fine, and a restart keeps endpoint, keys, tokens and counters."""
    sandbox = Sandbox()
    assert await sandbox.start() is sandbox
    endpoint, token = sandbox.endpoint, sandbox.issue_token()
    await sandbox.stop()
    await sandbox.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await smoke(sandbox, http, token)
    await sandbox.start()
    assert sandbox.endpoint == endpoint
    assert await smoke(sandbox, http, token) == 200
    sandbox.latency = 0.01
    assert await smoke(sandbox, http, token) == 200
    await sandbox.stop()


def test_it_runs_under_one_event_loop_after_another() -> None:
    """A sandbox made outside a loop serves under each `asyncio.run` that starts it."""
    sandbox = Sandbox(login_delay=0.01)

    async def run() -> int:
        async with sandbox, aiohttp.ClientSession() as http:
            return (await log_in(sandbox, http))[0]

    assert [asyncio.run(run()), asyncio.run(run())] == [200, 200]


@pytest.mark.asyncio
async def test_starting_twice_is_refused(sandbox: Sandbox) -> None:
    """A running sandbox says that it runs."""
    with pytest.raises(ConfigurationError, match="runs already"):
        await sandbox.start()


@pytest.mark.asyncio
async def test_a_taken_port_is_named(sandbox: Sandbox) -> None:
    """The error names the port and what to do, with nothing chained, and the sandbox can be started later."""
    port = int(sandbox.endpoint.split(":")[2].split("/")[0])
    second = Sandbox(port=port)
    with pytest.raises(ConfigurationError) as caught:
        await second.start()
    assert str(caught.value) == f"port {port} on 127.0.0.1 is taken; choose another one, or 0 for any free port"
    assert caught.value.__suppress_context__
    assert repr(second) == "<Sandbox not started>"
    await sandbox.stop()
    async with second:
        assert f":{port}/" in second.endpoint


@pytest.mark.asyncio
async def test_a_cancelled_start_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """What interrupts the start comes through, and the sandbox can be started again."""

    async def interrupted(self: web.TCPSite) -> None:
        raise asyncio.CancelledError

    sandbox = Sandbox()
    with monkeypatch.context() as patch:
        patch.setattr(web.TCPSite, "start", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await sandbox.start()
    async with sandbox:
        assert sandbox.endpoint


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "port 80 is not for this user; choose one from 1024 on"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign"), r"cannot be listened on \(Cannot assign\)"),
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
        Sandbox(host=host)


@pytest.mark.asyncio
@pytest.mark.parametrize(("host", "shown"), [("localhost", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")])
async def test_every_loopback_address_will_do(host: str, shown: str, http: aiohttp.ClientSession) -> None:
    """The endpoint shows the address that is listened on."""
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    async with Sandbox(host=host) as sandbox:
        assert sandbox.endpoint.startswith(f"http://{shown}:")
        assert await smoke(sandbox, http, sandbox.issue_token()) == 200


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
        with pytest.raises(ConfigurationError, match="port is a number from 0"):
            Sandbox(port=port)  # type: ignore[arg-type]  # wrong on purpose
    for value in (-1.0, float("nan"), float("inf"), "1", True):
        with pytest.raises(ConfigurationError, match="latency is a number of seconds"):
            Sandbox(latency=value)  # type: ignore[arg-type]  # wrong on purpose
    sandbox = Sandbox()
    with pytest.raises(ConfigurationError, match="times is a whole number"):
        sandbox.fail_logins(-1)
    for status in (200, "503", True):
        with pytest.raises(ConfigurationError, match="status is an HTTP error status"):
            sandbox.refuse(1, status=status)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigurationError, match="login_delay is"):
        sandbox.login_delay = -1
    with pytest.raises(ConfigurationError, match="silence is"):
        sandbox.silence(-1)
    assert sandbox.login_delay == 0.0


@pytest.mark.asyncio
async def test_stopping_is_quick_and_leaves_no_task(http: aiohttp.ClientSession) -> None:
    """Hanging logins, delayed requests and open WebSockets end with the sandbox, and no task stays behind."""
    before = asyncio.all_tasks()
    sandbox = await Sandbox().start()
    sandbox.silence(3600)
    token = sandbox.issue_token()
    hanging = [asyncio.create_task(log_in(sandbox, http)) for _ in range(3)]
    await until_running(sandbox, 3)
    sandbox.latency = 3600
    hanging.append(asyncio.create_task(smoke(sandbox, http, token)))  # type: ignore[arg-type]  # its result is of no interest
    while sandbox.stats().requests < 4:  # noqa: ASYNC110 - the server runs in this loop and has no event for it
        await asyncio.sleep(0.001)
    sandbox.latency = 0
    websocket = await http.ws_connect(
        sandbox.endpoint, headers=headers(sandbox, token), protocols=["graphql-transport-ws"]
    )
    goodbye = asyncio.create_task(websocket.receive())
    deaf = await http.ws_connect(sandbox.endpoint, headers=headers(sandbox, token), protocols=["graphql-transport-ws"])
    begun = time.monotonic()
    await sandbox.stop()
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
    sandbox = Sandbox()
    pauses = sandbox._platform.faults.delays
    pauses.stop()
    with pytest.raises(Exception, match=r"^$") as caught:
        await pauses.sleep(3600)
    assert type(caught.value).__name__ == "StoppingError"


@pytest.mark.asyncio
async def test_a_wait_that_ended_is_not_ended_again() -> None:
    """Waking twice before the waiting request runs is harmless."""
    pauses = Sandbox()._platform.faults.delays
    waiting = asyncio.create_task(pauses.sleep(3600))
    await asyncio.sleep(0)
    pauses.wake()
    pauses.wake()
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
    sandbox = await Sandbox().start()
    request = asyncio.create_task(http.post(sandbox.endpoint, data=half(), headers=headers(sandbox)).__aenter__())
    await sent.wait()
    begun = time.monotonic()
    await sandbox.stop()
    assert time.monotonic() - begun < 3
    with pytest.raises(aiohttp.ClientError):
        await request
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@pytest.mark.asyncio
async def test_data_is_the_same_for_a_seed_and_secrets_never_are() -> None:
    """Two sandboxes of one seed have the same people and different credentials; another seed has others."""
    async with Sandbox(seed=7) as one, Sandbox(seed=7) as two, Sandbox(seed=8) as three:
        assert one._platform.data.candidates == two._platform.data.candidates
        assert one._platform.data.interviews == two._platform.data.interviews
        assert (one.email, one.organization_id, one.job_ids) == (two.email, two.organization_id, two.job_ids)
        assert one._platform.data.candidates != three._platform.data.candidates
        for name in ("api_key", "restricted_api_key", "password", "client_id", "client_secret"):
            assert getattr(one, name) != getattr(two, name)


@pytest.mark.asyncio
async def test_the_page_explains_itself_and_holds_no_secret(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """The page runs its own script only, and neither it nor the counters hold a credential or count as requests."""
    origin = sandbox.endpoint.removesuffix("/graphql")
    token = sandbox.issue_token()
    async with http.get(origin) as response:
        page = await response.text()
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    async with http.get(f"{origin}/stats") as response:
        counters = await response.text()
    assert "Exterview sandbox" in page
    assert "NONCE" not in page
    assert '<th scope="col">Status</th><th scope="col">Answers</th>' in page
    assert "Most logins at once" in page
    assert "@media (max-width: 600px)" in page
    for secret in (token, sandbox.api_key, sandbox.restricted_api_key, sandbox.password, sandbox.client_secret):
        assert secret not in page + counters
    assert '"requests":0' in counters


@pytest.mark.asyncio
async def test_other_paths_are_answered_404(sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
    """A path that the API does not have gets the API's error body and is not counted."""
    async with http.get(sandbox.endpoint + "/nothing") as response:
        assert (response.status, await response.json()) == (404, {"error": "There is nothing at /graphql/nothing"})
    assert sandbox.stats().requests == 0


def test_without_graphql_core_the_import_says_what_to_install() -> None:
    """Importing the sandbox without its extra raises one sentence."""
    program = (
        "import sys; sys.modules['graphql'] = None\n"
        "try:\n    import exterview_auth.sandbox\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.strip() == "the sandbox needs graphql-core: install exterview-auth[sandbox]"
