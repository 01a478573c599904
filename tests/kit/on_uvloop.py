"""All async tests on uvloop, which is not installed with the others: ``python -m pytest -p tests.kit.on_uvloop``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import uvloop


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the one loop, so that each test runs once."""
    return {"uvloop": uvloop.new_event_loop}
