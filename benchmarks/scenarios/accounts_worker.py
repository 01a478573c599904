"""
Accounts in memory, in a process of their own: ``python -m benchmarks.scenarios.accounts_worker NAME KIND COUNT``.

It prints one line of JSON: bytes per account, and how many logins there were.
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
WARM_UP = 50
"""Accounts that are there before the others are counted."""

_NUMBERS = itertools.count()
Growth = tuple[Callable[[int], Awaitable[None]], Callable[[], int]]
"""What adds so many accounts, and what tells how many logins there were."""


def _names(count: int) -> list[str]:
    return [f"account-{next(_NUMBERS):08d}" for _ in range(count)]


def _token() -> Token:
    return Token(f"token-{next(_NUMBERS):08d}", expires_in=LIFETIME)


async def _login(_: LoginContext) -> Token:
    return _token()


def _owner(_: str) -> ExterviewAuth:
    return ExterviewAuth(_login, api_key=API_KEY, endpoint=ENDPOINT)


@asynccontextmanager
async def _in_a_dict(_: int) -> AsyncIterator[Growth]:
    tokens: dict[str, Token] = {}

    async def grow(more: int) -> None:
        tokens.update((name, _token()) for name in _names(more))

    yield grow, lambda: 0


@asynccontextmanager
async def _pool_of(count: int, *, signs_in: bool) -> AsyncIterator[Growth]:
    names: list[str] = []

    async def grow(more: int) -> None:
        added = _names(more)
        names.extend(added)
        for name in added:
            owner = pool[name]
            if signs_in:
                await owner.token()

    async with AuthPool(_owner, maxsize=count + WARM_UP) as pool:
        yield grow, lambda: sum(pool[name].stats().logins for name in names)


BASE = "a name and its Token in a dict"
SIGNED_IN = "in the pool, signed in"
SUBJECTS: dict[str, Callable[[int], AbstractAsyncContextManager[Growth]]] = {
    BASE: _in_a_dict,
    f"{BASE} again": _in_a_dict,
    "in the pool, not signed in": lambda count: _pool_of(count, signs_in=False),
    SIGNED_IN: lambda count: _pool_of(count, signs_in=True),
}


async def _main(name: str, kind: str, count: int) -> None:
    async with SUBJECTS[name](count) as (grow, logins):
        size = await bytes_each(kind, count, grow, warm_up=WARM_UP)
        print(json.dumps({"bytes": size, "logins": max(0, logins() - WARM_UP)}))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
