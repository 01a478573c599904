"""`AuthPool`: one owner per account, bounded."""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from threading import RLock
from typing import Any, Self
from weakref import WeakValueDictionary

from ._auth import ExterviewAuth
from ._options import account_name, whole_number
from ._records import Listener
from ._refusals import discreet, shown_when_made
from .errors import ClosedError, ConfigurationError

ListenerFactory = Callable[[ExterviewAuth], Iterable[Listener]]

_CHECKED_PER_ACCESS = 2
"""Evicted owners checked on each access: more than an access can add, so that finished ones are released."""


class _Owners:
    """A pool's owners: the ones used last, and of the evicted ones, strongly those that are busy and weakly the others."""

    __slots__ = ("busy", "evicted", "kept", "maxsize")

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        # Invariant: at most `maxsize`, the one used last at the end.
        self.kept: OrderedDict[str, ExterviewAuth] = OrderedDict()
        # Invariant: every owner that was evicted and still exists, also if it was kept again: one that is never evicted needs
        # no weak reference.
        self.evicted: WeakValueDictionary[str, ExterviewAuth] = WeakValueDictionary()
        # Invariant: every evicted owner with a login or a save under way, each account once; others until their next check.
        self.busy: OrderedDict[str, ExterviewAuth] = OrderedDict()

    def used(self, account: str) -> ExterviewAuth | None:
        """Return the owner of *account*, if it is kept, which is now the one used last."""
        owner = self.kept.get(account)
        if owner is not None:
            self.kept.move_to_end(account)
        return owner

    def kept_again(self, account: str) -> ExterviewAuth | None:
        """Return the evicted owner of *account*, if it still exists, which is kept from now on."""
        owner = self.evicted.get(account)
        if owner is not None:
            self.keep(account, owner)
        return owner

    def keep(self, account: str, owner: ExterviewAuth) -> None:
        """Keep *owner*, and evict the one that was used least recently if there are too many."""
        owner._lifecycle.on_busy = None  # noqa: SLF001 - a pool decides on the life of its owners
        self.kept[account] = owner
        while len(self.kept) > self.maxsize:
            self._evict(next(iter(self.kept)))

    def all(self) -> list[ExterviewAuth]:
        """Return every owner that exists. May be called from another thread."""
        # Each is copied in one step; in this order, because an owner is evicted before it is no longer kept.
        owners = list(self.kept.values())
        owners += [owner for reference in self.evicted.valuerefs() if (owner := reference()) is not None]
        return list({id(owner): owner for owner in owners}.values())

    def release_finished(self) -> None:
        """Let go of evicted owners that are no longer busy; a few at a time, in turn."""
        for _ in range(min(_CHECKED_PER_ACCESS, len(self.busy))):
            account, owner = self.busy.popitem(last=False)
            if owner._lifecycle.busy:  # noqa: SLF001 - as above
                self.busy[account] = owner

    def release(self) -> None:
        """Keep none of them any more."""
        self.evicted.update(self.kept)
        self.kept.clear()
        self.busy.clear()

    def _evict(self, account: str) -> None:
        self.evicted[account] = owner = self.kept[account]
        del self.kept[account]
        lifecycle = owner._lifecycle  # noqa: SLF001 - as above
        # An evicted owner goes on for those who hold it. It must not vanish while it logs in or saves a refresh token.
        lifecycle.on_busy = keep = partial(self._keep_while_busy, account)
        if lifecycle.busy:
            keep(owner)

    def _keep_while_busy(self, account: str, owner: ExterviewAuth) -> None:
        if account not in self.kept:
            self.busy[account] = owner


