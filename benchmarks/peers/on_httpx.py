"""Plain httpx, and authentication flows for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from httpx_auth import OAuth2, OAuth2ClientCredentials
from singleflight_auth import AsyncSingleFlightAuth

from ..harness.api import KEY_HEADER, QUERY, STATIC_HEADERS, Api
from ..harness.server import CLIENT_ID, CLIENT_SECRET
from .peer import Client, Peer, Send

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


async def logged_in(client: httpx.AsyncClient, api: Api) -> str:
    """Log in; return the token."""
    response = await client.post(api.login_url)
    response.raise_for_status()
    token: str = response.json()["access_token"]
    return token


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
            kept = await logged_in(logins, api)
            return kept

        auth = AsyncSingleFlightAuth(get_token=lambda: kept, refresh=refresh, raise_on_max_retries=False)
        async with httpx.AsyncClient(auth=auth, headers=KEY_HEADER, **OPTIONS) as client:
            yield Client(sending(client, api))


class Unlocked(httpx.Auth):
    """The flow of httpx's documentation: a refused request logs in and is sent again."""

    requires_response_body = True

    def __init__(self, api: Api) -> None:
        self._api = api
        self._token = "none"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign and send *request*, twice at most."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == 401:
            login = yield httpx.Request("POST", self._api.login_url)
            login.raise_for_status()
            self._token = login.json()["access_token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


class Locked(httpx.Auth):
    """The same with a lock around the login, and a check whether another request has logged in already."""

    def __init__(self, api: Api, logins: httpx.AsyncClient) -> None:
        self._api = api
        self._logins = logins
        self._token = "none"
        self._lock = asyncio.Lock()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign and send *request*, twice at most."""
        used = self._token
        request.headers["Authorization"] = f"Bearer {used}"
        response = yield request
        if response.status_code == 401:
            await response.aread()
            async with self._lock:
                if self._token == used:
                    self._token = await logged_in(self._logins, self._api)
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request


@asynccontextmanager
async def unlocked(api: Api) -> AsyncIterator[Client]:
    """Use our own flow without a lock."""
    async with httpx.AsyncClient(auth=Unlocked(api), headers=KEY_HEADER, **OPTIONS) as client:
        yield Client(sending(client, api))


@asynccontextmanager
async def locked(api: Api) -> AsyncIterator[Client]:
    """Use our own flow with a lock."""
    async with (
        httpx.AsyncClient(verify=_TLS) as logins,
        httpx.AsyncClient(auth=Locked(api, logins), headers=KEY_HEADER, **OPTIONS) as client,
    ):
        yield Client(sending(client, api))


@asynccontextmanager
async def client_credentials(api: Api) -> AsyncIterator[Client]:
    """Use httpx-auth, whose tokens are kept for the whole process, and removed here."""
    OAuth2.token_cache.clear()
    auth = OAuth2ClientCredentials(api.token_url, CLIENT_ID, CLIENT_SECRET)
    async with httpx.AsyncClient(auth=auth, headers=KEY_HEADER, **OPTIONS) as client:
        yield Client(sending(client, api))


PEERS = [
    Peer(BASE, "httpx", static_headers, logs_in=False),
    Peer("httpx, static headers again", "httpx", static_headers, logs_in=False),
    Peer("singleflight-auth", "httpx", single_flight),
    Peer("own httpx.Auth with a lock", "httpx", locked),
    Peer("own httpx.Auth without", "httpx", unlocked),
    Peer("httpx-auth", "httpx", client_credentials),
]
