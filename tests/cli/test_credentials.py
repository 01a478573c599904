"""`check` and `token`, against the emulator and against servers that are none."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from aiohttp import web

from exterview_auth._cli import main
from exterview_auth.emulator import Emulator

T = TypeVar("T")
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Elsewhere:
    """An event loop in a thread: the servers' side, while the command runs in this one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    loop = Elsewhere()
    yield loop
    loop.close()


@pytest.fixture
def emulator(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A running emulator, and the environment that leads to it."""
    for name in [name for name in os.environ if name.startswith("EXTERVIEW_")]:
        monkeypatch.delenv(name)
    emulator = Emulator()
    elsewhere.run(emulator.start())
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", emulator.endpoint)
    monkeypatch.setenv("EXTERVIEW_API_KEY", emulator.api_key)
    monkeypatch.setenv("EXTERVIEW_EMAIL", emulator.email)
    monkeypatch.setenv("EXTERVIEW_PASSWORD", emulator.password)
    yield emulator
    elsewhere.run(emulator.stop())


@pytest.fixture
def server(
    elsewhere: Elsewhere, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Answer], None]]:
    """Puts a server of one's own in the API's place; the bearer token is a fixed one."""
    runners: list[web.ServerRunner] = []

    async def start(answer: Answer) -> str:
        runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/graphql"

    def put(answer: Answer) -> None:
        monkeypatch.setenv("EXTERVIEW_ENDPOINT", elsewhere.run(start(answer)))
        fixed_token(monkeypatch, "fixed-token-4711")

    yield put
    for runner in runners:
        elsewhere.run(runner.cleanup())


def fixed_token(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.delenv("EXTERVIEW_EMAIL")
    monkeypatch.delenv("EXTERVIEW_PASSWORD")
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", token)


def sentence_of(capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence on standard error, which holds none of the environment's secrets; nothing else was printed."""
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("exterview-auth: ")
    assert printed.err.count("\n") == 1
    for name in ("EXTERVIEW_API_KEY", "EXTERVIEW_PASSWORD", "EXTERVIEW_BEARER_TOKEN"):
        assert os.environ.get(name, "") == "" or os.environ[name] not in printed.err
    return printed.err


# -- what works -----------------------------------------------------------------------------------------------------


def test_check_proves_the_credentials(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One line: the endpoint, where the token comes from, how long it lives; never the token."""
    assert main(["check"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    assert emulator.endpoint in printed.out
    assert "EXTERVIEW_PASSWORD" in printed.out
    assert "60 min" in printed.out
    assert emulator.api_key not in printed.out
    assert emulator.password not in printed.out


def test_check_in_json(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that programs can read."""
    assert main(["check", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert answer["endpoint"] == emulator.endpoint
    assert answer["token_lifetime"] == 3600.0


def test_check_tells_a_short_life_in_seconds(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Minutes would say nothing."""
    emulator.token_lifetime = 90.0
    assert main(["check"]) == 0
    assert "the token lives 90 s" in capsys.readouterr().out


def test_check_with_a_fixed_token(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An opaque token does not say how long it lives, and check does not make it up."""
    fixed_token(monkeypatch, emulator.issue_token())
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    assert "EXTERVIEW_BEARER_TOKEN" in printed
    assert "does not say how long it lives" in printed
    assert os.environ["EXTERVIEW_BEARER_TOKEN"] not in printed


def test_token_prints_the_token_alone(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """So that `TOKEN=$(exterview-auth token)` works."""
    assert main(["token"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert " " not in printed.out.strip()
    assert len(printed.out.strip()) > 20


def test_token_as_a_header(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that `curl -H "$(exterview-auth token --header)"` works."""
    fixed_token(monkeypatch, "fixed-token-4711")
    assert main(["token", "--header"]) == 0
    assert capsys.readouterr().out == "Authorization: Bearer fixed-token-4711\n"


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("command", ["check", "token"])
def test_the_extra_cli_alone_is_enough(command: str) -> None:
    """Neither graphql-core nor the emulator is imported."""
    program = (
        "import sys; sys.modules['graphql'] = sys.modules['exterview_auth.emulator'] = None\n"
        f"from exterview_auth._cli import main; sys.exit(main([{command!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


# -- what the API refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "token"])
def test_a_wrong_password_is_told_from_a_wrong_key(
    command: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentence names the variables to correct, and only these."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "wrong-password-4711")
    assert main([command]) == 1
    told = sentence_of(capsys)
    assert "EXTERVIEW_PASSWORD" in told
    assert "EXTERVIEW_API_KEY" not in told
    monkeypatch.setenv("EXTERVIEW_PASSWORD", emulator.password)
    monkeypatch.setenv("EXTERVIEW_API_KEY", "wrong-key-4711")
    assert main([command]) == 1
    told = sentence_of(capsys)
    assert "x-api-key" in told
    assert "EXTERVIEW_PASSWORD" not in told


@pytest.mark.parametrize(
    ("variable", "header"), [("EXTERVIEW_BEARER_TOKEN", "Authorization"), ("EXTERVIEW_API_KEY", "x-api-key")]
)
def test_with_a_fixed_token_the_refused_header_is_named(
    variable: str,
    header: str,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """401 is explained by what the API says about it."""
    fixed_token(monkeypatch, emulator.issue_token())
    monkeypatch.setenv(variable, "dead-4711")
    assert main(["check"]) == 1
    told = sentence_of(capsys)
    assert f"the header {header} is not accepted" in told
    assert variable in told


def test_an_expired_token_is_told_to_be_one(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The time is the token's own, in UTC; nothing else of it is printed."""
    claims = base64.urlsafe_b64encode(b'{"exp": 1735787045, "sub": "somebody"}').decode().rstrip("=")
    fixed_token(monkeypatch, f"e30.{claims}.c2ln")
    assert main(["check"]) == 1
    told = sentence_of(capsys)
    assert "the token itself says that it expired on 2025-01-02 03:04:05 UTC; put a new token into" in told
    assert claims not in told
    assert "somebody" not in told


def test_a_login_whose_key_got_lost(
    server: Callable[[Answer], None],
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A proxy may have dropped it; the key is not said to be wrong."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"error": "The x-api-key header is missing"}, status=400)

    server(answer)
    monkeypatch.setenv("EXTERVIEW_EMAIL", emulator.email)
    monkeypatch.setenv("EXTERVIEW_PASSWORD", emulator.password)
    assert main(["check"]) == 1
    told = sentence_of(capsys)
    assert "the header x-api-key did not arrive" in told
    assert "proxy" in told


def test_a_key_without_permission(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """403 is for the organization's administrator."""
    monkeypatch.setenv("EXTERVIEW_API_KEY", emulator.restricted_api_key)
    assert main(["check"]) == 1
    told = sentence_of(capsys)
    assert "403" in told
    assert "x-api-key" in told
    assert "administrator" in told


def test_a_failure_in_json_goes_to_both(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of JSON says what the sentence says."""
    monkeypatch.setenv("EXTERVIEW_API_KEY", "wrong-key-4711")
    assert main(["check", "--json"]) == 1
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert (answer["ok"], answer["endpoint"], answer["error"]) == (False, emulator.endpoint, "CredentialsRejectedError")
    assert f"{answer['message']}; {answer['hint']}" in printed.err


def test_a_wrong_configuration_in_json_exits_2(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no endpoint yet, and says what to set."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    assert main(["check", "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["endpoint"], answer["error"]) == (False, None, "ConfigurationError")
    assert "EXTERVIEW_API_KEY" in answer["hint"]


# -- servers that are not the API -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "token"])
def test_a_closed_port(
    command: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The login is tried again within the timeout, then the sentence names the endpoint's variable."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"http://127.0.0.1:{port}/graphql")
    assert main([command, "--timeout", "0.1"]) == 1
    assert "EXTERVIEW_ENDPOINT" in sentence_of(capsys)


def test_a_closed_port_with_a_fixed_token(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No login is needed, and the request itself finds nobody."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"http://127.0.0.1:{port}/graphql")
    fixed_token(monkeypatch, "fixed-token-4711")
    assert main(["check"]) == 1
    assert f"there is no connection to 127.0.0.1:{port}" in sentence_of(capsys)


@pytest.mark.parametrize("credentials", ["password", "fixed token"])
def test_a_server_that_speaks_garbage(
    credentials: str,
    elsewhere: Elsewhere,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is no HTTP is said to be none."""

    async def garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        writer.close()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(garbage, "127.0.0.1", 0)

    async def stop() -> None:
        listening.close()
        await listening.wait_closed()

    listening = elsewhere.run(start())
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/graphql")
    if credentials == "fixed token":
        fixed_token(monkeypatch, "fixed-token-4711")
    try:
        assert main(["check", "--timeout", "0.2"]) == 1
    finally:
        elsewhere.run(stop())
    assert "EXTERVIEW_ENDPOINT" in sentence_of(capsys)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, "<html>Welcome</html>", "EXTERVIEW_ENDPOINT"),
        (200, "[]", "EXTERVIEW_ENDPOINT"),
        (200, '{"data": {}}', "EXTERVIEW_ENDPOINT"),
        (200, '{"data": null, "errors": [{"message": "no such field"}]}', "no such field"),
        (400, '{"error": "The x-api-key header is missing"}', "400"),
        (404, "not here", "404"),
        (500, '{"error": "out of order"}', "later"),
    ],
)
def test_answers_that_are_not_the_apis(
    status: int, body: str, says: str, server: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is one sentence, whatever comes."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, text=body, content_type="application/json")

    server(answer)
    assert main(["check"]) == 1
    assert says in sentence_of(capsys)


def test_a_server_that_echoes_the_credentials(
    server: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """They are taken out of its words, and so are its control codes."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        words = f"\x1b[31m{request.headers['Authorization']}\n{request.headers['x-api-key']}" + "x" * 1000
        return web.json_response({"error": words}, status=403)

    server(answer)
    assert main(["check"]) == 1
    told = sentence_of(capsys)
    assert "***" in told
    assert "\x1b" not in told
    assert len(told) < 500


def test_a_server_that_says_nothing(
    elsewhere: Elsewhere, server: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The timeout is the one that was given."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    server(answer)
    assert main(["check", "--timeout", "0.1"]) == 1
    assert "did not answer in time" in sentence_of(capsys)
