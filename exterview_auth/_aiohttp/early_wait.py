"""
Requests that wait for a token before aiohttp creates them: a third of the memory of a request that waits inside.

Nobody may notice. So only a request waits here whose session and arguments cannot change meanwhile and that nobody else looks
at on its way to aiohttp, and the time that it waited counts against its timeout.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any, TypeGuard

from aiohttp import ClientMiddlewareType, ClientResponse, ClientSession, ClientTimeout
from aiohttp.helpers import sentinel
from multidict import CIMultiDict
from yarl import URL

from .._endpoint import is_encrypted
from .bodies import BodyMaker, as_json, made_by, name_json
from .internals.requests import known_arguments
from .internals.sessions import build_url, has_proxy, inner_request_of, writes_json_as_bytes
from .middleware import Middleware, RequestOptions, session_closed_error

Timeout = ClientTimeout | float | None

_UNCHANGING = (NoneType, bool, int, float, str, bytes, URL, ClientTimeout)
"""What no caller can change while its request waits, unlike a dictionary that is used again for the next one."""

_COPIED = frozenset({"json", "headers"})
"""What is copied before its request waits."""
_DEFAULTS = ClientTimeout()


def can_wait_early(session: ClientSession, url: URL, arguments: Mapping[str, Any]) -> bool:
    """
    Whether a request of *session* to *url* may wait early: nothing but its JSON and headers could change meanwhile.

    Nobody may stand before aiohttp's own request (`inner_request_of`): a cache may need no token.
    Traces see a request from its beginning, and wrong arguments are aiohttp's to refuse immediately. Plain HTTP through a
    proxy may have to be refused before the login, and which proxy it is shows when the request has been created.
    """
    if (arguments.get("proxy") is not None or has_proxy(session)) and not is_encrypted(build_url(session, url)):
        return False
    if session.closed or session.trace_configs or writes_json_as_bytes(session):
        return False
    if arguments.keys() <= _COPIED:
        return True  # as most requests do
    if arguments.get("json") is not None and arguments.get("data") is not None:
        return False
    if not _is_timeout(arguments.get("timeout")) or not arguments.keys() <= known_arguments():
        return False
    return all(isinstance(value, _UNCHANGING) or name in _COPIED for name, value in arguments.items())


async def send_after_waiting(
    session: ClientSession,
    middleware: Middleware,
    method: str,
    url: URL,
    arguments: dict[str, Any],
    *,
    chain: Sequence[ClientMiddlewareType],
    options: RequestOptions | None,
) -> ClientResponse:
    """Wait for a token if there is none, then have *session* create and send the request, through *chain* or with *options*."""
    waiter = None
    # Asked again: this coroutine may be awaited long after it was created.
    if middleware.must_wait and not session.closed:
        freeze_arguments(session, arguments)
        waiter = middleware.join_login(session, deadline_of(arguments.get("timeout", session.timeout)))
        began = asyncio.get_running_loop().time()
        try:
            with waiter as done:
                await done
        except TimeoutError as late:
            middleware.note_wait(late, asyncio.get_running_loop().time() - began)
            raise
        if session.closed:
            raise session_closed_error()
        if waiter.deadline is not None:
            arguments["timeout"] = with_deadline(waiter.deadline, arguments.get("timeout", session.timeout))
        if options is not None or not middleware.is_fast:
            chain = (middleware.with_options(options or middleware.options, waiter),)
    inner_request = inner_request_of(session)
    name_json(session, arguments, seen=inner_request is None)
    arguments["middlewares"] = chain
    return await (inner_request or session.request)(method, url, **arguments)


async def with_first_body(
    session: ClientSession, arguments: dict[str, Any], maker: BodyMaker, *, json: bool
) -> dict[str, Any]:
    """Return *arguments* with a first body, *json* by default, whose time counts against the request's timeout."""
    timeout = arguments.get("timeout", sentinel)
    if timeout is sentinel:
        timeout = session.timeout
    deadline = deadline_of(timeout)
    async with asyncio.timeout(total_of(timeout)):
        body = await made_by(maker.factory)
    arguments = {**arguments, "data": as_json(body) if json else body}
    if deadline is not None:
        arguments["timeout"] = with_deadline(deadline, timeout)
    return arguments


def freeze_arguments(session: ClientSession, arguments: dict[str, Any]) -> None:
    """Write *arguments*' JSON, and copy its headers, as they are now: aiohttp would do so now."""
    if arguments.get("json") is not None:
        arguments["data"] = session.json_serialize(arguments.pop("json")).encode()
    if arguments.get("headers") is not None:
        arguments["headers"] = CIMultiDict(arguments["headers"])


def deadline_of(timeout: Timeout) -> float | None:
    """Return the loop's time at which a request with *timeout* must end, rounded up to the second where aiohttp does."""
    total = total_of(timeout)
    if total is None:
        return None
    deadline = asyncio.get_running_loop().time() + total
    rounded_from = timeout.ceil_threshold if isinstance(timeout, ClientTimeout) else _DEFAULTS.ceil_threshold
    return math.ceil(deadline) if total >= rounded_from else deadline


def total_of(timeout: Timeout) -> float | None:
    """Return the seconds that a request with this ``timeout=`` may take; for aiohttp, None and zero are no limit."""
    total = timeout.total if isinstance(timeout, ClientTimeout) else timeout
    return total if total is not None and total > 0 else None


def with_deadline(deadline: float, timeout: Timeout) -> ClientTimeout:
    """Return *timeout* ending at the loop's time *deadline*, to the millisecond; one that has passed ends at once."""
    left = math.ceil((deadline - asyncio.get_running_loop().time()) * 1000)
    rest = timeout if isinstance(timeout, ClientTimeout) else _DEFAULTS
    return _ending_after(left, rest.connect, rest.sock_read, rest.sock_connect)


@lru_cache(maxsize=16)
def _ending_after(
    milliseconds: int, connect: float | None, sock_read: float | None, sock_connect: float | None
) -> ClientTimeout:
    # Those that wake in the same millisecond share one: aiohttp's class takes long to create.
    return ClientTimeout(
        total=max(milliseconds / 1000, 1e-9),  # zero would be never
        connect=connect,
        sock_read=sock_read,
        sock_connect=sock_connect,
        ceil_threshold=math.inf,  # it was rounded once already
    )


def _is_timeout(value: object) -> TypeGuard[Timeout]:
    return value is None or isinstance(value, ClientTimeout | int | float)
