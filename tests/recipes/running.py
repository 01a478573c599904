"""How tests run a recipe: as a new process would import it, on a real server, and with a look at what it shows."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import aiohttp
import uvicorn

from exterview_auth.testing import ThreadedEmulator, expect

REQUESTS = 20
"""Requests at once."""


def fresh(name: str) -> ModuleType:
    """Import the recipe *name* again, under the environment of now."""
    module = f"tests.recipes.{name}"
    sys.modules.pop(module, None)
    return importlib.import_module(module)


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI *app* by uvicorn; the base of its URLs."""
    config = uvicorn.Config(app, port=0, lifespan="on", ws="none", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        await server.shutdown()


async def statuses(url: str, count: int = REQUESTS) -> set[int]:
    """Return the statuses of *count* requests at once; those of 200 have a list that is not empty."""
    async with aiohttp.ClientSession() as http:

        async def status() -> int:
            async with http.get(url) as answer:
                assert answer.status != 200 or await answer.json()
                return answer.status

        return await at_once(status, count)


async def at_once(status: Callable[[], Awaitable[int]], count: int = REQUESTS) -> set[int]:
    """Return what *count* calls of *status* at once return."""
    return set(await asyncio.gather(*(status() for _ in range(count))))


async def one_login_per_storm(exterview: ThreadedEmulator, storm: Callable[[], Awaitable[set[int]]]) -> None:
    """Make sure that *storm*, which returns statuses, costs one login at the start and one after a revocation; nobody notices."""
    with expect(exterview, refused=0):
        assert await storm() == {200}
    assert exterview.logins == 1
    exterview.revoke()
    assert await storm() == {200}
    assert exterview.logins == 2


async def refusal(url: str) -> tuple[int, str | None, str]:
    """Return status, ``Retry-After`` and body of a request that fails."""
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, answer.headers.get("Retry-After"), await answer.text()


def hides_secrets(text: str, exterview: ThreadedEmulator) -> bool:
    """Whether *text* holds neither the key nor the password."""
    return exterview.api_key not in text and exterview.password not in text
