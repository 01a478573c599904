"""Bodies: which requests can be sent twice, and answers that are read early and stay readable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard

from aiohttp import ClientRequest, ClientResponse, ClientSession, FormData, MultipartWriter, Payload, get_payload, hdrs
from aiohttp.payload import BytesPayload, JsonBytesPayload, JsonPayload, StringPayload
from aiohttp.payload import LookupError as UnknownBodyError
from multidict import CIMultiDict

from .._calls import awaited, is_being_cancelled, within
from .._secret import SecretBytes, read_pieces
from ..errors import ConfigurationError
from .internals.answers import already_read, put_back, stream_of
from .internals.requests import was_consumed

BodyFactory = Callable[[], Any]

AT_HAND: frozenset[object] = frozenset({bytes, BytesPayload, StringPayload, JsonPayload, JsonBytesPayload})
"""What aiohttp writes in one step with the head. Any other body may take a while to begin."""
READ_AHEAD_TIME = 1.0
"""Seconds for which an answer is held back at most: it may be a stream that does not end."""
JSON = "application/json"
_FORM_TYPES = (FormData, MultipartWriter, dict, list, tuple)


class BodyMaker(NamedTuple):
    """A body factory, and what else its caller said of the bodies: aiohttp changes that with each one."""

    factory: BodyFactory
    named: frozenset[str]
    """The headers that the caller and the session name, in lower case: no body names them."""
    chunked: bool | None
    compress: str | bool | None


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


def maker_of(session: ClientSession, arguments: dict[str, Any]) -> BodyMaker:
    """Return what makes the bodies of a request with these *arguments*, whose ``data`` is a factory."""
    # Copied, because they may be an iterator.
    headers = arguments["headers"] = CIMultiDict(arguments.get("headers") or {})
    named = frozenset(name.lower() for name in (*session.headers, *headers))
    return BodyMaker(arguments["data"], named, arguments.get("chunked"), arguments.get("compress"))


async def replace(request: ClientRequest, maker: BodyMaker) -> None:
    """
    Give *request* a new body, and let the head say of it what it would say if it had been the first.

    aiohttp keeps what it drew from the old one, such as a form's boundary. What anybody else named stays.
    """
    body = as_json(await made_by(maker.factory))
    old, headers = request.body, request.headers
    drawn: dict[str, object] = {hdrs.CONTENT_ENCODING: request.compress, hdrs.TRANSFER_ENCODING: "chunked"}
    drawn.update(old.headers if isinstance(old, Payload) else {hdrs.CONTENT_TYPE: JSON})
    for name, value in drawn.items():
        if name.lower() not in maker.named and headers.get(name) == value:
            headers.popall(name, None)
    request.chunked, request.compress = maker.chunked, maker.compress
    request.update_content_encoding(body)
    await request.update_body(body)


def as_json(body: object) -> object:
    """Return *body* as one that is JSON to the API, unless it names a type itself or aiohttp knows no such body."""
    if _names_a_type(body):
        return body
    try:
        return get_payload(body, disposition=None, content_type=JSON)
    except UnknownBodyError:
        return body


def name_json(session: ClientSession, arguments: dict[str, Any], *, seen: bool) -> None:
    """
    Name JSON as the content type of a request to the API, if neither the caller nor *session* names one.

    aiohttp would say ``application/octet-stream`` or ``text/plain`` for bytes and text. A form names its own type, and
    without ``data=`` the middleware and aiohttp do. Bytes and text that nobody has *seen* name it themselves, which takes no
    copy of the headers.
    """
    data = arguments.get("data")
    if not seen and data and isinstance(data, bytes | str):
        arguments["data"] = BytesPayload(data.encode() if isinstance(data, str) else data, content_type=JSON)
        return
    if _names_a_type(data):
        return
    headers = CIMultiDict(arguments.get("headers") or {})
    if hdrs.CONTENT_TYPE not in headers and hdrs.CONTENT_TYPE not in session.headers:
        headers[hdrs.CONTENT_TYPE] = JSON
        arguments["headers"] = headers


def _names_a_type(body: object) -> bool:
    """Whether *body* is none, a form, or one that names its own content type."""
    if body is None or isinstance(body, _FORM_TYPES) or hasattr(body, "items"):
        return True
    return isinstance(body, Payload) and body.content_type != "application/octet-stream"


async def read_ahead(response: ClientResponse, limit: int, seconds: float | None = READ_AHEAD_TIME) -> bytes | None:
    """
    Return the whole body, which stays readable as text, JSON and stream; ``None`` if it is longer than *limit* bytes.

    It is also ``None`` if the body has not ended after *seconds*. What was read of such a body is put back, and its reader
    continues from there. Raises what reading a body raises. An interruption leaves no connection behind: the response is
    closed, as by aiohttp's own ``read()``.
    """
    read = already_read(response)
    if read is not None:
        return read
    stream = response.content
    if (response.content_length or 0) > limit and not stream.is_eof():
        return None
    pieces: list[SecretBytes] = []
    whole = False
    try:
        async with asyncio.timeout(None) if seconds is None else within(seconds) as bound:
            whole = await read_pieces(stream, limit, pieces)
    except BaseException as interruption:
        if not isinstance(interruption, TimeoutError) or not bound.expired():
            response.close()
            raise
    body = b"".join(pieces)
    if not whole:
        put_back(stream, body)
        return None
    response.content = stream_of(body, stream)
    return body
