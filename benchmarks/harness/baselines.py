"""Middlewares of a few lines to compare with."""

from __future__ import annotations

import asyncio

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from multidict import istr

from .server import API_KEY, FIXED_TOKEN

_AUTHORIZATION, _X_API_KEY = istr("Authorization"), istr("x-api-key")
_BEARER = f"Bearer {FIXED_TOKEN}"


async def cheapest(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Set two headers: a token that can change cannot cost less."""
    headers = request.headers
    headers[_AUTHORIZATION] = _BEARER
    headers[_X_API_KEY] = API_KEY
    return await handler(request)


async def sends_twice(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send each request twice, as in a storm in which each is refused once, but without a login and without waiting."""
    response = await handler(request)
    await response.read()
    return await handler(request)


class Parked:
    """Makes requests wait for one event, each with its own future: the least that waiting can cost."""

    def __init__(self, gate: asyncio.Event) -> None:
        self._gate = gate

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request* once the event is set."""
        await self._gate.wait()
        return await cheapest(request, handler)


class Shielded:
    """Makes requests wait for one task, each behind its own shield: the obvious way to write single flight."""

    def __init__(self, task: asyncio.Task[bool]) -> None:
        self._task = task

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request* once the task is done."""
        await asyncio.shield(self._task)
        return await cheapest(request, handler)
