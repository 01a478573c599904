"""
What the API told an owner of its tokens, and what its logins were worth: the contract's budget, counted from outside.

The engine has a judge of its own. This one sees the same answers and reads nothing of the engine's. Where the contract leaves
a moment open, a login counts as useless *perhaps*; an error needs that much, and a login is forbidden only by what is *sure*.
"""

from __future__ import annotations

import math

WINDOW = 60.0
"""Seconds for which a useless login counts, and within which a refusal makes a login useless."""
LEEWAY = 0.5
"""Seconds by which the two judges may differ over a moment."""


class Standing:
    """One token as its owner knows it, in seconds of the process's clock."""

    __slots__ = ("accepted", "came", "first", "last", "useless")

    def __init__(self) -> None:
        self.came = self.accepted = self.useless = self.first = math.inf
        """When a login of this owner returned it, when a request was first accepted, when it was surely useless, or perhaps."""
        self.last = -math.inf
        """When it was useless for the last time, perhaps."""

    @property
    def from_login(self) -> bool:
        """Whether a login of this owner returned it; otherwise it came from the store."""
        return self.came < math.inf


class Ledger:
    """The logins of one owner that may make at most *budget* useless ones within `WINDOW`."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._standings: dict[str, Standing] = {}

    def of(self, text: str) -> Standing:
        """Return what is known of the token *text*."""
        return self._standings.setdefault(text, Standing())

    def came(self, text: str, now: float) -> None:
        """Note that a login returned the token; the same one again is no other login's."""
        standing = self.of(text)
        standing.came = min(standing.came, now)

    def accepted(self, text: str, now: float) -> None:
        """Note that a request was accepted."""
        standing = self.of(text)
        standing.accepted = min(standing.accepted, now)

    def refused(self, text: str, now: float, *, again: float = math.inf, sure: bool = True) -> None:
        """
        Note that the token was refused or invalidated; *again*: since when the same request had been refused with another.

        Not *sure*: the owner may have known a newer token already, or may have had no chance to see the refusal.
        """
        standing = self.of(text)
        if not standing.from_login:
            return
        young = now - standing.came <= WINDOW and standing.accepted == math.inf
        if again < math.inf or (now - standing.came <= WINDOW + LEEWAY and standing.accepted >= now - LEEWAY):
            standing.first = min(standing.first, now)
            standing.last = now
        if sure and (young or again <= standing.came):
            standing.useless = min(standing.useless, now)

    def surely(self, now: float) -> int:
        """Return how many logins within the window were surely useless."""
        return sum(
            standing.useless <= now and standing.came > now - WINDOW + LEEWAY for standing in self._standings.values()
        )

    def perhaps(self, since: float, until: float) -> int:
        """Return how many may have counted as useless at some moment from *since* to *until*."""
        return sum(
            standing.first <= until and standing.last > since - WINDOW - LEEWAY for standing in self._standings.values()
        )

    def forbids(self, now: float) -> bool:
        """Return whether a login is surely forbidden."""
        return self.surely(now) >= self._budget

    def may_forbid(self, since: float, until: float) -> bool:
        """Return whether a login may have been forbidden at some moment."""
        return self.perhaps(since, until) >= self._budget

    def nearly(self, since: float, until: float) -> bool:
        """Return whether only one useless login may have been left: then a token that works for others is kept."""
        return self.perhaps(since, until) >= max(1, self._budget - 1)
