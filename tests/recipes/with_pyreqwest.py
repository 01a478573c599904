"""
pyreqwest, as an example of a client that is neither aiohttp nor httpx: `credentials()`, and `invalidate` after a 401.

Install ``pyreqwest``. A middleware of its own signs requests to the API's origin, and sends a refused one again, once. The same
few lines fit any other client. All requests share one login.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.middleware import Next
from pyreqwest.middleware.types import Middleware
from pyreqwest.request import Request
from pyreqwest.response import Response
from yarl import URL

from exterview_auth import ExterviewAuth

UNAUTHORIZED = 401


def copy_of(request: Request) -> Request | None:
    """Return *request* once more, or ``None``: a stream and a multipart form can be sent once."""
    try:
        return request.copy()
    except (AttributeError, RuntimeError):  # which of them depends on the body
        return None


def signing(auth: ExterviewAuth) -> Middleware:
    """Return a middleware that signs requests to *auth*'s origin."""

    async def sign(request: Request, following: Next) -> Response:
        if URL(str(request.url)).origin() != auth.endpoint.origin():
            return await following.run(request)
        again = copy_of(request)  # now, because sending uses a request up
        credentials = await auth.credentials()
        request.headers.update(credentials.headers)
        response = await following.run(request)
        if response.status != UNAUTHORIZED:
            return response
        # It names the token that was sent: if there is a newer one already, this does nothing.
        auth.invalidate(credentials.token)
        if again is None:
            return response  # the next request has the new token
        again.headers.update(await auth.headers())
        return await following.run(again)

    return sign


@asynccontextmanager
async def exterview() -> AsyncIterator[Client]:
    """Yield a client for the API."""
    async with ExterviewAuth.from_env() as auth:
        # No redirects: the client itself would follow them, with the API key, wherever they lead.
        builder = ClientBuilder().with_middleware(signing(auth)).follow_redirects(False)
        async with builder.base_url(str(auth.endpoint.origin())).build() as client:
            yield client


async def main() -> None:
    """Ask who is there."""
    async with exterview() as client:
        response = await client.post("/graphql").body_json({"query": "{ __typename }"}).build().send()
        print(await response.json())


if __name__ == "__main__":
    asyncio.run(main())
