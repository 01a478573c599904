"""Tokens in files, for the processes of one host."""

from __future__ import annotations

import os

from ..._token import Token
from .._codec import Codec, Found, name_of
from .._encryption import Keys
from .._lease import LEASE, checked_lease
from .._lock import Turn, TurnStore
from .directory import PrivateDirectory
from .entries import THREADS, FileEntries
from .turn import FileTurn


class FileStore(TurnStore):
    """
    Tokens in private files of *directory* (0600 in 0700), for owners in any number of processes of one host and user.

    The directory is made if it is missing. With *encryption_key*, one or several Fernet keys (newest first), nothing
    readable is kept. *lease*: seconds after which a frozen process that holds an account's lock does not hold up the others;
    that of one that died is free at once.

    Raises `ConfigurationError` for what cannot work; its methods raise `StoreError`.
    """

    calls_at_once = THREADS

    def __init__(
        self, directory: str | os.PathLike[str], *, encryption_key: Keys | None = None, lease: float = LEASE
    ) -> None:
        self._lease = checked_lease(lease)
        codec = Codec("FileStore", encryption_key)
        self._entries = FileEntries(PrivateDirectory(directory), codec, self._lease)

    async def look(self, account: str) -> Found:
        """What is kept of the account."""
        turn = self._taken(account)
        return await self._entries.read(name_of(account)) if turn is None else await turn.look()

    async def save(self, account: str, token: Token) -> Token | None:
        """
        Keep *token* in the place of what was there, on the disk when this returns.

        Under ``lock(account)``, where the caller was paused so long that another saved a token meanwhile, that one stays and
        is returned.
        """
        turn = self._taken(account)
        if turn is not None:
            return await turn.save(token)
        await self._entries.replace(name_of(account), token)
        return None

    async def delete(self, account: str) -> None:
        """Forget the account's token."""
        await self._entries.remove(name_of(account))

    def turn(self, account: str) -> Turn:
        """A contender for the account's lock, who also learns what others save."""
        return Turn(FileTurn(self._entries, name_of(account), self._lease))

    async def aclose(self) -> None:
        """Let the threads go; a store that is used again starts new ones."""
        self._entries.close()

    def __repr__(self) -> str:
        return f"FileStore({str(self._entries.directory.path)!r}{self._entries.codec.note})"
