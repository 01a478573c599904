"""
Everything private of aiohttp that the library touches, in one file to look at when aiohttp changes.

Tried with aiohttp 3.14. Each function says what it needs and why there is no public way. Two modules rely on public names in
an unusual way: `queued` replaces the ``send`` of a request, and `middleware` calls `ClientRequest.update_expect_continue`.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import warnings
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from aiohttp import ClientMiddlewareType, ClientRequest, ClientResponse, ClientSession, StreamReader
from aiohttp.abc import AbstractCookieJar
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client import _RequestContextManager as RequestContextManager
from aiohttp.client import _WSRequestContextManager as WSRequestContextManager
from yarl import URL

if TYPE_CHECKING:
    from aiohttp.client import _BaseRequestContextManager as BaseRequestContextManager
    from aiohttp.client import _RequestOptions as RequestArguments
    from aiohttp.client import _WSConnectOptions as WSConnectArguments

__all__ = [
    "BaseRequestContextManager",
    "RequestArguments",
    "RequestContextManager",
    "WSConnectArguments",
    "WSRequestContextManager",
    "already_read",
    "build_url",
    "call_of",
    "has_base_url",
    "has_proxy",
    "known_arguments",
    "own_middlewares",
    "put_back",
    "stream_of",
    "twin_of",
    "writes_json_as_bytes",
]


def own_middlewares(session: ClientSession) -> tuple[ClientMiddlewareType, ...]:
    """Return the middlewares that *session* was created with."""
    return tuple(session._middlewares)  # noqa: SLF001 - aiohttp has no public one


def twin_of(
    session: ClientSession, middlewares: Iterable[ClientMiddlewareType], *, cookie_jar: AbstractCookieJar | None = None
) -> ClientSession:
    """
    Return a twin of *session* that has *middlewares* in place of the session's: the same connections, headers, cookies and tracing.

    With a *cookie_jar*, it has cookies of its own.
    ``detach()`` ends the twin and leaves the session as it is. `ClientSession.ws_connect` takes no middlewares, and a
    subclass of the session would raise a warning today and an error in aiohttp 4.
    """
    twin = copy.copy(session)
    twin._middlewares = tuple(middlewares)  # noqa: SLF001 - aiohttp has no public one
    if cookie_jar is not None:
        twin._cookie_jar = cookie_jar  # noqa: SLF001 - as above
    return twin


def has_base_url(session: ClientSession) -> bool:
    """Whether *session* resolves relative URLs itself."""
    return session._base_url is not None  # noqa: SLF001 - aiohttp has no public one


def build_url(session: ClientSession, url: URL) -> URL:
    """Return where *session* would send *url*."""
    return session._build_url(url)  # noqa: SLF001 - aiohttp has no public one


def has_proxy(session: ClientSession) -> bool:
    """Whether requests of *session* may go through a proxy that they do not name: its own, or the environment's."""
    return session.trust_env or session._default_proxy is not None  # noqa: SLF001 - aiohttp has no public one


def writes_json_as_bytes(session: ClientSession) -> bool:
    """Whether *session* serializes ``json=`` to bytes, in its own way, when the request is created."""
    return session._json_serialize_bytes is not None  # noqa: SLF001 - aiohttp has no public one


@cache
def known_arguments() -> frozenset[str]:
    """Return the keyword arguments of a request; the public verbs take any and pass them on."""
    return frozenset(inspect.signature(ClientSession._request).parameters)  # noqa: SLF001 - as the docstring says


def call_of(request: ClientRequest) -> object:
    """
    Return what all redirect hops of one call share and no other call has: its timeout.

    aiohttp has no public name for the call. The task will not do, because a middleware may run each hop in a separate one.
    """
    return getattr(request, "_timer", None) or asyncio.current_task()


def already_read(response: ClientResponse) -> bytes | None:
    """Return the body of *response* if it has been read; aiohttp has no public way to tell."""
    return response._body  # noqa: SLF001 - as the docstring says


def put_back(content: StreamReader, body: bytes) -> None:
    """Give *body* back to a stream that goes on."""
    with warnings.catch_warnings():
        # aiohttp deprecates it and has no other way.
        warnings.simplefilter("ignore", DeprecationWarning)
        content.unread_data(body)


def stream_of(body: bytes) -> StreamReader:
    """Return a stream of *body* alone, at its beginning."""
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), max(2**16, len(body)), loop=loop)
    stream.feed_data(body)
    stream.feed_eof()
    return stream
