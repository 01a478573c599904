"""aiobotocore's refreshable credentials, beside a plain aiohttp session."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from aiobotocore.credentials import AioDeferredRefreshableCredentials
from aiohttp import ClientSession

from ..harness.api import KEY_HEADER, QUERY, Api, unlimited
from .peer import Client, Peer

# It logs each failed refresh with a traceback, which would go to standard error without a handler.
logging.getLogger("aiobotocore").addHandler(logging.NullHandler())


@asynccontextmanager
async def credentials(api: Api) -> AsyncIterator[Client]:
    """Get the token before each request."""
    async with ClientSession() as logins, ClientSession(connector=unlimited(), headers=KEY_HEADER) as session:

        async def refresh() -> dict[str, str]:
            token, seconds = await api.login(logins)
            expires = datetime.now(UTC) + timedelta(seconds=seconds)
            return {"access_key": "-", "secret_key": "-", "token": token, "expiry_time": expires.isoformat()}

        kept = AioDeferredRefreshableCredentials(refresh, "benchmark")

        async def send(path: str) -> int:
            token = (await kept.get_frozen_credentials()).token
            headers = {"Authorization": f"Bearer {token}"}
            async with session.post(f"{api.root}/{path}", json=QUERY, headers=headers) as response:
                await response.read()
                return response.status

        yield Client(send)


PEERS = [Peer("aiobotocore credentials", "aiohttp", credentials)]
