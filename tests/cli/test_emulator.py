"""`exterview-auth emulator`: a process that others talk to, until a signal ends it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from exterview_auth._cli import main

COMMAND = [sys.executable, "-m", "exterview_auth"]
VARIABLES = ["EXTERVIEW_ENDPOINT", "EXTERVIEW_API_KEY", "EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run the command, and read the environment that it prints."""
    process = subprocess.Popen(
        [*COMMAND, "emulator", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().rstrip("\n") for _ in VARIABLES]
            yield process, dict(line.split("=", 1) for line in lines)
        finally:
            process.kill()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_check_passes_with_what_it_prints_and_a_signal_ends_it(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four lines for `export`, at once; then SIGINT or SIGTERM, exit code 0 and not a word."""
    with running() as (process, printed):
        assert list(printed) == VARIABLES
        assert all(re.fullmatch(r"[\w@%+=:,./-]+", value) for value in printed.values())
        for name, value in printed.items():
            monkeypatch.setenv(name, value)
        assert main(["check"]) == 0
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")
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
    terminator = threading.Thread(target=_terminate_once_it_listens, args=(port,))
    terminator.start()
    assert main(["emulator", "--port", str(port)]) == 0
    terminator.join()
    printed = capsys.readouterr()
    assert printed.out.startswith(f"EXTERVIEW_ENDPOINT=http://127.0.0.1:{port}/graphql\n")
    assert printed.err == "The emulator is running; Ctrl-C ends it.\n"
    assert signal.getsignal(signal.SIGTERM) == before


def _terminate_once_it_listens(port: int) -> None:
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                break
        except ConnectionRefusedError:
            continue
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_taken_port_is_wrong_use(complaint: Callable[[], str]) -> None:
    """Exit code 2, and what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["emulator", "--port", str(port)]) == 2
    assert complaint().startswith(f"exterview-auth: port {port} on 127.0.0.1 is taken; ")
