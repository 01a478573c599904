"""For how long a lock is held without a sign of life."""

from __future__ import annotations

from ..errors import ConfigurationError

LEASE = 5.0
"""Seconds; a holder shows itself three times as often."""
SHORTEST_LEASE, LONGEST_LEASE = 0.1, 3600.0


def checked_lease(seconds: object) -> float:
    """*seconds*, if a lease can have them."""
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not SHORTEST_LEASE <= seconds <= LONGEST_LEASE:  # type: ignore[operator]  # it is a number here
        raise ConfigurationError(
            f"lease is a number of seconds from {SHORTEST_LEASE:g} to {LONGEST_LEASE:g}, not {seconds!r}"
        )
    return float(seconds)  # type: ignore[arg-type]  # and here
