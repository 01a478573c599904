"""GraphQL over WebSocket, by the protocol ``graphql-transport-ws``."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ._responses import Refusal
from ._state import EmulatorState
from ._transport_ws import PROTOCOL, Connection

LONGEST_MESSAGE = 1024 * 1024
_CLOSE_SECONDS = 0.25
_GOING_AWAY = 1001


class Subscriptions:
    """The open WebSockets of one `EmulatorState`."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._open: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """A WebSocket, served until either side closes it; raises the refusal of a handshake that is not in order."""
        self._state.guard.organization(request, content_types=())
        self._state.guard.user(request)
        websocket = web.WebSocketResponse(protocols=(PROTOCOL,), timeout=_CLOSE_SECONDS, max_msg_size=LONGEST_MESSAGE)
        try:
            await websocket.prepare(request)
        except web.HTTPBadRequest as error:
            raise Refusal(400, f"The WebSocket handshake is not in order: {error.text}") from None
        self._state.counters.statuses[websocket.status] += 1
        self._open.add(websocket)
        self._state.counters.websockets_open = len(self._open)
        try:
            await Connection(self._state, websocket).serve()
        finally:
            self._open.discard(websocket)
            self._state.counters.websockets_open = len(self._open)
        return websocket

    async def close(self) -> None:
        """Close every WebSocket, also where the other side does not answer."""
        await asyncio.gather(*(one.close(code=_GOING_AWAY, message=b"The emulator stops") for one in list(self._open)))
