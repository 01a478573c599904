"""
A fence around one account's entry: a write in its scope changes only what its owner has seen, or what its lock protects.

Owners call a store's public methods, which a subclass may override, and the protocol passes no fence to them. So the store finds
the fence in a context variable. A call outside of any scope, such as an application's own ``delete``, is unconditional.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ._entry import StoredToken


class Fence:
    """One owner's view of one account, from before it waits for the lock until it has released it."""

    __slots__ = ("last_read", "looked_early", "refused", "released")

    is_leased: ClassVar[bool] = False
    """Whether a holder that shows no life loses the lock."""

    def __init__(self) -> None:
        self.last_read: StoredToken | None = None
        """What was read last, if the store knows its age."""
        self.refused: StoredToken | None = None
        """The entry that the last write did not touch; ``None`` if it did what it should."""
        self.looked_early = False
        """Whether the last look was without the lock: what came since then stays, also if the lock was acquired meanwhile."""
        self.released = False
        """Whether the lock has ended: a later write is not under it."""


Fences = dict[tuple[int, str], Fence]

_fences: ContextVar[Fences] = ContextVar("exterview_auth_fences")


def open_scope(store: object, account: str, fence: Fence) -> Fences:
    """Let the running context call *store* within *fence*; return the fences of before, for `close_scope`."""
    outer = _fences.get({})
    _fences.set({**outer, (id(store), account): fence})
    return outer


def close_scope(outer: Fences) -> None:
    """Let the running context call the store as before."""
    _fences.set(outer)


def fence_around(store: object, account: str) -> Fence | None:
    """Return the fence in whose scope the running code calls *store*."""
    fence = _fences.get({}).get((id(store), account))
    return None if fence is None or fence.released else fence  # a task that was started within it may outlive it


def fences_in(context: Context | None) -> list[Fence]:
    """Return all fences in whose scope code that runs in *context* is, whether the lock is acquired or waited for."""
    return [] if context is None else [fence for fence in context.get(_fences, {}).values() if not fence.released]
