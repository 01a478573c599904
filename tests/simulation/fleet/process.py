"""One process of a simulated fleet: the library's own keeper and store, and requests as the middleware makes them."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from exterview_auth import RedisStore, Token
from exterview_auth._core.account import Account
from exterview_auth._core.keeper import Keeper
from exterview_auth._core.state import IssuedToken

from .api import SimulatedApi
from .client import SimulatedClient
from .network import Dice, Link
from .redis import SimulatedRedis

ACCOUNT = "fleet@example.com"
DRIFT = 100e-6
"""How much too fast or too slow a host's clock may run."""
BOOTED = 1e6
"""Seconds within which the hosts' clocks began."""
LONGEST_PAUSE = 0.1
"""Seconds that a worker may wait between two requests."""


class Process:
    """
    A host's clock, a store, a keeper and requests.

    ``served_at`` is when a request was first accepted with a token that is not among *old*; ``problems`` counts failures,
    and ``longest`` is the longest time that a request took.
    """

    def __init__(self, seed: int, number: int, redis: SimulatedRedis, api: SimulatedApi, old: set[str]) -> None:
        self.dice = Dice(seed, number)
        self.link = Link(Dice(seed, number, 1))
        self._api = api
        self._old = old
        self._loop = asyncio.get_running_loop()
        self._clock = _skewed(self._loop, self.dice)
        self.keeper = Keeper(
            self._log_in,
            Account(ACCOUNT, clock=self._clock, random=random.Random(seed * 1_000_003 + number)),
            store=RedisStore(SimulatedClient(redis, self.link)),
        )
        self.served_at = math.inf
        self.longest = 0.0
        self.problems: Counter[str] = Counter()
        self.workers: list[asyncio.Task[None]] = []
        self.rejected = False

    async def _log_in(self, _: Token | None) -> Token:
        token = await self._api.login(self)
        if self.rejected:
            await self._loop.create_future()
        return token

    # -- start and end ----------------------------------------------------------------------------------------------

    def start(self, *work: Callable[[Process, Dice], Coroutine[Any, Any, None]]) -> None:
        """Start all *work* at once, each with its own randomness."""
        self.workers += [self._loop.create_task(self._do(one)) for one in work]

    async def _do(self, work: Callable[[Process, Dice], Coroutine[Any, Any, None]]) -> None:
        try:
            await work(self, Dice(self.dice.number()))
        except Exception as failure:  # noqa: BLE001 - a process that fails does not stop the others
            self.problems[type(failure).__name__] += 1

    def die(self) -> None:
        """Die: whatever the process held is never released."""
        self.rejected = self.link.cut = True
        for worker in self.workers:
            worker.cancel()

    @property
    def settled(self) -> bool:
        """Whether nothing is running."""
        if self.rejected:
            return True
        self.keeper.lifecycle.on_busy = lambda _: None  # as after an eviction: a renewal that is due does not count
        return not self.keeper.lifecycle.holds_open and all(worker.done() for worker in self.workers)

    # -- requests ---------------------------------------------------------------------------------------------------

    async def request(self, dice: Dice) -> str:
        """Send a request as the middleware does; return the token that was accepted, or an empty string."""
        began = self._loop.time()
        try:
            accepted = await self._exchange(dice)
            self.problems["401"] += not accepted
        except Exception as failure:  # noqa: BLE001 - whatever it is, the request failed
            accepted = ""
            self.problems[type(failure).__name__] += 1
        self.longest = max(self.longest, self._loop.time() - began)
        return accepted

    async def serve_again(self, dice: Dice) -> None:
        """Send requests until one is accepted with a token that is not old; the first such worker sends one more a second later."""
        while not self._is_new(await self.request(dice)):
            await dice.pause(0.0, LONGEST_PAUSE)
        if self.served_at == math.inf:
            self.served_at = self._loop.time()
            await asyncio.sleep(1.0)
            await self.request(dice)

    def _is_new(self, accepted: str) -> bool:
        return accepted != "" and accepted not in self._old

    async def _exchange(self, dice: Dice) -> str:
        keeper, held = self.keeper, self.keeper.state
        grant, until = held.current, held.usable_until
        if grant is None or (until != math.inf and self._clock() >= until):
            grant = await keeper.obtain()
        newest_when_refused = math.inf
        while not await self._accepts(grant, dice):
            if not keeper.refuse(grant, again=grant.number > newest_when_refused):
                return ""
            newest_when_refused = min(newest_when_refused, held.last_number)
            newer = await keeper.obtain(grant)
            if newer is grant:
                return ""
            grant = newer
        return grant.token.value

    async def _accepts(self, grant: IssuedToken, dice: Dice) -> bool:
        grant.used = True
        accepted = await self._api.accepts(grant.token, dice)
        if accepted:
            grant.ever_accepted = grant.accepted_since_refusal = True
        return accepted


def _skewed(loop: asyncio.AbstractEventLoop, dice: Dice) -> Callable[[], float]:
    began, rate = dice.between(0.0, BOOTED), 1 + dice.between(-DRIFT, DRIFT)
    return lambda: began + loop.time() * rate
