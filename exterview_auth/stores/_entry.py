"""
How a token is written down: ``exterview_auth/2 PAYLOAD``. The first word is readable without a key.

The payload is JSON, or a Fernet token around it. It names the account whose token it is and the moment of the save, so that with
a key nobody can put one account's entry in the place of another's, or make it younger. That moment is in seconds since the epoch,
by the clock of whoever keeps the entry: the host's for files, Redis' own for Redis. An entry that cannot be read, or that
belongs to another account, counts as missing, and is logged once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any, NamedTuple

from cachetools import LRUCache

from .._events import emit
from .._json import json_object
from .._secret import SecretBytes
from .._token import Token, age_of, issued_by, issuer_of, login_of
from ..errors import ConfigurationError
from ._encryption import EncryptionKeys, PlaintextCipher, UnreadableError, cipher_for
from ._keeping import seconds_kept

NAME, VERSION = b"exterview_auth/", b"2"

LATEST = 10.0**11
"""Seconds since the epoch: in the year 5138. No clock says more."""
LOGGED_ENTRIES = 1024
"""Accounts of which a store remembers the unreadable entry that it has logged."""


class StoredToken(NamedTuple):
    """
    A token, a fingerprint of its entry (empty if there is none), and the seconds since its login, if the entry tells them.

    A negative age says that the clock was set back since the save, and that nobody knows.
    """

    token: Token | None
    fingerprint: bytes
    age: float | None = None


class Entry(NamedTuple):
    """What an entry says: a token as it was when it was saved, when that was, and the seconds since its login by then."""

    token: Token
    saved_at: float
    login_age: float = 0.0

    def kept_until(self, keep: float) -> float:
        """Return the end of the entry, in seconds since the epoch."""
        return self.saved_at + seconds_kept(self.token, keep)

    def age(self, now: float) -> float:
        """Return the seconds since the save; a clock that was set back makes no entry younger than new."""
        return max(0.0, now - self.saved_at)

    def seconds_since_login(self, now: float) -> float:
        """Return the seconds since the login, or a negative number after the clock was set back."""
        since_save = now - self.saved_at
        return since_save if since_save < 0 else since_save + self.login_age

    def token_at(self, now: float, keep: float) -> Token | None:
        """Return the token with what is left of its life, or ``None`` if the entry is over."""
        age, life = self.age(now), self.token.expires_in
        if age >= seconds_kept(self.token, keep):
            return None
        return self.token.with_remaining(None if life is None else life - age)


class Codec:
    """
    One store's way to turn tokens into entries and back. *store* is what events call it.

    An account is named by what `key_of` returns for it. *keep*: seconds for which an entry is kept that does not end by itself.
    """

    __slots__ = ("_cipher", "_logged_plaintext", "_logged_unreadable", "_store", "keep")

    def __init__(self, store: str, encryption_key: EncryptionKeys | None, keep: float) -> None:
        self._store = store
        self.keep = keep
        self._cipher = cipher_for(encryption_key)
        self._logged_plaintext = False
        self._logged_unreadable: LRUCache[str, bytes] = LRUCache(LOGGED_ENTRIES)

    @property
    def encrypts(self) -> bool:
        """Whether entries can be read only with a key."""
        return not isinstance(self._cipher, PlaintextCipher)

    @property
    def note(self) -> str:
        """What the store's repr says of it."""
        return ", encrypted" if self.encrypts else ""

    def encode(self, key: str, token: Token, saved_at: float) -> bytes:
        """Return *token* as the entry of the account called *key*, encrypted if there is a key for that."""
        if not self.encrypts and not self._logged_plaintext:
            self._logged_plaintext = True
            emit(logging.INFO, "store.unencrypted", store=self._store, hint="tokens are readable; see encryption_key")
        return SecretBytes(b"%s%s %s" % (NAME, VERSION, self._cipher.encrypt(to_payload(key, token, saved_at))))

    def decode(self, key: str, raw: bytes | None, now: float) -> StoredToken:
        """Return the token in *raw*, the entry of *key*, with what is left of its life at *now*, or no token."""
        if raw is None:
            return StoredToken(None, b"")
        which = fingerprint(raw)
        try:
            entry = self.read(key, raw)
        except UnreadableError as problem:
            # Every request may read the entry before a login replaces it: one warning for each entry.
            if which != self._logged_unreadable.get(key):
                self._logged_unreadable[key] = which
                emit(
                    logging.WARNING,
                    "store.unreadable",
                    store=self._store,
                    problem=f"an entry is ignored: {problem}; the next save replaces it",
                )
            return StoredToken(None, which)
        return StoredToken(entry.token_at(now, self.keep), which, entry.seconds_since_login(now))

    def read(self, key: str, raw: bytes) -> Entry:
        """Return what *raw* says; raise `UnreadableError` if that is nothing, or about another account than *key*."""
        return to_entry(key, self._cipher.decrypt(payload_of(raw)))


