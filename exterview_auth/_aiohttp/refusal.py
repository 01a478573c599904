"""What an answer says of its token: refused, accepted, or nothing; and how its connection is given back."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable

from aiohttp import ClientError, ClientRequest, ClientResponse

from .._calls import awaited, must_pass, place_of
from .._core.account import Account
from .._events import emit
from .bodies import read_ahead
from .internals.requests import is_out_of_time

IsUnauthorized = Callable[[ClientResponse], "bool | Awaitable[bool]"]

UNAUTHORIZED = 401
ACCEPTED_BELOW = 300
"""Below this status a response accepts the token and is not a redirect: the fast path looks no further."""
NOT_ACCEPTING = frozenset({400, UNAUTHORIZED, *range(500, 600)})
"""
Statuses that may come before the server has looked at the token. With any other it has accepted the token: it knew the caller
before it said 101, 403 or 404.
"""
MAX_KEPT_BODY = 65_536
"""Bytes of a refusal's body that are read and kept. A longer or slower one is given up with its connection."""
MAX_JUDGED_BODY = 8 * 2**20
"""Bytes of an answer that are read to find out what it says."""


async def evaluate(test: IsUnauthorized, response: ClientResponse) -> bool:
    """Return what *test*, sync or async, says of *response*. Raises what it raises."""
    return bool(await awaited(test(response)))


async def is_refused(
    test: IsUnauthorized | None, request: ClientRequest, response: ClientResponse, account: Account
) -> bool:
    """
    Whether *response* to *request* refuses its token, by status or by the application's *test*; a test that fails is logged.

    An answer that breaks off while the test reads it is none of its failures: the caller meets the same when it reads.
    """
    if test is None:
        return response.status == UNAUTHORIZED
    try:
        return await evaluate(test, response)
    except BaseException as failure:  # noqa: BLE001 - the application's own mistakes do not break its requests
        passes = must_pass(failure)
        if passes or is_out_of_time(request):
            # The caller is leaving, so nobody will read this response and give its connection back.
            response.close()
            raise failure if passes else TimeoutError from None
        if response.content.exception() is None:
            error, where = type(failure).__name__, place_of(failure)
            emit(logging.ERROR, "is_unauthorized.failed", account=account.label, error=error, where=where)
        return response.status == UNAUTHORIZED


async def release_connection(request: ClientRequest, response: ClientResponse, limit: int = MAX_KEPT_BODY) -> bool:
    """
    Give the connection of a refusal back; return whether its answer can still be handed to the caller.

    A body of up to *limit* bytes is read to its end, which keeps the connection usable. Any other closes it. Raises ``TimeoutError`` if the
    caller's time is up.
    """
    kept = False
    if response.content.is_eof():
        limit = sys.maxsize  # all of it is at hand: it was read to be judged
    with contextlib.suppress(ClientError, OSError):
        kept = await read_ahead(response, limit) is not None
    if not kept:
        response.close()
    await request.close()
    if is_out_of_time(request):
        raise TimeoutError
    return kept
