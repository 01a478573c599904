"""
The steps that any correct middleware takes beside two header sets, added one by one: the minimum that each of them costs.

Each is written out in full on purpose: calling a common part would cost more than most of the steps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from multidict import istr
from yarl import URL

from exterview_auth._clock import boot_time

from ..harness.server import API_KEY, FIXED_TOKEN

Middleware = Callable[[ClientRequest, ClientHandlerType], Awaitable[ClientResponse]]

_AUTHORIZATION, _X_API_KEY, _CONTENT_TYPE = istr("Authorization"), istr("x-api-key"), istr("Content-Type")
_BEARER = f"Bearer {FIXED_TOKEN}"


class _Called:
    """An object that is called, like a middleware with state."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.until = boot_time() + 3600
        self.in_flight: dict[ClientRequest, None] = {}
        self.refused = False

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        return await handler(request)


class _Typed(_Called):
    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        return await handler(request)


class _OneOrigin(_Called):
    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.url is not self.url:
            return await handler(request)
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        return await handler(request)


class _ChecksStatus(_Called):
    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.url is not self.url:
            return await handler(request)
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        response = await handler(request)
        self.refused = response.status == 401
        return response


class _Tracked(_Called):
    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.url is not self.url:
            return await handler(request)
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        self.in_flight[request] = None
        try:
            response = await handler(request)
        finally:
            self.in_flight.pop(request)
        self.refused = response.status == 401
        return response


class _Timed(_Tracked):
    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.url is not self.url or boot_time() >= self.until:
            return await handler(request)
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        self.in_flight[request] = None
        try:
            response = await handler(request)
        finally:
            self.in_flight.pop(request)
        self.refused = response.status == 401
        return response


def steps(url: URL) -> dict[str, Middleware]:
    """Return each step, together with those before it."""
    return {
        "+ an object instead of a function": _Called(url),
        "+ a content type if there is none": _Typed(url),
        "+ for one origin only": _OneOrigin(url),
        "+ a check of the status": _ChecksStatus(url),
        "+ tracked while in flight": _Tracked(url),
        "+ a check of the clock": _Timed(url),
    }
