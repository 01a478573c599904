"""
The library beside others, each used as its own documentation says: cost, storms, and adverse scenes.

A module named after a library opens its contestants (``on_httpx`` all those on httpx), and ``contestants`` lists them.
``steady``, ``storms`` and ``adverse`` measure them; ``scenario`` runs all three against one server.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from ..harness.report import Report

_NEEDED = ("aiobotocore", "aiohttp_oauth2_client", "azure", "google", "gql", "httpx", "httpx_auth", "singleflight_auth")


def require(scenario: str = "peers", names: Sequence[str] = _NEEDED) -> None:
    """Raise `SystemExit` if one of the peers *names* is not installed, without importing any."""
    for name in names:
        if find_spec(name) is None:
            raise _missing(scenario, name)


def report(*, quick: bool) -> Report:
    """Return tables with a row for each contestant."""
    try:
        from . import scenario  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as error:
        raise _missing("peers", error.name) from None
    return scenario.report(quick=quick)


def _missing(scenario: str, name: str | None) -> SystemExit:
    return SystemExit(f"The scenario {scenario} needs {name}: install exterview_auth with its extra `peers`")
