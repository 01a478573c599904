"""Request bodies: which can be sent twice, and how a factory's is made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeGuard

from aiohttp import ClientRequest, FormData, MultipartWriter, hdrs
from aiohttp.payload import Payload

from .._calls import awaited, is_being_cancelled
from ..errors import ConfigurationError

BodyFactory = Callable[[], Any]

_FORM_TYPES = (FormData, MultipartWriter, dict, list, tuple)


def is_factory(data: object) -> TypeGuard[BodyFactory]:
    """Whether *data* makes bodies rather than being one (`FormData` is callable too, and is one)."""
    return callable(data) and not isinstance(data, FormData | Payload)


async def made_by(factory: BodyFactory) -> Any:
    """A new body. Raises what *factory* raises, and `ConfigurationError` where it cancels itself."""
    try:
        return await awaited(factory())
    except asyncio.CancelledError:
        if is_being_cancelled():
            raise
    raise ConfigurationError("the body factory ended by cancelling itself; let it return a body or raise an error")


async def first_made_by(factory: BodyFactory, seconds: float | None) -> Any:
    """The body of the first sending, in the time that the whole request has: aiohttp does not count yet."""
    async with asyncio.timeout(seconds):
        return await made_by(factory)


def can_be_sent_again(request: ClientRequest) -> bool:
    """Whether aiohttp still has the whole body: a stream that was begun is gone."""
    return not getattr(request.body, "consumed", False)


async def replace(request: ClientRequest, factory: BodyFactory) -> None:
    """Give *request* a new body; a form's content type goes with its boundary."""
    body = await made_by(factory)
    if isinstance(body, _FORM_TYPES):
        request.headers.popall(hdrs.CONTENT_TYPE, None)
    await request.update_body(body)


def is_json(data: object) -> bool:
    """Whether the API takes *data* as JSON where the caller names no content type: anything but a form."""
    if isinstance(data, _FORM_TYPES) or hasattr(data, "items"):
        return False
    return not isinstance(data, Payload) or data.content_type == "application/octet-stream"
