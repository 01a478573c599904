"""The paths of the API, and what all responses have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from ._faults import StoppingError
from ._graphql.endpoint import answer_graphql
from ._graphql.websocket import WebSockets
from ._guard import JSON, MULTIPART, require_api_key
from ._oauth import answer_token_request
from ._page import Page
from ._responses import Refusal
from ._state import EmulatorState
from ._uploads import MAX_BODY, answer_bulk_upload

GRAPHQL = "/graphql"
OAUTH = "/oauth/token"
BULK_UPLOADS = ("/ats/candidates/bulk-upload", "/ats/candidates/bulk-upload-resumes", "/bulk-upload-resumes")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The request handlers of one emulator."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._websockets = WebSockets(state)

    def application(self) -> web.Application:
        """Return an application with all paths; each start needs a new one, because aiohttp runs one only once."""
        app = web.Application(client_max_size=MAX_BODY)
        page = Page(self._state)
        app.router.add_get("/", page.show)
        app.router.add_get("/stats", page.stats)
        app.router.add_route("*", GRAPHQL, self._counted(self._graphql))
        app.router.add_route("*", OAUTH, self._counted(self._oauth))
        for path in BULK_UPLOADS:
            app.router.add_route("*", path, self._counted(self._bulk_upload))
        app.router.add_route("*", "/{path:.*}", _not_found)
        app.on_shutdown.append(self._stop_waiting)
        return app

    async def _stop_waiting(self, _app: web.Application) -> None:
        # aiohttp closes the listening socket first, then calls this, then waits for handlers. Delayed requests and
        # WebSockets would keep it waiting for its whole timeout.
        self._state.faults.stop()
        await self._websockets.close()

    def _counted(self, handler: Handler) -> Handler:
        """Return *handler* with its requests delayed by the latency, its refusals answered and its statuses counted."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                await self._state.begin_request()
                response = await handler(request)
            except Refusal as refusal:
                response = refusal.response()
            except web.HTTPRequestEntityTooLarge:
                response = Refusal(413, f"The body is larger than {MAX_BODY} bytes").response()
            except (web.HTTPException, web.RequestPayloadError, web.PayloadAccessError):
                response = Refusal(400, "The body cannot be read").response()
            except StoppingError:
                # A response would be a lie, since the request was not looked at; aiohttp wants one, and it goes nowhere.
                request.protocol.force_close()
                return web.Response(status=503)
            if not isinstance(response, web.WebSocketResponse):  # counted when it was opened
                self._state.counters.statuses[response.status] += 1
            return response

        return answer

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        if request.method == hdrs.METH_GET and request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await self._websockets.serve(request)
        require_api_key(request, self._state.accounts)
        if request.method != hdrs.METH_POST:
            self._state.authorize(request)
            raise _only_post(request)
        return await answer_graphql(self._state, request)

    async def _bulk_upload(self, request: web.Request) -> web.StreamResponse:
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


def _only_post(request: web.Request) -> Refusal:
    return Refusal(405, f"{request.path} takes POST only", headers={"Allow": "POST"})


async def _not_found(request: web.Request) -> web.Response:
    return Refusal(404, f"There is nothing at {request.path}").response()
