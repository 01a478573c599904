"""How a refusal is recognised, and how its connection is given back without losing its answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, ClientRequest, ClientResponse, hdrs

from .._calls import awaited
from .._json import json_object
from .graphql_text import may_write
from .rereadable import read_ahead

IsUnauthorized = Callable[[ClientResponse], "bool | Awaitable[bool]"]

UNAUTHORIZED = 401
KEPT_BODY = 65_536
"""Bytes of a refusal's body that are read and kept; one that is longer, or slower than `PATIENCE`, is given up."""
PATIENCE = 1.0
"""Seconds."""
LONGEST_GRAPHQL_ANSWER = 8 * 2**20
"""Bytes; in a longer answer no refusal is looked for."""

_GRAPHQL_TYPES = frozenset({"application/json", "application/graphql-response+json"})


async def graphql_unauthenticated(response: ClientResponse) -> bool:
    """
    Whether *response* is a 401, or a GraphQL answer of status 200 with an error of ``extensions.code`` ``UNAUTHENTICATED``.

    For ``is_unauthorized=``. The body stays readable, as text, JSON and stream.
    """
    return response.status == UNAUTHORIZED or await _refused_in_body(response)


def or_unauthenticated(test: IsUnauthorized | None) -> IsUnauthorized:
    """GraphQL's own 401, and what *test* says beside it."""
    if test is None:
        return graphql_unauthenticated

    async def either(response: ClientResponse) -> bool:
        return await says(test, response) or await graphql_unauthenticated(response)

    return either


async def says(test: IsUnauthorized, response: ClientResponse) -> bool:
    """What *test*, sync or async, says of *response*; what it raises goes through."""
    return bool(await awaited(test(response)))


async def _refused_in_body(response: ClientResponse) -> bool:
    if not _may_be_graphql(response):
        return False
    body = await read_ahead(response, LONGEST_GRAPHQL_ANSWER)
    if body is None or b"UNAUTHENTICATED" not in body:
        return False
    errors = (json_object(body) or {}).get("errors")
    return isinstance(errors, list) and any(_code(error) == "UNAUTHENTICATED" for error in errors)


def _may_be_graphql(response: ClientResponse) -> bool:
    short = (response.content_length or 0) <= LONGEST_GRAPHQL_ANSWER
    return response.status == 200 and response.content_type in _GRAPHQL_TYPES and short  # noqa: PLR2004 - OK


async def has_written(request: ClientRequest, response: ClientResponse) -> bool:
    """Whether a refusal of status 200 carries data of what may be a mutation: that is not sent twice (rule 15)."""
    if not _may_be_graphql(response) or request.method == hdrs.METH_GET:
        return False
    body = await read_ahead(response, LONGEST_GRAPHQL_ANSWER)
    data = (json_object(body or b"") or {}).get("data")
    if not isinstance(data, dict) or all(value is None for value in data.values()):
        return False
    return may_write(await _text_of(request))


async def set_aside(request: ClientRequest, response: ClientResponse) -> bool:
    """
    Give the connection of a refusal back; whether its answer can still be handed to the caller.

    A small body is read to its end, which keeps the connection usable; any other closes it.
    """
    kept = False
    if (response.content_length or 0) <= KEPT_BODY:
        with contextlib.suppress(ClientError, TimeoutError, OSError):
            async with asyncio.timeout(PATIENCE):
                kept = await read_ahead(response, KEPT_BODY) is not None
    if not kept:
        response.close()
    await request.close()
    return kept


async def _text_of(request: ClientRequest) -> str | None:
    try:
        return (await request.body.as_bytes()).decode() if request.body else None
    except (TypeError, ValueError):
        return None


def _code(error: object) -> object:
    extensions = error.get("extensions") if isinstance(error, dict) else None
    return extensions.get("code") if isinstance(extensions, dict) else None
