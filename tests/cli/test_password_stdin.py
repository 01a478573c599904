"""`--password-stdin`: a password that stands in no environment and in no list of processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from exterview_auth.emulator import Emulator
from tests.kit.command import COMMAND, ran

COMMANDS = ["check", "token", "doctor"]


@pytest.fixture
def password(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """The emulator's password, which no variable has."""
    monkeypatch.delenv("EXTERVIEW_PASSWORD")
    return emulator.password


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("frame", ["{}", "{}\n", "{}\r\n", "\ufeff{}\r\n"], ids=["bare", "LF", "CRLF", "BOM"])
def test_the_password_is_what_stands_on_standard_input(command: str, frame: str, password: str) -> None:
    """As a pipe, an editor or another system writes it; it is printed nowhere."""
    printed = ran(command, "--password-stdin", stdin=frame.format(password)).printed()
    assert password not in printed


def test_spaces_are_part_of_it(emulator: Emulator, password: str) -> None:
    """Only line ends are not."""
    emulator._state.accounts.password = f" {password} "
    assert ran("check", "--password-stdin", stdin=f" {password} \n").printed()
    ran("check", "--password-stdin", stdin=f"{password}\n").failed(1, "the login was refused for this user")


def test_it_outranks_both_variables(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives one wants it used."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "wrong")
    monkeypatch.setenv("EXTERVIEW_PASSWORD_FILE", "/absent")
    assert ran("check", "--password-stdin", stdin=password).printed()


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("command", ["check", "token"])
def test_a_wrong_one_is_called_as_it_was_given(command: str) -> None:
    """Not by a variable that the user has not set."""
    sentence = ran(command, "--password-stdin", stdin="wrong-4711\n").failed(
        1, "the login was refused for this user: ", "; correct EXTERVIEW_EMAIL and the password from standard input; if"
    )
    assert "4711" not in sentence


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        (b"", "standard input is empty; put the password into it"),
        (b" \r\n", "standard input is empty; put the password into it"),
        ("word\n".encode("utf-16"), "standard input is in UTF-16, as PowerShell writes it; save it as UTF-8"),
        (b"\xff\n", "standard input is not text in UTF-8; save it as UTF-8"),
        (b"x" * (2**20 + 1), "standard input is too long for the password"),
    ],
    ids=["empty", "blank", "UTF-16", "Latin-1", "long"],
)
def test_what_is_no_password_is_wrong_use(command: str, stdin: bytes, says: str) -> None:
    """Exit code 2, one sentence, and nothing is sent."""
    ran(command, "--password-stdin", stdin=stdin).failed(2, says)


@pytest.mark.usefixtures("password")
def test_a_closed_standard_input_is_wrong_use() -> None:
    """As under a scheduler."""
    line = 'exec "$@" <&-'
    done = subprocess.run(
        ["/bin/sh", "-c", line, "sh", *COMMAND, "check", "--password-stdin"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"exterview-auth: standard input is closed; give --password-stdin a password there\n"


def test_it_needs_a_user_and_nobody_elses_login(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an e-mail there is nobody to log in; beside a client's variables nothing would use it."""
    monkeypatch.delenv("EXTERVIEW_EMAIL")
    sentence = ran("check", "--password-stdin", stdin=password).failed(2, "EXTERVIEW_EMAIL is missing")
    assert password not in sentence
    for name in ("TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"EXTERVIEW_{name}", "https://login.example/")
    ran("check", "--password-stdin", stdin=password).failed(2, "--password-stdin is of no use with EXTERVIEW_TOKEN_URL")


IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize(
    ("typed", "code"), [("{}\n", 0), ("\x04", 2), ("wrong-4711\n", 1)], ids=["right", "EOF", "wrong"]
)
def test_on_a_terminal_it_is_asked_for_and_not_shown(typed: str, code: int, password: str) -> None:
    """Nobody who looks over a shoulder reads it."""
    command = [sys.executable, "-c", IN_A_TERMINAL, *COMMAND, "check", "--password-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        shown = b""
        while not shown.endswith(b"Password: "):  # what is typed before that is thrown away
            piece = process.stdout.read1(1)  # type: ignore[attr-defined]  # it is buffered
            assert piece, shown
            shown += piece
        process.stdin.write(typed.format(password).encode())
        process.stdin.flush()
        shown += process.stdout.read()
        assert process.wait(60) == code
    assert password.encode() not in shown
    assert b"4711" not in shown
    assert re.search(rb"accepts the API key|standard input has no password; type one|refused for this user", shown)
