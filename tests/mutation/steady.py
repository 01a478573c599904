"""
A plugin for the run in which mutmut learns which test calls what.

Before 3.12, CPython dies where its garbage collector runs while a context variable is set (python/cpython#148891), and in that
run mutmut sets one at every call.
"""

from __future__ import annotations

import gc
import os


def pytest_sessionstart() -> None:
    """Collect no garbage but where a test says so."""
    if os.environ.get("MUTANT_UNDER_TEST") == "stats":
        gc.disable()


def pytest_sessionfinish() -> None:
    """Collect it again."""
    gc.enable()
