"""Where Redis keeps an account."""

from __future__ import annotations

from typing import NamedTuple, Self

from .._entry import key_of


class Keys(NamedTuple):
    """Where one account is kept: all in one slot of a cluster."""

    entry: str
    lock: str
    news: str

    @classmethod
    def of(cls, namespace: str, account: str) -> Self:
        """The keys and the channel of *account*, whose name does not show."""
        return cls(*(f"{namespace}:{{{key_of(account)}}}:{kind}" for kind in ("token", "lock", "news")))
