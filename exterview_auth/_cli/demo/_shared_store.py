"""The store that the demo's processes share, and the place where it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
async def opened_place(kind: StoreKind) -> AsyncIterator[StoreAddress]:
    """A redis-server, or a directory, that is gone afterwards; `ConfigurationError` where a store cannot use it."""
    async with _place(kind) as where:
        address = StoreAddress(kind, where)
        async with opened_store(address):
            pass  # what is missing is said once and here, not by every process
        yield address


@asynccontextmanager
async def _place(kind: StoreKind) -> AsyncIterator[str]:
    if kind is StoreKind.REDIS:
        async with LocalRedis() as redis:
            yield redis.url
    else:
        with TemporaryDirectory(prefix="exterview-auth-tokens-") as directory:
            yield directory


@asynccontextmanager
async def opened_store(address: StoreAddress) -> AsyncIterator[TokenStore]:
    """The store at *address*, for this process."""
    from exterview_auth import FileStore, RedisStore  # noqa: PLC0415 - they load libraries of their own

    store = RedisStore(address.where) if address.kind is StoreKind.REDIS else FileStore(address.where)
    async with store:
        yield store
