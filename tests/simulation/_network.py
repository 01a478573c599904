"""A simulated network beneath aiohttp's own client: connections with latencies, in which bytes keep their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from aiohttp import BaseConnector, ClientConnectorError, ClientRequest, ClientResponse, ClientTimeout
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from ._loop import WORLD, SimulatedLoop
from ._schedule import Party
from .fleet.network import Dice

QUICKEST = 0.0005
"""Seconds that a byte needs to arrive at least."""


class Arrived:
    """One request at its server, which may answer with any bytes."""

    def __init__(self, message: RawRequestMessage, payload: StreamReader, wire: ServerEnd) -> None:
        self.path = message.path
        self.headers = message.headers
        self.wire = wire
        self._payload = payload

    async def body(self) -> bytes:
        """Return the whole body; raise if the client breaks off."""
        return await self._payload.read()


Serve = Callable[[Arrived], Coroutine[Any, Any, None]]


class Observer:
    """Sees the requests of a session on their way out, and their answers where the middleware is about to see them."""

    def leaving(self, request: ClientRequest) -> None:
        """*request* leaves its middlewares and asks for a connection."""

    def sent(self, request: ClientRequest) -> None:
        """*request* has its connection: from now on its head cannot change."""

    def written(self, end: ClientEnd, data: bytes) -> None:
        """*data* is written to a connection."""

    def answered(self, end: ClientEnd, response: ClientResponse) -> None:
        """The head of *response* is handed to the middleware in this very step."""


class ObservedRequest(ClientRequest):
    """Tells its connector's observer when it is sent."""

    async def send(self, conn: Connection) -> ClientResponse:
        _observer_of(conn).sent(self)
        return await super().send(conn)


class ObservedResponse(ClientResponse):
    """Tells its connector's observer when it is there."""

    async def start(self, connection: Connection) -> ClientResponse:
        end, observer = connection.transport, _observer_of(connection)
        await super().start(connection)
        assert isinstance(end, ClientEnd)
        observer.answered(end, self)
        return self


def _observer_of(connection: Connection) -> Observer:
    connector = connection._connector
    assert isinstance(connector, SimulatedConnector)
    return connector.observer


class ClientEnd(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self, wire: ServerEnd, protocol: ResponseHandler, host: str, party: Party, dice: Dice) -> None:
        super().__init__({})
        self.party = party
        self.host = host
        self.asked: object = None
        """What the observer notes of the last request."""
        self._loop = wire.loop
        self._wire = wire
        self._protocol = protocol
        self._dice = dice
        self._arrives = 0.0
        self._closing = self._paused = False
        self.observer = Observer()
        self._held_back: list[bytes] = []

    # -- what the client does ---------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self.observer.written(self, bytes(data))
            self._deliver(self._wire.receive, bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._deliver(self._wire.client_closed)
            self._loop.call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        arrived, self._held_back = self._held_back, []
        for data in arrived:
            self._loop.call_soon(self.receive, data)

    def _deliver(self, receive: Callable[..., object], *what: Any) -> None:
        self._arrives = max(self._arrives, self._loop.now + self._dice.between(QUICKEST, self._wire.slowest))
        self._loop.call_for(WORLD, self._arrives - self._loop.now, receive, *what)

    # -- what arrives -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self._paused:
            self._held_back.append(data)
        elif not self._closing:
            self._protocol.data_received(data)

    def server_closed(self, reset: bool) -> None:  # noqa: FBT001 - a callback's argument
        if not self._closing:
            self._closing = True
            self._protocol.connection_lost(ConnectionResetError("reset by the simulated server") if reset else None)


class ServerEnd:
    """The server's end: parses the requests from what arrives, and serves each."""

    def __init__(self, loop: SimulatedLoop, serve: Serve, dice: Dice, slowest: float) -> None:
        self.loop = loop
        self.slowest = slowest
        self.client: ClientEnd
        self._serve = serve
        self._dice = dice
        self._arrives = 0.0
        protocol = BaseProtocol(loop)
        protocol.transport = asyncio.Transport()  # a missing body is not waited for
        self._parser = HttpRequestParser(protocol, loop, 2**20)
        self._serving: set[asyncio.Task[None]] = set()
        self._open = True

    def receive(self, data: bytes) -> None:
        if not self._open:
            return
        messages, _, _ = self._parser.feed_data(data)
        for message, payload in messages:
            task = self.loop.create_task(self._serve(Arrived(message, payload, self)))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    def client_closed(self) -> None:
        self._open = False
        for task in self._serving:
            task.cancel()

    def send(self, data: bytes) -> None:
        self._deliver(self.client.receive, data)

    def close(self, *, reset: bool = False) -> None:
        """End the connection after the bytes that were sent."""
        self._deliver(self.client.server_closed, reset)
        self._open = False

    def _deliver(self, receive: Callable[..., object], *what: Any) -> None:
        if self._open:
            self._arrives = max(self._arrives, self.loop.now + self._dice.between(QUICKEST, self.slowest))
            self.loop.call_for(self.client.party, self._arrives - self.loop.now, receive, *what)


class Network:
    """Servers by their host names; a byte needs *slowest* seconds at most. Connections to the hosts in ``refusing`` fail."""

    def __init__(self, loop: SimulatedLoop, dice: Dice, slowest: float) -> None:
        self._loop = loop
        self._dice = dice
        self._slowest = slowest
        self.servers: dict[str, Serve] = {}
        self.refusing: set[str] = set()

    async def open(
        self, request: ClientRequest, factory: Callable[[], ResponseHandler], party: Party
    ) -> ResponseHandler:
        """Open a connection of *party* for *request*."""
        await asyncio.sleep(2 * self._dice.between(QUICKEST, self._slowest))
        host = request.url.host or ""
        if host in self.refusing:
            raise ClientConnectorError(request.connection_key, ConnectionRefusedError(111, "refused"))
        wire = ServerEnd(self._loop, self.servers[host], Dice(self._dice.number()), self._slowest)
        protocol = factory()
        wire.client = ClientEnd(wire, protocol, host, party, Dice(self._dice.number()))
        protocol.connection_made(wire.client)
        return protocol


class SimulatedConnector(BaseConnector):
    """aiohttp's own connector on the simulated network; *observer* sees the requests."""

    def __init__(self, network: Network, party: Party, *, limit: int, observer: Observer) -> None:
        super().__init__(limit=limit)
        self._network = network
        self._party = party
        self.observer = observer

    async def connect(self, req: ClientRequest, traces: list[Any], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109 - aiohttp's own signature
        self.observer.leaving(req)
        return await super().connect(req, traces, timeout)

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Any],
        timeout: ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> ResponseHandler:
        del traces, timeout
        protocol = await self._network.open(req, self._factory, self._party)
        assert isinstance(protocol.transport, ClientEnd)
        protocol.transport.observer = self.observer
        return protocol

    @property
    def in_use(self) -> int:
        return len(self._acquired)
