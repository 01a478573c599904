"""The API that a fleet uses: it accepts good tokens, refuses others, and counts logins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from exterview_auth import Token

from .network import Dice

QUICKEST, SLOWEST = 0.02, 0.08
"""Seconds that a request takes in both directions."""
QUICKEST_LOGIN, SLOWEST_LOGIN = 0.2, 0.4


class SimulatedApi:
    """
    *lifetime*: seconds for which each token is good. With *single_session*, a login ends the tokens before it.

    ``on_login`` is called with the process whose login arrives.
    """

    def __init__(self, dice: Dice, *, lifetime: float, single_session: bool) -> None:
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        self._lifetime = lifetime
        self._single_session = single_session
        self._good_until: dict[str, float] = {}
        self._issued = 0
        self.begun = self.completed = 0
        self.on_login: Callable[[Any], None] = lambda _: None

    def issue(self) -> Token:
        """Return a new token."""
        if self._single_session:
            self.revoke()
        self._issued += 1
        value = f"token-{self._issued}"
        self._good_until[value] = self._loop.time() + self._lifetime
        return Token(value, expires_in=self._lifetime)

    def revoke(self) -> None:
        """Revoke all tokens."""
        now = self._loop.time()
        for value, end in self._good_until.items():
            self._good_until[value] = min(now, end)

    async def login(self, process: Any) -> Token:
        """Log *process* in."""
        self.begun += 1
        self.on_login(process)
        await asyncio.sleep(self._dice.between(QUICKEST_LOGIN, SLOWEST_LOGIN))
        token = self.issue()
        self.completed += not process.rejected
        return token

    async def accepts(self, token: Token, dice: Dice) -> bool:
        """Return whether a request with *token* is accepted when it arrives, halfway through."""
        took = dice.between(QUICKEST, SLOWEST)
        arrives = self._loop.time() + took / 2
        await asyncio.sleep(took)
        return arrives < self._good_until[token.value]
