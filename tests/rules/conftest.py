"""Each kind of store in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.kit.stores import STORE_MAKERS


@pytest.fixture(params=STORE_MAKERS)
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """Return what makes each kind of store in turn."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    return lambda: STORE_MAKERS[request.param](url, tmp_path)


@pytest.fixture
async def store(make_store: Callable[[], Any]) -> AsyncIterator[Any]:
    """Return each kind of store in turn."""
    made = make_store()
    yield made
    if hasattr(made, "aclose"):
        await made.aclose()
