"""Requests that queue for a connection: signed again, or sent back to wait, when their turn comes with an old token."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import ClientRequest, ClientResponse, ClientSession
from aiohttp.connector import Connection

from ._grant import Grant
from ._held import Held


class OutdatedError(Exception):
    """The token died while its request queued for a connection; nothing was sent, and the connection was given back."""


class Ticket:
    """
    One request that may have to queue. It stands for its ``send``, which aiohttp calls once there is a connection.

    ``grant`` is what the request is signed with when it is written.
    """

    __slots__ = ("_held", "_request", "_sign", "grant")

    def __init__(
        self, request: ClientRequest, grant: Grant, held: Held, sign: Callable[[ClientRequest, Grant], None]
    ) -> None:
        self._request = request
        self._held = held
        self._sign = sign
        self.grant = grant
        request.send = self  # type: ignore[method-assign,assignment]  # for this instance alone, until it is written

    def __call__(self, connection: Connection) -> Coroutine[Any, Any, ClientResponse]:
        current = self._held.living
        if current is None:
            connection.release()
            raise OutdatedError
        if current is not self.grant:
            self.grant = current
            self._sign(self._request, current)
        return type(self._request).send(self._request, connection)

    def withdraw(self) -> None:
        """The request has its answer, or none: leave its ``send`` as aiohttp made it."""
        self._request.__dict__.pop("send", None)


class Crowd:
    """How many requests are under way, and from how many on the next of ``session`` may have to queue."""

    __slots__ = ("room", "session", "under_way")

    def __init__(self) -> None:
        # Invariant: requests whose answer has not begun, of all sessions; each is counted and uncounted once.
        self.under_way = 0
        self.session: ClientSession | None = None
        self.room: float = math.inf

    def may_queue(self, session: ClientSession) -> bool:
        """Whether a request of *session* that is under way may have to queue; looks at its connector's limits first."""
        if session is not self.session:
            self.session, self.room = session, _room_of(session)
        return self.under_way > self.room


def _room_of(session: ClientSession) -> float:
    """Half of the connector's limit: answers that are still being read, and other users, need connections too."""
    connector = session.connector
    limits = (connector.limit, connector.limit_per_host) if connector is not None else ()
    return min((limit // 2 for limit in limits if limit), default=math.inf)
