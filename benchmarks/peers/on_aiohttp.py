"""Plain aiohttp, this library, and other middlewares for aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession
from aiohttp_oauth2_client.grant.client_credentials import ClientCredentialsGrant
from aiohttp_oauth2_client.middleware import OAuth2Middleware

from exterview_auth import AuthSession, ExterviewAuth, OAuth2Login

from ..harness.api import KEY_HEADER, QUERY, STATIC_HEADERS, Api, unlimited
from ..harness.server import API_KEY, CLIENT_ID, CLIENT_SECRET
from .peer import Client, Peer, Send

BASE = "aiohttp, static headers"


def sending(session: ClientSession | AuthSession, api: Api) -> Send:
    """Post the query through *session*."""

    async def send(path: str) -> int:
        async with session.post(f"{api.root}/{path}", json=QUERY) as response:
            await response.read()
            return response.status

    return send


@asynccontextmanager
async def static_headers(api: Api) -> AsyncIterator[Client]:
    """Set two headers: a request cannot cost less."""
    async with ClientSession(connector=unlimited(), headers=STATIC_HEADERS) as session:
        yield Client(sending(session, api))


def _owner(api: Api) -> ExterviewAuth:
    login = OAuth2Login(api.token_url, CLIENT_ID, CLIENT_SECRET)
    return ExterviewAuth(login, api_key=API_KEY, endpoint=f"{api.root}/graphql", login_timeout=api.login_timeout)


@asynccontextmanager
async def middleware(api: Api, **options: Any) -> AsyncIterator[Client]:
    """Use `ExterviewAuth` as the session's middleware."""
    async with _owner(api) as auth, ClientSession(connector=unlimited(), middlewares=(auth,), **options) as session:
        yield Client(sending(session, api))


@asynccontextmanager
async def auth_session(api: Api, **options: Any) -> AsyncIterator[Client]:
    """Use `AuthSession` around a plain session."""
    async with _owner(api) as auth, ClientSession(connector=unlimited(), **options) as session:
        yield Client(sending(AuthSession(session, auth), api))


class Cookbook:
    """The middleware of aiohttp's documentation: a lock, one renewal for all requests refused with the same token, a second try."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._token = "none"
        self._lock = asyncio.Lock()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Sign and send *request*, twice at most."""
        used = self._token
        response = await self._signed(request, handler)
        if response.status != 401:
            return response
        async with self._lock:
            if self._token == used:
                await self._renew(request.session)
        return await self._signed(request, handler)

    async def _signed(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return await handler(request)

    async def _renew(self, session: ClientSession) -> None:
        async with session.post(self._api.login_url, middlewares=(), raise_for_status=True) as response:
            self._token = (await response.json())["access_token"]


@asynccontextmanager
async def cookbook(api: Api) -> AsyncIterator[Client]:
    """Use the middleware of the documentation."""
    async with ClientSession(connector=unlimited(), headers=KEY_HEADER, middlewares=(Cookbook(api),)) as session:
        yield Client(sending(session, api))


@asynccontextmanager
async def oauth2_client(api: Api) -> AsyncIterator[Client]:
    """Use the middleware of aiohttp-oauth2-client."""
    async with (
        ClientCredentialsGrant(api.token_url, CLIENT_ID, CLIENT_SECRET) as grant,
        ClientSession(connector=unlimited(), headers=KEY_HEADER, middlewares=(OAuth2Middleware(grant),)) as session,
    ):
        yield Client(sending(session, api))


PEERS = [
    Peer(BASE, "aiohttp", static_headers, logs_in=False),
    Peer("aiohttp, static headers again", "aiohttp", static_headers, logs_in=False),
    Peer("ExterviewAuth", "aiohttp", middleware, also_redirected=(partial(middleware, headers=KEY_HEADER),)),
    Peer("AuthSession", "aiohttp", auth_session, also_redirected=(partial(auth_session, headers=KEY_HEADER),)),
    Peer("aiohttp's cookbook", "aiohttp", cookbook),
    Peer("aiohttp-oauth2-client", "aiohttp", oauth2_client),
]
