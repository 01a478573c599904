"""
One request and its answer: sign, send, recognise a refusal, have the token renewed, send again.

1. Only requests to our origins are signed, hop by hop; what a redirect leads away is stripped of the credentials.
2. A refusal's connection is given back before anything waits.
3. A request is sent once more per login that came after it was refused, and only with a body that is whole.
4. A request that queued for a connection while its token died is signed again, or waits, before it is written.
5. What cannot be sent again, or would not help, comes back to the caller as the server sent it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import NamedTuple

from aiohttp import ClientConnectionError, ClientHandlerType, ClientRequest, ClientResponse, hdrs
from multidict import istr

from ._api_key import ApiKey
from ._body import BodyFactory, can_be_sent_again, replace
from ._bounded import is_being_cancelled
from ._clock import Clock
from ._events import emit
from ._grant import Grant
from ._keeper import Keeper
from ._origins import Origins
from ._queueing import Crowd, OutdatedError, Ticket
from ._refusal import UNAUTHORIZED, IsUnauthorized, has_written, says, set_aside
from ._secret import Signature

_AUTHORIZATION = istr(hdrs.AUTHORIZATION)
_X_API_KEY = istr("x-api-key")
_CONTENT_TYPE = istr(hdrs.CONTENT_TYPE)
_REDIRECTS = 300
_ACCEPTING = frozenset(range(200, 500)) - {400, UNAUTHORIZED}
"""Statuses of a server that has taken the token; 400 may come before it looks."""


class Manner(NamedTuple):
    """How one request differs from another: what counts as its refusal, and what makes its body anew."""

    is_unauthorized: IsUnauthorized | None = None
    remake: BodyFactory | None = None


class _Refusal(NamedTuple):
    """A refused sending: with a grant that the request had waited for, and of a request that had been refused before."""

    response: ClientResponse
    grant: Grant
    waited: bool
    again: bool = False


class Exchange:
    """The middleware proper, on the hot path: no lock, no store, no task, no log call, and no clock that is not needed."""

    __slots__ = ("_api_key", "_bond", "_clock", "_crowd", "_held", "_keeper", "origins")

    def __init__(self, keeper: Keeper, origins: Origins, api_key: ApiKey, *, clock: Clock) -> None:
        self._keeper = keeper
        self._held = keeper.held
        self._bond = keeper.bond
        self._api_key = api_key
        self._clock = clock
        self._crowd = Crowd()
        self.origins = origins

    async def run(self, request: ClientRequest, handler: ClientHandlerType, manner: Manner) -> ClientResponse:
        """The answer to *request*, sent again where that helps."""
        origins = self.origins
        hop = origins.redirected and origins.is_hop(request)
        if request.url is not origins.last_url and not origins.own(request.url):
            return await self._pass_through(request, handler, hop=hop)
        held = self._held
        grant, until = held.current, held.fresh_until
        if grant is None or request.loop is not self._bond.loop or (until != math.inf and self._clock() >= until):
            seen = held.issued
            grant = await self._obtain(request)
        else:
            seen = grant.number
        response, grant = await self._send(request, handler, grant)
        if response.status < _REDIRECTS and manner.is_unauthorized is None:
            grant.served = grant.serving = True
            return response
        if not await self._refused(request, response, grant, manner):
            return response
        return await self._replay(request, handler, manner, _Refusal(response, grant, waited=grant.number > seen))

    async def _send(
        self, request: ClientRequest, handler: ClientHandlerType, grant: Grant
    ) -> tuple[ClientResponse, Grant]:
        """The answer, and the grant that the request went out with in the end."""
        self._sign(request, grant)
        crowd = self._crowd
        crowd.under_way += 1
        try:
            if request.session is crowd.session and crowd.under_way <= crowd.room:
                return await handler(request), grant
            if not crowd.may_queue(request.session):
                return await handler(request), grant
            return await self._queue(request, handler, grant)
        finally:
            crowd.under_way -= 1

    async def _queue(
        self, request: ClientRequest, handler: ClientHandlerType, grant: Grant
    ) -> tuple[ClientResponse, Grant]:
        while True:
            ticket = Ticket(request, grant, self._held, self._sign)
            try:
                return await handler(request), ticket.grant
            except OutdatedError:
                grant = await self._obtain(request)
                self._sign(request, grant)
            finally:
                ticket.withdraw()

    def _sign(self, request: ClientRequest, grant: Grant) -> None:
        headers = request.headers
        headers[_AUTHORIZATION] = grant.authorization
        headers[_X_API_KEY] = self._api_key.value
        if _CONTENT_TYPE not in headers:
            headers[_CONTENT_TYPE] = "application/json"
        grant.asked = True

    async def _replay(
        self, request: ClientRequest, handler: ClientHandlerType, manner: Manner, refusal: _Refusal
    ) -> ClientResponse:
        while True:
            grant = await self._newer(request, manner, refusal)
            if grant is None:
                return refusal.response
            self._keeper.counters.replays += 1
            response, sent_with = await self._send(request, handler, grant)
            if not await self._refused(request, response, sent_with, manner) or grant is refusal.grant:
                return response
            refusal = _Refusal(response, sent_with, waited=True, again=True)

    async def _refused(self, request: ClientRequest, response: ClientResponse, grant: Grant, manner: Manner) -> bool:
        test = manner.is_unauthorized
        refused = response.status == UNAUTHORIZED if test is None else await _verdict(test, response)
        if not refused and response.status in _ACCEPTING:
            grant.served = grant.serving = True
            self.origins.note_redirect(request, response)
        return refused

    async def _newer(self, request: ClientRequest, manner: Manner, refusal: _Refusal) -> Grant | None:
        """
        The grant to send *request* again with, its body whole and the refusal's connection given back.

        ``None`` where the refusal is the caller's; the same grant where it is, but had to be given up with its connection, or
        where the API key has changed.
        """
        keeper = self._keeper
        response, grant = refusal.response, refusal.grant
        if keeper.inside_login or not keeper.refuse(grant, waited=refusal.waited, again=refusal.again):
            return None
        keeper.renew_soon()
        if manner.remake is None and not can_be_sent_again(request):
            return None
        if await has_written(request, response):
            return None
        kept = await set_aside(request, response)
        newer = await self._obtain(request, grant)
        if newer is grant and kept and self._api_key.value == request.headers[_X_API_KEY]:
            return None
        if manner.remake is not None:
            await replace(request, manner.remake)
        request.update_expect_continue()
        return newer

    async def _obtain(self, request: ClientRequest, refused: Grant | None = None) -> Grant:
        grant = await self._keeper.obtain(refused)
        if request.session.closed:
            raise ClientConnectionError("the session was closed while this request waited for a token")
        return grant

    async def _pass_through(self, request: ClientRequest, handler: ClientHandlerType, *, hop: bool) -> ClientResponse:
        if hop:
            # The session's default headers and the caller's own come along with every hop; another owner's are its own.
            for name in (_AUTHORIZATION, _X_API_KEY):
                if not isinstance(request.headers.get(name), Signature):
                    request.headers.popall(name, None)
        response = await handler(request)
        if hop:
            self.origins.note_redirect(request, response)
        return response


async def _verdict(test: IsUnauthorized, response: ClientResponse) -> bool:
    try:
        return await says(test, response)
    except (Exception, asyncio.CancelledError) as failure:
        if isinstance(failure, asyncio.CancelledError) and is_being_cancelled():
            response.close()
            raise
        emit(logging.ERROR, "is_unauthorized.failed", error=type(failure).__name__)
        return response.status == UNAUTHORIZED
