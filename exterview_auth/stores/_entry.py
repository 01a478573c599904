"""
How a token is written down: ``exterview_auth/1 SAVED_AT PAYLOAD``. The first two words are readable without a key.

``SAVED_AT`` is in seconds since the epoch, by the clock of whoever keeps the entry: the host's for files, Redis' own for Redis.
The payload is JSON, or a Fernet token around it. An entry that cannot be read counts as missing, and is logged once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any, NamedTuple

from .._events import emit
from .._json import json_object
from .._token import Token
from ..errors import ConfigurationError
from ._encryption import EncryptionKeys, PlaintextCipher, UnreadableError, cipher_for

NAME, VERSION = b"exterview_auth/", b"1"


class StoredToken(NamedTuple):
    """A token, a fingerprint of its entry (empty if there is none), and the seconds since it was saved, if the entry says so."""

    token: Token | None
    fingerprint: bytes
    age: float | None = None


class Entry(NamedTuple):
    """An entry whose payload may still be encrypted."""

    saved_at: float
    payload: bytes


class Codec:
    """One store's way to turn tokens into entries and back. *store* is its name in events."""

    __slots__ = ("_cipher", "_logged_plaintext", "_logged_unreadable", "_store")

    def __init__(self, store: str, encryption_key: EncryptionKeys | None) -> None:
        self._store = store
        self._cipher = cipher_for(encryption_key)
        self._logged_plaintext = False
        self._logged_unreadable = b""

    @property
    def encrypts(self) -> bool:
        """Whether entries can be read only with a key."""
        return not isinstance(self._cipher, PlaintextCipher)

    @property
    def note(self) -> str:
        """What the store's repr says of it."""
        return ", encrypted" if self.encrypts else ""

    def payload(self, token: Token) -> bytes:
        """Return *token* as the payload of an entry, encrypted if there is a key."""
        if not self.encrypts and not self._logged_plaintext:
            self._logged_plaintext = True
            emit(logging.INFO, "store.unencrypted", store=self._store, hint="tokens are readable; see encryption_key")
        return self._cipher.encrypt(to_payload(token))

    def decode(self, raw: bytes | None, now: float) -> StoredToken:
        """Return the token in *raw* with what is left of its life at *now*, or no token."""
        if raw is None:
            return StoredToken(None, b"")
        which = fingerprint(raw)
        try:
            entry = parse(raw)
            age = max(0.0, now - entry.saved_at)
            return StoredToken(to_token(self._cipher.decrypt(entry.payload), age), which, age)
        except UnreadableError as problem:
            # Every request may read the entry before a login replaces it: one warning for each entry.
            if which != self._logged_unreadable:
                self._logged_unreadable = which
                emit(logging.WARNING, "store.unreadable", store=self._store, problem=f"an entry is ignored: {problem}")
            return StoredToken(None, which)


def fingerprint(raw: bytes | None) -> bytes:
    """Return what tells two entries apart, empty for none. It is SHA-1 because a script in Redis computes the same."""
    return b"" if raw is None else hashlib.sha1(raw, usedforsecurity=False).hexdigest().encode()


def key_of(account: str) -> str:
    """Return a name for *account* that is safe in any path or key and does not show the account."""
    return hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def serialize(saved_at: float, payload: bytes) -> bytes:
    """Return the entry as bytes."""
    return b"%s%s %.6f %s" % (NAME, VERSION, saved_at, payload)


def parse(raw: bytes) -> Entry:
    """Return the entry in *raw*; raise `UnreadableError` if there is none."""
    head, _, rest = raw.partition(b" ")
    moment, _, payload = rest.partition(b" ")
    if not head.startswith(NAME):
        raise UnreadableError("it is damaged")
    if head != NAME + VERSION:
        raise UnreadableError("a newer version of exterview_auth has written it")
    try:
        return Entry(float(moment), payload)
    except ValueError:
        raise UnreadableError("it is damaged") from None


def to_payload(token: Token) -> bytes:
    """Return *token* as JSON in ASCII."""
    fields = {"token": str(token.value), "expires_in": token.expires_in}
    if token.refresh_token is not None:
        fields["refresh_token"] = str(token.refresh_token)
    return json.dumps(fields, separators=(",", ":")).encode()


def to_token(payload: bytes, age: float) -> Token | None:
    """
    Return the token in *payload* with what is left of its life after *age* seconds, or ``None`` if nothing of it is left.

    A token without life is still returned if it has a refresh token. Raises `UnreadableError`.
    """
    try:
        fields = json_object(payload) or {}
        token = Token(fields["token"], refresh_token=fields.get("refresh_token"))
        left = _left(fields["expires_in"], age)
    except (ValueError, TypeError, KeyError, OverflowError, ConfigurationError):
        token, left = None, None
    # Raised outside the handler: the error above may quote the payload.
    if token is None:
        raise UnreadableError("it is damaged")
    return None if left is not None and left <= 0 and token.refresh_token is None else token.with_remaining(left)


def _left(life: Any, age: float) -> float | None:
    if life is None:
        return None
    if not isinstance(life, int | float) or not life >= 0:
        raise ValueError("not a lifetime")
    # A clock that was set back does not make a life longer than it was when the token was saved.
    return min(float(life), life - age)
