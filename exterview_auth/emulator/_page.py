"""The page at the root: what this server is, what it counts, how to try it. It contains no secret."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from importlib.resources import files

from aiohttp import web

from ._responses import json_response
from ._state import EmulatorState

_HTML = files(__package__).joinpath("_page.html").read_text(encoding="utf-8")


class Page:
    """The page and the counters that it shows. Neither is part of the API, and neither is counted."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state

    async def show(self, _request: web.Request) -> web.Response:
        """Return the page."""
        # A new nonce for each response lets the browser run the page's own script and style, and nothing else.
        nonce = secrets.token_urlsafe(12)
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:"
        headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return web.Response(text=_HTML.replace("NONCE", nonce), content_type="text/html", headers=headers)

    async def stats(self, _request: web.Request) -> web.Response:
        """Return the totals so far, as JSON."""
        return json_response(asdict(self._state.stats()), headers={"Cache-Control": "no-store"})
