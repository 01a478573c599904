"""The library beside others, each used as its own documentation says: cost, storms, and what else happens to tokens."""

from __future__ import annotations

from .._report import Report


def report(*, quick: bool) -> Report:
    """Tables with a row for each contestant; they are imported now, not with the other scenarios."""
    try:
        from . import _scenario  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"The scenario peers needs {error.name}, of the extra peers: pip install -e '.[peers]'"
        ) from None
    return _scenario.report(quick=quick)
