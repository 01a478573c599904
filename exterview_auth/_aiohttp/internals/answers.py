"""The body of an answer: whether it has been read, how it is given back, and what it says without its encoding."""

from __future__ import annotations

import asyncio
import warnings

from aiohttp import ClientResponse, StreamReader, hdrs

from .imported import BaseProtocol, BrotliDecompressor, ZLibDecompressor, ZSTDDecompressor


def already_read(response: ClientResponse) -> bytes | None:
    """Return the body of *response* if it has been read; aiohttp has no public way to tell."""
    return response._body  # noqa: SLF001 - as the docstring says


def put_back(content: StreamReader, body: bytes) -> None:
    """Give *body* back to a stream that goes on."""
    with warnings.catch_warnings():
        # aiohttp deprecates it and has no other way.
        warnings.simplefilter("ignore", DeprecationWarning)
        content.unread_data(body)


def stream_of(body: bytes, source: StreamReader) -> StreamReader:
    """Return a stream of *body* alone, at its beginning, which was read from *source*."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), max(2**16, len(body)), loop=loop)
    stream.total_compressed_bytes = _compressed_bytes_of(source)
    stream.feed_data(body)
    stream.feed_eof()
    return stream


def encoding_left_on(response: ClientResponse) -> str:
    """Return the content encoding that the body of *response* still has, as with ``auto_decompress=False``; or an empty text."""
    if _compressed_bytes_of(response.content) is not None:
        return ""  # aiohttp counts what it decompresses
    return response.headers.get(hdrs.CONTENT_ENCODING, "").lower()


def _compressed_bytes_of(stream: StreamReader) -> int | None:
    return getattr(stream, "total_compressed_bytes", None)  # an empty stream has never set it


def decoded(body: bytes, encoding: str, limit: int) -> bytes | None:
    """
    Return *body* without *encoding*; ``None`` if it is damaged, longer than *limit* bytes, or in an encoding that is not known.

    aiohttp decodes what arrives, and has no public way to do so later.
    """
    pieces, size = [], 0
    try:
        decompressor = _decompressor_of(encoding, body)
        while size <= limit:
            pieces.append(decompressor.decompress_sync(body, limit + 1))
            size += len(pieces[-1])
            if not decompressor.data_available:
                return b"".join(pieces) if size <= limit else None
            body = b""
    except Exception:  # noqa: BLE001, S110 - each library has errors of its own
        pass
    return None


def _decompressor_of(encoding: str, body: bytes) -> ZLibDecompressor | BrotliDecompressor | ZSTDDecompressor:
    if encoding == "br":
        return BrotliDecompressor()
    if encoding == "zstd":
        return ZSTDDecompressor()
    if encoding not in {"gzip", "deflate"}:
        raise LookupError(encoding)
    # RFC 1950: without zlib's frame, whose first half-byte is 8, it is what some servers call deflate.
    return ZLibDecompressor(encoding, suppress_deflate_header=body[0] & 0xF != 8)  # noqa: PLR2004
