"""The store that users construct for tokens in files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Self

from ..._refusals import discreet, shown_when_made
from ..._token import Token
from .._encryption import EncryptionKeys
from .._entry import Codec, StoredToken, key_of
from .._keeping import KEEP, checked_keep
from .._shared import LEASE, AccountLock, SharedStore, checked_lease
from .backend import FileLockBackend
from .directory import PrivateDirectory
from .entries import THREADS, FileEntries


class FileStore(SharedStore):
    """
    A store in private files of *directory* (0600 in 0700), for owners in any number of processes of one host and user.

    The directory is created if it is missing. A saved token is on the disk when `save` returns. With *encryption_key*, one or
    several Fernet keys (newest first), entries are encrypted. *lease*: seconds after which a frozen process that holds an
    account's lock no longer blocks the others; the lock of a process that died is free at once. An entry is removed when its
    token has expired. An entry with a refresh token, or of a token without expiry, is removed *keep* seconds after it was saved.

    The store checks the owner and the mode of the directory, of entries and of locks before each use. It neither uses nor changes
    a file that another user owns or could have written, or a link in the place of a file. Requests then go on without the store,
    and one warning says what to remove. A volume that root created for all users belongs to another user: use a directory inside
    it. Files that the store did not create stay as they are. A directory that it creates gets a ``.gitignore``. A later save
    removes the entries of accounts that are no longer used, and leaves those that this key cannot read for at least 90 days.

    Raises `ConfigurationError` for arguments that cannot work. Its methods raise `StoreError`.
    """

    __module__ = "exterview_auth"

    _calls_at_once = THREADS

    @discreet
    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        encryption_key: str | bytes | Iterable[str | bytes] | None = None,
        lease: float = LEASE,
        keep: float = KEEP,
    ) -> None:
        self._configure(directory, encryption_key, lease, keep)
        self._set_up()

    @classmethod
    def _not_set_up(cls, directory: str, encryption_key: EncryptionKeys | None) -> Self:
        """Return a store whose directory is neither looked at nor created before `_set_up`."""
        store = cls.__new__(cls)
        store._configure(directory, encryption_key, LEASE, KEEP)  # noqa: SLF001 - the other half of the constructor
        return store

    def _configure(
        self, directory: str | os.PathLike[str], encryption_key: EncryptionKeys | None, lease: float, keep: float
    ) -> None:
        self._lease = checked_lease(lease)
        files = PrivateDirectory(directory)
        codec = Codec(files.label, encryption_key, checked_keep(keep))
        self._entries = FileEntries(files, codec, self._lease)

    @property
    def _label(self) -> str:
        return self._entries.directory.label

    def _set_up(self) -> None:
        self._entries.directory.set_up()

    def _account_lock(self, account: str) -> AccountLock:
        """Return a new attempt to get the account's lock."""
        return AccountLock(FileLockBackend(self._entries, key_of(account), self._lease))

    async def _read(self, account: str) -> StoredToken:
        return await self._entries.read(key_of(account))

    async def _write(self, account: str, token: Token | None) -> None:
        await self._entries.replace(key_of(account), token)

    async def aclose(self) -> None:
        """Do nothing: no file stays open, and the threads end by themselves."""

    @shown_when_made
    def __repr__(self) -> str:
        return f"{self._label.removesuffix(')')}{self._entries.codec.note})"
