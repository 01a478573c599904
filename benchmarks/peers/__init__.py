"""The library beside others, each used as its own documentation says: cost, storms, and what else happens to tokens."""

from __future__ import annotations

from importlib.util import find_spec

from ..harness.report import Report

_NEEDED = ("aiobotocore", "aiohttp_oauth2_client", "azure", "google", "gql", "httpx", "httpx_auth", "singleflight_auth")


def require() -> None:
    """Raise `SystemExit` with one sentence where a peer is not installed; none is imported for that."""
    for name in _NEEDED:
        if find_spec(name) is None:
            raise _missing(name)


def report(*, quick: bool) -> Report:
    """Tables with a row for each contestant; they are imported now, not with the other scenarios."""
    try:
        from . import scenario  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as error:
        raise _missing(error.name) from None
    return scenario.report(quick=quick)


def _missing(name: str | None) -> SystemExit:
    return SystemExit(f"The scenario peers needs {name}, of the extra peers: pip install -e '.[peers]'")
