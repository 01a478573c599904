"""
Who may talk to the emulator: programs and pages of this machine, but no website that somebody has open in a browser.

A browser sends what any website tells it to, also to this machine. Two things tell such requests apart. `Host` is the name that
the browser has looked up: a website can let its own name lead to 127.0.0.1 (DNS rebinding), and then reads what is answered; so
every path wants a name that can be nobody else's. `Origin` and `Sec-Fetch-Site` say which page has sent a request: what changes
something, or stays open, wants none, as from programs, or the emulator's own page.

The names are parsed and compared as addresses, because ``127.0.0.1.attacker.example`` begins like one of ours.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from exterview_auth._json import json_object

from ._guard import JSON, media_type
from ._responses import Refusal

OWN_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""What the page and all that it reads are sent with: no browser guesses a type, or lets another page embed them."""

LONGEST_ARGUMENTS = 65_536
"""Bytes of the JSON body that a control, or the page, may send."""

_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^][:@/\s]+))(?::([0-9]{1,5}))?", re.ASCII | re.IGNORECASE)
_HTTP_PORT, _HIGHEST_PORT = 80, 65_535
_OWN_PAGE = frozenset({"same-origin", "none"})
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


@web.middleware
async def loopback_hosts_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Pass a request whose ``Host`` names this machine."""
    hosts = request.headers.getall(hdrs.HOST, ())
    if len(hosts) != 1:
        return Refusal(400, "The request needs one Host header").response()
    # A proxy's client writes the whole URL in its request, and its host there.
    if not _is_loopback(hosts[0]) or not _is_loopback(request.url.raw_authority or hosts[0]):
        message = "The Host header must be a loopback address or localhost, because only this machine may ask"
        return Refusal(403, message).response()
    return await handler(request)


def require_own_page(request: web.Request) -> None:
    """Pass a request that no page has sent, or the emulator's own."""
    origins, site = request.headers.getall(hdrs.ORIGIN, ()), request.headers.get("Sec-Fetch-Site", "none")
    ours = _split(request.headers.get(hdrs.HOST, ""))
    if site not in _OWN_PAGE or any(_of_origin(one) != ours for one in origins):
        raise Refusal(403, "Only the emulator's own page and programs without an Origin may do this")


def changes_something(request: web.Request) -> bool:
    """Return whether the request may do more than read: by its method, or by becoming a WebSocket."""
    return request.method not in _SAFE or hdrs.UPGRADE in request.headers


async def json_arguments(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body; an empty body is one without arguments."""
    # A website can send any other type without asking the server first.
    if media_type(request) != JSON:
        raise Refusal(415, f"The Content-Type must be {JSON}; send {{}} where there is nothing to say")
    body = await request.clone(client_max_size=LONGEST_ARGUMENTS).read()
    arguments = json_object(body or b"{}")
    if arguments is None:
        raise Refusal(400, "The body must be a JSON object")
    return arguments


def _is_loopback(authority: str) -> bool:
    name = _split(authority)[0]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _split(authority: str) -> tuple[str, int]:
    """Return host and port; an empty host for what is not an authority."""
    found = _AUTHORITY.fullmatch(authority)
    port = int(found[3] or _HTTP_PORT) if found else 0
    return ((found[1] or found[2]).lower(), port) if found and port <= _HIGHEST_PORT else ("", 0)


def _of_origin(origin: str) -> tuple[str, int]:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return "", -1
    return _split(parts.netloc) if parts.scheme == "http" else ("", -1)
