"""Multipart bodies, read part by part: a file is measured and hashed, never held."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http import HttpProcessingError

from ._responses import Refusal
from ._state import MAX_BODY

MAX_FIELD = 1024 * 1024
"""Bytes of a part that is no file."""

MOST_PARTS = 1000

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that has arrived completely."""

    filename: str
    content_type: str
    size: int
    sha256: str


@contextmanager
def readable_form() -> Iterator[None]:
    """Raise the 400 for a body that turns out to be no multipart form, or not UTF-8 where it is text."""
    try:
        yield
    except (ValueError, HttpProcessingError):
        raise Refusal(400, "The multipart body cannot be read") from None


async def parts(request: web.Request) -> AsyncIterator[tuple[str, BodyPartReader]]:
    """The form's parts with their names, one after the other; each is read before the next comes."""
    require_size(request.content_length or 0)
    reader = await request.multipart()
    for _ in range(MOST_PARTS):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or not part.name:
            raise Refusal(400, "Each part of the form needs a name")
        yield part.name, part
    raise Refusal(400, f"The form has more than {MOST_PARTS - 1} parts")


async def read_field(part: BodyPartReader) -> str:
    """The text of a part that is no file."""
    content = bytearray()
    while chunk := await part.read_chunk():
        content += chunk
        if len(content) > MAX_FIELD:
            raise Refusal(413, f"A field of the form is larger than {MAX_FIELD} bytes")
    return content.decode()


async def read_file(part: BodyPartReader, request: web.Request) -> UploadedFile:
    """What the part of *request* holds."""
    digest, size = hashlib.sha256(), 0
    while chunk := await part.read_chunk(_CHUNK):
        require_size(request.content.total_bytes)
        size += len(chunk)
        digest.update(chunk)
    content_type = part.headers.get(hdrs.CONTENT_TYPE, "application/octet-stream")
    return UploadedFile(part.filename or "", content_type, size, digest.hexdigest())


def require_size(size: int) -> None:
    """Raise the 413 for a body of more than `MAX_BODY` bytes."""
    if size > MAX_BODY:
        raise Refusal(413, f"The body is larger than {MAX_BODY} bytes")
