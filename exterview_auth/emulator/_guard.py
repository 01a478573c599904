"""The three headers that every request needs, and what it is answered without them: 400, 401 or 403, as documented."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web

from ._accounts import Accounts
from ._responses import Refusal

# Not the library's constant: a server that shared the client's mistake would hide it.
API_KEY = "x-api-key"
JSON = "application/json"
MULTIPART = "multipart/form-data"


# The guard has two steps, because a login has an API key but no token yet.


def require_api_key(
    request: web.Request, accounts: Accounts, content_types: Collection[str] = (JSON, MULTIPART)
) -> None:
    """Pass a request with an API key of the organization and, unless *content_types* is empty, one of these types."""
    key = _only(request, API_KEY)
    # The format is judged before the key: a client that sends the wrong format gets 400 whether its key is right or wrong.
    if content_types:
        _only(request, hdrs.CONTENT_TYPE)
        if media_type(request) not in content_types:
            raise Refusal(400, f"The Content-Type must be {' or '.join(content_types)}")
    if not accounts.knows_key(key):
        raise Refusal(401, "Invalid API key")


def require_bearer(request: web.Request, accounts: Accounts) -> None:
    """Pass a request with a valid bearer token and a key that has permissions."""
    token = bearer_of(_only(request, hdrs.AUTHORIZATION))
    if not token:
        raise Refusal(400, "The Authorization header must read 'Bearer TOKEN'")
    accounts.require_token(token)
    if accounts.is_restricted(_only(request, API_KEY)):
        raise Refusal(403, "This API key lacks the permission for this operation")


def bearer_of(authorization: str) -> str:
    """Return the bearer token of the header, or an empty string."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def media_type(request: web.Request) -> str:
    """Return the request's content type in lower case without parameters, or an empty string."""
    return request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()


def _only(request: web.Request, name: str) -> str:
    """Return the header's one value."""
    values = request.headers.getall(name, ())
    if len(values) > 1:
        raise Refusal(400, f"The {name} header is given more than once")
    if not values or not values[0].strip():
        raise Refusal(400, f"The {name} header is missing")
    return values[0].strip()
