"""What tests of the command begin with."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore the developer's own environment."""
    for name in [name for name in os.environ if name.startswith("EXTERVIEW_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Give SIGINT its default handler, also if the runner was started with it ignored: children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return the one sentence on standard error; nothing else was printed, and no secret of the environment."""

    def read() -> str:
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("exterview-auth: ")
        assert printed.err.count("\n") == 1
        for name in ("EXTERVIEW_API_KEY", "EXTERVIEW_PASSWORD", "EXTERVIEW_BEARER_TOKEN"):
            assert os.environ.get(name, "") == "" or os.environ[name] not in printed.err
        return printed.err.strip()

    return read
