"""Plain httpx, and authentication flows for it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import httpx
from authlib.deprecate import AuthlibDeprecationWarning
from httpx_auth import OAuth2, OAuth2ClientCredentials
from singleflight_auth import AsyncSingleFlightAuth

from ..harness.api import KEY_HEADER, QUERY, STATIC_HEADERS, Api
from ..harness.server import CLIENT_ID, CLIENT_SECRET
from .peer import Client, Peer, Send

with warnings.catch_warnings():
    # It prefers httpx2, which is not httpx, and says so at its import.
    warnings.filterwarnings("ignore", "The httpx module is deprecated", AuthlibDeprecationWarning)
    from authlib.integrations.httpx_client import AsyncOAuth2Client

BASE = "httpx, static headers"

_TLS = httpx.create_ssl_context()  # httpx makes one for each client otherwise, in 20 ms
OPTIONS: dict[str, Any] = {
    "limits": httpx.Limits(max_connections=None),
    "timeout": 60,
    "follow_redirects": True,
    "verify": _TLS,
}
"""As for aiohttp: as many connections as requests, and redirects are followed, unlike httpx's default."""


def sending(client: httpx.AsyncClient, api: Api) -> Send:
    """Post the query through *client*."""

    async def send(path: str) -> int:
        return (await client.post(f"{api.root}/{path}", json=QUERY)).status_code

    return send


@asynccontextmanager
async def static_headers(api: Api) -> AsyncIterator[Client]:
    """Set two headers: a request cannot cost less."""
    async with httpx.AsyncClient(headers=STATIC_HEADERS, **OPTIONS) as client:
        yield Client(sending(client, api))


@asynccontextmanager
async def single_flight(api: Api) -> AsyncIterator[Client]:
    """Use singleflight-auth, which begins without a token, as its documentation allows."""
    kept = ""
    async with httpx.AsyncClient(verify=_TLS) as logins:

        async def refresh() -> str:
            nonlocal kept
            login = await logins.post(api.login_url)
            kept = str(login.raise_for_status().json()["access_token"])
            return kept

        auth = AsyncSingleFlightAuth(get_token=lambda: kept, refresh=refresh, raise_on_max_retries=False)
        async with httpx.AsyncClient(auth=auth, headers=KEY_HEADER, **OPTIONS) as client:
            yield Client(sending(client, api))


class OwnAuth(httpx.Auth):
    """The flow of httpx's documentation: a refused request logs in and is sent again; with a lock, only the first of them logs in."""

    def __init__(self, api: Api, *, locked: bool) -> None:
        self._api, self._token = api, "none"
        self._lock = asyncio.Lock() if locked else None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign and send *request*, twice at most."""
        used = self._token
        request.headers["Authorization"] = f"Bearer {used}"
        response = yield request
        if response.status_code == 401:
            await response.aread()
            async with self._lock or nullcontext():
                if self._lock is None or self._token == used:
                    login = yield httpx.Request("POST", self._api.login_url)
                    await login.aread()
                    self._token = login.raise_for_status().json()["access_token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


@asynccontextmanager
async def own_auth(api: Api, *, locked: bool) -> AsyncIterator[Client]:
    """Use our own flow."""
    async with httpx.AsyncClient(auth=OwnAuth(api, locked=locked), headers=KEY_HEADER, **OPTIONS) as client:
        yield Client(sending(client, api))


@asynccontextmanager
async def client_credentials(api: Api) -> AsyncIterator[Client]:
    """Use httpx-auth, whose tokens are kept for the whole process, and removed here."""
    OAuth2.token_cache.clear()
    auth = OAuth2ClientCredentials(api.token_url, CLIENT_ID, CLIENT_SECRET)
    async with httpx.AsyncClient(auth=auth, headers=KEY_HEADER, **OPTIONS) as client:
        yield Client(sending(client, api))


@asynccontextmanager
async def authlib(api: Api) -> AsyncIterator[Client]:
    """Use client credentials with authlib; the first token must be fetched."""
    async with AsyncOAuth2Client(
        CLIENT_ID,
        CLIENT_SECRET,
        token_endpoint=api.token_url,
        grant_type="client_credentials",
        headers=KEY_HEADER,
        **OPTIONS,
    ) as client:
        yield Client(sending(client, api), sign_in=client.fetch_token)


PEERS = [
    Peer(BASE, "httpx", static_headers, logs_in=False),
    Peer("httpx, static headers again", "httpx", static_headers, logs_in=False),
    Peer("singleflight-auth", "httpx", single_flight),
    Peer("own httpx.Auth with a lock", "httpx", partial(own_auth, locked=True)),
    Peer("own httpx.Auth without", "httpx", partial(own_auth, locked=False)),
    Peer("httpx-auth", "httpx", client_credentials),
    Peer("authlib", "httpx", authlib),
]
