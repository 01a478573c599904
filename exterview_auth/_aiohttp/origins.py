"""Whose request it is: ours, a stranger's, or a hop of a redirect that began at one and leads to the other."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import ClientRequest, ClientResponse
from yarl import URL

from .._endpoint import checked_origins, origin_of
from .chains import Chains

REDIRECTS = range(300, 400)
"""Statuses that are noted: those that aiohttp follows, and those that it may follow one day."""

# What is known of a call is the same for every owner on it: the innermost one sees its answer first.
_began_signed: Chains[bool] = Chains()
_began_at_strangers: Chains[bool] = Chains()


class Origins:
    """
    The origins that credentials go to, on every hop of a redirect.

    A chain that began at an owner's origin may leave it and come back. One that began at a stranger gets no signature: the
    stranger would choose what is asked in the application's name.
    """

    __slots__ = ("_last", "_ours", "last_url")

    def __init__(self, endpoint: URL, more: Iterable[str | URL]) -> None:
        self._ours = checked_origins(endpoint, more)
        # Invariant: credentials may go to `last_url`, which is None while a chain that began at a stranger stands. `_last` is
        # scheme, host and port of the last URL of ours, as they are written.
        self.last_url: URL | None = None
        self._last: tuple[str, str | None, int | None] | None = None

    def is_ours(self, url: URL, request: ClientRequest | None = None) -> bool:
        """
        Whether credentials may go to *url*, with *request* if it has been created.

        The newest URL is remembered: most requests go where the last one went.
        """
        if url is self.last_url:
            return True
        strangers = _began_at_strangers.standing
        if strangers and request is not None and _began_at_strangers.beginning(request):
            return False
        written = url.scheme, url.raw_host, url.port
        if written != self._last and origin_of(url) not in self._ours:
            return False
        self._last = written
        if not strangers:
            self.last_url = url
        return True

    def is_led_away(self, request: ClientRequest) -> bool:
        """Whether *request*, which is not ours, is a hop of a chain that began at an owner's origin."""
        return bool(_began_signed.beginning(request))

    def note_redirect(self, request: ClientRequest, response: ClientResponse, *, signed: bool) -> None:
        """Remember where the chain began, if *response* is its first redirect. *signed*: at an owner's origin."""
        if response.status not in REDIRECTS:
            return
        if signed:  # which no hop of a stranger's chain is
            _began_signed.note(request, beginning=True)
        elif not _began_signed.beginning(request):
            _began_at_strangers.note(request, beginning=True)
            self.last_url = None
