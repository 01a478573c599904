"""What a token store implements: four methods. A store for several processes begins in ``_shared``, which adds to them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from .._token import Token


@runtime_checkable
class TokenStore(Protocol):
    """
    A token cache that several owners share, in one process or in many.

    *account* is one key for one account at one origin. If a method raises an exception, the owner logs in without the store. A
    store that opens something (connections, files) also has ``async aclose()``, which the code that created the store calls.

    Your own store has these methods, or is a subclass of one of the three stores here. Their ``super().save()`` and
    ``super().delete()`` still keep the newer token of another owner if the lock's holder was paused meanwhile. The lock is held
    until the save has ended. If its holder shows no sign of life, an owner waits for the lock for half of ``login_timeout``. Then
    it logs in without the lock, and saves the token when it gets the lock.
    """

    async def load(self, account: str) -> Token | None:
        """
        Return the saved token with its remaining lifetime as ``expires_in``, or ``None``.

        If the token has expired, return ``token.with_remaining(0)``. A `Token` that is created with an ``expires_in`` of zero or
        less has an unknown lifetime.
        """

    async def save(self, account: str, token: Token) -> Token | None:
        """
        Save *token*, whose ``expires_in`` counts from now, in place of the stored one.

        A store may notice that another owner saved a newer token while the lock's holder was paused. Then it keeps the newer
        token and returns it.
        """

    async def delete(self, account: str) -> None:
        """Delete the token, if there is one."""

    def lock(self, account: str) -> AbstractAsyncContextManager[object]:
        """
        Return a lock that one owner of the account at a time holds while it logs in. Each call returns a new object.

        Nothing is saved without the lock, so a lock that processes share must expire when its holder dies. Calls under the lock
        run in the context in which the lock was entered.
        """


TokenStore.__module__ = "exterview_auth"  # in the class, it would be a member that stores must have
