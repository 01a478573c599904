"""
httpx: an ``AsyncClient`` with the credentials of one owner.

Install the extra ``httpx`` of ``exterview-auth``; httpx2 works in the same way. Open the client once, when the application starts.
A login that fails raises this library's errors, which are no ``httpx.HTTPError``. httpx's timeouts do not run while a request
waits for a login: `login_timeout` bounds that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from exterview_auth import ExterviewAuth
from exterview_auth.httpx import HttpxAuth


@asynccontextmanager
async def exterview() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client for the API's origin. It may send requests elsewhere too: they carry no credential."""
    async with ExterviewAuth.from_env() as auth:
        # `timeout`: by default, httpx gives up after 5 s of waiting for one of its 100 connections.
        origin, timeout = str(auth.endpoint.origin()), httpx.Timeout(10, pool=60)
        async with httpx.AsyncClient(auth=HttpxAuth(auth), base_url=origin, timeout=timeout) as client:
            yield client


async def main() -> None:
    """Ask who is there."""
    async with exterview() as client:
        answer = await client.post("/graphql", json={"query": "{ __typename }"})
        print(answer.raise_for_status().json())


if __name__ == "__main__":
    asyncio.run(main())
