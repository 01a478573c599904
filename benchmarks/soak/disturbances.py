"""What happens to the API, its tokens and Redis while the traffic continues, drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from exterview_auth.errors import ConfigurationError

from .owners import ACCOUNTS, LOGIN_TIMEOUT, MAIN
from .stage import Stage

API, LOGINS, REDIS = "the API is down", "logins are refused", "Redis is away"
LEAST_OVERLAP, MORE_OVERLAP = 2.0, 5.0
"""Seconds for which an old API key stays good: a login repeats its attempts with the key that it began with."""
LONG = math.ceil(LOGIN_TIMEOUT) + 1
_TRIES = 20
_AFTER_LOGIN = 0.12
"""Seconds after a revocation at which the login that it causes has just ended."""

Acts = Mapping[str, Callable[[], Awaitable[None]]]
"""Disturbances by name."""


@dataclass
class Window:
    """When something was out of order."""

    what: str
    began: float
    ended: float = math.inf


class Disturbances:
    """
    Four rows of disturbances, side by side: to tokens, to keys, to the API, to Redis.

    Each row is dealt like a deck of cards: none comes again before all have come. *pace* shortens all durations.
    """

    def __init__(self, stage: Stage, draw: Random, pace: float) -> None:
        self._stage, self._api, self._redis = stage, stage.api, stage.redis
        self._draw, self._pace = draw, pace
        self._overlap = LEAST_OVERLAP + MORE_OVERLAP * pace
        self.counts = Counter[str]()
        self.windows: list[Window] = []

    async def run(self, until: float, *, each: bool) -> None:
        """Disturb until that time, and with *each*, until every disturbance has happened."""
        tokens = {
            "all tokens revoked": self._api.revoke,
            "one account's tokens revoked": lambda: self._api.revoke(self._draw.choice(ACCOUNTS)),
            "the main account's tokens revoked": lambda: self._api.revoke(MAIN),
            "all tokens revoked, and once more after the login": self._revoke_twice,
        }
        keys = {"API key rotated": lambda: self._api.rotate_key(self._overlap)}
        api = {
            "API restarted, tokens kept": self._restart,
            "API restarted, tokens lost": lambda: self._restart(lost=True),
            "API killed, tokens kept": lambda: self._restart(killed=True),
            "logins refused for two seconds": lambda: self._refuse_logins(0),
            # Beyond the login timeout, unless there is no time for it.
            "logins refused, with Retry-After": lambda: self._refuse_logins(LONG if self._pace >= 1 else 1),
        }
        redis = {
            "Redis stopped and started, empty": lambda: self._restart_redis(self._redis.stop, 2.0),
            "Redis killed and started, empty": lambda: self._restart_redis(self._redis.kill, 1.0),
            "Redis paused": self._pause_redis,
            "Redis flushed": self._stage.flush_redis,
        }
        rows = (
            self._play(tokens, until, each=each, pause=(1.0, 3.0)),
            # The old key must have ended before the traffic does.
            self._play(keys, until - self._overlap, each=each, pause=(0.0, 10.0)),
            self._play(api, until, each=each, pause=(3.0, 8.0)),
            self._play(redis, until, each=each, pause=(3.0, 8.0)),
        )
        await asyncio.gather(*rows)

    async def _play(self, acts: Acts, until: float, *, each: bool, pause: tuple[float, float]) -> None:
        due = len(acts) if each else 0
        while True:
            for name in self._draw.sample(list(acts), len(acts)):
                await asyncio.sleep(self._draw.uniform(*pause) * self._pace)
                # A disturbance that outlasts the traffic would leave failures without a reason.
                if due <= 0 and time.monotonic() >= until:
                    return
                self.counts[name] += 1
                await acts[name]()
                due -= 1

    @contextlib.contextmanager
    def _window(self, what: str, after: float = 0.0) -> Iterator[None]:
        """Note a window that lasts as long as the block, and so many seconds *after* it."""
        window = Window(what, time.monotonic())
        self.windows.append(window)
        yield
        window.ended = time.monotonic() + after

    async def _revoke_twice(self) -> None:
        await self._api.revoke()
        await asyncio.sleep(_AFTER_LOGIN * self._draw.uniform(0.5, 1.5))
        await self._api.revoke()

    async def _restart(self, *, killed: bool = False, lost: bool = False) -> None:
        if lost:
            self._api.lose()
        with self._window(API):
            await self._api.end(killed=killed)
            await asyncio.sleep(1.0 * self._pace)
            await self._api.start()

    async def _refuse_logins(self, retry_after: int) -> None:
        with self._window(LOGINS, retry_after):
            await self._api.refuse_logins(retry_after)
            await asyncio.sleep(2.0 * self._pace)
            await self._api.refuse_logins(None)

    async def _restart_redis(self, end: Callable[[], Awaitable[None]], seconds: float) -> None:
        with self._window(REDIS):
            await end()
            await asyncio.sleep(seconds * self._pace)
            # An outgoing connection may hold its port for a moment.
            for _ in range(_TRIES):
                try:
                    await self._redis.restart()
                except ConfigurationError:
                    await asyncio.sleep(1.0)
                else:
                    return
            raise OSError("Redis does not start again")

    async def _pause_redis(self) -> None:
        with self._window(REDIS):
            self._redis.pause()
            await asyncio.sleep(3.0 * self._pace)
            self._redis.resume()
