"""
The steps that any correct middleware takes beside two header sets, added one by one: what each of them costs at least.

Each is written out as a whole: a call of a common part would cost more than most of the steps.
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
    """An object that is called, as a middleware with a state is."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.until = boot_time() + 3600
        self.under_way: dict[ClientRequest, None] = {}
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


class _OfOneOrigin(_Called):
    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.url is not self.url:
            return await handler(request)
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        return await handler(request)


class _WithAnEye(_Called):
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


class _Known(_Called):
    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.url is not self.url:
            return await handler(request)
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        self.under_way[request] = None
        try:
            response = await handler(request)
        finally:
            self.under_way.pop(request)
        self.refused = response.status == 401
        return response


class _Timed(_Known):
    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.url is not self.url or boot_time() >= self.until:
            return await handler(request)
        headers = request.headers
        headers[_AUTHORIZATION] = _BEARER
        headers[_X_API_KEY] = API_KEY
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        self.under_way[request] = None
        try:
            response = await handler(request)
        finally:
            self.under_way.pop(request)
        self.refused = response.status == 401
        return response


def steps(url: URL) -> dict[str, Middleware]:
    """Each with the steps before it, too."""
    return {
        "+ by an object, not a function": _Called(url),
        "+ a content type where there is none": _Typed(url),
        "+ to one origin alone": _OfOneOrigin(url),
        "+ a look at the answer's status": _WithAnEye(url),
        "+ known while it is under way": _Known(url),
        "+ a look at the clock": _Timed(url),
    }
