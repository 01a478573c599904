"""What an account costs in memory: a bound, so that ten thousand of them do not grow unnoticed."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import count

import pytest
from yarl import URL

from exterview_auth import AuthPool, ExterviewAuth, LoginContext, Token

ENDPOINT = URL("http://127.0.0.1:9/graphql")

FIRST, MORE = 100, 500


async def bytes_per_account(length: int, lifetime: float | None) -> float:
    """Return what Python allocates for an account in a pool, with its name and a token of so many characters of its own."""
    numbers = count()

    async def login(_: LoginContext) -> Token:
        return Token(f"{next(numbers):0{length}d}", expires_in=lifetime)

    async with AuthPool(lambda _: ExterviewAuth(login, api_key="key", endpoint=ENDPOINT), maxsize=1024) as pool:

        async def add(more: int) -> None:
            for _ in range(more):
                await pool[f"account-{next(numbers):08d}"].token()
            gc.collect()

        tracemalloc.start()
        try:
            await add(FIRST)
            before = tracemalloc.get_traced_memory()[0]
            await add(MORE)
            return (tracemalloc.get_traced_memory()[0] - before) / MORE
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("length", "lifetime", "most"),
    [(40, None, 1900), (40, 3600.0, 2050), (1000, 3600.0, 3020)],
    ids=["opaque", "with a lifetime", "a JWT"],
)
async def test_an_account_takes_two_kilobytes_and_its_token_once(
    length: int, lifetime: float | None, most: float
) -> None:
    """All owners share what is equal, a renewal is an entry in one heap, and what a login needs is gone with it."""
    assert await bytes_per_account(length, lifetime) < most
