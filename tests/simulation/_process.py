"""One simulated process: a clock, sessions, a store, and owners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import (
    ClientConnectorError,
    ClientRequest,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
)

from exterview_auth import TokenStore

from ._api import Platform
from ._naming import name
from ._network import ObservedRequest, ObservedResponse, Observer, SimulatedConnector
from ._owner import Owner
from ._schedule import Party
from .fleet.network import Dice

if TYPE_CHECKING:
    from ._world import World

DRIFT = 100e-6
"""The share by which a host's clock may run too fast or too slow."""
BOOTED = 1e6
"""Seconds within which the hosts' clocks began."""


class _LoginRefuser(Observer):
    """Refuses connections for logins if the plan says so."""

    def __init__(self, platform: Platform) -> None:
        self._troubles = platform.login_troubles

    def leaving(self, request: ClientRequest) -> None:
        if self._troubles and self._troubles[0] == "refuses connections":
            self._troubles.popleft()
            raise ClientConnectorError(request.connection_key, ConnectionRefusedError(111, "refused"))


class Process:
    """``paused`` counts the seconds in which it was not running, ``slept`` those in which only its clock went on."""

    def __init__(self, world: World, party: Party, store: TokenStore | None, dice: Dice) -> None:
        setting, network = world.plan.setting, world.network
        self.party = party
        self.loop = world.loop
        self._booted = dice.between(0.0, BOOTED)
        self._rate = 1 + dice.between(-DRIFT, DRIFT)
        self.paused = self.slept = 0.0
        self.killed = False
        self.owners: list[Owner] = []
        self.store = store
        self.connector = SimulatedConnector(network, party, limit=setting.limit, observer=world.monitor)
        self.session = ClientSession(
            connector=self.connector,
            cookie_jar=DummyCookieJar(),
            middlewares=(name,),
            request_class=ObservedRequest,
            response_class=ObservedResponse,
        )
        self.login_connector = SimulatedConnector(network, party, limit=100, observer=_LoginRefuser(world.platform))
        self.login_session = ClientSession(
            connector=self.login_connector,
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=setting.login_timeout),
        )

    def clock(self) -> float:
        """Return the time of the host's clock, which goes on while the machine sleeps."""
        return self._booted + (self.loop.now + self.slept) * self._rate

    async def aclose(self) -> None:
        for owner in self.owners:
            await owner.auth.aclose()
        await self.session.close()
        await self.login_session.close()
