"""
GraphQL over WebSocket, by the protocol ``graphql-transport-ws``.

The client sends ``connection_init``, then any number of ``subscribe`` (queries and mutations too), each with an id of its
own. The server answers ``next`` for each result, and ``complete`` or ``error`` at the end. A client that breaks the rules is
disconnected with one of the close codes below.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from inspect import isawaitable
from typing import Any, cast

from aiohttp import WSMsgType, web
from graphql import ExecutionResult, subscribe

from exterview_auth._json import json_object

from .._guard import require_api_key
from .._journal import answering
from .._responses import Refusal
from .._state import EmulatorState
from .documents import OperationKind
from .endpoint import GraphQLRequest, bad_request, formatted, graphql_request
from .schema import SCHEMA, resolve_field

PROTOCOL = "graphql-transport-ws"

GOING_AWAY = 1001
INVALID_MESSAGE = 4400
NOT_ACKNOWLEDGED = 4401
NOT_ACCEPTABLE = 4406
INIT_TIMEOUT = 4408
ID_IN_USE = 4409
INIT_TWICE = 4429

SECONDS_TO_INIT = 3.0
"""How long the server waits for ``connection_init``."""

LONGEST_MESSAGE = 1024 * 1024

_CLOSE_SECONDS = 0.25


class WebSockets:
    """The open WebSockets of one emulator."""

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._open: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve a WebSocket until either side closes it; raise the refusal of a handshake that is not in order."""
        # Guarded like every request, except that a handshake has no body and therefore no content type.
        require_api_key(request, self._state.accounts, content_types=())
        self._state.authorize(request)
        websocket = web.WebSocketResponse(protocols=(PROTOCOL,), timeout=_CLOSE_SECONDS, max_msg_size=LONGEST_MESSAGE)
        try:
            await websocket.prepare(request)
        except web.HTTPBadRequest as error:
            message = f"The WebSocket handshake is not in order: {error.text}"
            raise Refusal(400, message, reason="The WebSocket handshake is not in order") from None
        # It ends here, not when the handler returns: a socket may stay open for hours, and its 101 has been sent now.
        answering().end(websocket.status)
        self._open.add(websocket)
        self._state.counters.websockets_open = len(self._open)
        try:
            await _Connection(self._state, websocket).serve()
        finally:
            self._open.discard(websocket)
            self._state.counters.websockets_open = len(self._open)
        return websocket

    async def close(self) -> None:
        """Close every WebSocket, even if the other side does not respond."""
        await asyncio.gather(*(one.close(code=GOING_AWAY, message=b"The emulator stops") for one in list(self._open)))


class _ProtocolError(Exception):
    """The client broke a rule of the protocol; the connection is closed with *code*."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Connection:
    """The server's side of one WebSocket."""

    def __init__(self, state: EmulatorState, websocket: web.WebSocketResponse) -> None:
        self._state = state
        self._websocket = websocket
        self._acknowledged = False
        # Two sets, because an id is free again before its last message is sent: `_operations` holds the ids in use,
        # `_tasks` everything that must have ended before the connection is given up.
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Return when the connection is closed and all its operations have ended."""
        try:
            await self._receive()
        except _ProtocolError as error:
            # A close frame has room for 123 bytes of text (RFC 6455, section 5.5).
            await self._websocket.close(code=error.code, message=error.reason.encode()[:123])
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self) -> None:
        if self._websocket.ws_protocol != PROTOCOL:
            raise _ProtocolError(NOT_ACCEPTABLE, "Subprotocol not acceptable")
        try:
            async with asyncio.timeout(SECONDS_TO_INIT) as limit:
                async for message in self._websocket:
                    await self._handle(message.data if message.type is WSMsgType.TEXT else "")
                    if self._acknowledged:
                        limit.reschedule(None)
        except TimeoutError:
            raise _ProtocolError(INIT_TIMEOUT, "Connection initialisation timeout") from None

    async def _handle(self, text: str) -> None:
        message = json_object(text) or {}
        match message.get("type"):
            case "connection_init":
                if self._acknowledged:
                    raise _ProtocolError(INIT_TWICE, "Too many initialisation requests")
                self._acknowledged = True
                await self._send({"type": "connection_ack"})
            case "ping":
                await self._send({"type": "pong"})
            case "pong":
                pass
            case "subscribe":
                self._start(message)
            case "complete":
                # An operation that has ended already is fine: this message may have crossed the server's own.
                if task := self._operations.pop(_id_of(message), None):
                    task.cancel()
            case _:
                raise _ProtocolError(INVALID_MESSAGE, "Invalid message received")

    def _start(self, message: dict[str, Any]) -> None:
        if not self._acknowledged:
            raise _ProtocolError(NOT_ACKNOWLEDGED, "Unauthorized")
        name = _id_of(message)
        if name in self._operations:
            raise _ProtocolError(ID_IN_USE, f"Subscriber for {name} already exists")
        try:
            sent = graphql_request(message.get("payload"))
        except Refusal as refusal:
            raise _ProtocolError(INVALID_MESSAGE, f"Invalid message received: {refusal}") from None
        task = asyncio.create_task(self._run(name, sent))
        self._operations[name] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str, sent: GraphQLRequest) -> None:
        try:
            errors = await self._send_results(name, sent)
            # Before the last message: as soon as the client has read it, it may use the id again.
            del self._operations[name]
            last = {"type": "error", "payload": errors} if errors else {"type": "complete"}
            await self._send({"id": name, **last})
        except ConnectionError:  # the client has gone
            return

    async def _send_results(self, name: str, sent: GraphQLRequest) -> list[Any]:
        """Send every result; return the errors of an operation that had no result at all."""
        kind = sent.kind
        if kind in {OperationKind.LOGIN, OperationKind.LOGIN_AMONG_OTHERS}:
            # The handshake needed a bearer token, and logins are counted and delayed at the endpoint alone.
            return list(bad_request("login must be sent by POST")["errors"])
        if kind is not OperationKind.SUBSCRIPTION or self._state.answers.of(sent.name) is not None:
            result = await sent.execute(self._state)
            if "data" not in result:
                return list(result["errors"])
            await self._send({"id": name, "type": "next", "payload": result})
            return []
        stream = await self._stream(sent)
        if isinstance(stream, ExecutionResult):
            return list(formatted(stream)["errors"])
        async with aclosing(stream):
            async for item in stream:
                await self._send({"id": name, "type": "next", "payload": formatted(item)})
        return []

    async def _stream(self, sent: GraphQLRequest) -> AsyncGenerator[ExecutionResult, None] | ExecutionResult:
        assert sent.document.tree is not None
        stream = subscribe(
            SCHEMA,
            sent.document.tree,
            context_value=self._state,
            variable_values=sent.variables,
            operation_name=sent.operation_name,
            field_resolver=resolve_field,
        )
        # graphql-core 3.2 returns a coroutine, 3.3 only if a resolver does.
        result = await stream if isawaitable(stream) else stream
        return cast("AsyncGenerator[ExecutionResult, None] | ExecutionResult", result)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._websocket.send_str(json.dumps(message, separators=(",", ":")))


def _id_of(message: dict[str, Any]) -> str:
    name = message.get("id")
    if not isinstance(name, str) or not name:
        raise _ProtocolError(INVALID_MESSAGE, "Invalid message received: the id is missing")
    return name
