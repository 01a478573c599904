"""What a command says while it waits, to whoever sits in front of it."""

from __future__ import annotations

import io
import sys

import pytest

from exterview_auth._cli import main, output
from exterview_auth.emulator import Emulator


class Terminal(io.StringIO):
    """A standard error that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("check", "still waiting for the login, then for the API's answer: each takes at most 7 s"),
        ("token", "still waiting for a token: a login takes at most 7 s"),
        ("doctor", "still examining: each step takes at most 7 s"),
    ],
)
@pytest.mark.parametrize("shown", [True, False])
def test_a_terminal_is_told_what_a_command_waits_for(
    command: str, says: str, *, shown: bool, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And for how long at most; a log or a script gets nothing but errors."""
    emulator.login_delay = 0.2
    monkeypatch.setattr(output, "PATIENCE", 0.05)
    heard = Terminal() if shown else io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    assert main([command, "--timeout", "7"]) == 0
    assert set(heard.getvalue().splitlines()) == ({f"exterview-auth: {says}"} if shown else set())
