"""
Accounts in memory, in a separate process.

``python -m benchmarks.scenarios.accounts_worker NAME KIND COUNT`` prints one line of JSON: bytes per account, and how many
logins there were.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from exterview_auth import AuthPool, ExterviewAuth, LoginContext, Token

from ..harness.growth import bytes_each
from ..harness.server import API_KEY

ENDPOINT = "http://127.0.0.1:9/graphql"
LIFETIME = 3600.0
SHORT, LONG = 40, 1000
"""Characters of a token: an opaque one, and a JWT."""
WARM_UP = 50
"""Accounts that exist before the others are counted."""

_NUMBERS = itertools.count()
Growth = tuple[Callable[[int], Awaitable[None]], Callable[[], int]]
"""Adds so many accounts, and counts the logins."""


def _names(count: int) -> list[str]:
    return [f"account-{next(_NUMBERS):08d}" for _ in range(count)]


def _token(length: int) -> Token:
    return Token(f"{next(_NUMBERS):0{length}d}", expires_in=LIFETIME)


@asynccontextmanager
async def _in_a_dict(_: int, *, length: int = SHORT) -> AsyncIterator[Growth]:
    tokens: dict[str, Token] = {}

    async def grow(more: int) -> None:
        tokens.update((name, _token(length)) for name in _names(more))

    yield grow, lambda: 0


@asynccontextmanager
async def _in_a_pool(count: int, *, logs_in: bool, length: int = SHORT) -> AsyncIterator[Growth]:
    names: list[str] = []

    async def login(_: LoginContext) -> Token:
        return _token(length)

    async def grow(more: int) -> None:
        added = _names(more)
        names.extend(added)
        for name in added:
            owner = pool[name]
            if logs_in:
                await owner.token()

    def owner(_: str) -> ExterviewAuth:
        return ExterviewAuth(login, api_key=API_KEY, endpoint=ENDPOINT)

    async with AuthPool(owner, maxsize=count + WARM_UP) as pool:
        yield grow, lambda: sum(pool[name].stats().logins for name in names)


BASE = "a name and its Token in a dict"
SUBJECTS: dict[str, Callable[[int], AbstractAsyncContextManager[Growth]]] = {
    BASE: _in_a_dict,
    f"{BASE} again": _in_a_dict,
    "in the pool, not logged in": lambda count: _in_a_pool(count, logs_in=False),
    "in the pool, logged in": lambda count: _in_a_pool(count, logs_in=True),
    f"{BASE}, of {LONG} characters": lambda count: _in_a_dict(count, length=LONG),
    f"in the pool, logged in, token of {LONG} characters": lambda count: _in_a_pool(count, logs_in=True, length=LONG),
}


async def _main(name: str, kind: str, count: int) -> None:
    async with SUBJECTS[name](count) as (grow, logins):
        size = await bytes_each(kind, count, grow, warm_up=WARM_UP)
        print(json.dumps({"bytes": size, "logins": max(0, logins() - WARM_UP)}))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
