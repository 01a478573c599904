"""authlib's client on httpx."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from authlib.deprecate import AuthlibDeprecationWarning

from ..harness.api import KEY_HEADER, Api
from ..harness.server import CLIENT_ID, CLIENT_SECRET
from .on_httpx import OPTIONS, sending
from .peer import Client, Peer

with warnings.catch_warnings():
    # It prefers httpx2, which is not httpx, and says so at its import.
    warnings.filterwarnings("ignore", "The httpx module is deprecated", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import AsyncOAuth2Client


@asynccontextmanager
async def oauth2_client(api: Api) -> AsyncIterator[Client]:
    """Use client credentials; the first token must be fetched."""
    client = AsyncOAuth2Client(
        CLIENT_ID,
        CLIENT_SECRET,
        token_endpoint=api.token_url,
        grant_type="client_credentials",
        headers=KEY_HEADER,
        **OPTIONS,
    )
    async with client:
        yield Client(sending(client, api), sign_in=client.fetch_token)


PEERS = [Peer("authlib", "httpx", oauth2_client)]
