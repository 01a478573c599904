"""What a token store implements: four methods. A store for several processes begins in ``_shared``, which adds to them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from .._token import Token


@runtime_checkable
class TokenStore(Protocol):
    """
    A token cache that several owners share, in one process or in many.

    *account* is one key for one account at one origin. A method may raise anything: then the owner logs in for itself. A
    store that opens something (connections, files) also has ``async aclose()``, for whoever made the store to call.

    A store of your own has these methods, or is a subclass of one of the three here, whose ``super().save()`` and
    ``super().delete()`` are still fenced against owners that were paused and overtaken. The lock is held until the save has ended. If
    its holder shows no life, it is waited for during half of ``login_timeout``; the login is then made without it, and what it gave is
    saved when the lock can be had.
    """

    async def load(self, account: str) -> Token | None:
        """
        Return the saved token with what is left of its life as ``expires_in``, or ``None``.

        If nothing is left, return ``token.with_remaining(0)``: a `Token` with an ``expires_in`` of zero or less has an unknown life.
        """

    async def save(self, account: str, token: Token) -> Token | None:
        """
        Save *token*, whose ``expires_in`` counts from now, in place of the stored one.

        A store may notice that the lock's holder was paused and overtaken: then it keeps the newer token and returns it.
        """

    async def delete(self, account: str) -> None:
        """Delete the token, if there is one."""

    def lock(self, account: str) -> AbstractAsyncContextManager[object]:
        """
        Return a lock that one owner of the account at a time holds while it logs in; each call returns another object.

        Nothing is saved without it, so one that processes share must expire when its holder dies. Calls under the lock run in
        the context in which it was entered.
        """


TokenStore.__module__ = "exterview_auth"  # in the class, it would be a member that stores must have
