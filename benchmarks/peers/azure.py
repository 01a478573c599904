"""azure-core's pipeline."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import ClientSession
from azure.core import AsyncPipelineClient
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
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


@asynccontextmanager
async def pipeline(api: Api) -> AsyncIterator[Client]:
    """Use only the policies that concern credentials: the default ones cost more."""
    async with ClientSession() as logins, ClientSession(connector=unlimited(), auto_decompress=False) as session:

        async def get_token(*_scopes: str, **_options: Any) -> AccessToken:
            # Each call logs in, because the policy keeps the token.
            token, seconds = await api.login(logins)
            return AccessToken(token, int(time.time()) + seconds)

        # Of a credential the policy calls this method alone.
        credential = cast("AsyncTokenCredential", SimpleNamespace(get_token=get_token))
        policies = [
            HeadersPolicy(KEY_HEADER),
            AsyncRedirectPolicy(),
            AsyncBearerTokenCredentialPolicy(credential, "scope"),
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
