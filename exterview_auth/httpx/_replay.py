"""
A refused request of httpx, sent again: its body, its cookies, and the connection of its refusal.

The cookies of a refusal are read by httpx's own rules; the client's jar is out of an `httpx.Auth`'s reach.
"""

from __future__ import annotations

import asyncio
from http.cookiejar import Cookie, CookieJar
from typing import TYPE_CHECKING, Any

from .._aiohttp.refusal import MAX_KEPT_BODY
from .._secret import SecretBytes
from ._libraries import LIBRARIES

if TYPE_CHECKING:
    from httpx import Request, Response

_SECONDS_FOR_A_REFUSAL = 1.0
"""How long the rest of a refusal is waited for, to keep its connection."""


def can_be_sent_again(request: Request) -> bool:
    """Whether *request*'s body is at hand: bytes, JSON, a form, or a form with files that can be read from their beginning."""
    stream: Any = request.stream
    if isinstance(stream, tuple(library.ByteStream for library in LIBRARIES)):
        return True
    fields = getattr(stream, "fields", None)  # of a multipart form
    return fields is not None and all(_can_be_read_again(getattr(field, "file", b"")) for field in fields)


def _can_be_read_again(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return isinstance(file, str | bytes) or (callable(seekable) and bool(seekable()))


async def give_back(response: Response) -> bool:
    """
    Give the connection of a refusal back; return whether its answer can still be handed to the caller.

    A short body is read to its end, which keeps the connection usable. Any other closes it.
    """
    if is_read(response):
        return True
    stream: Any = response.stream
    pieces: list[bytes] = []
    ended = False
    try:
        async with asyncio.timeout(_SECONDS_FOR_A_REFUSAL):
            ended = await _read(stream, pieces)
    except Exception:  # noqa: BLE001, S110 - what the connection meets is none of the caller's business: the refusal is given up
        pass
    await stream.aclose()
    _put_body(response, b"".join(pieces) if ended else b"")
    return ended


async def _read(stream: Any, pieces: list[bytes]) -> bool:
    size = 0
    async for piece in stream:
        pieces.append(SecretBytes(piece))
        size += len(piece)
        if size > MAX_KEPT_BODY:
            return False
    return True


def is_read(response: Response) -> bool:
    """Whether somebody, such as a hook of the client, has read *response* to its end."""
    try:
        _ = response.content
    except RuntimeError:  # httpx's ResponseNotRead
        return False
    return True


def is_lost(response: Response) -> bool:
    """Whether *response* was closed before anybody has read it: httpx then sends nothing after it."""
    return response.is_closed and not is_read(response)


def drop_body(response: Response) -> None:
    """Let a refusal that was given back have no body: httpx reads it before it sends again, and it may be damaged."""
    if not is_read(response):
        _put_body(response, b"")


def _put_body(response: Response, body: bytes) -> None:
    library = next(each for each in LIBRARIES if isinstance(response, each.Response))
    response.stream = library.ByteStream(body)


def take_cookies(request: Request, response: Response) -> None:
    """
    Let *request* be sent again with the cookies that *response*, its refusal, has set for it, and without those it has removed.

    The client's own jar is out of an `httpx.Auth`'s reach.
    """
    library = next(each for each in LIBRARIES if isinstance(response, each.Response))
    refusals = library.Cookies(_JarOfRefusal())
    refusals.extract_cookies(response)
    if not refusals:
        return
    fresh = _cookies_of(library.Request(request.method, request.url, cookies=refusals))
    kept = [cookie for cookie in _cookies_of(request) if _name_of(cookie) not in set(map(_name_of, fresh))]
    request.headers.pop("Cookie", None)
    if cookies := [*kept, *(cookie for cookie in fresh if "=" in cookie)]:
        request.headers["Cookie"] = "; ".join(cookies)


def _cookies_of(request: Request) -> list[str]:
    return [cookie for cookie in map(str.strip, request.headers.get("Cookie", "").split(";")) if cookie]


def _name_of(cookie: str) -> str:
    return cookie.partition("=")[0]


class _JarOfRefusal(CookieJar):
    """A jar that keeps a cookie without a value in the place of one that is removed: it is sent where that one was."""

    def clear(self, *where: Any, **_: Any) -> None:
        """Remove a cookie: a jar does this for one that is set as expired."""
        domain, path, name = where
        dotted = domain.startswith(".")
        rest: dict[str, str] = {}
        self.set_cookie(
            Cookie(0, name, None, None, False, domain, dotted, dotted, path, True, False, None, True, None, None, rest)
        )
