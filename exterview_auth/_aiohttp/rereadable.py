"""Answers that are looked into before their reader gets them, and then read as if nobody had."""

from __future__ import annotations

import asyncio
import warnings

from aiohttp import ClientResponse, StreamReader
from aiohttp.base_protocol import BaseProtocol


async def read_ahead(response: ClientResponse, limit: int) -> bytes | None:
    """
    The whole body, at most *limit* bytes, which stays readable as text, JSON and stream; ``None`` where it is longer.

    What was read of a longer one is put back, and its reader goes on from there. Raises what reading a body raises, and
    whoever is interrupted leaves no connection behind: the response is closed, as by aiohttp's own ``read()``.
    """
    read = response._body  # noqa: SLF001 - a hook may have read it, and aiohttp has no public way to tell
    if read is not None:
        return read if len(read) <= limit else None
    try:
        body, whole = await _collected(response.content, limit)
    except BaseException:
        response.close()
        raise
    if not whole:
        _put_back(response.content, body)
        return None
    response.content = _stream_of(body)
    return body


async def _collected(content: StreamReader, limit: int) -> tuple[bytes, bool]:
    chunks: list[bytes] = []
    size = 0
    while size <= limit and not content.at_eof():
        chunks.append(await content.readany())
        size += len(chunks[-1])
    return b"".join(chunks), size <= limit


def _put_back(content: StreamReader, body: bytes) -> None:
    with warnings.catch_warnings():
        # aiohttp has no other way to give bytes back to a stream that goes on.
        warnings.simplefilter("ignore", DeprecationWarning)
        content.unread_data(body)


def _stream_of(body: bytes) -> StreamReader:
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), max(2**16, len(body)), loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    return stream
