"""`completion`: real shells complete the command at a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.command import COMMAND, ran

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SOURCE = {
    "bash": "source <(exterview-auth completion bash)",
    "zsh": "autoload -Uz compinit; compinit -u -D; source <(exterview-auth completion zsh)",
    "fish": "exterview-auth completion fish | source",
}
READY = "rea''dy"  # as it is typed; printed, it has no quotes


class Terminal:
    """A shell on a pseudo-terminal, and what it has shown."""

    def __init__(self, shell: str, directory: Path) -> None:
        ours, its = pty.openpty()
        environ = {
            **os.environ,
            "PATH": f"{directory}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(directory),
            "TERM": "dumb" if shell != "fish" else "xterm",
            "PS1": "$ ",
        }
        self._process = subprocess.Popen(
            SHELLS[shell], stdin=its, stdout=its, stderr=its, env=environ, start_new_session=True, cwd=directory,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the session's own terminal, which fish wants
        )  # fmt: skip
        os.close(its)
        self._terminal = ours
        self.shown = ""

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def wait_for(self, text: str, seconds: float = 60.0) -> str:
        """Return what was shown since the last call, up to *text*."""
        until = time.monotonic() + seconds
        seen = self.shown
        while text not in seen:
            readable, _, _ = select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))
            assert readable, f"{text!r} is not in {seen!r}"
            seen += os.read(self._terminal, 65536).decode(errors="replace")
        before, _, self.shown = seen.partition(text)
        return before

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Terminal]:
    """A shell that completes our command."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"this machine has no {shell}")
    script = tmp_path / "exterview-auth"
    script.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    script.chmod(0o755)
    (tmp_path / "a-directory-of-tokens").mkdir()
    (tmp_path / "a-file").touch()
    shown = Terminal(shell, tmp_path)
    try:
        shown.type(f"{SOURCE[shell]}; echo {READY}\n")
        shown.wait_for("ready")
        yield shown
    finally:
        shown.close()


in_every_shell = pytest.mark.parametrize("terminal", SHELLS, indirect=True)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@in_every_shell
def test_a_shell_completes_commands_and_values(terminal: Terminal) -> None:
    """Two beginnings and two tabs make a line that runs."""
    terminal.type("exterview-auth comple\tfi\t; echo rea''dy\n")
    terminal.wait_for("_EXTERVIEW_AUTH_COMPLETE=fish_complete")
    terminal.wait_for("ready")


@in_every_shell
def test_a_shell_completes_options_and_their_choices(terminal: Terminal) -> None:
    """`--no-l` and `--form` are enough, and so is the beginning of a format."""
    terminal.type("exterview-auth token --no-l\t--form\texec\t; echo rea''dy\n")
    terminal.wait_for("the API key is missing")
    terminal.wait_for("ready")


@in_every_shell
def test_a_shell_completes_the_store_as_a_directory(terminal: Terminal) -> None:
    """A store of files is one; a file is not offered."""
    terminal.type("echo exterview-auth; exterview-auth token --store a-\t\n")
    assert "a-directory-of-tokens" in terminal.wait_for("the API key is missing")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_all_that_is_printed(shell: str) -> None:
    """Ready for a file or for `source`, in the shell's own words."""
    printed = ran("completion", shell).printed()
    assert f"_EXTERVIEW_AUTH_COMPLETE={shell}_complete" in printed
    assert printed.endswith("\n")


@pytest.mark.parametrize(
    ("instruction", "line", "found"),
    [
        ("bash_complete", "exterview-auth token --format ", "text header json curl exec-credential"),
        ("bash_complete", "exterview-auth completion ", "bash zsh fish"),
        ("bash_complete", "exterview-auth doctor --", "--json --timeout --password-stdin --help"),
        ("ksh_complete", "exterview-auth ", ""),
    ],
)
def test_what_a_shell_is_told(instruction: str, line: str, found: str) -> None:
    """Its script sets three variables; a shell that is unknown is told nothing."""
    words = line.split(" ")
    environ = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_EXTERVIEW_AUTH_COMPLETE": instruction}
    done = ran(environ=environ)
    assert [item.partition(",")[2] for item in done.out.split()] == found.split()
    assert (done.code, done.err) == (0 if found else 1, "")


def test_a_completion_loads_no_http() -> None:
    """A person waits for it at each press of the key."""
    program = (
        "import sys\nfrom exterview_auth._cli import main\n"
        "code = main([])\nassert not {'aiohttp', 'rich', 'graphql'} & set(sys.modules), sys.modules\nsys.exit(code)"
    )
    environ = {"COMP_WORDS": "exterview-auth ", "COMP_CWORD": "1", "_EXTERVIEW_AUTH_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "plain,doctor" in done.stdout.split()
