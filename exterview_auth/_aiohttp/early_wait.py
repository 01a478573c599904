"""Requests that wait for a token before aiohttp makes them: what they are to be like, and what is left of their time."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, TypeGuard

from aiohttp import ClientSession, ClientTimeout
from multidict import CIMultiDict
from yarl import URL

Timeout = ClientTimeout | float | None

_UNCHANGING = (NoneType, bool, int, float, str, bytes, URL, ClientTimeout)
"""What no caller can change while its request waits, as a dictionary that is used again for the next one."""


def can_wait(session: ClientSession, options: Mapping[str, Any]) -> bool:
    """
    Whether a request of *session* with *options* may wait first: nothing but its JSON and headers can change meanwhile.

    Traces see the request from its beginning, and arguments that are wrong are aiohttp's to refuse at once.
    """
    if session.closed or session.trace_configs or session._json_serialize_bytes is not None:  # noqa: SLF001 - no public one
        return False
    if options.get("json") is not None and options.get("data") is not None:
        return False
    if not _is_timeout(options.get("timeout")) or not options.keys() <= _known_options():
        return False
    return all(isinstance(value, _UNCHANGING) or name in {"json", "headers"} for name, value in options.items())


def hold_fast(session: ClientSession, options: dict[str, Any]) -> None:
    """Write *options*' JSON, and copy its headers, as they are now: aiohttp would do so now."""
    if options.get("json") is not None:
        options["data"] = session.json_serialize(options.pop("json")).encode()
    if options.get("headers") is not None:
        options["headers"] = CIMultiDict(options["headers"])


def end_of(timeout: Timeout) -> float | None:
    """The loop's time at which a request with *timeout* is to end, on the full second where aiohttp rounds it so."""
    total = total_of(timeout)
    if total is None:
        return None
    end = asyncio.get_running_loop().time() + total
    rounded_from = timeout.ceil_threshold if isinstance(timeout, ClientTimeout) else ClientTimeout().ceil_threshold
    return math.ceil(end) if total >= rounded_from else end


def total_of(timeout: Timeout) -> float | None:
    """What a request with this ``timeout=`` may take in all; as for aiohttp, nothing and zero are no limit."""
    total = timeout.total if isinstance(timeout, ClientTimeout) else timeout
    return total if total is not None and total > 0 else None


def ending(end: float, timeout: Timeout) -> ClientTimeout:
    """*timeout*, but ending at the loop's time *end*, not rounded again; if that is over, at once (zero would be never)."""
    left = max(end - asyncio.get_running_loop().time(), 1e-9)
    rest = timeout if isinstance(timeout, ClientTimeout) else ClientTimeout()
    return ClientTimeout(
        total=left,
        connect=rest.connect,
        sock_read=rest.sock_read,
        sock_connect=rest.sock_connect,
        ceil_threshold=math.inf,
    )


@cache
def _known_options() -> frozenset[str]:
    return frozenset(inspect.signature(ClientSession._request).parameters)  # noqa: SLF001 - the public verbs take any


def _is_timeout(value: object) -> TypeGuard[Timeout]:
    return value is None or isinstance(value, ClientTimeout | int | float)
