"""What tests of the demo begin with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from exterview_auth._cli.demo.plan import Plan


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins take less than people want to see."""
    monkeypatch.setattr(Plan, "login_delay", 0.05)


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, Any]]:
    """Return the one line of JSON; nothing else was printed."""

    def read() -> dict[str, Any]:
        printed = capsys.readouterr()
        assert printed.err == ""
        assert printed.out.count("\n") == 1
        read: dict[str, Any] = json.loads(printed.out)
        return read

    return read
