"""
The page at the root, and what it reads: what happens here, and a button for each control. It contains no secret.

Style and script stand in files of their own, and are sent as one page, so that the content security policy can name exactly what
may run: what carries the nonce of this one response.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from importlib.resources import files

from aiohttp import web

from ._control_paths import NOT_STORED
from ._responses import json_response
from ._state import EmulatorState


def _assembled() -> str:
    folder = files(__package__)
    html, css, js = (folder.joinpath(f"_page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return html.replace("/* _page.css */", css).replace("/* _page.js */", js)


_HTML = _assembled()

_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
)


class Page:
    """The page, the counters and the journal. None of them is part of the API, and none is counted."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state

    async def show(self, _request: web.Request) -> web.Response:
        """Return the page."""
        nonce = secrets.token_urlsafe(12)
        headers = {"Content-Security-Policy": _POLICY.format(nonce=nonce), **NOT_STORED}
        return web.Response(text=_HTML.replace("NONCE", nonce), content_type="text/html", headers=headers)

    async def stats(self, _request: web.Request) -> web.Response:
        """Return the totals so far, as JSON."""
        return json_response(asdict(self._state.stats()), headers=NOT_STORED)

    async def journal(self, _request: web.Request) -> web.Response:
        """Return the last requests, the oldest first, as JSON."""
        return json_response([one.as_json() for one in self._state.journal.records()], headers=NOT_STORED)
