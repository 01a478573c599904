"""httpx and httpx2, which have the same classes under two names."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from .._options import needs_extra


def _installed() -> tuple[ModuleType, ...]:
    found = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name) is not None]
    if not found:
        raise ImportError(needs_extra("HttpxAuth", "httpx", "httpx"))
    return tuple(dict.fromkeys(found))  # one of them may be an alias of the other


LIBRARIES = _installed()
"""httpx and httpx2, as far as they are installed."""
