"""Events go to structlog where the application configured it, else to the standard logger, and never print."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import structlog

from exterview_auth import Reason
from exterview_auth._events import emit
from exterview_auth._secret import Secret

ROOT = Path(__file__).parents[1]


@pytest.fixture
def entries() -> Iterator[list[Any]]:
    """Structlog configured by the application, with what reached its last processor."""
    seen: list[Any] = []

    def keep(logger: Any, method: str, event: Any) -> Any:
        seen.append((method, dict(event)))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    yield seen
    structlog.reset_defaults()


def test_without_structlogs_configuration_the_standard_logger_is_used(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 18: an installed but unconfigured structlog is not asked, and fields without a value are left out."""
    with caplog.at_level(logging.INFO, logger="exterview_auth"):
        emit(logging.WARNING, "login.failed", error="OSError", retry_after=None, key=Secret("s3cret"))
    assert caplog.record_tuples == [("exterview_auth", logging.WARNING, "login.failed error='OSError' key='***'")]


def test_a_level_that_nobody_asked_for_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """Below the logger's level nothing is formatted, so that not even a field's repr runs."""
    told: list[str] = []

    class Untold:
        def __repr__(self) -> str:
            told.append("formatted")
            return "field"

    with caplog.at_level(logging.WARNING, logger="exterview_auth"):
        emit(logging.INFO, "login.begun", field=Untold())
        emit(logging.WARNING, "login.failed", field=Untold())
    assert caplog.messages == ["login.failed field=field"]
    assert told == ["formatted"]


def test_a_percent_sign_in_an_event_is_text(caplog: pytest.LogCaptureFixture) -> None:
    """Event and fields are arguments of the record, never its format."""
    with caplog.at_level(logging.INFO, logger="exterview_auth"):
        emit(logging.INFO, "100%s", share="5%d")
    assert caplog.messages == ["100%s share='5%d'"]


def test_a_configured_structlog_gets_the_event_alone(entries: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """Rule 18: where the application configured structlog, it gets level, event and fields, and the logger nothing."""
    with caplog.at_level(logging.DEBUG, logger="exterview_auth"):
        emit(logging.WARNING, "store.failed", call="load")
    assert entries == [("warning", {"event": "store.failed", "call": "load"})]
    assert caplog.records == []


@pytest.mark.parametrize(
    "failure", [RuntimeError("no"), asyncio.CancelledError(), GeneratorExit()], ids=["raises", "cancels", "exits"]
)
def test_what_a_processor_raises_is_contained(failure: BaseException) -> None:
    """A processor that raises or cancels does not break a request."""

    def broken(logger: Any, method: str, event: Any) -> Any:
        raise failure

    structlog.configure(processors=[broken])
    try:
        emit(logging.WARNING, "login.failed")
    finally:
        structlog.reset_defaults()


def test_what_a_handler_raises_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logging handler that raises does not break a request."""
    handler = Mock(level=logging.NOTSET, handle=Mock(side_effect=RuntimeError("no disk")))
    monkeypatch.setattr(logging.getLogger("exterview_auth"), "handlers", [handler])
    emit(logging.ERROR, "login.failed")
    handler.handle.assert_called_once()


@pytest.mark.parametrize("before", ["", "import structlog"])
def test_a_bare_process_prints_nothing(before: str) -> None:
    """Rule 18: where nobody configured logging, not even an error reaches standard output or error."""
    program = f"{before}\nfrom exterview_auth._events import emit\nemit(40, 'login.failed', error='x')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("", "")


def test_reasons_are_the_words_that_on_token_gets() -> None:
    """A reason is text, and compares with it."""
    assert [str(reason) for reason in Reason] == ["first", "expired", "refused", "ahead"]
    assert all(isinstance(reason, str) for reason in Reason)
