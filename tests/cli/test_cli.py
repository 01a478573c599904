"""The command line itself: wrong uses, help, a missing extra, an interruption."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unittest.mock import Mock

import pytest

from exterview_auth._cli import main

SECRET = "hunter2-the-secret"
COMMAND = [sys.executable, "-m", "exterview_auth"]
DEAD_END = "http://localhost:1/graphql"


Complaint = Callable[[], str]


WRONG: dict[str, list[tuple[list[str], str]]] = {
    "": [
        ([], "missing command; see 'exterview-auth --help'"),
        (["nonsense"], "no such command; see 'exterview-auth --help'"),
        (["--nonsense"], "no such option: --nonsense; see 'exterview-auth --help'"),
        (["--version", "--nonsense"], "no such option: --nonsense; see 'exterview-auth --help'"),
        (["-x", "check"], "no such option: -x; see 'exterview-auth --help'"),
    ],
    "demo": [
        (["--requests"], "option '--requests' requires an argument; see 'exterview-auth demo --help'"),
        (["--requests", "0"], "--requests must be a number from 1 to 100000, not 0"),
        (
            ["--requests", "abc"],
            "invalid value for '--requests': not a valid integer; see 'exterview-auth demo --help'",
        ),
        (["--processes", "65"], "--processes must be a number from 1 to 64, not 65"),
        (["--store", "memory"], "--store must be redis or file"),
        (["--nonsense"], "no such option: --nonsense; see 'exterview-auth demo --help'"),
    ],
    "check": [
        (["--timeout", "nan"], "--timeout must be a positive number of seconds, at most 1000000000, not nan"),
        (["--timeout"], "option '--timeout' requires an argument; see 'exterview-auth check --help'"),
        (["--json=yes"], "option '--json' does not take a value; see 'exterview-auth check --help'"),
        (["extra"], "got unexpected extra argument; see 'exterview-auth check --help'"),
        ([], "the API key is missing; set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"),
    ],
    "token": [
        (["--timeout", "soon"], "invalid value for '--timeout': not a valid number; see 'exterview-auth token --help'"),
        (["--timeout", "-1"], "--timeout must be a positive number of seconds, at most 1000000000, not -1.0"),
        (["--json"], "no such option: --json; see 'exterview-auth token --help'"),
        (["extra"], "got unexpected extra argument; see 'exterview-auth token --help'"),
        ([], "the API key is missing; set EXTERVIEW_API_KEY or EXTERVIEW_API_KEY_FILE"),
    ],
    "emulator": [
        (["--port", "70000"], "--port must be a number from 0 (any free port) to 65535, not 70000"),
        (["--port", "-1"], "--port must be a number from 0 (any free port) to 65535, not -1"),
        (["--port", "http"], "invalid value for '--port': not a valid integer; see 'exterview-auth emulator --help'"),
        (["--port"], "option '--port' requires an argument; see 'exterview-auth emulator --help'"),
        (["8023"], "got unexpected extra argument; see 'exterview-auth emulator --help'"),
    ],
}
"""At least five wrong uses of each command, and the one sentence about each."""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([*command.split(), *rest], says) for command, uses in WRONG.items() for rest, says in uses],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_exits_2_with_one_sentence(arguments: list[str], says: str, complaint: Complaint) -> None:
    """Nothing is printed but what is wrong, and what to do or where to read more."""
    assert main(arguments) == 2
    assert complaint() == f"exterview-auth: {says}"


@pytest.mark.parametrize(
    "arguments",
    [
        [SECRET],
        [f"EXTERVIEW_PASSWORD={SECRET}", "check"],
        [f"it's '{SECRET}'\n'"],
        ["check", SECRET],
        ["check", f"--api-key={SECRET}"],
        ["demo", "--store", SECRET],
        ["token", "--timeout", SECRET],
    ],
)
def test_a_secret_on_the_command_line_is_not_repeated(arguments: list[str], complaint: Complaint) -> None:
    """Arguments that do not belong there are not echoed: they may be credentials."""
    assert main(arguments) == 2
    assert SECRET not in complaint()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["check", "--json"], ["token"]])
def test_an_output_that_cannot_be_written_is_one_sentence(arguments: list[str]) -> None:
    """A full disk is no fault of the program: no traceback, and an exit code that says so."""
    environ = {
        **os.environ,
        "EXTERVIEW_API_KEY": SECRET,
        "EXTERVIEW_BEARER_TOKEN": SECRET,
        "EXTERVIEW_ENDPOINT": DEAD_END,
    }
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], env=environ, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    sentence = "exterview-auth: the command could not go on (No space left on device); look at where its output goes"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == sentence
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize(("stdout", "stderr", "code"), [(None, "/dev/full", 2), ("closed", None, 0)])
def test_a_missing_output_and_a_full_one_for_errors_are_no_crash(
    stdout: str | None, stderr: str | None, code: int
) -> None:
    """The exit code says what nobody can read."""
    line = f'exec "$@" {">&-" if stdout else ""} {f"2>{stderr}" if stderr else ""}'
    arguments = ["nonsense"] if stderr else ["--version"]
    done = subprocess.run(
        ["/bin/sh", "-c", line, "sh", *COMMAND, *arguments], capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


@pytest.mark.parametrize("command", ["check", "token"])
@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, "EXTERVIEW_API_KEY"),
        ({"EXTERVIEW_API_KEY": SECRET, "EXTERVIEW_EMAIL": "a@b.example"}, "EXTERVIEW_PASSWORD"),
        ({"EXTERVIEW_API_KEY": f"{SECRET} {SECRET}", "EXTERVIEW_BEARER_TOKEN": SECRET}, "EXTERVIEW_API_KEY"),
        (
            {"EXTERVIEW_API_KEY": SECRET, "EXTERVIEW_BEARER_TOKEN": SECRET, "EXTERVIEW_ENVIRONMENT": "moon"},
            "EXTERVIEW_ENVIRONMENT",
        ),
    ],
)
def test_a_wrong_environment_exits_2_and_names_the_variable(
    command: str, environ: dict[str, str], names: str, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    """Before anything is sent, and without the secrets that are there."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main([command]) == 2
    sentence = complaint()
    assert names in sentence
    assert SECRET not in sentence


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "-h"], ["check", "-h"], ["token", "-h"], ["emulator", "-h"]]
)
def test_help_is_plain_and_exits_0(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has its help, without boxes and control codes."""
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Usage: exterview-auth")
    assert printed.out.isascii()
    assert "\x1b" not in printed.out
    assert printed.err == ""


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], complaint: Complaint) -> None:
    """That of the installed package, alone on one line; a copy that is not installed has none, and says so."""
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"exterview-auth {version('exterview-auth')}\n", "")
    monkeypatch.setattr("exterview_auth._cli.app.version", Mock(side_effect=PackageNotFoundError))
    assert main(["--version"]) == 2
    assert "not installed" in complaint()


@pytest.mark.parametrize(
    ("module", "command", "extra"),
    [
        ("click", "check", "cli"),
        ("rich", "check", "cli"),
        ("graphql", "demo", "emulator"),
        ("graphql", "emulator", "emulator"),
    ],
)
def test_without_the_extra_it_says_what_to_install(
    module: str, command: str, extra: str, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    """One sentence instead of an import error, whichever part is missing."""
    monkeypatch.setitem(sys.modules, module, None)
    assert main([command]) == 2
    library = "graphql-core" if module == "graphql" else module
    assert complaint().endswith(f"this command needs {library}: install exterview_auth with its extra `{extra}`")


def test_a_reader_that_goes_away_is_not_a_traceback() -> None:
    """Like `exterview-auth demo | head -0`: it ends, and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "exterview_auth", "demo", "--requests", "1"]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=120, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
