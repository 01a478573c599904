"""Encryption at rest, by Fernet keys of the application's own (the library *cryptography*)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..errors import ConfigurationError
from ._entry import UnreadableError

MAKE_ONE = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"

Keys = str | bytes | Iterable[str | bytes]


class Cipher(Protocol):
    """What closes and opens a payload."""

    def close(self, payload: bytes) -> bytes:
        """The payload as it is kept."""

    def open(self, payload: bytes) -> bytes:
        """The payload as it was; raises `UnreadableError`."""


def cipher_for(encryption_key: Keys | None) -> Cipher:
    """What encrypts with the first of one or several Fernet keys and opens with any; without one, what leaves it readable."""
    if encryption_key is None:
        return Plain()
    return _fernet([encryption_key] if isinstance(encryption_key, str | bytes) else encryption_key)


class Plain:
    """Keeps a payload readable."""

    def close(self, payload: bytes) -> bytes:
        """The same."""
        return payload

    def open(self, payload: bytes) -> bytes:
        """The same; raises `UnreadableError` for one that is encrypted."""
        if not payload.startswith(b"{"):
            raise UnreadableError("it is damaged, or encrypted and the store has no encryption_key")
        return payload


class Encrypted:
    """Keeps a payload as a Fernet token."""

    def __init__(self, fernet: _Fernet, invalid: type[Exception]) -> None:
        self._fernet = fernet
        self._invalid = invalid

    def close(self, payload: bytes) -> bytes:
        """*payload*, encrypted with the newest key."""
        return self._fernet.encrypt(payload)

    def open(self, payload: bytes) -> bytes:
        """What was encrypted with any of the keys."""
        if payload.startswith(b"{"):
            raise UnreadableError("it is not encrypted, and the store has an encryption_key")
        try:
            return self._fernet.decrypt(payload)
        except self._invalid:
            pass
        raise UnreadableError("it is damaged, or encrypted with a key that is not among the encryption_key")


class _Fernet(Protocol):
    def encrypt(self, msg: bytes) -> bytes: ...

    def decrypt(self, msg: bytes) -> bytes: ...


def _fernet(keys: Iterable[str | bytes]) -> Encrypted:
    try:
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet  # noqa: PLC0415 - the extra, where it is used
    except ImportError:
        raise ConfigurationError(
            "encryption_key needs cryptography; run: pip install 'exterview-auth[crypto]'"
        ) from None
    try:
        return Encrypted(MultiFernet([Fernet(key) for key in keys]), InvalidToken)
    except (ValueError, TypeError, AttributeError):
        pass
    # Outside the handler: the library's own errors may quote the key.
    raise ConfigurationError(f"encryption_key is one or several Fernet keys, newest first; make one with: {MAKE_ONE}")
