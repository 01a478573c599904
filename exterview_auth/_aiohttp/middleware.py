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
from typing import NamedTuple

from aiohttp import ClientConnectionError, ClientHandlerType, ClientRequest, ClientResponse

from .._calls import is_being_cancelled
from .._clock import Clock
from .._core.api_key import ApiKey
from .._core.grant import Grant
from .._core.keeper import Keeper
from .._core.single_flight import Seat
from .._events import emit
from .._secret import OwnedHeader
from .bodies import BodyFactory, can_be_sent_again, replace
from .origins import Origins
from .queued import OutdatedError, UnderWay
from .refusal import UNAUTHORIZED, IsUnauthorized, has_written, says, set_aside
from .signing import AUTHORIZATION, X_API_KEY, sign

_REDIRECTS = 300
_ACCEPTING = frozenset(range(200, 500)) - {400, UNAUTHORIZED}
"""Statuses of a server that has taken the token; 400 may come before it looks."""


class Manner(NamedTuple):
    """How one request differs from another: what counts as its refusal, and what makes its body anew."""

    is_unauthorized: IsUnauthorized | None = None
    remake: BodyFactory | None = None


BY_STATUS = Manner()
"""The usual one: status 401 is a refusal, and the body can be sent again or not."""


class _Sending(NamedTuple):
    """An answer, and the grant that the request went out with in the end."""

    response: ClientResponse
    grant: Grant


class Exchange:
    """
    The middleware proper.

    A call is the hot path, of few steps: no lock, no store, no task, no log call, and no clock that is not needed. What is not
    as usual goes the long way round, `_run`.
    """

    __slots__ = ("_api_key", "_bond", "_clock", "_held", "_keeper", "_manner", "_origins", "_under_way")

    def __init__(self, keeper: Keeper, origins: Origins, api_key: ApiKey, manner: Manner, *, clock: Clock) -> None:
        self._keeper = keeper
        self._held = keeper.held
        self._bond = keeper.bond
        self._api_key = api_key
        self._manner = manner
        self._clock = clock
        self._origins = origins
        self._under_way = keeper.held.watcher = UnderWay(api_key)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send *request*, with credentials if it goes to one of the origins; the answer to its last sending."""
        held, tickets = self._held, self._under_way.tickets
        grant, until = held.express, held.express_until
        if (
            grant is None
            or request.loop is not self._bond.loop
            or (request.url is not self._origins.last_url and not self._origins.own(request.url))
            or (until is not None and self._clock() >= until)
        ):
            return await self._run(request, handler, self._manner)
        sign(request, grant, self._api_key)
        tickets[request] = response = None
        try:
            response = await handler(request)
        except OutdatedError:
            pass
        finally:
            ticket = tickets.pop(request, None)
            if ticket is not None:
                ticket.withdraw()
                grant = ticket.grant
        if response is None:
            return await self._run(request, handler, BY_STATUS, grant.number)
        if response.status < _REDIRECTS:
            grant.served = grant.serving = True
            return response
        return await self._settle(request, handler, BY_STATUS, _Sending(response, grant), grant.number)

    async def _run(
        self,
        request: ClientRequest,
        handler: ClientHandlerType,
        manner: Manner,
        seen: int | None = None,
        seat: Seat | None = None,
    ) -> ClientResponse:
        if not self._origins.own(request.url):
            return await self._pass_through(request, handler)
        if seen is None:
            seen = self._held.issued
        grant = self._held.ready
        if grant is None or request.loop is not self._bond.loop:
            if seat is None and self._held.fresh is None:
                seat = self._keeper.seat()
                with seat as landing:
                    await landing
            grant = await self._keeper.obtain(seat=seat)
            _require_open(request)
        if self._manner is BY_STATUS:
            self._held.open_express()
        sending = await self._send(request, handler, grant)
        return await self._settle(request, handler, manner, sending, seen)

    async def _settle(
        self, request: ClientRequest, handler: ClientHandlerType, manner: Manner, sending: _Sending, seen: int
    ) -> ClientResponse:
        """The answer to *request*, which began when *seen* grants had been issued; sent again where that helps."""
        again = repeated = False
        while await self._refused(request, sending, manner) and not repeated:
            grant = await self._newer(
                request, manner, sending, waited=again or sending.grant.number > seen, again=again
            )
            if grant is None:
                break
            again, repeated = True, grant is sending.grant
            self._keeper.counters.replays += 1
            sending = await self._send(request, handler, grant)
        return sending.response

    async def _send(self, request: ClientRequest, handler: ClientHandlerType, grant: Grant) -> _Sending:
        tickets = self._under_way.tickets
        while True:
            sign(request, grant, self._api_key)
            tickets[request] = response = None
            try:
                response = await handler(request)
            except OutdatedError:
                pass  # and let go of its traceback, before thousands wait
            finally:
                ticket = tickets.pop(request, None)
                if ticket is not None:
                    ticket.withdraw()
                    grant = ticket.grant
            if response is not None:
                return _Sending(response, grant)
            grant = await self._keeper.obtain()
            _require_open(request)

    async def _refused(self, request: ClientRequest, sending: _Sending, manner: Manner) -> bool:
        test, (response, grant) = manner.is_unauthorized, sending
        refused = response.status == UNAUTHORIZED if test is None else await _verdict(test, response)
        if not refused and response.status in _ACCEPTING:
            grant.served = grant.serving = True
            self._origins.note_redirect(request, response)
        return refused

    async def _newer(
        self, request: ClientRequest, manner: Manner, refused: _Sending, *, waited: bool, again: bool
    ) -> Grant | None:
        """
        The grant to send *request* again with, its body whole and the refusal's connection given back.

        ``None`` where the refusal is the caller's; the same grant where it is, but had to be given up with its connection, or
        where the API key has changed.
        """
        keeper = self._keeper
        response, grant = refused
        if keeper.inside_login or not keeper.refuse(grant, waited=waited, again=again):
            return None
        keeper.renew_soon()
        if manner.remake is None and not can_be_sent_again(request):
            return None
        if await has_written(request, response):
            return None
        kept = await set_aside(request, response)
        newer = await keeper.obtain(grant)
        _require_open(request)
        if newer is grant and kept and self._api_key.value == request.headers[X_API_KEY]:
            return None
        if manner.remake is not None:
            await replace(request, manner.remake)
        request.update_expect_continue()
        return newer

    async def _pass_through(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        hop = self._origins.is_hop(request)
        if hop:
            # The session's default headers and the caller's own come along with every hop; another owner's are its own.
            for name in (AUTHORIZATION, X_API_KEY):
                if not isinstance(request.headers.get(name), OwnedHeader):
                    request.headers.popall(name, None)
        response = await handler(request)
        if hop:
            self._origins.has_led(request)
            self._origins.note_redirect(request, response)
        return response


def _require_open(request: ClientRequest) -> None:
    if request.session.closed:
        raise closed_meanwhile()


def closed_meanwhile() -> ClientConnectionError:
    """The session's owner has closed it; aiohttp would say so by an assertion."""
    return ClientConnectionError("the session was closed while this request waited for a token")


async def _verdict(test: IsUnauthorized, response: ClientResponse) -> bool:
    try:
        return await says(test, response)
    except (Exception, asyncio.CancelledError) as failure:
        if isinstance(failure, asyncio.CancelledError) and is_being_cancelled():
            response.close()
            raise
        emit(logging.ERROR, "is_unauthorized.failed", error=type(failure).__name__)
        return response.status == UNAUTHORIZED
