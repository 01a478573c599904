"""The paths of the API, those of the page and its controls, and what all responses have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import hdrs, web

from ._answers import BULK_UPLOAD
from ._console import GRAPHQL, Console
from ._control_paths import ControlPaths
from ._controls import Controls
from ._events import EventStreams
from ._faults import StoppingError
from ._graphql.endpoint import answer_graphql, note_operation
from ._graphql.websocket import WebSockets
from ._guard import JSON, MULTIPART, require_api_key
from ._journal import Exchange
from ._local_only import LONGEST_ARGUMENTS, OWN_HEADERS, changes_something, loopback_hosts_only, require_own_page
from ._oauth import answer_token_request
from ._page import Page
from ._responses import Refusal
from ._state import EmulatorState
from ._uploads import MAX_BODY, answer_bulk_upload

OAUTH = "/oauth/token"
BULK_UPLOADS = ("/ats/candidates/bulk-upload", "/ats/candidates/bulk-upload-resumes", "/bulk-upload-resumes")

INTERNAL_ERROR = "The emulator failed; its log has the traceback"
"""The reason of a status 500 that nobody asked for."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The request handlers of one emulator."""

    def __init__(self, state: EmulatorState, controls: Controls) -> None:
        self._state = state
        self._controls = ControlPaths(controls)
        self._websockets = WebSockets(state)

    def application(self) -> web.Application:
        """Return an application with all paths; each start needs a new one, because aiohttp runs one only once."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[loopback_hosts_only])
        page, console, streams = Page(self._state), Console(self._state), EventStreams(self._state)
        for path, handler in (("/", page.show), ("/stats", page.stats), ("/journal", page.journal)):
            app.router.add_route("*", path, _own(handler, hdrs.METH_GET, hdrs.METH_HEAD))
        app.router.add_route("*", "/events", _own(streams.serve, hdrs.METH_GET, stays_open=True))
        app.router.add_route("*", "/query", _own(console.run, hdrs.METH_POST))
        app.router.add_route("*", "/controls/{control}", _own(self._controls.use, hdrs.METH_POST))
        app.router.add_route("*", GRAPHQL, self._counted(self._graphql))
        app.router.add_route("*", OAUTH, self._counted(self._oauth))
        for path in BULK_UPLOADS:
            app.router.add_route("*", path, self._counted(self._bulk_upload))
        app.router.add_route("*", r"/{unknown:[\s\S]*}", self._counted(_not_found))

        async def stop_waiting(_app: web.Application) -> None:
            # aiohttp closes the listening socket first, then calls this, then waits for handlers. Streams, delayed requests and
            # WebSockets would keep it waiting for its whole timeout. The console first: it would log in again meanwhile.
            await console.close()
            streams.stop()
            self._state.faults.stop()
            await self._websockets.close()

        app.on_shutdown.append(stop_waiting)
        return app

    def _counted(self, handler: Handler) -> Handler:
        """Return *handler* with its requests delayed by the latency, its refusals answered, and all of it written down."""

        async def answer(request: web.Request) -> web.StreamResponse:
            exchange = self._state.open_exchange(request)
            try:
                response = await respond(request, exchange)
            except StoppingError:
                # A response would be a lie, since the request was not looked at; aiohttp wants one, and it goes nowhere.
                request.protocol.force_close()
                return web.Response(status=503)
            except (asyncio.CancelledError, ConnectionError):
                if not self._state.faults.are_stopped:
                    exchange.end(None)
                raise
            except Exception:
                exchange.reason = INTERNAL_ERROR
                exchange.end(500)  # what aiohttp answers
                raise
            else:
                exchange.end(response.status)  # a WebSocket ended when it was opened
                return response
            finally:
                exchange.drop()

        async def respond(request: web.Request, exchange: Exchange) -> web.StreamResponse:
            try:
                await self._state.wait_out_latency()
                return await handler(request)
            except _REFUSED as error:
                refusal = _refusal(error, MAX_BODY)
                exchange.reason = refusal.reason
                return refusal.response()

        return answer

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        if request.method == hdrs.METH_GET and request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await self._websockets.serve(request)
        try:
            require_api_key(request, self._state.accounts)
        except Refusal:
            with suppress(*_REFUSED):
                await note_operation(self._state, request)
            raise
        if request.method != hdrs.METH_POST:
            self._state.authorize(request)
            raise _only_post(request)
        return await answer_graphql(self._state, request)

    async def _bulk_upload(self, request: web.Request) -> web.StreamResponse:
        self._state.note_operation(BULK_UPLOAD)
        posted = request.method == hdrs.METH_POST
        require_api_key(request, self._state.accounts, (MULTIPART,) if posted else (JSON, MULTIPART))
        self._state.authorize(request)
        if not posted:
            raise _only_post(request)
        return await answer_bulk_upload(self._state, request)

    async def _oauth(self, request: web.Request) -> web.StreamResponse:
        if request.method != hdrs.METH_POST:
            raise _only_post(request)
        return await answer_token_request(self._state, request)


_REFUSED = (Refusal, web.HTTPException, web.RequestPayloadError, web.PayloadAccessError)
"""What a handler may raise in place of a response."""


def _refusal(error: Exception, limit: int) -> Refusal:
    """Return what to answer where reading a request ended in *error*."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Refusal(413, f"The body is larger than {limit} bytes")
    return Refusal(400, "The body cannot be read")


def _own(handler: Handler, *methods: str, stays_open: bool = False) -> Handler:
    """Return *handler*, of the page or of a control, behind the guard against other pages; nothing counts or delays it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            # Another page could not read a stream. It could begin many of them.
            if stays_open or changes_something(request):
                require_own_page(request)
            if request.method not in methods:
                raise Refusal(405, f"This path takes {methods[0]} only", headers={"Allow": ", ".join(methods)})
            response = await handler(request)
        except _REFUSED as error:
            response = _refusal(error, LONGEST_ARGUMENTS).response()
        if not response.prepared:
            response.headers.update(OWN_HEADERS)
        return response

    return answer


def _only_post(request: web.Request) -> Refusal:
    return Refusal(405, f"{request.path} takes POST only", headers={"Allow": "POST"})


async def _not_found(request: web.Request) -> web.Response:
    raise Refusal(404, f"There is nothing at {request.path}", reason="The API has no such path")
