"""The one place that puts credentials on a request."""

from __future__ import annotations

from typing import Protocol

from aiohttp import ClientRequest, hdrs
from multidict import istr

from .._core.grant import Grant

AUTHORIZATION = istr(hdrs.AUTHORIZATION)
X_API_KEY = istr("x-api-key")
_CONTENT_TYPE = istr(hdrs.CONTENT_TYPE)


class Key(Protocol):
    """The API key as it is now."""

    @property
    def value(self) -> str:
        """For a header."""


def sign(request: ClientRequest, grant: Grant, key: Key) -> None:
    """Replace *request*'s credentials, and name a content type where there is none."""
    headers = request.headers
    headers[AUTHORIZATION] = grant.authorization
    headers[X_API_KEY] = key.value
    if _CONTENT_TYPE not in headers:
        headers[_CONTENT_TYPE] = "application/json"
    grant.asked = True
