"""Answers that are looked into before their reader gets them, and then read as if nobody had."""

from __future__ import annotations

import asyncio
import warnings

from aiohttp import ClientResponse, StreamReader
from aiohttp.base_protocol import BaseProtocol


async def read_ahead(response: ClientResponse, limit: int) -> bytes | None:
    """
    The whole body, at most *limit* bytes, which stays readable as text, JSON and stream; ``None`` where it is longer.

    What was read of a longer one is put back, and its reader goes on from there. Raises what reading a body raises.
    """
    chunks: list[bytes] = []
    size = 0
    while size <= limit and not response.content.at_eof():
        chunks.append(await response.content.readany())
        size += len(chunks[-1])
    body = b"".join(chunks)
    if size > limit:
        _put_back(response.content, body)
        return None
    response.content = _stream_of(body)
    return body


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
