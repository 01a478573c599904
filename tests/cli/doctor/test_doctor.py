"""The report as a whole: its lines, its JSON, its exit codes, and what it never shows."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

from exterview_auth.emulator import Emulator
from tests.cli.doctor.examined import examined
from tests.kit.command import COMMAND, ran

NAMES = [
    "versions", "extras", "EXTERVIEW_API_KEY", "EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD", "EXTERVIEW_ENDPOINT", "configuration",
    "proxy", "dns", "tls", "connection", "clock", "login", "key", "token",
]  # fmt: skip


def test_a_configuration_that_works_is_a_page_of_oks(emulator: Emulator) -> None:
    """One line each, in the order in which one thing needs the other; one login, and exit code 0."""
    lines = ran("doctor").printed().splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"ok    {name}" for name in NAMES]
    assert lines[0].endswith("on Linux") or "Python 3." in lines[0]
    assert lines[-1] == "ok    token: lives 60 min"
    assert emulator.stats().logins == 1


@pytest.mark.usefixtures("emulator")
def test_the_json_says_the_same() -> None:
    """One line for programs."""
    found = examined()
    assert (found.code, list(found.checks)) == (0, NAMES)
    assert found["token"] == "ok lives 60 min"


def test_with_nothing_configured_it_exits_2_and_sends_nothing() -> None:
    """It says what to set, or how to have a server to try."""
    found = examined()
    assert found.code == 2
    assert list(found.checks) == ["versions", "extras", "configuration"]
    assert found["configuration"].startswith("fail nothing is configured; set EXTERVIEW_API_KEY, and EXTERVIEW_EMAIL")
    done = ran("doctor")
    assert done.code == 2
    assert done.err.startswith("exterview-auth: nothing is configured; set EXTERVIEW_API_KEY")
    assert done.err.count("\n") == 1
    assert done.out.splitlines()[-1].startswith("fail  configuration: nothing is configured; ")


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("name", ["EXTERVIEW_EMAIL", "EXTERVIEW_API_KEY"])
def test_half_a_configuration_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable; what does not depend on it is examined all the same."""
    monkeypatch.delenv(name)
    found = examined()
    assert found.code == 1
    assert found["configuration"].startswith("fail ")
    assert name in found["configuration"]
    assert found["connection"].startswith("ok ")
    assert [found[check] for check in ("login", "key", "token")] == [
        "warn not examined; mend what stands above first"
    ] * 3


def test_a_wrong_endpoint_is_said_once(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an address there is nobody to ask."""
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", "graphql")
    found = examined()
    assert found.code == 1
    assert list(found.checks)[-1] == "configuration"
    assert found["configuration"].startswith("fail EXTERVIEW_ENDPOINT: endpoint must be an absolute http(s) URL")
    assert emulator.stats().requests == 0


SECRETS = {
    "EXTERVIEW_API_KEY": "s3cr3t-api-key",
    "EXTERVIEW_PASSWORD": "s3cr3t-password",
    "EXTERVIEW_BEARER_TOKEN": "s3cr3t-token",
    "EXTERVIEW_TOKEN_URL": "https://127.0.0.1:1/token?sig=s3cr3t-signature",
    "EXTERVIEW_CLIENT_ID": "s3cr3t-client",
    "EXTERVIEW_CLIENT_SECRET": "s3cr3t-client-secret",
    "EXTERVIEW_SCOPE": "s3cr3t-scope",
    "EXTERVIEW_EMAIL": "s3cr3t@example.com",
    "EXTERVIEW_STORE": "redis://s3cr3t-user:s3cr3t-word@127.0.0.1:1/0",
    "EXTERVIEW_STORE_KEY": "s3cr3t-store-key",
    "EXTERVIEW_LOGIN_DOCUMENT": "s3cr3t-document",
    "EXTERVIEW_TOKEN_FIELD": "s3cr3t-field",
    "EXTERVIEW_ENVIRONMENT": "s3cr3t-environment",
    "HTTPS_PROXY": "http://s3cr3t-user:s3cr3t-word@127.0.0.1:1",
}


@pytest.mark.parametrize("without", ["", "CLIENT", "CLIENT USER"])
@pytest.mark.parametrize("endpoint", ["https://127.0.0.1:1/graphql?sig=s3cr3t-signature", "s3cr3t://s3cr3t"])
def test_no_value_of_a_variable_is_shown(without: str, endpoint: str) -> None:
    """Each is named with its source; whatever fails with it shows none of it."""
    environ = {**SECRETS, "EXTERVIEW_ENDPOINT": endpoint}
    for name in list(environ):
        if ("CLIENT" in without and re.search("CLIENT|TOKEN_URL|SCOPE", name)) or (
            "USER" in without and name in {"EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD"}
        ):
            del environ[name]
    as_json = examined("--timeout", "0.3", environ=environ).text
    for found in (as_json, *ran("doctor", "--timeout", "0.3", environ=environ)[1:]):
        assert "s3cr3t" not in found.lower()
    assert all(f'"{name}"' in as_json for name in environ if name.startswith("EXTERVIEW_"))


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_are_for_terminals_that_want_them(no_color: str) -> None:
    """The status alone, and nowhere else a control code."""
    ours, its = pty.openpty()
    environ = {**os.environ, "NO_COLOR": no_color}
    with subprocess.Popen([*COMMAND, "doctor"], stdin=its, stdout=its, stderr=its, env=environ) as process:
        os.close(its)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65536)
            except OSError:
                break
        assert process.wait(60) == 0
    os.close(ours)
    assert (b"\x1b[32mok  \x1b[0m  token: lives" in shown) == (no_color == "")
    assert (b"\x1b" in shown) == (no_color == "")


@pytest.mark.parametrize("timeout", ["0", "-1", "nan"])
def test_a_wrong_timeout_is_wrong_use(timeout: str) -> None:
    """Before anything is examined."""
    ran("doctor", "--timeout", timeout).failed(2, "--timeout must be a positive number of seconds")


def test_it_leaves_nothing_where_nothing_was(emulator: Emulator, tmp_path: Path) -> None:
    """A directory that is the store's is made by whoever needs it first, and holds nobody's token."""
    environ = {"EXTERVIEW_STORE": str(tmp_path / "tokens")}
    found = examined(environ=environ)
    assert found["store-token"] == "ok none is held for this account; for another one, set EXTERVIEW_ACCOUNT"
    assert list((tmp_path / "tokens").glob("*.token")) == []
    assert emulator.stats().logins == 1
