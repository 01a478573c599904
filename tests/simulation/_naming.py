"""Whose request a task sends."""

from __future__ import annotations

from contextvars import ContextVar

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

NAME = "X-Name"
naming: ContextVar[str] = ContextVar("name")
"""The name of the running task's request."""


async def name(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Name each request, and each hop of it: the outermost middleware."""
    request.headers[NAME] = naming.get("nobody's")
    return await handler(request)
