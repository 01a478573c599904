"""Numbers of seconds that a server, a login or a store hands in: whatever comes, it is a float within bounds, or unknown."""

from __future__ import annotations

import math

MAX_SECONDS = 10 * 365 * 86_400.0
"""Ten years; more makes no difference, and every sum of such numbers is a float."""


def seconds_in(value: object) -> float | None:
    """Return *value* as a number of seconds, at most ten years, or ``None`` if it is not one (null, NaN, zero, text)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return MAX_SECONDS if isinstance(value, int) and value > 0 else None
    if math.isnan(seconds) or seconds <= 0:
        return None
    return min(seconds, MAX_SECONDS)
