"""A running emulator, and sessions that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import ClientSession

from exterview_auth.emulator import Emulator
from tests.kit.emulator import credentials


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Run an emulator on a free port."""
    async with Emulator() as emulator:
        yield emulator


@pytest_asyncio.fixture
async def http() -> AsyncIterator[ClientSession]:
    """Open a session without credentials."""
    async with ClientSession() as session:
        yield session


@pytest_asyncio.fixture
async def api(emulator: Emulator) -> AsyncIterator[ClientSession]:
    """Open a session on the emulator's origin, with good credentials in every request."""
    origin = emulator.endpoint.removesuffix("graphql")
    async with ClientSession(origin, headers=credentials(emulator)) as session:
        yield session
