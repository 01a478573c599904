"""Whose request it is: ours, a stranger's, or a hop that a redirect of ours leads to a stranger."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import ClientRequest, ClientResponse, hdrs
from yarl import URL

from .._endpoint import Origin, checked_origins, origin_after, origin_of
from .internals import call_of

REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses that aiohttp follows."""
MAX_REDIRECTS = 65_536
"""Redirects that are remembered; the hop follows immediately, unless the caller does not follow redirects."""


class Origins:
    """
    The origins that credentials go to, and the redirects that lead away from them.

    A client middleware runs once per hop and sees the redirect's answer. The next request of the same call is the hop.
    """

    __slots__ = ("_last", "_leading_to", "_ours", "last_url")

    def __init__(self, endpoint: URL, more: Iterable[str | URL]) -> None:
        self._ours = checked_origins(endpoint, more)
        # Invariant: credentials may go to `last_url`; `_last` is its scheme, host and port as they are written.
        self.last_url: URL | None = None
        self._last: tuple[str, str | None, int | None] | None = None
        # Invariant: a call is in here from the answer that leads it to a stranger until its hop is answered. The object is
        # kept beside its id, because an id may be used again.
        self._leading_to: dict[int, tuple[object, Origin]] = {}

    def is_ours(self, url: URL) -> bool:
        """Whether credentials may go to *url*. The newest URL is remembered: most requests go where the last one went."""
        if url is self.last_url:
            return True
        written = url.scheme, url.raw_host, url.port
        if written != self._last and origin_of(url) not in self._ours:
            return False
        self.last_url, self._last = url, written
        return True

    def is_hop_away(self, request: ClientRequest) -> bool:
        """Whether *request* is the hop by which one of our redirects leads to a stranger. aiohttp may send it more than once."""
        _, led_to = self._leading_to.get(id(call_of(request)), (None, None))
        return led_to == origin_of(request.url)

    def forget_redirect(self, request: ClientRequest) -> None:
        """Note that the hop was answered: what its call sends next is not led away."""
        self._leading_to.pop(id(call_of(request)), None)

    def note_redirect(self, request: ClientRequest, response: ClientResponse) -> None:
        """Remember where *response* leads, if it is a redirect to a stranger."""
        if response.status not in REDIRECTS:
            return
        location = response.headers.get(hdrs.LOCATION) or response.headers.get(hdrs.URI)
        if location is None:
            return
        led_to = origin_after(request.url, location)
        if led_to is None or led_to in self._ours:
            return  # aiohttp refuses to follow it, or it is signed like any request to our origins
        call = call_of(request)
        self._leading_to[id(call)] = call, led_to
        if len(self._leading_to) > MAX_REDIRECTS:
            del self._leading_to[next(iter(self._leading_to))]
