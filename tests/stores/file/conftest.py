"""A directory on the real file system, without root's powers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.directories import private_place


@pytest.fixture(autouse=True)
def all_events(caplog: pytest.LogCaptureFixture) -> None:
    """Every event is looked at."""
    caplog.set_level(logging.DEBUG, "exterview_auth")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of this process's user, who is not root."""
    with private_place() as path:
        yield path


@pytest.fixture
def directory(place: Path) -> Path:
    """Where the store keeps its files."""
    return place / "tokens"
