"""
How a token is written down: ``exterview_auth/1 SAVED_AT PAYLOAD``, the first two words readable with every key.

``SAVED_AT`` is in seconds since the epoch by the clock of whoever keeps the entry; the payload is JSON, or a Fernet token
around it.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .._json import json_object
from .._token import Token
from ..errors import ConfigurationError

NAME, VERSION = b"exterview_auth/", b"1"


class UnreadableError(Exception):
    """An entry that is no token of ours; the text says why, and holds nothing of it."""


class Entry(NamedTuple):
    """One entry, its payload still closed."""

    saved_at: float
    payload: bytes


def write(saved_at: float, payload: bytes) -> bytes:
    """The entry as bytes."""
    return b"%s%s %.6f %s" % (NAME, VERSION, saved_at, payload)


def read(raw: bytes) -> Entry:
    """The entry in *raw*; raises `UnreadableError`."""
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
    """*token* as JSON in ASCII."""
    fields = {"token": str(token.value), "expires_in": token.expires_in}
    if token.refresh_token is not None:
        fields["refresh_token"] = str(token.refresh_token)
    return json.dumps(fields, separators=(",", ":")).encode()


def to_token(payload: bytes, age: float) -> Token | None:
    """
    The token in *payload*, with what is left of its life after *age* seconds; ``None`` where nothing is left at all.

    Whatever the clocks say, it is no more than it was when it was saved. Raises `UnreadableError`.
    """
    try:
        fields = json_object(payload) or {}
        token = Token(fields["token"], refresh_token=fields.get("refresh_token"))
        left = _left(fields["expires_in"], age)
    except (ValueError, TypeError, KeyError, OverflowError, ConfigurationError):
        token, left = None, None
    if token is None:
        raise UnreadableError("it is damaged")
    return None if left is not None and left <= 0 and token.refresh_token is None else token.with_remaining(left)


def _left(life: Any, age: float) -> float | None:
    if life is None:
        return None
    if not isinstance(life, int | float) or not life >= 0:
        raise ValueError("not a lifetime")
    return min(float(life), life - age)
