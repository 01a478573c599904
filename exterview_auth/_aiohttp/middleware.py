"""
One request and its answer: sign, send, recognise a refusal, have the token replaced, send again.

1. Only requests to configured origins are signed, hop by hop. When a redirect leads to another origin, the credentials are
   removed from that hop. A redirect that leads from a stranger to us is not signed.
2. A refusal's connection is given back before anything waits. Only a response that the caller gets keeps its connection.
3. A request is sent once more per login that came after it was refused, and only with its body whole.
4. A request that queued for a connection, or whose body was being made, while its token died is signed again, or waits,
   before it is written.
5. What cannot be sent again, or would not help, comes back to the caller as the server sent it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    hdrs,
)
from yarl import URL

from .._core.api_key import ApiKey
from .._core.keeper import Keeper
from .._core.single_flight import Waiter
from .._core.state import IssuedToken
from .._endpoint import require_safe_transport, secrets_in, secrets_in_headers
from ..logins._context import known_secrets
from .bodies import AT_HAND, BodyMaker, can_be_sent_again, replace
from .cookies import callers_cookies, draw_cookies, store_cookies
from .internals.needed import require_request
from .internals.requests import is_out_of_time, takes_timeout
from .login_call import LoginCall
from .origins import Origins
from .queued import SIGNED_AGAIN, HeldHead, SignedRequests, StaleTokenError
from .refusal import MAX_JUDGED_BODY, MAX_KEPT_BODY, NOT_ACCEPTING, IsUnauthorized, is_refused, release_connection
from .signing import X_API_KEY, carries, is_sent_by_an_owner, sign, strip


class RequestOptions(NamedTuple):
    """How one request differs from another: what counts as its refusal, and what makes its body again."""

    is_unauthorized: IsUnauthorized | None = None
    body_maker: BodyMaker | None = None


DEFAULT_OPTIONS = RequestOptions()
"""Status 401 is a refusal, and the body can be sent again or not."""


_Attempt = tuple[ClientResponse, IssuedToken]
"""An answer, and the token that its request carried when it was written."""


class Middleware:
    """
    The way of a request through one owner, except for the fast path: `ExterviewAuth` is what aiohttp calls.

    `ExterviewAuth.__call__` is the fast path: the same steps for a request that needs nothing but a signature, in one
    coroutine. It hands over to `send` or `replay_if_refused` whenever something is not as usual.
    """

    __slots__ = ("_api_key", "_keeper", "_lifecycle", "_login", "_state", "options", "origins", "signed")

    def __init__(
        self,
        keeper: Keeper,
        origins: Origins,
        api_key: ApiKey,
        options: RequestOptions,
        login: LoginCall,
    ) -> None:
        self._keeper = keeper
        self._state = keeper.state
        self._lifecycle = keeper.lifecycle
        self._api_key = api_key
        self._login = login
        self.origins = origins
        self.options = options
        """How requests are treated that say nothing else."""
        self.signed = SignedRequests(api_key)
        # From now on, every change of the token reaches the requests that are signed and not yet written.
        keeper.state.watcher = self.signed

    async def send(
        self,
        request: ClientRequest,
        handler: ClientHandlerType,
        options: RequestOptions | None = None,
        waiter: Waiter | None = None,
    ) -> ClientResponse:
        """
        Send *request*, with credentials if it goes to one of the origins; return the answer to its last attempt.

        *waiter* is where the request has waited already.
        """
        require_request(request)
        if not self.origins.is_ours(request.url, request):
            return await self._pass_through(request, handler)
        if request.proxy is not None:
            require_safe_transport(request.url, "the request to", proxy=request.proxy)
        self._login.follow(request.session)
        issued = self._state.usable
        if issued is None or request.loop is not self._lifecycle.loop:
            # `AuthSession` looks at no clock: if the token's life is over, its next requests wait before they are created.
            self._state.close_fast_path()
            cookies, began = callers_cookies(request), request.loop.time()
            try:
                if waiter is None and self._state.unexpired is None:
                    # Waited for here and not in `obtain`: thousands wait, and each coroutine on the way is memory.
                    waiter = self._keeper.join_login()
                    waiter.is_late = self._is_late(request)
                    with waiter as done:
                        await done
                issued = await self._keeper.obtain(waiter=waiter, is_late=self._is_late(request))
            except asyncio.CancelledError as cancelled:
                self._raise_if_late(request, cancelled, began)
                raise
            _ensure_open(request)
            draw_cookies(request, cookies)
        if self.options is DEFAULT_OPTIONS:  # the only ones that the fast path knows
            # Everything has been checked, so the next requests need not check it again.
            self._state.open_fast_path()
        attempt = await self._attempt(request, handler, issued)
        return await self.replay_if_refused(request, handler, options or self.options, attempt)

    async def replay_if_refused(
        self,
        request: ClientRequest,
        handler: ClientHandlerType,
        options: RequestOptions,
        attempt: _Attempt,
    ) -> ClientResponse:
        """Return the answer to *request*, which is sent again for as long as that can help."""
        keeper, state = self._keeper, self._state
        same_token, sent_again = False, 0
        newest_when_refused = math.inf
        while True:
            response, issued = attempt
            if not await self._is_our_refusal(request, options, response, issued):
                return response
            # Whether the token came after the first refusal: then a still newer one is unlikely to help.
            again = issued.number > newest_when_refused
            if same_token or not keeper.refuse(issued, again=again):
                return response
            newest_when_refused = min(newest_when_refused, state.last_number)  # of the first refusal
            # A login that is needed has begun, for the next request too. This one may still be one that must not be sent twice:
            # then the caller gets the response, with its connection.
            if options.body_maker is None and not can_be_sent_again(request):
                return response
            mutations = [] if options.is_unauthorized is None else await _mutations_in(request)
            cookies = callers_cookies(request)
            store_cookies(request, response)
            kept = await release_connection(request, response, MAX_JUDGED_BODY if any(mutations) else MAX_KEPT_BODY)
            if kept and any(mutations) and await _a_mutation_took_effect(mutations, response):
                return response
            newer = await self._obtain(request, issued)
            if newer is issued and kept and self._api_key.value == request.headers[X_API_KEY]:
                _ensure_open(request)
                return response  # nothing newer, and the same key: the refusal is the caller's
            # A redirect that became a GET has dropped the body.
            if options.body_maker is not None and (request.body or request.method != hdrs.METH_GET):
                await replace(request, options.body_maker)
                if newer is not state.unexpired:
                    newer = await self._obtain(request, issued)  # it died while the body was made
            # From here to the signature nothing is awaited: the token must not die in between.
            _ensure_open(request)
            same_token = newer is issued
            draw_cookies(request, cookies)
            request.update_expect_continue()
            sent_again += 1
            keeper.account.sent_again(sent_again)
            attempt = await self._attempt(request, handler, newer)

    async def _is_our_refusal(
        self, request: ClientRequest, options: RequestOptions, response: ClientResponse, issued: IssuedToken
    ) -> bool:
        """Whether *response* refuses *issued*, with which *request* was sent. An answer that accepts it is noted."""
        # Before anything is decided: aiohttp follows a redirect whatever it says of the token.
        self.origins.note_redirect(request, response, signed=True)
        if not carries(request, issued):
            return False  # an owner further in has signed the request, and judged the answer
        refused = await is_refused(options.is_unauthorized, request, response, self._keeper.account)
        if not refused and response.status not in NOT_ACCEPTING:
            issued.ever_accepted = issued.accepted_since_refusal = True
        return refused

    async def _attempt(self, request: ClientRequest, handler: ClientHandlerType, issued: IssuedToken) -> _Attempt:
        """Sign *request* and pass it on; if its token dies while it queues, wait for another one and begin again."""
        # `ExterviewAuth.__call__` has the same steps for a body at hand: keep them equal.
        unanswered = self.signed.unanswered
        while True:
            sign(request, issued, self._api_key)
            response = failure = held = None
            if request.body.__class__ not in AT_HAND:
                held = HeldHead(request, issued, self._state, self._api_key, self._keeper.obtain)
            unanswered[request] = held
            try:
                response = await handler(request)
            except StaleTokenError:
                pass  # and let go of its traceback, before thousands wait
            except ClientError:
                failure = None if held is None else held.failure
                if failure is None:
                    raise
            finally:
                late = unanswered.pop(request, SIGNED_AGAIN)
                if late is not None:
                    late.restore()
                    issued = late.issued
            if failure is not None:
                raise failure
            if response is not None:
                return response, issued
            held = late = None  # as in `ExterviewAuth.__call__`
            cookies = callers_cookies(request)
            issued = await self._obtain(request)
            _ensure_open(request)
            draw_cookies(request, cookies)

    async def _obtain(self, request: ClientRequest, refused: IssuedToken | None = None) -> IssuedToken:
        """Return what `Keeper.obtain` returns, waiting for as long as the time of *request*'s call allows."""
        began = request.loop.time()
        try:
            return await self._keeper.obtain(refused, is_late=self._is_late(request))
        except asyncio.CancelledError as cancelled:
            self._raise_if_late(request, cancelled, began)
            raise

    def _is_late(self, request: ClientRequest) -> Callable[[], bool] | None:
        """Return what tells a listener that a cancellation is *request*'s own timeout: aiohttp says so only later."""
        return partial(is_out_of_time, request) if self._keeper.account.listeners else None

    def _raise_if_late(self, request: ClientRequest, cancelled: asyncio.CancelledError, began: float) -> None:
        """
        End a wait that began then by a ``TimeoutError`` if the call's time is up; both errors get a note of the login.

        aiohttp itself would raise one that knows nothing of it.
        """
        waited = request.loop.time() - began
        self._keeper.note_wait(cancelled, waited)
        if takes_timeout(request):
            error = TimeoutError()
            self._keeper.note_wait(error, waited)
            raise error from cancelled

    async def _pass_through(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send a request that is not ours as it is; a hop to which our redirect led loses the credentials first."""
        signed = is_sent_by_an_owner(request)
        if not signed:
            strip(request, led_away=self.origins.is_led_away(request))
        response = await handler(request)
        self.origins.note_redirect(request, response, signed=signed)
        return response

    # -- for `AuthSession`: requests with separate options, and requests that wait before aiohttp creates them ---------------

    def with_options(self, options: RequestOptions, waiter: Waiter | None = None) -> ClientMiddlewareType:
        """Return a client middleware that calls `send` with these arguments."""
        return partial(self.send, options=options, waiter=waiter)

    @property
    def must_wait(self) -> bool:
        """Whether a request would have to wait for a token now."""
        return self._state.unexpired is None

    @property
    def is_fast(self) -> bool:
        """Whether the fast path is open."""
        return self._state.fast_path is not None

    def note_wait(self, failure: TimeoutError, seconds: float) -> None:
        """Note on *failure*, which ends a wait of so many *seconds*, what the login has met meanwhile."""
        self._keeper.note_wait(failure, seconds)

    def join_login(self, session: ClientSession, deadline: float | None) -> Waiter:
        """Join the login in flight for a request of *session*, starting one if necessary; see `Keeper.join_login`."""
        self._login.follow(session)
        return self._keeper.join_login(deadline=deadline)

    def secrets_of(self, response: ClientResponse) -> Iterator[str]:
        """Yield what *response* may repeat and no message may show: what its requests carried, and what this owner knows."""
        for answer in (response, *response.history):
            yield from secrets_in_headers(answer.request_info.headers)
            yield from secrets_in(answer.request_info.real_url)
        yield self._api_key.value
        current = self._state.current
        if current is not None:
            yield from (text for text in (current.token.value, current.token.refresh_token) if text)
        yield from known_secrets(self._login.login)

    def owns(self, url: URL) -> bool:
        """Whether credentials go to *url*."""
        return self.origins.is_ours(url)


async def _mutations_in(request: ClientRequest) -> list[bool]:
    from .graphql import mutations_in  # noqa: PLC0415 - only a refusal in the body of an answer needs it

    return await mutations_in(request)


async def _a_mutation_took_effect(asked: list[bool], response: ClientResponse) -> bool:
    from .graphql import a_mutation_took_effect  # noqa: PLC0415 - as above

    return await a_mutation_took_effect(asked, response)


def _ensure_open(request: ClientRequest) -> None:
    if request.session.closed:
        raise session_closed_error()


def session_closed_error() -> ClientConnectionError:
    """Return the error of a request whose session was closed while it waited; aiohttp would fail an assertion."""
    return ClientConnectionError("the session was closed while this request waited for a token; close it last")
