"""
One connection of the protocol ``graphql-transport-ws``.

The client sends ``connection_init``, then any number of ``subscribe`` (queries and mutations too), each with an id of its
own; the server answers ``next`` for each result and ``complete`` or ``error`` at the end. Who breaks the rules is
disconnected with one of the close codes below.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from inspect import isawaitable
from typing import Any, cast

from aiohttp import WSMsgType, web
from graphql import ExecutionResult, subscribe

from exterview_auth._json import json_object

from ._graphql import GraphQLRequest, error_response, graphql_request, response
from ._responses import Refusal
from ._schema import SCHEMA, resolve_field
from ._state import EmulatorState

PROTOCOL = "graphql-transport-ws"

INVALID_MESSAGE = 4400
NOT_ACKNOWLEDGED = 4401
NOT_ACCEPTABLE = 4406
INIT_TIMEOUT = 4408
ID_IN_USE = 4409
INIT_TWICE = 4429

SECONDS_TO_INIT = 3.0
"""How long the server waits for ``connection_init``."""


class _BrokenRuleError(Exception):
    """The connection is closed with *code*."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """The server's side of one WebSocket."""

    def __init__(self, state: EmulatorState, websocket: web.WebSocketResponse) -> None:
        self._state = state
        self._websocket = websocket
        self._acknowledged = False
        self._operations: dict[str, asyncio.Task[None]] = {}  # those that have not ended, by the client's id
        self._tasks: set[asyncio.Task[None]] = set()  # those and the ones that send their last message
        self._handlers: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "connection_init": self._init,
            "ping": self._ping,
            "pong": self._pong,
            "subscribe": self._subscribe,
            "complete": self._complete,
        }

    async def serve(self) -> None:
        """Return when the connection is closed and every operation of it has ended."""
        try:
            await self._receive()
        except _BrokenRuleError as broken:
            await self._websocket.close(code=broken.code, message=broken.reason.encode()[:123])
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self) -> None:
        if self._websocket.ws_protocol != PROTOCOL:
            raise _BrokenRuleError(NOT_ACCEPTABLE, "Subprotocol not acceptable")
        try:
            async with asyncio.timeout(SECONDS_TO_INIT) as limit:
                async for message in self._websocket:
                    await self._handle(message.data if message.type is WSMsgType.TEXT else "")
                    if self._acknowledged:
                        limit.reschedule(None)
        except TimeoutError:
            raise _BrokenRuleError(INIT_TIMEOUT, "Connection initialisation timeout") from None

    async def _handle(self, text: str) -> None:
        try:
            message = json_object(text) or {}
            handler = self._handlers[message["type"]]
        except (TypeError, KeyError):
            raise _BrokenRuleError(INVALID_MESSAGE, "Invalid message received") from None
        await handler(message)

    async def _init(self, _message: dict[str, Any]) -> None:
        if self._acknowledged:
            raise _BrokenRuleError(INIT_TWICE, "Too many initialisation requests")
        self._acknowledged = True
        await self._send({"type": "connection_ack"})

    async def _ping(self, _message: dict[str, Any]) -> None:
        await self._send({"type": "pong"})

    async def _pong(self, message: dict[str, Any]) -> None:
        """Nothing to do."""

    async def _subscribe(self, message: dict[str, Any]) -> None:
        if not self._acknowledged:
            raise _BrokenRuleError(NOT_ACKNOWLEDGED, "Unauthorized")
        name = _id_of(message)
        if name in self._operations:
            raise _BrokenRuleError(ID_IN_USE, f"Subscriber for {name} already exists")
        try:
            sent = graphql_request(message.get("payload"))
        except Refusal as refusal:
            raise _BrokenRuleError(INVALID_MESSAGE, f"Invalid message received: {refusal}") from None
        task = asyncio.create_task(self._run(name, sent))
        self._operations[name] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _complete(self, message: dict[str, Any]) -> None:
        """The client needs no more of it; that the operation has ended already is fine."""
        if task := self._operations.pop(_id_of(message), None):
            task.cancel()

    async def _run(self, name: str, sent: GraphQLRequest) -> None:
        try:
            errors = await self._send_results(name, sent)
            del self._operations[name]  # the client may use the id again as soon as it knows
            last = {"type": "error", "payload": errors} if errors else {"type": "complete"}
            await self._send({"id": name, **last})
        except ConnectionError:  # the client has gone
            return

    async def _send_results(self, name: str, sent: GraphQLRequest) -> list[Any]:
        """The errors of an operation that gave no result at all."""
        if sent.includes_login:
            return list(error_response("login is sent by POST")["errors"])
        if not sent.subscribes:
            result = await sent.execute(self._state)
            if "data" not in result:
                return list(result["errors"])
            await self._send({"id": name, "type": "next", "payload": result})
            return []
        stream = await self._stream(sent)
        if isinstance(stream, ExecutionResult):
            return list(response(stream)["errors"])
        async with aclosing(stream):
            async for item in stream:
                await self._send({"id": name, "type": "next", "payload": response(item)})
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
        # graphql-core 3.2 gives a coroutine, 3.3 only where a resolver does
        result = await stream if isawaitable(stream) else stream
        return cast("AsyncGenerator[ExecutionResult, None] | ExecutionResult", result)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._websocket.send_str(json.dumps(message, separators=(",", ":")))


def _id_of(message: dict[str, Any]) -> str:
    name = message.get("id")
    if not isinstance(name, str) or not name:
        raise _BrokenRuleError(INVALID_MESSAGE, "Invalid message received: the id is missing")
    return name
