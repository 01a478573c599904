"""
Redirects: which requests are hops of one call, and what is known of the request that was redirected first.

Only aiohttp decides where a redirect leads: by ``Location`` or ``URI``, requoted or as it is written. Nothing here predicts it.
The requests that follow a redirect in the same call are its hops, wherever they go and however often each is sent.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from sys import getrefcount
from typing import Generic, TypeVar

from aiohttp import ClientRequest

from .internals.requests import call_of

Beginning = TypeVar("Beginning")
"""What is remembered of the first request."""


class Chains(Generic[Beginning]):
    """
    What is known of calls that were redirected, from the first redirect until the call is over.

    A middleware may send a hop again, run each hop in another task, or replace its answer. None of that ends a chain.
    """

    __slots__ = ("_loop", "_uses", "standing")

    def __init__(self) -> None:
        # Invariant: a call that was redirected is in here for as long as anything else refers to it and its loop is open. It is
        # kept beside its id, because an id may be used again.
        self.standing: dict[int, tuple[object, Beginning, asyncio.AbstractEventLoop]] = {}
        self._uses = 0
        self._loop: Callable[[], asyncio.AbstractEventLoop | None] = lambda: None

    def note(self, request: ClientRequest, beginning: Beginning) -> Beginning:
        """Remember *beginning* of *request*'s call unless another one is remembered. Return the one that is."""
        call = call_of(request)
        _, beginning, _ = self.standing.setdefault(id(call), (call, beginning, request.loop))
        self._sweep(request.loop)
        return beginning

    def beginning(self, request: ClientRequest) -> Beginning | None:
        """Return what is known of the first request of *request*'s chain; ``None`` if it is the first itself."""
        if not self.standing:
            return None
        self._sweep(request.loop)
        chain = self.standing.get(id(call_of(request)))
        return None if chain is None else chain[1]

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        # Counted references, because a timeout takes no weak reference since Python 3.13. Once for half as many uses as there are
        # chains, so that each use pays for two, also where each use is a new chain, and when a loop has ended: its chains would
        # keep it. Another thread may use this too: nothing is taken out for a moment.
        self._uses += 1
        last = self._loop()
        if last is not loop:
            self._loop = weakref.ref(loop)
        if 2 * self._uses >= len(self.standing) or last is None or last.is_closed():
            self._uses = 0
            for key, chain in list(self.standing.items()):
                # What was pending in a loop that is closed refers to its call, and stays until nobody refers to the loop.
                if chain[2].is_closed() or _references(chain) <= _REFERENCES_OF_OURS:
                    self.standing.pop(key, None)


def _references(chain: tuple[object, ...]) -> int:
    return getrefcount(chain[0])


_REFERENCES_OF_OURS = _references((object(), None, None))
