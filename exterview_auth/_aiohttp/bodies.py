"""Bodies: which requests can be sent twice, and answers that are read early and stay readable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeGuard

from aiohttp import ClientRequest, ClientResponse, ClientSession, FormData, MultipartWriter, Payload, hdrs
from multidict import CIMultiDict

from .._calls import awaited, is_being_cancelled
from .._secret import pieces_of
from ..errors import ConfigurationError
from .internals import already_read, put_back, stream_of, was_consumed

BodyFactory = Callable[[], Any]

_FORM_TYPES = (FormData, MultipartWriter, dict, list, tuple)


def is_factory(data: object) -> TypeGuard[BodyFactory]:
    """Whether *data* makes bodies rather than being one: `FormData` is callable too, and is a body."""
    return callable(data) and not isinstance(data, FormData | Payload)


async def made_by(factory: BodyFactory) -> Any:
    """Return a new body. Raises what *factory* raises, and `ConfigurationError` if it cancels itself."""
    try:
        return await awaited(factory())
    except asyncio.CancelledError:
        if is_being_cancelled():
            raise
    raise ConfigurationError("the body factory ended by cancelling itself; let it return a body or raise an error")


def can_be_sent_again(request: ClientRequest) -> bool:
    """Whether aiohttp still has the whole body: a stream that was begun is gone."""
    return not was_consumed(request)


async def replace(request: ClientRequest, factory: BodyFactory) -> None:
    """Give *request* a new body. A form's content type is replaced too, because it names the form's boundary."""
    body = await made_by(factory)
    if isinstance(body, _FORM_TYPES):
        request.headers.popall(hdrs.CONTENT_TYPE, None)
    await request.update_body(body)


def name_json(session: ClientSession, arguments: dict[str, Any]) -> None:
    """
    Name JSON as the content type of a request to the API, if neither the caller nor *session* names one.

    aiohttp would say ``application/octet-stream`` or ``text/plain`` for bytes and text. A form names its own type, and
    without ``data=`` the middleware and aiohttp do.
    """
    data = arguments.get("data")
    if data is None or isinstance(data, _FORM_TYPES) or hasattr(data, "items"):
        return
    if isinstance(data, Payload) and data.content_type != "application/octet-stream":
        return
    headers = CIMultiDict(arguments.get("headers") or {})
    if hdrs.CONTENT_TYPE not in headers and hdrs.CONTENT_TYPE not in session.headers:
        headers[hdrs.CONTENT_TYPE] = "application/json"
        arguments["headers"] = headers


async def read_ahead(response: ClientResponse, limit: int) -> bytes | None:
    """
    Return the whole body, which stays readable as text, JSON and stream; ``None`` if it is longer than *limit* bytes.

    What was read of a longer body is put back, and its reader continues from there. Raises what reading a body raises. An
    interruption leaves no connection behind: the response is closed, as by aiohttp's own ``read()``.
    """
    read = already_read(response)
    if read is not None:
        return read if len(read) <= limit else None
    try:
        pieces, whole = await pieces_of(response.content, limit)
    except BaseException:
        response.close()
        raise
    body = b"".join(pieces)
    if not whole:
        put_back(response.content, body)
        return None
    response.content = stream_of(body)
    return body
