"""A string that goes out on the wire as it is and never prints itself."""

from __future__ import annotations

import re
from typing import NoReturn, Self

_NOT_VISIBLE_ASCII = re.compile(r"[^\x21-\x7e]")


class Secret(str):
    """
    A token, key or password.

    ``repr`` is ``'***'``, also inside containers, headers and exceptions; pickling raises ``TypeError``.
    Only asking for the text (``str(secret)``, formatting, encoding) gives it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)


class OwnedHeader(Secret):
    """A header's value that an owner has put there, which no other owner takes away."""

    __slots__ = ()


def refuse_pickling(secret: object) -> NoReturn:
    """Raise the ``TypeError`` that every holder of a secret gives to ``pickle``."""
    raise TypeError(f"{type(secret).__name__} holds a secret and is not pickled; make it anew where it is needed")


def is_header_safe(text: str) -> bool:
    """Whether *text* can stand in a header value as one word: visible ASCII, no space, no control character."""
    return bool(text) and _NOT_VISIBLE_ASCII.search(text) is None


def is_encodable(text: str) -> bool:
    """Whether *text* has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
