"""`exterview-auth emulator`: a process that others talk to, until a signal ends it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import aiohttp
import pytest
from graphql import build_schema

from exterview_auth._cli import main
from exterview_auth.emulator import Emulator
from tests.kit.command import COMMAND, ran, ran_apart, started

VARIABLES = ["EXTERVIEW_ENDPOINT", "EXTERVIEW_API_KEY", "EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD"]


@contextmanager
def running(*arguments: str, stdin: str = "") -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run the command, and read the environment that it prints, and where its page is."""
    with started("emulator", *arguments, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(stdin)
        process.stdin.close()
        lines = [process.stdout.readline().rstrip("\n") for _ in VARIABLES]
        printed = {name: shlex.split(value)[0] for name, value in (line.split("=", 1) for line in lines)}
        origin = printed["EXTERVIEW_ENDPOINT"].removesuffix("graphql")
        assert process.stderr.readline() == f"The emulator's page is at {origin}\n"
        yield process, printed


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_check_passes_with_what_it_prints_and_a_signal_ends_it(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four lines for `export`, at once, and the page's address; then a signal, exit code 0 and not a word more."""
    with running() as (process, printed):
        assert list(printed) == VARIABLES
        assert all(re.fullmatch(r"[\w@%+=:,./-]+", value) for value in printed.values())
        for name, value in printed.items():
            monkeypatch.setenv(name, value)
        assert main(["check"]) == 0
        process.send_signal(number)
        process.wait(120)
        assert (process.returncode, *rest_of(process)) == (0, "", "")
    assert printed["EXTERVIEW_ENDPOINT"] in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no os.kill for SIGTERM that a handler sees")
def test_it_serves_on_the_port_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal it says on standard error how to end it; afterwards the process's handlers are as before."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    before = signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    terminator = threading.Thread(target=_terminate_once_it_listens, args=(port, os.getpid()))
    terminator.start()
    assert main(["emulator", "--port", str(port)]) == 0
    terminator.join()
    printed = capsys.readouterr()
    assert printed.out.startswith(f"EXTERVIEW_ENDPOINT=http://127.0.0.1:{port}/graphql\n")
    assert printed.err == f"The emulator's page is at http://127.0.0.1:{port}/; Ctrl-C ends it\n"
    assert signal.getsignal(signal.SIGTERM) == before


def _terminate_once_it_listens(port: int, process: int) -> None:
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                break
        except ConnectionRefusedError:
            continue
    os.kill(process, signal.SIGTERM)


def test_a_taken_port_is_wrong_use(complaint: Callable[[], str]) -> None:
    """Exit code 2, and what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["emulator", "--port", str(port)]) == 2
    assert complaint().startswith(f"exterview-auth: port {port} on 127.0.0.1 is taken; ")


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a process that has ended has printed since."""
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout.read(), process.stderr.read()


async def test_each_option_is_the_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lifetime, delays, data and credentials are those of the command line and of standard input."""
    options = "--token-lifetime 90 --login-delay 0.2 --latency 0.1 --seed 7 --api-key made-up-key --email ada@lovelace.example"
    with running(*options.split(), "--password-stdin", stdin="it's a $word\n") as (_, printed):
        assert printed["EXTERVIEW_API_KEY"] == "made-up-key"
        assert printed["EXTERVIEW_EMAIL"] == "ada@lovelace.example"
        assert printed["EXTERVIEW_PASSWORD"] == "it's a $word"
        for name, value in printed.items():
            monkeypatch.setenv(name, value)
        began = time.monotonic()
        assert ran_apart("check").printed().endswith("; the token lives 90 s\n")
        assert time.monotonic() - began >= 0.4
        token = ran_apart("token").printed().strip()
        headers = {"x-api-key": "made-up-key", "Authorization": f"Bearer {token}"}
        query = {"query": "{ interviews { id title } }"}
        async with aiohttp.ClientSession(headers=headers) as http:
            first = await (await http.post(printed["EXTERVIEW_ENDPOINT"], json=query)).json()
            async with Emulator(seed=7) as same:
                headers = {"x-api-key": same.api_key, "Authorization": f"Bearer {same.issue_token()}"}
                again = await (await http.post(same.endpoint, json=query, headers=headers)).json()
    assert first == again


def test_its_lines_can_be_exported_by_a_shell() -> None:
    """Whatever is in a password."""
    with started("emulator", "--password-stdin", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("a'b\"c $HOME `id` \\\n")
        process.stdin.close()
        lines = [process.stdout.readline() for _ in VARIABLES]
    script = "set -a\n" + "".join(lines) + 'printf %s "$EXTERVIEW_PASSWORD"'
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert shell.stdout == "a'b\"c $HOME `id` \\"


def test_it_serves_on_when_nobody_reads_on() -> None:
    """`emulator | head -1` is enough to know that it listens: the rest goes nowhere, and it serves."""
    with running() as (process, printed):
        assert process.stdout is not None
        process.stdout.close()
        for _ in range(2):
            assert ran("check", environ=printed).printed()
        assert process.poll() is None


def test_nohup_lets_it_outlive_its_terminal() -> None:
    """Elsewhere a closed terminal ends it."""
    with subprocess.Popen(
        ["nohup", *COMMAND, "emulator"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n") for _ in VARIABLES]
        process.send_signal(signal.SIGHUP)
        assert ran("check", environ=dict(line.split("=", 1) for line in lines)).printed()
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs_are_no_crash(closed: str) -> None:
    """It serves where it was told to, and a signal ends it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = f'exec "$@" {closed}'
    with subprocess.Popen(
        ["/bin/sh", "-c", line, "sh", *COMMAND, "emulator", "--port", str(port)], stdout=subprocess.DEVNULL
    ) as process:
        terminator = threading.Thread(target=_terminate_once_it_listens, args=(port, process.pid))
        terminator.start()
        assert process.wait(60) == 0
        terminator.join()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's eval")
def test_in_the_background_one_line_has_it_all() -> None:
    """A shell evaluates what it prints, once it listens, goes on, and ends it."""
    options = "--background --email ada@lovelace.example --password-stdin"
    line = f'eval "$(printf %s "a\'b \\$HOME" | "$@" emulator {options})" && "$@" check; kill $EMULATOR_PID; echo $EMULATOR_PID'
    shell = subprocess.run(
        ["/bin/sh", "-c", line, "sh", *COMMAND], capture_output=True, text=True, timeout=120, check=True
    )
    proved, pid = shell.stdout.splitlines()
    assert "accepts the API key and the token from EXTERVIEW_EMAIL" in proved
    assert shell.stderr.startswith("The emulator's page is at http://127.0.0.1:")
    with suppress(ProcessLookupError):
        for _ in range(1000):
            os.kill(int(pid), 0)
            time.sleep(0.01)
        pytest.fail("it still runs")


def test_in_the_background_a_taken_port_is_wrong_use_too() -> None:
    """What it printed instead is nothing, so that a shell evaluates nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran_apart("emulator", "--background", "--port", str(port)).failed(2, f"port {port} on 127.0.0.1 is taken")


def test_it_prints_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """In GraphQL's own language, complete and without a server."""
    assert main(["emulator", "--schema"]) == 0
    schema = build_schema(capsys.readouterr().out)
    assert schema.mutation_type is not None
    assert "assignInterviewer" in schema.mutation_type.fields


async def test_the_help_names_a_query_that_finds_the_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """With them, `assignInterviewer` has what it needs."""
    assert main(["emulator", "--help"]) == 0
    (query,) = re.findall(r"{ organization .* } } }", " ".join(capsys.readouterr().out.split()))
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        headers = {"x-api-key": emulator.api_key, "Authorization": f"Bearer {emulator.issue_token()}"}
        answer = await http.post(emulator.endpoint, json={"query": query}, headers=headers)
        data = (await answer.json())["data"]
    assert data["getCandidates"]["candidate"][0]["_id"]
    assert data["interviewers"][0]["_id"]
