"""
aiohttp-client-cache: answers to queries are kept in a file, one for each account.

Install ``aiohttp-client-cache[sqlite]``. What is in the cache needs no token and no login. Mutations and uploads go through the
second session: a cache would answer a mutation from its memory. The file holds what the API has answered: keep it private.
"""

from __future__ import annotations

import asyncio
import hashlib
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp_client_cache import CachedResponse, CachedSession, SQLiteBackend

from exterview_auth import AuthSession, ExterviewAuth

CREDENTIALS = {b"authorization", b"x-api-key"}


class WithoutCredentials:
    """
    Serializes responses without the credentials of their requests, which the cache would save with them.

    Without it, each request raises ``TypeError`` after it was sent: this library's secrets cannot be pickled.
    """

    loads = staticmethod(pickle.loads)

    @staticmethod
    def dumps(item: Any) -> bytes:
        """Return *item* as bytes."""
        for response in (item, *item.history) if isinstance(item, CachedResponse) else ():
            kept = [header for header in response.request_raw_headers if header[0].lower() not in CREDENTIALS]
            response.request_raw_headers = tuple(kept)
        return pickle.dumps(item)


@asynccontextmanager
async def exterview(auth: ExterviewAuth, directory: Path) -> AsyncIterator[tuple[AuthSession, AuthSession]]:
    """Yield a session for queries, whose answers are kept for a minute, and one for all the rest."""
    # One cache for each account: its keys are made of address and body, and would give one account's answer to another.
    name = hashlib.sha256(auth.account.encode()).hexdigest()
    cache = SQLiteBackend(
        str(directory / f"{name}.sqlite"),
        expire_after=60,
        allowed_methods=("GET", "POST"),
        serializer=WithoutCredentials,
    )
    async with CachedSession(cache=cache) as cached, aiohttp.ClientSession() as plain:
        yield AuthSession(cached, auth), AuthSession(plain, auth)


async def main() -> None:
    """Ask twice, and be answered once by the API."""
    async with ExterviewAuth.from_env() as auth, exterview(auth, Path()) as (queries, _mutations):
        for _ in range(2):
            print(await queries.graphql("query { jobs { title } }"))


if __name__ == "__main__":
    asyncio.run(main())
