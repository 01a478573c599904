"""The three headers that every request needs, and what is answered without them."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web

from ._accounts import Accounts
from ._faults import Faults
from ._responses import Refusal

API_KEY = "x-api-key"
JSON = "application/json"
MULTIPART = "multipart/form-data"


class Guard:
    """Lets a request through, or raises the documented refusal: 400 for what is missing, 401, 403."""

    def __init__(self, accounts: Accounts, faults: Faults) -> None:
        self._accounts = accounts
        self._faults = faults

    def organization(self, request: web.Request, content_types: Collection[str] = (JSON, MULTIPART)) -> None:
        """Pass a request with the organization's key and, unless *content_types* is empty, one of these types."""
        key = _only(request, API_KEY)
        if content_types:
            _require_content_type(request, content_types)
        if not self._accounts.knows_key(key):
            raise Refusal(401, "Invalid API key")

    def user(self, request: web.Request) -> None:
        """Pass a request with the user's bearer token, whose key has the permission."""
        scheme, _, token = _only(request, hdrs.AUTHORIZATION).partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refusal(400, "The Authorization header must read 'Bearer TOKEN'")
        self._accounts.require_token(token.strip())
        if self._accounts.is_restricted(_only(request, API_KEY)):
            raise Refusal(403, "This API key lacks the permission for this operation")
        if refusal := self._faults.request_refusal():
            raise refusal


def media_type(request: web.Request) -> str:
    """The request's content type without parameters, in lower case; empty where there is none."""
    return request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()


def _require_content_type(request: web.Request, content_types: Collection[str]) -> None:
    _only(request, hdrs.CONTENT_TYPE)
    if media_type(request) not in content_types:
        raise Refusal(400, f"The Content-Type must be {' or '.join(content_types)}")


def _only(request: web.Request, name: str) -> str:
    """The header's one value."""
    values = request.headers.getall(name, ())
    if len(values) > 1:
        raise Refusal(400, f"The {name} header is given more than once")
    if not values or not values[0].strip():
        raise Refusal(400, f"The {name} header is missing")
    return values[0].strip()
