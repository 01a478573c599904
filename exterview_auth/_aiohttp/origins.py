"""Whose request it is: ours, a stranger's, or a stranger's that a redirect of ours has led to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import ClientRequest, ClientResponse, hdrs
from yarl import URL

from .._endpoint import Origin, checked_origins, origin_after, origin_of

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses that aiohttp follows."""
MOST_PENDING = 65_536
"""Redirects that are remembered at once; the hop follows at once, unless the caller does not follow redirects."""


class Origins:
    """
    The origins that credentials go to, and the redirects that lead away from them.

    A client middleware runs once per hop, and sees the redirect's answer: the next request of the same chain is the hop.
    """

    __slots__ = ("_last", "_leading_to", "_ours", "last_url")

    def __init__(self, endpoint: URL, more: Iterable[str | URL]) -> None:
        self._ours = checked_origins(endpoint, more)
        # Invariant: credentials may go to `last_url`; `_last` is its scheme, host and port as they are written.
        self.last_url: URL | None = None
        self._last: tuple[str, str | None, int | None] | None = None
        # Invariant: a chain is in here from the answer that leads it to a stranger until its hop is answered. The chain is
        # held, so that no other has its number.
        self._leading_to: dict[int, tuple[object, Origin]] = {}

    def own(self, url: URL) -> bool:
        """Whether credentials may go to *url*. The answer for the newest URL is remembered."""
        if url is self.last_url:
            return True
        written = url.scheme, url.raw_host, url.port
        if written != self._last and origin_of(url) not in self._ours:
            return False
        self.last_url, self._last = url, written
        return True

    def is_hop(self, request: ClientRequest) -> bool:
        """Whether *request* goes where its chain's redirect leads; aiohttp may send it once more, if its connection drops."""
        _, led_to = self._leading_to.get(id(_chain(request)), (None, None))
        return led_to == origin_of(request.url)

    def has_led(self, request: ClientRequest) -> None:
        """The redirect has led *request* where it is: what its chain sends next is no hop."""
        self._leading_to.pop(id(_chain(request)), None)

    def note_redirect(self, request: ClientRequest, response: ClientResponse) -> None:
        """Remember where *response* leads, if it is a redirect to a stranger."""
        if response.status not in REDIRECTS:
            return
        location = response.headers.get(hdrs.LOCATION) or response.headers.get(hdrs.URI)
        if location is None:
            return
        led_to = origin_after(request.url, location)
        if led_to is None or led_to in self._ours:
            return  # aiohttp refuses to follow it, or it is signed as any of ours
        chain = _chain(request)
        self._leading_to[id(chain)] = chain, led_to
        if len(self._leading_to) > MOST_PENDING:
            del self._leading_to[next(iter(self._leading_to))]


def _chain(request: ClientRequest) -> object:
    """
    What all hops of one call share and no other call has: its timeout.

    aiohttp has no public name for the call; the task will not do, since a middleware may run each hop in one of its own.
    """
    return getattr(request, "_timer", None) or asyncio.current_task()
