"""A string that is sent as it is and never prints itself."""

from __future__ import annotations

import re
from typing import NoReturn, Self

_NOT_VISIBLE_ASCII = re.compile(r"[^\x21-\x7e]")


class Secret(str):
    """
    A token, key or password.

    ``repr`` is ``'***'``, also inside containers, headers and exceptions; pickling raises ``TypeError``. The text appears only
    where code asks for it: ``str(secret)``, formatting, encoding.
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
    """A header value that an owner has set. Another owner on the same request leaves it alone."""

    __slots__ = ()


def refuse_pickling(secret: object) -> NoReturn:
    """Raise ``TypeError``, as every object with a secret does when ``pickle`` asks for its state."""
    raise TypeError(f"{type(secret).__name__} holds a secret and cannot be pickled; create it again where it is needed")


def is_header_safe(text: str) -> bool:
    """Whether *text* can be one word of a header value: visible ASCII, no space, no control character."""
    return bool(text) and _NOT_VISIBLE_ASCII.search(text) is None


def is_encodable(text: str) -> bool:
    """Whether *text* has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
