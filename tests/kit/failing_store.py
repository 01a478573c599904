"""A store that fails as a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from exterview_auth import Token


class FailingStore:
    """A store that works until `faults` says otherwise: each method may raise or hang."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.faults: dict[str, Any] = {}
        self.calls: list[str] = []

    async def before(self, name: str) -> None:
        """Do what goes wrong with a call, or nothing."""
        self.calls.append(name)
        fault = self.faults.get(name)
        if isinstance(fault, BaseException):
            raise fault
        if fault == "hang":
            await asyncio.sleep(1e6)

    async def load(self, account: str) -> Any:
        await self.before("load")
        return self.entries.get(account)

    async def save(self, account: str, token: Token) -> None:
        await self.before("save")
        self.entries[account] = token

    async def delete(self, account: str) -> None:
        await self.before("delete")
        self.entries.pop(account, None)

    @contextlib.asynccontextmanager
    async def lock(self, account: str) -> AsyncIterator[None]:
        await self.before("lock")
        yield
        await self.before("unlock")
