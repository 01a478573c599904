"""The command line itself: wrong uses, help, a missing extra, an interruption."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web

from exterview_auth._cli import main
from tests.kit.command import COMMAND, Answer, Elsewhere, ran, started

SECRET = "hunter2-the-secret"
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
        (
            ["--format", "yaml"],
            "invalid value for '--format': not one of text, header, json, curl, exec-credential; see 'exterview-auth token --help'",
        ),
        (
            ["--header", "--format", "json"],
            "--header and --format exclude each other; see 'exterview-auth token --help'",
        ),
        (["--min-lifetime", "-1"], "--min-lifetime must be a number of seconds, zero or more, not -1.0"),
        (["--min-lifetime", "nan"], "--min-lifetime must be a number of seconds, zero or more, not nan"),
        (
            ["--no-login", "--timeout", "0"],
            "--timeout must be a positive number of seconds, at most 1000000000, not 0.0",
        ),
        (["--store"], "option '--store' requires an argument; see 'exterview-auth token --help'"),
    ],
    "doctor": [
        (["--timeout", "inf"], "--timeout must be a positive number of seconds, at most 1000000000, not inf"),
        (["--timeout", "1 s"], "invalid value for '--timeout': not a valid number; see 'exterview-auth doctor --help'"),
        (["--store", "x"], "no such option: --store; see 'exterview-auth doctor --help'"),
        (["--json=1"], "option '--json' does not take a value; see 'exterview-auth doctor --help'"),
        (["extra"], "got unexpected extra argument; see 'exterview-auth doctor --help'"),
    ],
    "completion": [
        ([], "missing SHELL, one of bash, zsh, fish; see 'exterview-auth completion --help'"),
        (["ksh"], "invalid value for 'SHELL': not one of bash, zsh, fish; see 'exterview-auth completion --help'"),
        (["BASH"], "invalid value for 'SHELL': not one of bash, zsh, fish; see 'exterview-auth completion --help'"),
        (["bash", "zsh"], "got unexpected extra argument; see 'exterview-auth completion --help'"),
        (["--bash"], "no such option: --bash; see 'exterview-auth completion --help'"),
    ],
    "emulator": [
        (["--port", "70000"], "--port must be a number from 0 (any free port) to 65535, not 70000"),
        (["--port", "-1"], "--port must be a number from 0 (any free port) to 65535, not -1"),
        (["--port", "http"], "invalid value for '--port': not a valid integer; see 'exterview-auth emulator --help'"),
        (["--port"], "option '--port' requires an argument; see 'exterview-auth emulator --help'"),
        (["8023"], "got unexpected extra argument; see 'exterview-auth emulator --help'"),
        (["--token-lifetime", "-1"], "--token-lifetime must be a number of seconds, zero or more, not -1.0"),
        (["--login-delay", "nan"], "--login-delay must be a number of seconds, zero or more, not nan"),
        (["--latency", "inf"], "--latency must be a number of seconds, zero or more, not inf"),
        (["--seed", "x"], "invalid value for '--seed': not a valid integer; see 'exterview-auth emulator --help'"),
        (["--api-key", "a key"], "--api-key must be visible ASCII text without spaces, not empty; make one up"),
        (["--email", " "], "--email is empty; give it a made-up address"),
        (["--password", "x"], "no such option: --password; see 'exterview-auth emulator --help'"),
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
        ["token", "--format", SECRET],
        ["token", "--password-stdin", SECRET],
        ["token", f"--password={SECRET}"],
        ["completion", SECRET],
        ["doctor", SECRET],
        ["emulator", "--seed", SECRET],
        ["emulator", "--api-key", f"{SECRET} {SECRET}"],
    ],
)
def test_a_secret_on_the_command_line_is_not_repeated(arguments: list[str], complaint: Complaint) -> None:
    """Arguments that do not belong there are not echoed: they may be credentials."""
    assert main(arguments) == 2
    assert SECRET not in complaint()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["check", "--json"],
        ["token"],
        ["token", "--format", "json"],
        ["doctor"],
        ["completion", "zsh"],
    ],
)
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
    "arguments", [["--help"], *([command, "-h"] for command in WRONG if command)], ids=lambda value: value[0]
)
def test_help_is_plain_and_teaches_by_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has its help and an example, without boxes and control codes."""
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Usage: exterview-auth")
    [example] = re.findall(r"\n  Examples?\b.*:\n((?:    .*\n)+)", printed.out)
    assert f"exterview-auth {arguments[0].removeprefix('--help')}".strip() in example
    assert "..." not in printed.out.partition("Commands:")[2]
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
@pytest.mark.parametrize("has_pip", [True, False])
def test_without_the_extra_it_says_what_to_install(
    module: str, command: str, extra: str, *, has_pip: bool, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    """One sentence instead of an import error, whichever part is missing, and the line for pip, if there is one."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "pip", Mock(__spec__=Mock() if has_pip else None))  # a spec of None is no module
    monkeypatch.setattr(
        "exterview_auth._cli.find_spec", lambda name: getattr(sys.modules.get(name, re), "__spec__", None)
    )
    assert main([command]) == 2
    library = "graphql-core" if module == "graphql" else module
    needs, _, line = complaint().partition(", or run: ")
    assert needs.endswith(f"this command needs {library}: install exterview_auth with its extra `{extra}`")
    assert bool(re.search(rf" -m pip install .*{library}[<>=.\d]", line)) == has_pip


@pytest.mark.parametrize(
    "arguments", [["demo", "--requests", "1"], ["token"], ["token", "--format", "curl"], ["doctor"], ["completion", "bash"], ["--help"], ["--version"]]
)  # fmt: skip
def test_a_reader_that_goes_away_is_not_a_traceback(arguments: list[str]) -> None:
    """Like `exterview-auth token | head -c0`: it ends, and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    environ = {"EXTERVIEW_API_KEY": SECRET, "EXTERVIEW_BEARER_TOKEN": SECRET, "EXTERVIEW_ENDPOINT": DEAD_END}
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={**os.environ, **environ},
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["nonsense"], ["token"], ["doctor"]])
def test_a_sentence_without_a_standard_error_goes_nowhere(arguments: list[str]) -> None:
    """Least of all to standard output, where somebody waits for a token."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *COMMAND, *arguments], stdout=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == 2
    assert b"exterview-auth: " not in done.stdout


def test_the_version_costs_no_import_of_http() -> None:
    """Less than 0.25 s of CPU, the interpreter's own start included: shells' prompts and health checks ask for it."""
    costs = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert ran("--version").printed() == f"exterview-auth {version('exterview-auth')}\n"
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(costs) < 0.25


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("command", ["check", "token", "doctor"])
def test_ctrl_c_ends_a_wait_with_130(command: str, serve: Callable[[Answer], None], elsewhere: Elsewhere) -> None:
    """One sentence and no traceback, in the middle of a request that nobody answers."""
    arrived = threading.Event()

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(600)
        return web.Response()

    serve(answer)
    with started(command, "--timeout", "300") as process:
        assert arrived.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "exterview-auth: interrupted, so it stopped here; run it again when you like\n"
    assert all(line.startswith(("ok", "warn")) for line in out.splitlines())
