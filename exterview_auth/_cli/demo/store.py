"""The store that the demo's processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from tempfile import TemporaryDirectory

from exterview_auth import TokenStore

from .redis_server import LocalRedis


class StoreKind(StrEnum):
    """Which of the library's stores."""

    REDIS = "redis"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is: a URL or a directory."""

    kind: StoreKind
    where: str


@asynccontextmanager
async def temporary_store(kind: StoreKind) -> AsyncIterator[StoreAddress]:
    """Start a redis-server, or make a directory, that is gone after the block."""
    async with AsyncExitStack() as stack:
        if kind is StoreKind.REDIS:
            where = (await stack.enter_async_context(LocalRedis())).url
        else:
            where = stack.enter_context(TemporaryDirectory(prefix="exterview-auth-tokens-"))
        address = StoreAddress(kind, where)
        # Opened here once, so that a missing library is reported before any process starts, and once.
        async with opened_store(address):
            pass
        yield address


@asynccontextmanager
async def opened_store(address: StoreAddress) -> AsyncIterator[TokenStore]:
    """Open the store at *address*; raises `ConfigurationError` if a library is missing."""
    from exterview_auth import FileStore, RedisStore  # noqa: PLC0415 - they load other libraries

    store = RedisStore(address.where) if address.kind is StoreKind.REDIS else FileStore(address.where)
    async with store:
        yield store
