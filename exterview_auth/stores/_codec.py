"""From tokens to what is kept of them, and back; what cannot be read is a miss, and is told once."""

from __future__ import annotations

import hashlib
import logging
from typing import NamedTuple

from .._events import emit
from .._token import Token
from . import _entry
from ._encryption import Keys, Plain, cipher_for


class Found(NamedTuple):
    """A token, what tells its entry from any other (empty for none), and the seconds since it was saved, if it says so."""

    token: Token | None
    digest: bytes
    age: float | None = None


class Codec:
    """One store's way of writing tokens down. *store* is its name in events."""

    __slots__ = ("_cipher", "_store", "_told_plain", "_told_unreadable")

    def __init__(self, store: str, encryption_key: Keys | None) -> None:
        self._store = store
        self._cipher = cipher_for(encryption_key)
        self._told_plain = False
        self._told_unreadable = b""

    @property
    def encrypts(self) -> bool:
        """Whether nothing readable is kept."""
        return not isinstance(self._cipher, Plain)

    @property
    def note(self) -> str:
        """For the store's repr."""
        return ", encrypted" if self.encrypts else ""

    def payload(self, token: Token) -> bytes:
        """What is kept of *token*, without the moment of saving."""
        if not self.encrypts and not self._told_plain:
            self._told_plain = True
            emit(logging.INFO, "store.unencrypted", store=self._store, hint="tokens are readable; see encryption_key")
        return self._cipher.close(_entry.to_payload(token))

    def found(self, raw: bytes | None, now: float) -> Found:
        """The token in *raw* with what is left of its life at *now*, or ``None``."""
        if raw is None:
            return Found(None, b"")
        try:
            entry = _entry.read(raw)
            age = max(0.0, now - entry.saved_at)
            return Found(_entry.to_token(self._cipher.open(entry.payload), age), digest(raw), age)
        except _entry.UnreadableError as problem:
            self._tell(digest(raw), str(problem))
            return Found(None, digest(raw))

    def _tell(self, which: bytes, problem: str) -> None:
        if which != self._told_unreadable:
            self._told_unreadable = which
            emit(logging.WARNING, "store.unreadable", store=self._store, problem=f"an entry is left aside: {problem}")


def digest(raw: bytes | None) -> bytes:
    """What tells two entries apart (as Redis does in a script), empty for none."""
    return b"" if raw is None else hashlib.sha1(raw, usedforsecurity=False).hexdigest().encode()


def name_of(account: str) -> str:
    """A name for *account* that can stand in any path or key, and shows nothing of it."""
    return hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:40]
