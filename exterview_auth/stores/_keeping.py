"""For how long a store keeps an entry after its last save: one rule for all stores."""

from __future__ import annotations

from .._options import ABOVE_ZERO, number
from .._token import Token

KEEP = 90 * 86_400.0
"""Seconds for which an entry is kept whose own lifetime does not end it: accounts that never come back are forgotten."""


def checked_keep(seconds: object) -> float:
    """Return *seconds* if an entry can be kept so long; raise `ConfigurationError` otherwise."""
    return number(seconds, "keep must be a positive number of seconds", ABOVE_ZERO)


def seconds_kept(token: Token, keep: float) -> float:
    """Return for how long the entry of *token* is of use: its lifetime, or *keep* if it has none or a refresh token."""
    return keep if token.refresh_token is not None or token.expires_in is None else token.expires_in
