"""Stores that count what they do, by no means that costs a command or a system call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from exterview_auth import FileStore, Token
from exterview_auth.stores._entry import StoredToken
from exterview_auth.stores._lock import AccountLock

T = TypeVar("T")


class CountedFileStore(FileStore):
    """Counts loads and saves, those under the account's lock too."""

    def __init__(self, directory: str, lease: float, counts: Counter[str]) -> None:
        super().__init__(directory, lease=lease)
        self._counts = counts

    async def read(self, account: str) -> StoredToken:
        """What is kept."""
        return await self._counted("loads", super().read)(account)

    async def save(self, account: str, token: Token) -> Token | None:
        """Keep *token*."""
        return await self._counted("saves", super().save)(account, token)

    def account_lock(self, account: str) -> AccountLock:
        """An attempt to get the account's lock, whose loads and saves count."""
        lock = super().account_lock(account)
        lock.read = self._counted("loads", lock.read)
        lock.save = self._counted("saves", lock.save)
        return lock

    def _counted(self, name: str, call: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Coroutine[Any, Any, T]]:
        def counted(*arguments: Any) -> Coroutine[Any, Any, T]:
            self._counts[name] += 1
            return call(*arguments)

        return counted


class Watch:
    """What this process does in threads, and the ports from which it calls Redis: Redis tells what came from each."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.ports: list[int] = []

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count from now on."""
        run_in_executor: Callable[..., Any] = loop.run_in_executor
        open_connection: Callable[..., Any] = asyncio.open_connection

        def counted(*arguments: Any) -> Any:
            self.counts["calls"] += 1
            return run_in_executor(*arguments)

        async def noted(*arguments: Any, **options: Any) -> Any:
            reader, writer = await open_connection(*arguments, **options)
            self.ports.append(writer.get_extra_info("sockname")[1])
            return reader, writer

        loop.run_in_executor = counted  # type: ignore[method-assign, assignment]  # every look at a file goes through it
        asyncio.open_connection = noted  # every connection of redis-py does, and no other one here
