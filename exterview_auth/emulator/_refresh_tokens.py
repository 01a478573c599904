"""Refresh tokens that are good for one use, and what happens when one is used twice."""

from __future__ import annotations

import secrets
from collections import OrderedDict

MOST_REFRESH_TOKENS = 20_000
"""Tokens, used ones among them, that are remembered; the oldest go first."""


class RefreshTokens:
    """
    Rotation with reuse detection (RFC 9700, section 4.14.2).

    Each use gives a successor. A token that comes a second time was stolen, or its successor got lost: the whole family
    of its successors is revoked, and *reused* counts it.
    """

    def __init__(self) -> None:
        self.reused = 0
        self._family_of: OrderedDict[str, str] = OrderedDict()
        self._current_of: dict[str, str] = {}

    def issue(self) -> str:
        """The first token of a new family."""
        return self._next(secrets.token_hex(8))

    def rotate(self, token: str) -> str | None:
        """The successor of *token*, or ``None`` where it is not good (any more)."""
        family = self._family_of.get(token)
        if family is None:
            return None
        if self._current_of.get(family) != token:
            self.reused += 1
            self._current_of.pop(family, None)
            return None
        return self._next(family)

    def revoke(self) -> None:
        """Make every token unknown."""
        self._family_of.clear()
        self._current_of.clear()

    def _next(self, family: str) -> str:
        while len(self._family_of) >= MOST_REFRESH_TOKENS:
            oldest, its_family = self._family_of.popitem(last=False)
            if self._current_of.get(its_family) == oldest:
                del self._current_of[its_family]
        token = secrets.token_urlsafe(32)
        self._family_of[token] = family
        self._current_of[family] = token
        return token
