"""The paths of the API, and what every answer has in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from ._bulk_upload import answer_bulk_upload
from ._graphql import answer_graphql
from ._guard import JSON, MULTIPART
from ._oauth import answer_token_request
from ._page import Page
from ._pauses import StoppingError
from ._responses import Refusal
from ._state import MAX_BODY, EmulatorState
from ._subscriptions import Subscriptions

GRAPHQL = "/graphql"
OAUTH = "/oauth/token"
BULK_UPLOADS = ("/ats/candidates/bulk-upload", "/ats/candidates/bulk-upload-resumes", "/bulk-upload-resumes")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The handlers of one `EmulatorState`."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._subscriptions = Subscriptions(state)

    def application(self) -> web.Application:
        """All paths, ready to be served."""
        app = web.Application(client_max_size=MAX_BODY)
        page = Page(self._state)
        app.router.add_get("/", page.show)
        app.router.add_get("/stats", page.stats)
        app.router.add_route("*", GRAPHQL, self._counted(self._graphql))
        app.router.add_route("*", OAUTH, self._counted(self._oauth))
        for path in BULK_UPLOADS:
            app.router.add_route("*", path, self._counted(self._bulk_upload))
        app.router.add_route("*", "/{path:.*}", _not_found)
        app.on_shutdown.append(self._let_go)
        return app

    async def _let_go(self, _app: web.Application) -> None:
        """End what would hold the shutdown up: requests that are made to wait, and WebSockets."""
        self._state.faults.stop()
        await self._subscriptions.close()

    def _counted(self, handler: Handler) -> Handler:
        """*handler*, slowed down by the latency, its refusals answered and its statuses counted."""

        async def answer(request: web.Request) -> web.StreamResponse:
            counters = self._state.counters
            counters.requests += 1
            try:
                await self._state.faults.delays.sleep(self._state.latency)
                response = await handler(request)
            except Refusal as refusal:
                response = refusal.answer()
            except (web.HTTPException, web.RequestPayloadError, web.PayloadAccessError) as error:
                response = _unreadable(error).answer()
            except StoppingError:
                return _hang_up(request)
            if not isinstance(response, web.WebSocketResponse):
                counters.statuses[response.status] += 1
            return response

        return answer

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        if request.method == hdrs.METH_GET and request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await self._subscriptions.serve(request)
        self._state.guard.organization(request)
        if request.method != hdrs.METH_POST:
            self._state.guard.user(request)
            raise _only_post(request)
        return await answer_graphql(self._state, request)

    async def _bulk_upload(self, request: web.Request) -> web.StreamResponse:
        self._state.guard.organization(request, (JSON, MULTIPART) if request.method != hdrs.METH_POST else (MULTIPART,))
        self._state.guard.user(request)
        if request.method != hdrs.METH_POST:
            raise _only_post(request)
        return await answer_bulk_upload(self._state, request)

    async def _oauth(self, request: web.Request) -> web.StreamResponse:
        if request.method != hdrs.METH_POST:
            raise _only_post(request)
        return await answer_token_request(self._state, request)


def _only_post(request: web.Request) -> Refusal:
    return Refusal(405, f"{request.path} takes POST only", headers={"Allow": "POST"})


def _unreadable(error: Exception) -> Refusal:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Refusal(413, f"The body is larger than {MAX_BODY} bytes")
    return Refusal(400, "The body cannot be read")


def _hang_up(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    request.protocol.force_close()
    return web.Response(status=503)


async def _not_found(request: web.Request) -> web.Response:
    return Refusal(404, f"There is nothing at {request.path}").answer()
