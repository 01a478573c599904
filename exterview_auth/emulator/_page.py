"""The page for people, at the root: what this is, what it counts, how to try it. It holds no secret."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from importlib.resources import files

from aiohttp import web

from ._answers import json_answer
from ._platform import Platform

_HTML = files(__package__).joinpath("_page.html").read_text(encoding="utf-8")


class Page:
    """The page and the counters that it shows; neither is part of the API."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def show(self, _request: web.Request) -> web.Response:
        """The page, which runs its own script only."""
        nonce = secrets.token_urlsafe(12)
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:"
        headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return web.Response(text=_HTML.replace("NONCE", nonce), content_type="text/html", headers=headers)

    async def stats(self, _request: web.Request) -> web.Response:
        """The counters of the moment."""
        return json_answer(asdict(self._platform.stats()), headers={"Cache-Control": "no-store"})
