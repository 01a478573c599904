"""
A plugin for the run in which mutmut finds out which test calls which function.

Before 3.12, CPython crashes if its garbage collector runs while a context variable is set (python/cpython#148891), and in that
run mutmut sets one at every call.
"""

from __future__ import annotations

import gc
import os


def pytest_sessionstart() -> None:
    """Collect garbage only where a test says so."""
    if os.environ.get("MUTANT_UNDER_TEST") == "stats":
        gc.disable()


def pytest_sessionfinish() -> None:
    """Collect garbage again."""
    gc.enable()
