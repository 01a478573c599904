"""One simulated process: a clock, sessions, a store, and owners."""

from __future__ import annotations

from contextvars import ContextVar

from aiohttp import (
    ClientConnectorError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)

from exterview_auth import TokenStore

from ._api import Platform
from ._loop import SimulatedLoop
from ._network import Network, Onlooker, SimulatedConnector
from ._owner import Owner
from ._plan import Setting
from ._schedule import Party
from .fleet.network import Dice

naming: ContextVar[str] = ContextVar("name")
"""The name of the request that the running task makes."""

DRIFT = 100e-6
"""The part by which a host's clock may run too fast or too slow."""
BOOTED = 1e6
"""Seconds over which the hosts' clocks began."""


class _Doorkeeper:
    """Refuses connections to logins, where that is planned."""

    def __init__(self, platform: Platform) -> None:
        self._troubles = platform.login_troubles

    def leaving(self, request: ClientRequest) -> None:
        """A login is to be sent."""
        if self._troubles and self._troubles[0] == "refuses connections":
            self._troubles.popleft()
            raise ClientConnectorError(request.connection_key, ConnectionRefusedError(111, "refused"))

    def queued(self, request: ClientRequest) -> None:
        """Logins do not queue."""

    def written(self, head: bytes) -> None:
        """Nothing to be seen here."""


class Process:
    """``paused`` is for how many seconds it stood still so far, ``slept`` by how many its clock went on without it."""

    def __init__(
        self,
        party: Party,
        loop: SimulatedLoop,
        setting: Setting,
        *,
        network: Network,
        store: TokenStore | None,
        platform: Platform,
        dice: Dice,
        onlooker: Onlooker,
    ) -> None:
        self.party = party
        self._loop = loop
        self._booted = dice.between(0.0, BOOTED)
        self._rate = 1 + dice.between(-DRIFT, DRIFT)
        self.paused = self.slept = 0.0
        self.rejected = False
        self.owners: list[Owner] = []
        self.store = store
        self.connector = SimulatedConnector(network, party, limit=setting.limit, onlooker=onlooker)
        self.session = ClientSession(connector=self.connector, cookie_jar=DummyCookieJar(), middlewares=(_name,))
        self.login_connector = SimulatedConnector(network, party, limit=100, onlooker=_Doorkeeper(platform))
        self.login_session = ClientSession(
            connector=self.login_connector,
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=setting.login_timeout),
        )

    def clock(self) -> float:
        """The host's clock, which goes on in sleep."""
        return self._booted + (self._loop.now + self.slept) * self._rate

    async def aclose(self) -> None:
        """End it in good order."""
        for owner in self.owners:
            await owner.auth.aclose()
        await self.session.close()
        await self.login_session.close()


async def _name(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """The session's own middleware."""
    request.headers["X-Name"] = naming.get("nobody's")
    return await handler(request)
