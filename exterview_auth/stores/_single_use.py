"""A store's lock object is for one use: it knows one holder, and could not tell two tasks apart."""

from __future__ import annotations

from ..errors import StoreError


class SingleUse:
    """Refuses the second use of a lock object."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used = False

    def begin_use(self) -> None:
        """Raise `StoreError` unless this is the first use."""
        if self._used:
            raise StoreError("this lock object has been entered before; call the store's lock() for each async with")
        self._used = True
