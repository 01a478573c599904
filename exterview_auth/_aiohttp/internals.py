"""A session's twin: the same connections, headers, cookies and tracing, with middlewares of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from aiohttp import ClientMiddlewareType, ClientSession


def own_middlewares(session: ClientSession) -> tuple[ClientMiddlewareType, ...]:
    """What *session* was made with."""
    return tuple(session._middlewares)  # noqa: SLF001 - aiohttp has no public one


def twin_of(session: ClientSession, middlewares: Iterable[ClientMiddlewareType]) -> ClientSession:
    """*session* with *middlewares* instead of its own; ``detach()`` ends the twin and leaves the session as it is."""
    twin = copy.copy(session)
    twin._middlewares = tuple(middlewares)  # noqa: SLF001 - aiohttp has no public one
    return twin
