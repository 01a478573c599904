"""What tests of the command begin with."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from aiohttp.test_utils import RawTestServer

from exterview_auth.emulator import Emulator
from tests.kit.command import Answer, Elsewhere


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore the developer's own environment, and this machine's proxy."""
    for name in list(os.environ):
        if name.startswith("EXTERVIEW_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Give SIGINT and SIGHUP their default handlers, also if the runner was started with them ignored: children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGHUP, before[1])


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return the one sentence on standard error; nothing else was printed, and no secret of the environment."""

    def read() -> str:
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("exterview-auth: ")
        assert printed.err.count("\n") == 1
        for name in ("EXTERVIEW_API_KEY", "EXTERVIEW_PASSWORD", "EXTERVIEW_BEARER_TOKEN"):
            assert os.environ.get(name, "") == "" or os.environ[name] not in printed.err
        return printed.err.strip()

    return read


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    loop = Elsewhere()
    yield loop
    loop.close()


@pytest.fixture
def emulator(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Run an emulator, and set the environment that leads to it."""
    emulator = Emulator()
    elsewhere.run(emulator.start())
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", emulator.endpoint)
    monkeypatch.setenv("EXTERVIEW_API_KEY", emulator.api_key)
    monkeypatch.setenv("EXTERVIEW_EMAIL", emulator.email)
    monkeypatch.setenv("EXTERVIEW_PASSWORD", emulator.password)
    yield emulator
    elsewhere.run(emulator.stop())


@pytest.fixture
def fixed_token(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a bearer token from the emulator, which is in the place of email and password."""
    monkeypatch.delenv("EXTERVIEW_EMAIL")
    monkeypatch.delenv("EXTERVIEW_PASSWORD")
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", emulator.issue_token())
    return os.environ["EXTERVIEW_BEARER_TOKEN"]


@pytest.fixture
def serve(
    elsewhere: Elsewhere, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Answer], None]]:
    """Return a function that puts another server in the API's place."""
    servers: list[RawTestServer] = []

    def start(answer: Answer) -> None:
        servers.append(RawTestServer(answer))
        elsewhere.run(servers[-1].start_server())
        monkeypatch.setenv("EXTERVIEW_ENDPOINT", str(servers[-1].make_url("/graphql")))

    yield start
    for server in servers:
        elsewhere.run(elsewhere.closed(server))
