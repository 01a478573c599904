"""Requests that queue for a connection: signed again, or sent back to wait, when their turn comes after the token has changed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from aiohttp import ClientRequest, ClientResponse
from aiohttp.connector import Connection

from .._core.grant import Grant
from .._core.state import Held
from .signing import Key, sign


class OutdatedError(Exception):
    """The token died while its request queued for a connection; nothing was sent, and the connection was given back."""


class Ticket:
    """
    A request whose token has changed before its answer.

    It stands for the request's ``send``, which aiohttp calls once there is a connection; where that was before, for nothing.

    ``grant`` is what the request is signed with when it is written.
    """

    __slots__ = ("_held", "_key", "_request", "grant")

    def __init__(self, request: ClientRequest, grant: Grant, held: Held, key: Key) -> None:
        self._request = request
        self._held = held
        self._key = key
        self.grant = grant
        request.send = self  # type: ignore[method-assign,assignment]  # for this instance alone, until it is written

    def __call__(self, connection: Connection) -> Coroutine[Any, Any, ClientResponse]:
        current = self._held.living
        if current is None:
            connection.release()
            raise OutdatedError
        if current is not self.grant:
            self.grant = current
            sign(self._request, current, self._key)
        return type(self._request).send(self._request, connection)

    def withdraw(self) -> None:
        """The request has its answer, or none: leave its ``send`` as aiohttp made it."""
        self._request.__dict__.pop("send", None)


class UnderWay:
    """Requests that are signed and have no answer yet."""

    __slots__ = ("_key", "tickets")

    def __init__(self, key: Key) -> None:
        self._key = key
        # Invariant: a request is in here exactly while its handler runs. Without a ticket it is signed with the current grant.
        self.tickets: dict[ClientRequest, Ticket | None] = {}

    def changes(self, held: Held, grant: Grant) -> None:
        """Whoever is not written yet is to look again then."""
        for request, ticket in self.tickets.items():
            if ticket is None:
                self.tickets[request] = Ticket(request, grant, held, self._key)
