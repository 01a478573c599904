"""
The one place that puts credentials on the application's requests, removes them, or hands them out as headers.

Except for the fast path: `ExterviewAuth.__call__` has the lines of `sign` once more.
"""

from __future__ import annotations

from typing import Protocol

from aiohttp import ClientRequest, hdrs
from multidict import istr

from .._core.state import IssuedToken
from .._endpoint import API_KEY_HEADER
from .._secret import OwnedHeader, Secret

# `istr`: multidict then does not fold the case of the name for each request.
AUTHORIZATION = istr(hdrs.AUTHORIZATION)
X_API_KEY = istr(API_KEY_HEADER)
CONTENT_TYPE = istr(hdrs.CONTENT_TYPE)


class Key(Protocol):
    """The API key as it is now."""

    @property
    def value(self) -> str:
        """The text of the header."""


def sign(request: ClientRequest, issued: IssuedToken, key: Key) -> None:
    """Replace *request*'s credentials, and name a content type if it has none."""
    # `ExterviewAuth.__call__` has the same steps: keep them equal.
    headers = request.headers
    headers[AUTHORIZATION] = issued.authorization
    headers[X_API_KEY] = key.value
    if CONTENT_TYPE not in headers:
        headers[CONTENT_TYPE] = "application/json"
    issued.used = True


def carries(request: ClientRequest, issued: IssuedToken) -> bool:
    """Whether *request* still has *issued*'s header, so that its answer is about *issued*; another owner may have signed over it."""
    value = request.headers.get(AUTHORIZATION)
    return value is issued.authorization or (value == issued.authorization and not isinstance(value, OwnedHeader))


def is_sent_by_an_owner(request: ClientRequest) -> bool:
    """Whether the owner whose header *request* has is sending it now. A header alone proves nothing: callers copy them."""
    value = request.headers.get(AUTHORIZATION)
    return isinstance(value, OwnedHeader) and request in value.sending


def strip(request: ClientRequest, *, led_away: bool) -> None:
    """
    Remove credentials from a request that is not ours and that no owner sends: all of them from a hop that leads *led_away*.

    The session's default headers and the caller's own come along with every hop. What a caller sends to a stranger by itself
    is the caller's, unless it was copied from a request that an owner has signed.
    """
    headers = request.headers
    for name in (AUTHORIZATION, X_API_KEY):
        if led_away or any(isinstance(value, OwnedHeader) for value in headers.getall(name, ())):
            headers.popall(name, None)


def as_headers(issued: IssuedToken, key: Key) -> dict[str, str]:
    """Return the credentials for another HTTP client; their values print as ``'***'``."""
    issued.used = True
    return {str(AUTHORIZATION): Secret(issued.authorization), str(X_API_KEY): Secret(key.value)}
