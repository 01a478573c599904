"""
The cookies of a request that waits or is sent again: a login or the refusal itself may have renewed those of its session.

aiohttp draws them from the session's jar when it creates the request, and merges them with the caller's own.
"""

from __future__ import annotations

from aiohttp import ClientRequest, ClientResponse, hdrs


def callers_cookies(request: ClientRequest) -> str | None:
    """Return what of the ``Cookie`` header is not in the session's jar now, but the caller's own; ``None`` for all of it."""
    of_the_session = request.session.cookie_jar.filter_cookies(request.url)
    if not of_the_session:
        return None
    pairs = (pair.strip() for pair in request.headers.get(hdrs.COOKIE, "").split(";"))
    return "; ".join(pair for pair in pairs if pair.partition("=")[0].rstrip() not in of_the_session)


def store_cookies(request: ClientRequest, response: ClientResponse) -> None:
    """Put what *response* sets into the session's jar, as aiohttp does with answers that its callers get."""
    if headers := response.headers.getall(hdrs.SET_COOKIE, None):
        request.session.cookie_jar.update_cookies_from_headers(headers, response.url)


def draw_cookies(request: ClientRequest, callers: str | None) -> None:
    """Draw the ``Cookie`` header anew: the session's as they are now, beside the *callers*."""
    if callers is not None:
        request.headers.popall(hdrs.COOKIE, None)
        if callers:
            request.headers[hdrs.COOKIE] = callers
    request.update_cookies(request.session.cookie_jar.filter_cookies(request.url))
