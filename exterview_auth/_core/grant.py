"""A token in use: one login's result, the header that it makes, and when it ends."""

from __future__ import annotations

import math
from typing import Protocol, Self

from .._secret import OwnedHeader
from .._token import Token

RENEWAL_SHARE = 0.25
"""The window of renewal ahead covers at most this part of a lifetime."""
JITTER = 0.2
"""The part of the window over which the beginnings of renewals are spread."""
LONGEST_LEEWAY = 1.0
"""Seconds before its end at which a token is no longer sent: it would arrive dead."""


class Draw(Protocol):
    """Where jitter comes from: the module `random`, or a generator of one's own."""

    def random(self) -> float:
        """From 0 to 1."""


class Grant:
    """
    One login's token. Compared by identity: two logins that give the same text are two grants.

    ``lasting`` says that it was not over when it was installed, ``served`` that the API accepted it once, ``serving`` that it did so since it was last refused, ``asked`` that a
    request used it at all, ``overdue`` that nobody did when its renewal was due. A *dead* grant was refused and
    is never sent again. A *useless* one was refused to a request that its login was made for; it may serve others.
    """

    __slots__ = (
        "asked",
        "authorization",
        "dead",
        "end",
        "expires",
        "from_login",
        "lasting",
        "number",
        "overdue",
        "renew_at",
        "served",
        "serving",
        "token",
        "useless",
    )

    def __init__(self, token: Token, *, from_login: bool) -> None:
        self.token = token
        self.authorization = OwnedHeader(f"Bearer {token.value}")
        # Invariant: grows from one installed grant to the next; zero before.
        self.number = 0
        self.from_login = from_login
        self.end = self.expires = self.renew_at = math.inf
        self.asked = self.served = self.serving = self.dead = self.useless = self.overdue = self.lasting = False

    def timed(self, *, began: float, received: float, window: float, draw: Draw) -> Self:
        """
        Set its end, and the beginning of its renewal, drawn once.

        The life counts from *began*, but half of it is left at *received*: a login that takes longer than its token
        lives is no reason to make another at once.
        """
        life = self.token.expires_in
        if life is not None:
            self.end = end = max(began + life, received + life / 2)
            self.expires = end - min(LONGEST_LEEWAY, life / 50)
            margin = min(window, life * RENEWAL_SHARE)
            if margin > 0:
                self.renew_at = self.expires - margin * (1 - JITTER * draw.random())
        return self

    def goes_on(self) -> None:
        """The source has nothing newer: only the API can tell whether this one serves."""
        self.end = self.expires = self.renew_at = math.inf
        self.dead = False

    def remaining(self, now: float) -> Token:
        """The token as a store takes it, its life counting from *now*."""
        return self.token.with_remaining(None if self.end == math.inf else self.end - now)
