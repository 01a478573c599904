"""google-auth's asynchronous session."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession
from google.auth.aio.credentials import Credentials
from google.auth.aio.transport.aiohttp import Request
from google.auth.aio.transport.sessions import AsyncAuthorizedSession
from google.auth.exceptions import RefreshError

from ..harness.api import KEY_HEADER, QUERY, Api, unlimited
from .peer import Client, Peer

_BODY = json.dumps(QUERY).encode()
_JSON = {"Content-Type": "application/json"}


class LoginCredentials(Credentials):
    """Own credentials: the two methods that the base class requires."""

    def __init__(self, api: Api) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # google-auth annotates little
        self._api = api
        self._expires = 0.0

    async def refresh(self, request: Request) -> None:
        """Log in with the session's transport."""
        response = await request(self._api.login_url, method="POST")
        body = await response.read()
        if response.status_code != 200:
            raise RefreshError(response.status_code)  # type: ignore[no-untyped-call]  # as above
        answer = json.loads(body)
        self.token, self._expires = answer["access_token"], time.monotonic() + answer["expires_in"]

    async def before_request(self, request: Request, _method: str, _url: str, headers: dict[str, str]) -> None:
        """Set a token, after a login if there is none."""
        if time.monotonic() >= self._expires:
            await self.refresh(request)
        await self.apply(headers)  # type: ignore[no-untyped-call]  # as above


@asynccontextmanager
async def authorized_session(api: Api) -> AsyncIterator[Client]:
    """Give the session our transport, with its connections and its API key."""
    http = ClientSession(connector=unlimited(), headers=KEY_HEADER, auto_decompress=False)
    session = AsyncAuthorizedSession(LoginCredentials(api), Request(session=http))

    async def send(path: str) -> int:
        response = await session.request("POST", f"{api.root}/{path}", data=_BODY, headers=_JSON)
        await response.read()
        return response.status_code

    try:
        yield Client(send)
    finally:
        await session.close()


PEERS = [Peer("google-auth aio", "aiohttp", authorized_session)]
