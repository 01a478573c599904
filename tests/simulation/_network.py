"""A simulated network beneath aiohttp's own client: connections with latencies, in which bytes keep their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from aiohttp import BaseConnector, ClientConnectorError, ClientRequest, ClientTimeout
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.streams import StreamReader

from ._loop import WORLD, SimulatedLoop
from ._schedule import Party
from .fleet.network import Dice

QUICKEST, SLOWEST = 0.0005, 0.03
"""Seconds that a byte needs to arrive."""


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


class ClientEnd(asyncio.Transport):
    """The client's end of a connection."""

    def __init__(self, wire: ServerEnd, protocol: ResponseHandler, party: Party, dice: Dice) -> None:
        super().__init__({})
        self.party = party
        self._loop = wire.loop
        self._wire = wire
        self._protocol = protocol
        self._dice = dice
        self._arrives = 0.0
        self._closing = self._paused = False
        self.written: Callable[[bytes], None] = _ignore
        self._held_back: list[bytes] = []

    # -- what the client does ---------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self.written(bytes(data))
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
        self._arrives = max(self._arrives, self._loop.now + self._dice.between(QUICKEST, SLOWEST))
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


def _ignore(_: object) -> None:
    """Do nothing."""


class ServerEnd:
    """The server's end: parses the requests from what arrives, and serves each."""

    def __init__(self, loop: SimulatedLoop, serve: Serve, dice: Dice) -> None:
        self.loop = loop
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
            self._arrives = max(self._arrives, self.loop.now + self._dice.between(QUICKEST, SLOWEST))
            self.loop.call_for(self.client.party, self._arrives - self.loop.now, receive, *what)


class Network:
    """Servers by their host names. Connections to the hosts in ``refusing`` are refused."""

    def __init__(self, loop: SimulatedLoop, dice: Dice) -> None:
        self._loop = loop
        self._dice = dice
        self.servers: dict[str, Serve] = {}
        self.refusing: set[str] = set()

    async def open(
        self, request: ClientRequest, factory: Callable[[], ResponseHandler], party: Party
    ) -> ResponseHandler:
        """Open a connection of *party* for *request*."""
        await asyncio.sleep(2 * self._dice.between(QUICKEST, SLOWEST))
        host = request.url.host or ""
        if host in self.refusing:
            raise ClientConnectorError(request.connection_key, ConnectionRefusedError(111, "refused"))
        wire = ServerEnd(self._loop, self.servers[host], Dice(self._dice.number()))
        protocol = factory()
        wire.client = ClientEnd(wire, protocol, party, Dice(self._dice.number()))
        protocol.connection_made(wire.client)
        return protocol


class Observer(Protocol):
    """Sees the requests of a session leave their middlewares, get a connection after queueing, and be written."""

    def leaving(self, request: ClientRequest) -> None: ...
    def queued(self, request: ClientRequest) -> None: ...
    def written(self, head: bytes) -> None: ...


class SimulatedConnector(BaseConnector):
    """aiohttp's own connector on the simulated network; *observer* sees the requests."""

    def __init__(self, network: Network, party: Party, *, limit: int, observer: Observer) -> None:
        super().__init__(limit=limit)
        self._network = network
        self._party = party
        self._observer = observer

    async def connect(self, req: ClientRequest, traces: list[Any], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109 - aiohttp's own signature
        self._observer.leaving(req)
        waits = self._available_connections(req.connection_key) <= 0
        connection = await super().connect(req, traces, timeout)
        if waits and "send" in vars(req):  # the owner checks it again too
            self._observer.queued(req)
        return connection

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Any],
        timeout: ClientTimeout,  # noqa: ASYNC109 - aiohttp's own signature
    ) -> ResponseHandler:
        del traces, timeout
        protocol = await self._network.open(req, self._factory, self._party)
        assert isinstance(protocol.transport, ClientEnd)
        protocol.transport.written = self._observer.written
        return protocol

    @property
    def in_use(self) -> int:
        return len(self._acquired)
