"""Whose request it is: ours, a stranger's, or a stranger's that a redirect of ours has led to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from aiohttp import ClientRequest, ClientResponse, hdrs
from yarl import URL

from ._settings import checked_origins, origin_of

Origin = tuple[str, str, int | None]


class Origins:
    """
    The origins that credentials go to, and the redirects that lead away from them.

    A client middleware runs once per redirect hop, in the same task as the hop before, and sees the redirect's answer:
    the next request of that task to the place that it names is the hop.
    """

    __slots__ = ("_leading_to", "_ours", "last_url", "redirected")

    def __init__(self, endpoint: URL, more: Iterable[str | URL]) -> None:
        self._ours = checked_origins(endpoint, more)
        self.last_url: URL | None = None
        # Invariant: a task is in here from a redirect's answer until its next request; `redirected` unless it is empty.
        self._leading_to: WeakKeyDictionary[asyncio.Task[object], Origin] = WeakKeyDictionary()
        self.redirected = False

    def own(self, url: URL) -> bool:
        """Whether credentials may go to *url*. The answer for the newest URL object is remembered."""
        if url is self.last_url:
            return True
        if origin_of(url) not in self._ours:
            return False
        self.last_url = url
        return True

    def is_hop(self, url: URL) -> bool:
        """Whether *url* is where the redirect that this task has just seen leads; asked once per request."""
        task = asyncio.current_task()
        led_to = None if task is None else self._leading_to.pop(task, None)
        self.redirected = bool(self._leading_to)
        return led_to == origin_of(url)

    def note_redirect(self, request: ClientRequest, response: ClientResponse) -> None:
        """Remember where *response* leads, if anywhere."""
        location = response.headers.get(hdrs.LOCATION) or response.headers.get(hdrs.URI)
        task = asyncio.current_task()
        if location is None or task is None:
            return
        try:
            self._leading_to[task] = origin_of(request.url.join(URL(location)))
        except ValueError:
            return  # aiohttp refuses to follow it
        self.redirected = True
