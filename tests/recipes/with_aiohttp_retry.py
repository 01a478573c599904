"""
aiohttp-retry: answers of 5xx and lost connections are tried again, and refused tokens are renewed.

Install ``aiohttp-retry``. Keep the two apart: a 401 and the login belong to this library, which tries a login again itself, for
as long as `login_timeout`. Do not put 401 into ``statuses``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp_retry import ExponentialRetry, RetryClient

from exterview_auth import ExterviewAuth

RETRIES = ExponentialRetry(
    attempts=3,
    # Not `ClientError`, from which this library's errors derive: while the login is down, each of the three attempts would wait
    # for a login anew, and a login that was refused would be asked for three times.
    exceptions={aiohttp.ClientConnectionError, TimeoutError},
    # A mutation may have taken effect before its connection was lost. Leave POST out if yours must not run twice.
    methods={"GET", "HEAD", "POST"},
)


@asynccontextmanager
async def exterview() -> AsyncIterator[RetryClient]:
    """Yield a client that tries again. Leaving the block closes its session."""
    async with ExterviewAuth.from_env() as auth:
        session = aiohttp.ClientSession(auth.endpoint.origin(), middlewares=(auth,))
        async with RetryClient(client_session=session, retry_options=RETRIES) as client:
            yield client


async def main() -> None:
    """Ask who is there."""
    query = {"query": "{ __typename }"}
    async with exterview() as client, client.post("/graphql", json=query, raise_for_status=True) as response:
        print(await response.json())


if __name__ == "__main__":
    asyncio.run(main())
