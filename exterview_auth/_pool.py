"""`AuthPool`: one owner per account, bounded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Self
from weakref import WeakValueDictionary

from cachetools import LRUCache

from ._auth import ExterviewAuth
from ._options import whole_number
from .errors import ClosedError, ConfigurationError

_LOOKS = 2
"""More than one access adds, so that what has come to its end is let go of."""


class _Owners(LRUCache[str, ExterviewAuth]):
    """Strongly held owners: the last ones asked for, and of the others those at work."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        # Invariant: every dropped owner with a login or a save under way, each account once; others until the next looks.
        self.at_work: OrderedDict[str, ExterviewAuth] = OrderedDict()

    def popitem(self) -> tuple[str, ExterviewAuth]:
        account, owner = super().popitem()
        owner.retire(partial(self._works, account))
        return account, owner

    def _works(self, account: str, owner: ExterviewAuth) -> None:
        if account not in self:
            self.at_work[account] = owner

    def look(self) -> None:
        """Let go of those that have come to their end; a few at a time, in turn."""
        for _ in range(min(_LOOKS, len(self.at_work))):
            account, owner = self.at_work.popitem(last=False)
            if owner.busy:
                self.at_work[account] = owner


class AuthPool:
    """
    ``pool[account]`` is the account's `ExterviewAuth`, made once by ``factory(account)``.

    At most *maxsize* are kept; the least recently asked for goes first. One that somebody still uses, or whose token is not
    saved yet, is found again, so that an account in use never has two owners. `aclose` closes all.

    Raises `ConfigurationError` for a wrong argument or a factory that makes something else, `ClosedError` after `aclose`.
    """

    __slots__ = ("_alive", "_closed", "_factory", "_kept")

    def __init__(self, factory: Callable[[str], ExterviewAuth], *, maxsize: int = 1024) -> None:
        if not callable(factory) or isinstance(factory, ExterviewAuth):
            raise ConfigurationError("factory is a callable that makes an ExterviewAuth from an account's name")
        self._factory = factory
        self._kept = _Owners(whole_number(maxsize, "maxsize must be the number of accounts to keep, at least 1", 1))
        # Invariant: every owner that was made and still exists, kept, at work or only in use.
        self._alive: WeakValueDictionary[str, ExterviewAuth] = WeakValueDictionary()
        self._closed = False

    def __getitem__(self, account: str) -> ExterviewAuth:
        if self._closed:
            raise ClosedError("this AuthPool is closed; make a new one")
        owner = self._kept.get(account)
        if owner is None:
            owner = self._kept[account] = self._found(account) or self._made(account)
        if self._kept.at_work:
            self._kept.look()
        return owner

    def _found(self, account: str) -> ExterviewAuth | None:
        owner = self._alive.get(account)
        if owner is not None:
            owner.retire(None)
        return owner

    def _made(self, account: str) -> ExterviewAuth:
        owner = self._factory(account)
        if not isinstance(owner, ExterviewAuth):
            raise ConfigurationError(f"factory made {type(owner).__name__}; let it return an ExterviewAuth")
        self._alive[account] = owner
        return owner

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, account: object) -> bool:
        return account in self._alive

    async def aclose(self) -> None:
        """Close every owner, those in use too; twice is fine."""
        self._closed = True
        owners = list(self._alive.values())
        self._kept.clear()
        self._kept.at_work.clear()
        outcomes = await asyncio.gather(*(owner.aclose() for owner in owners), return_exceptions=True)
        for failure in filter(None, outcomes):
            raise failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AuthPool({len(self)} of {self._kept.maxsize:g} accounts{', closed' if self._closed else ''})"