def fingerprint(raw: bytes | None) -> bytes:
    """Return what tells two entries apart, empty for none. It is SHA-1 because a script in Redis computes the same."""
    return b"" if raw is None else hashlib.sha1(raw, usedforsecurity=False).hexdigest().encode()


def key_of(account: str) -> str:
    """Return a name for *account* that is safe in any path or key and does not show the account."""
    return hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def is_written_by_us(raw: bytes) -> bool:
    """Return whether *raw* begins as an entry of any version does."""
    return raw.startswith(NAME)


def payload_of(raw: bytes) -> bytes:
    """Return the payload of the entry in *raw*; raise `UnreadableError` if there is none."""
    head, _, payload = raw.partition(b" ")
    if not is_written_by_us(raw):
        raise UnreadableError("it is damaged")
    if head == NAME + b"1":
        raise UnreadableError("an older version of exterview_auth has written it, which did not name its account")
    if head != NAME + VERSION:
        raise UnreadableError("a newer version of exterview_auth has written it")
    return payload


def to_payload(key: str, token: Token, saved_at: float) -> bytes:
    """Return *token* as JSON in ASCII, with the account and the moment that it is saved for."""
    fields: dict[str, Any] = {
        "account": key,
        "saved_at": round(saved_at, 6),
        "token": str(token.value),
        "expires_in": token.expires_in,
    }
    if token.refresh_token is not None:
        fields["refresh_token"] = str(token.refresh_token)
    if age_of(token):
        fields["login_age"] = round(age_of(token), 6)
    if issuer_of(token) is not None:
        fields["issuer"] = issuer_of(token)
    if login_of(token) is not None:
        fields["login"] = login_of(token)
    return SecretBytes(json.dumps(fields, separators=(",", ":")).encode())


def to_entry(key: str, payload: bytes) -> Entry:
    """Return what *payload* says; raise `UnreadableError` if it is damaged, or about another account than *key*."""
    fields = json_object(payload) or {}
    try:
        token = Token(fields["token"], refresh_token=fields.get("refresh_token"))
        life = None if fields["expires_in"] is None else _seconds(fields["expires_in"])
        token = issued_by(_name(fields.get("issuer")), token.with_remaining(life), login=_name(fields.get("login")))
        entry = Entry(token, _moment(fields["saved_at"]), _moment(fields.get("login_age", 0)))
    except (ValueError, TypeError, KeyError, OverflowError, ConfigurationError):
        entry = None
    # Raised outside the handler: the error above may quote the payload.
    if entry is None:
        raise UnreadableError("it is damaged")
    if fields.get("account") != key:
        raise UnreadableError("it belongs to another account")
    return entry


def _seconds(value: Any) -> float:
    """Return a number that is not negative; NaN is neither."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError("not a number of seconds")
    return float(value)


def _moment(value: Any) -> float:
    # Otherwise an entry would never grow older, or its age would not be a number, or no file could have its time.
    if (seconds := _seconds(value)) > LATEST:
        raise ValueError("not a moment")
    return seconds


def _name(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError("not a name")
    return value
