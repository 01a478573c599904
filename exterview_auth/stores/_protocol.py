"""What a store is: four methods."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from .._token import Token


@runtime_checkable
class TokenStore(Protocol):
    """
    A token cache that several owners share, in one process or in many.

    *account* is one key for one account at one origin. A store may raise anything: its user logs in for itself then.
    One that opened something (connections, files) has an ``async aclose()`` too; who made the store calls it.
    """

    async def load(self, account: str) -> Token | None:
        """The token as it was saved, its ``expires_in`` being what is left of its life; ``None`` where there is none."""

    async def save(self, account: str, token: Token) -> Token | None:
        """
        Keep *token*, whose ``expires_in`` counts from now; it replaces what was there.

        A store that notices that the lock's holder was paused and overtaken may keep the newer token instead, and returns it.
        """

    async def delete(self, account: str) -> None:
        """Forget the token; fine where there is none."""

    def lock(self, account: str) -> AbstractAsyncContextManager[object]:
        """Excludes every other holder of this account's lock while a login is made."""
