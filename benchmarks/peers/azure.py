"""azure-core's pipeline."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from aiohttp import ClientSession
from azure.core import AsyncPipelineClient
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    AsyncRedirectPolicy,
    HeadersPolicy,
    SensitiveHeaderCleanupPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from ..harness.api import KEY_HEADER, QUERY, Api, unlimited
from .peer import Client, Peer


class LoginCredential:
    """Logs in for the policy."""

    def __init__(self, api: Api, session: ClientSession) -> None:
        self._api = api
        self._session = session

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """Log in each time, because the policy keeps the token."""
        token, seconds = await self._api.login(self._session)
        return AccessToken(token, int(time.time()) + seconds)

    async def close(self) -> None:
        """Do nothing: the session belongs to the caller."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()


@asynccontextmanager
async def pipeline(api: Api) -> AsyncIterator[Client]:
    """Use only the policies that concern credentials: the default ones cost more."""
    async with ClientSession() as logins, ClientSession(connector=unlimited(), auto_decompress=False) as session:
        policies = [
            HeadersPolicy(KEY_HEADER),
            AsyncRedirectPolicy(),
            AsyncBearerTokenCredentialPolicy(LoginCredential(api, logins), "scope"),
            SensitiveHeaderCleanupPolicy(),
        ]
        transport = AioHttpTransport(session=session, session_owner=False)
        async with AsyncPipelineClient[HttpRequest, AsyncHttpResponse](
            str(api.root), policies=policies, transport=transport
        ) as client:

            async def send(path: str) -> int:
                request = HttpRequest("POST", f"{api.root}/{path}", json=QUERY)
                response = await client.send_request(request, enforce_https=False)
                await response.read()
                return response.status_code

            yield Client(send)


PEERS = [Peer("azure-core", "aiohttp", pipeline)]