class AuthPool:
    """
    A pool of owners: ``pool[account]`` is the account's `ExterviewAuth`, created once by ``factory(account)``.

    The pool keeps at most *maxsize* owners, and drops the least recently used one first. If a dropped owner is still in use, or
    its token is not saved yet, the pool returns it again, so that an account in use never has two owners. `aclose` closes all
    owners.

    Accounts that share one `aiohttp.ClientSession` share its cookies: create it with ``cookie_jar=DummyCookieJar()``, or give
    each account a session over the same connector.

    Raises `ConfigurationError` for a wrong argument, for an account that is not a string, and if the factory returns something
    else or asks for the account that it creates. Raises `ClosedError` after `aclose`.
    """

    __module__ = "exterview_auth"

    __slots__ = (
        "__weakref__",
        "_closed",
        "_closing",
        "_creating",
        "_factory",
        "_guard",
        "_listening",
        "_owned",
    )

    @discreet
    def __init__(self, factory: Callable[[str], ExterviewAuth], *, maxsize: int = 1024) -> None:
        if not callable(factory) or isinstance(factory, ExterviewAuth):
            raise ConfigurationError("factory must be a callable that creates an ExterviewAuth from an account's name")
        self._factory = factory
        self._owned = _Owners(whole_number(maxsize, "maxsize must be the number of accounts to keep, at least 1", 1))
        # Held while owners are looked up and created: web frameworks call sync code, such as FastAPI's dependencies, in threads.
        self._guard = RLock()
        # Invariant: the accounts whose factory runs now, in the thread that holds the guard.
        self._creating: set[str] = set()
        # What makes listeners for each owner: for those that exist, and for those that are created later.
        self._listening: tuple[ListenerFactory, ...] = ()
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    def __getitem__(self, account: str) -> ExterviewAuth:
        if self._closed:
            raise ClosedError("this AuthPool is closed; create a new one")
        name = account_name(account)
        with self._guard:
            owner = self._owned.used(name) or self._owned.kept_again(name) or self._created(name)
            if self._owned.busy:
                self._owned.release_finished()
            return owner

    def _created(self, account: str) -> ExterviewAuth:
        if account in self._creating:
            raise ConfigurationError(
                "factory asks the pool for the account that it creates; let it create an ExterviewAuth"
            )
        self._creating.add(account)
        try:
            owner: Any = self._factory(account)
        finally:
            self._creating.discard(account)
        if isinstance(owner, ExterviewAuth):
            # Before its listeners are created: one that comes at this moment, in another thread, finds it.
            self._owned.keep(account, owner)
            for make in self._listening:
                owner._listen(*make(owner))  # noqa: SLF001 - a pool decides on the life of its owners
            return owner
        kind = type(owner).__name__
        if inspect.iscoroutine(owner):
            owner.close()  # it is not awaited
        del owner  # it may be a token, and error trackers print local variables
        raise ConfigurationError(f"factory returned {kind}; let it return an ExterviewAuth")

    def _listen(self, make: ListenerFactory) -> None:
        """Notify listeners, made by *make*, of what happens to each owner, also to those that are created later."""
        self._listening = (*self._listening, make)
        for owner in self._owners():
            owner._listen(*make(owner))  # noqa: SLF001 - as above

    def _leave(self, make: ListenerFactory) -> None:
        """Notify the listeners that *make* returns of nothing more."""
        self._listening = tuple(other for other in self._listening if other != make)
        for owner in self._owners():
            owner._leave(*make(owner))  # noqa: SLF001 - as above

    def _owners(self) -> list[ExterviewAuth]:
        """Return every owner that exists, evicted ones too. May be called from another thread."""
        return self._owned.all()

    def __len__(self) -> int:
        return len(self._owned.kept)

    def __contains__(self, account: object) -> bool:
        return isinstance(account, str) and (account in self._owned.kept or account in self._owned.evicted)

    async def aclose(self) -> None:
        """Close every owner, also those in use. Closing twice is fine."""
        self._closed = True
        # Not awaited directly: that would cancel the task with its caller, before the owners heard of it.
        self._closing = closing = asyncio.ensure_future(self._close())
        await asyncio.wait([closing])
        closing.result()

    async def _close(self) -> None:
        owners = self._owners()
        outcomes = await asyncio.gather(*(owner.aclose() for owner in owners), return_exceptions=True)
        for failure in filter(None, outcomes):
            raise failure
        # Kept until then: a closing that is cut off, or fails, leaves them to the next.
        self._owned.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    @shown_when_made
    def __repr__(self) -> str:
        return f"AuthPool({len(self)} of {self._owned.maxsize} accounts{', closed' if self._closed else ''})"
