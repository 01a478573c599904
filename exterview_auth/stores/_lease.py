"""For how long a lock is held without a sign of life."""

from __future__ import annotations

from .._options import number

LEASE = 5.0
"""Seconds; a holder shows itself three times as often."""
SHORTEST_LEASE, LONGEST_LEASE = 0.1, 3600.0


def checked_lease(seconds: object) -> float:
    """Return *seconds* if a lease can have them."""
    rule = f"lease must be a number of seconds from {SHORTEST_LEASE:g} to {LONGEST_LEASE:g}"
    return number(seconds, rule, SHORTEST_LEASE, LONGEST_LEASE)
