"""Whose request it is: ours, a stranger's, or a hop of a redirect that began at one and leads to the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NamedTuple
from weakref import WeakSet, WeakValueDictionary

from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse, hdrs
from yarl import URL

from .._endpoint import Origin, checked_origins, origin_of
from .chains import Chains

FOLLOWED = frozenset({301, 302, 303, 307, 308})
"""The statuses that aiohttp follows."""


class Beginning(NamedTuple):
    """Where a chain began: what its first answer says counts there alone."""

    origin: Origin
    is_an_owners: bool


# What is known of a call is the same for every owner on it.
_chains: Chains[Beginning] = Chains()
_with_last_url: WeakSet[Origins] = WeakSet()


class Origins:
    """
    The origins that credentials go to, on every hop of a redirect.

    A chain that began at one of them may leave them and come back. One that began elsewhere, also at another owner's, gets no
    signature: the server there would choose what is asked in the application's name.
    """

    __slots__ = ("__weakref__", "_last", "_ours", "last_url")

    def __init__(self, ours: frozenset[Origin]) -> None:
        self._ours = ours
        # Invariant: credentials may go to `last_url`, which is None while any chain stands: of the same URL there is one object,
        # as yarl remembers them. `_last` is scheme, host and port of the last URL of ours, as they are written.
        self.last_url: URL | None = None
        self._last: tuple[str, str | None, int | None] | None = None

    def is_ours(self, url: URL, request: ClientRequest | None = None) -> bool:
        """
        Whether credentials may go to *url*, with *request* if it has been created.

        The newest URL is remembered: most requests go where the last one went.
        """
        if url is self.last_url:
            return True
        standing = _chains.standing
        if standing and request is not None:
            began = _chains.beginning(request)
            if began is not None and began.origin not in self._ours:
                return False
        written = url.scheme, url.raw_host, url.port
        if written != self._last and origin_of(url) not in self._ours:
            return False
        self._last = written
        if not standing:
            if self.last_url is None:
                _with_last_url.add(self)
            self.last_url = url
        return True

    def covers(self, url: URL) -> bool:
        """Whether credentials may go to *url*, for a client that follows redirects in its own way."""
        return origin_of(url) in self._ours

    @property
    def kept_on_upgrade(self) -> bool:
        """Whether one of them is plain HTTP on its own port: redirected to HTTPS on the same host, some clients keep credentials."""
        return any((scheme, port) == ("http", 80) for scheme, _, port in self._ours)

    def is_led_away(self, request: ClientRequest) -> bool:
        """Whether *request*, which is not ours, is a hop of a chain that began at an owner's origin."""
        began = _chains.beginning(request)
        return began is not None and began.is_an_owners

    def note_redirect(self, request: ClientRequest, response: ClientResponse, *, signed: bool) -> None:
        """Remember where the chain began, if *response* is its first redirect. *signed*: at an owner's origin."""
        if leads_on(response):
            _note(request, is_an_owners=signed)


# By what they cover: most of an application's owners send to the same API, and their next request goes to the same URL.
_shared: WeakValueDictionary[frozenset[Origin], Origins] = WeakValueDictionary()


def origins_of(endpoint: URL, more: Iterable[str | URL]) -> Origins:
    """Return the origins of *endpoint* and *more*: the same object again, for as long as an owner has it."""
    ours = checked_origins(endpoint, more)
    return _shared.get(ours) or _shared.setdefault(ours, Origins(ours))


def noting(owners: Iterable[Origins]) -> ClientMiddlewareType:
    """
    Return a client middleware that notes the redirects that no owner sees.

    The application's middlewares make some, or answer them from their memory. As the outermost one, it sees what aiohttp follows.
    """
    owners = tuple(owners)

    async def note(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        if leads_on(response):
            _note(request, is_an_owners=any(origins.is_ours(request.url) for origins in owners))
        return response

    return note


def leads_on(response: ClientResponse) -> bool:
    """Whether aiohttp follows *response*, wherever it leads."""
    return response.status in FOLLOWED and (hdrs.LOCATION in response.headers or hdrs.URI in response.headers)


def _note(request: ClientRequest, *, is_an_owners: bool) -> None:
    _chains.note(request, Beginning(origin_of(request.url), is_an_owners))
    with contextlib.suppress(KeyError):  # in another thread, another one may take the last
        while _with_last_url:
            _with_last_url.pop().last_url = None
