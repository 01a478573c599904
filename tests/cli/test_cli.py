"""The command line itself: wrong uses, help, a missing extra, an interruption."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import pytest

from exterview_auth._cli import main

SECRET = "hunter2-the-secret"


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own environment holds."""
    for name in [name for name in os.environ if name.startswith("EXTERVIEW_")]:
        monkeypatch.delenv(name)


def only_sentence(text: str) -> str:
    """*text*, if it is one line from the command and no traceback."""
    assert text.startswith("exterview-auth: ")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    return text.strip()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "missing command"),
        (["nonsense"], "no such command 'nonsense'"),
        (["--nonsense"], "no such option: --nonsense"),
        (["demo", "--requests", "abc"], "--requests"),
        (["demo", "--requests"], "--requests"),
        (["demo", "--requests", "0"], "--requests is a number from 1 to 100000, not 0"),
        (["demo", "--requests", "-5"], "not -5"),
        (["demo", "--requests", "100001"], "not 100001"),
        (["demo", "--processes", "0"], "--processes is a number from 1 to 64, not 0"),
        (["demo", "--processes", "65"], "--processes is a number from 1 to 64, not 65"),
        (["demo", "--processes", "many"], "--processes"),
        (["demo", "--store", "memory"], "--store is redis or file"),
        (["demo", "--nonsense"], "exterview-auth demo --help"),
        (["check", "--timeout", "0"], "--timeout"),
        (["check", "--timeout", "nan"], "--timeout"),
        (["check", "--timeout", "1e30"], "--timeout is a positive number of seconds, at most 1000000000, not 1e+30"),
        (["token", "--timeout", "soon"], "--timeout"),
        (["token", "--json"], "no such option: --json"),
        (["emulator", "--port", "70000"], "--port is a number from 0 (any free port) to 65535, not 70000"),
        (["emulator", "--port", "-1"], "--port is a number from 0 (any free port) to 65535, not -1"),
        (["emulator", "--port", "http"], "--port"),
    ],
)
def test_a_wrong_command_line_exits_2_with_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed but what is wrong, and where to read more."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in only_sentence(printed.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", SECRET],
        ["token", SECRET, "more"],
        ["check", f"--api-key={SECRET}"],
        ["demo", SECRET],
        ["demo", "--store", SECRET],
        ["token", "--timeout", SECRET],
    ],
)
def test_a_secret_on_the_command_line_is_not_repeated(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that do not belong there are not echoed: they may be credentials."""
    assert main(arguments) == 2
    assert SECRET not in only_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("command", ["check", "token"])
@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, "EXTERVIEW_API_KEY"),
        ({"EXTERVIEW_API_KEY": SECRET}, "EXTERVIEW_PASSWORD"),
        ({"EXTERVIEW_API_KEY": SECRET, "EXTERVIEW_EMAIL": "a@b.example"}, "EXTERVIEW_PASSWORD"),
        ({"EXTERVIEW_API_KEY": f"{SECRET} {SECRET}", "EXTERVIEW_BEARER_TOKEN": SECRET}, "EXTERVIEW_API_KEY"),
        (
            {
                "EXTERVIEW_API_KEY": SECRET,
                "EXTERVIEW_BEARER_TOKEN": SECRET,
                "EXTERVIEW_ENDPOINT": "http://api.exterview.ai/graphql",
            },
            "EXTERVIEW_ENDPOINT",
        ),
        (
            {"EXTERVIEW_API_KEY": SECRET, "EXTERVIEW_BEARER_TOKEN": SECRET, "EXTERVIEW_ENVIRONMENT": "moon"},
            "EXTERVIEW_ENVIRONMENT",
        ),
    ],
)
def test_a_wrong_environment_exits_2_and_names_the_variable(
    command: str,
    environ: dict[str, str],
    names: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is sent, and without the secrets that are there."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main([command]) == 2
    sentence = only_sentence(capsys.readouterr().err)
    assert names in sentence
    assert SECRET not in sentence


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", [[], ["demo"], ["check"], ["token"], ["emulator"]])
def test_help_is_plain_and_exits_0(option: str, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command has its help, without boxes and control codes."""
    assert main([*command, option]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Usage: exterview-auth")
    assert printed.out.isascii()
    assert "\x1b" not in printed.out
    assert printed.err == ""


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """That of the installed package, alone on one line."""
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"exterview-auth {version('exterview-auth')}\n", "")


def test_a_copy_that_is_not_installed_has_no_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence instead of a traceback."""
    monkeypatch.setattr("exterview_auth._cli._app.version", _raising(PackageNotFoundError("exterview-auth")))
    assert main(["--version"]) == 2
    assert "not installed" in only_sentence(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("click", ["check"], "cli"),
        ("rich", ["check"], "cli"),
        ("graphql", ["demo", "--requests", "1"], "emulator"),
        ("graphql", ["emulator"], "emulator"),
    ],
)
def test_without_the_extra_it_says_what_to_install(
    module: str, arguments: list[str], extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence instead of an import error, whichever part is missing."""
    monkeypatch.setitem(sys.modules, module, None)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    sentence = only_sentence(printed.err)
    assert f"the extra '{extra}' is not installed ({module} cannot be imported)" in sentence
    assert sentence.endswith(f"run: pip install 'exterview-auth[{extra}]'")


def _raising(error: BaseException) -> Callable[..., int]:
    def play(*_arguments: object, **_options: object) -> int:
        raise error

    return play


def test_an_interruption_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C exits with 130, as shells expect."""
    monkeypatch.setattr("exterview_auth._cli.demo.run_demo", _raising(KeyboardInterrupt()))
    assert main(["demo"]) == 130
    assert "interrupted" in only_sentence(capsys.readouterr().err)


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """Like `exterview-auth demo | head -0`: it ends, and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "exterview_auth", "demo", "--requests", "1"],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_python_m_is_the_same_command() -> None:
    """`python -m exterview_auth` takes the process's own arguments and gives its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "exterview_auth", "nonsense"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert only_sentence(done.stderr).startswith("exterview-auth: no such command 'nonsense'")
