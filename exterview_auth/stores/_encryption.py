"""Encryption at rest, with the application's own Fernet keys (from the library *cryptography*)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .._options import needs_extra
from ..errors import ConfigurationError

MAKE_A_KEY = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"

EncryptionKeys = str | bytes | Iterable[str | bytes]


class UnreadableError(Exception):
    """An entry that this store cannot read; the text says why, and holds nothing of the entry."""


class Cipher(Protocol):
    """Encrypts and decrypts payloads."""

    def encrypt(self, payload: bytes) -> bytes:
        """Return the payload as it is stored."""

    def decrypt(self, payload: bytes) -> bytes:
        """Return the payload as it was; raise `UnreadableError` if that is not possible."""


class PlaintextCipher:
    """Leaves payloads readable."""

    def encrypt(self, payload: bytes) -> bytes:
        """Return the payload unchanged."""
        return payload

    def decrypt(self, payload: bytes) -> bytes:
        """Return the payload unchanged; raise `UnreadableError` if it is encrypted."""
        if not payload.startswith(b"{"):
            raise UnreadableError("it is damaged, or encrypted and the store has no encryption_key")
        return payload


class FernetCipher:
    """Stores payloads as Fernet tokens: encrypts with the newest key, decrypts with any."""

    def __init__(self, fernet: _Fernet, invalid: type[Exception]) -> None:
        self._fernet = fernet
        self._invalid = invalid

    def encrypt(self, payload: bytes) -> bytes:
        """Return *payload* encrypted with the newest key."""
        return self._fernet.encrypt(payload)

    def decrypt(self, payload: bytes) -> bytes:
        """Return what any of the keys encrypted; raise `UnreadableError` for anything else."""
        # Otherwise anybody who can write to the store could plant a token.
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


def cipher_for(encryption_key: EncryptionKeys | None) -> Cipher:
    """Return a cipher for one or several Fernet keys, newest first, or one that leaves payloads readable."""
    if encryption_key is None:
        return PlaintextCipher()
    try:
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet  # noqa: PLC0415 - the extra, where it is used
    except ImportError:
        raise ConfigurationError(needs_extra("encryption_key", "cryptography", "crypto")) from None
    keys = [encryption_key] if isinstance(encryption_key, str | bytes) else encryption_key
    try:
        return FernetCipher(MultiFernet([Fernet(key) for key in keys]), InvalidToken)
    except (ValueError, TypeError, AttributeError):
        pass
    # Outside the handler: the library's own errors may quote the key.
    raise ConfigurationError(
        f"encryption_key must be one or several Fernet keys, newest first; make one with: {MAKE_A_KEY}"
    )
