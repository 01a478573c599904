"""What happens to the API, its tokens and Redis while the traffic goes on, drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from random import Random

from exterview_auth.errors import ConfigurationError

from .owners import ACCOUNTS, LOGIN_TIMEOUT, MAIN
from .stage import Stage

API, LOGINS, REDIS = "the API is down", "logins are refused", "Redis is away"
LEAST_OVERLAP, MORE_OVERLAP = 2.0, 5.0
"""Seconds for which an old API key is still good: a login repeats its attempts with the key that it began with."""
_TRIES = 20
_AGAIN = 0.12
"""Seconds after a revocation at which the login that it causes has just ended."""


@dataclass
class Window:
    """When something was out of order."""

    what: str
    began: float
    ended: float = math.inf


@dataclass(frozen=True)
class Row:
    """What may happen, with pauses of *least* to *most* seconds between."""

    acts: tuple[Callable[[], Awaitable[None]], ...]
    least: float
    most: float
    takes: float = 0.0
    """Seconds; what takes long is not begun shortly before the end."""


class Disturbances:
    """
    Four rows of them, side by side: to tokens, to keys, to the API, to Redis.

    Each row is dealt like a deck of cards: none comes again before all have come. *pace* shortens it all.
    """

    def __init__(self, stage: Stage, draw: Random, pace: float) -> None:
        self._stage, self._api, self._redis = stage, stage.api, stage.redis
        self._draw, self._pace = draw, pace
        self._overlap = LEAST_OVERLAP + MORE_OVERLAP * pace
        self.counts = Counter[str]()
        self.windows: list[Window] = []

    async def go_on(self, until: float, *, whole: bool) -> None:
        """Until that time; with *whole*, until each has happened too."""
        rows = (
            Row((self._revoke_all, self._revoke_one, self._revoke_main, self._revoke_twice), 1.0, 3.0),
            Row((self._rotate_key,), 0.0, 10.0, takes=self._overlap),
            Row((self._restart, self._lose, self._kill, self._refuse_logins, self._refuse_logins_for_long), 3.0, 8.0),
            Row((self._stop_redis, self._kill_redis, self._pause_redis, self._flush_redis), 3.0, 8.0),
        )
        await asyncio.gather(*(self._play(row, until, due=len(row.acts) if whole else 0) for row in rows))

    async def _play(self, row: Row, until: float, due: int) -> None:
        while True:
            for act in self._draw.sample(row.acts, len(row.acts)):
                await asyncio.sleep(self._draw.uniform(row.least, row.most) * self._pace)
                if due <= 0 and time.monotonic() + row.takes >= until:
                    return
                await act()
                due -= 1

    @contextlib.contextmanager
    def _window(self, what: str, after: float = 0.0) -> Iterator[None]:
        """While the block runs, and for so many seconds *after* it."""
        window = Window(what, time.monotonic())
        self.windows.append(window)
        yield
        window.ended = time.monotonic() + after

    # -- tokens and keys --------------------------------------------------------------------------------------------

    async def _revoke_all(self) -> None:
        self.counts["all tokens revoked"] += 1
        await self._api.revoke()

    async def _revoke_one(self) -> None:
        self.counts["one account's tokens revoked"] += 1
        await self._api.revoke(self._draw.choice(ACCOUNTS))

    async def _revoke_main(self) -> None:
        self.counts["the main account's tokens revoked"] += 1
        await self._api.revoke(MAIN)

    async def _revoke_twice(self) -> None:
        self.counts["all tokens revoked, and once more after the login"] += 1
        await self._api.revoke()
        await asyncio.sleep(_AGAIN * self._draw.uniform(0.5, 1.5))
        await self._api.revoke()

    async def _rotate_key(self) -> None:
        self.counts["API key rotated"] += 1
        await self._api.rotate_key(self._overlap)

    # -- the API ----------------------------------------------------------------------------------------------------

    async def _restart(self) -> None:
        self.counts["API restarted, tokens kept"] += 1
        await self._down()

    async def _lose(self) -> None:
        self.counts["API restarted, tokens lost"] += 1
        self._api.lose()
        await self._down()

    async def _kill(self) -> None:
        self.counts["API killed, tokens kept"] += 1
        await self._down(killed=True)

    async def _down(self, *, killed: bool = False) -> None:
        with self._window(API):
            await self._api.end(killed=killed)
            await asyncio.sleep(1.0 * self._pace)
            await self._api.start()

    async def _refuse_logins(self) -> None:
        self.counts["logins refused for two seconds"] += 1
        await self._logins_refused(0)

    async def _refuse_logins_for_long(self) -> None:
        """With a ``Retry-After`` that reaches beyond the login timeout, unless there is no time for it."""
        self.counts["logins refused, with Retry-After"] += 1
        await self._logins_refused(math.ceil(LOGIN_TIMEOUT) + 1 if self._pace >= 1 else 1)

    async def _logins_refused(self, retry_after: int) -> None:
        with self._window(LOGINS, retry_after):
            await self._api.refuse_logins(retry_after)
            await asyncio.sleep(2.0 * self._pace)
            await self._api.refuse_logins(None)

    # -- Redis ------------------------------------------------------------------------------------------------------

    async def _stop_redis(self) -> None:
        self.counts["Redis stopped and started, empty"] += 1
        with self._window(REDIS):
            await self._redis.stop()
            await self._start_redis(2.0)

    async def _kill_redis(self) -> None:
        self.counts["Redis killed and started, empty"] += 1
        with self._window(REDIS):
            await self._redis.kill()
            await self._start_redis(1.0)

    async def _start_redis(self, seconds: float) -> None:
        """An outgoing connection may have its port for a moment."""
        await asyncio.sleep(seconds * self._pace)
        for _ in range(_TRIES):
            try:
                await self._redis.restart()
            except ConfigurationError:
                await asyncio.sleep(1.0)
            else:
                return
        raise OSError("Redis does not come up again")

    async def _pause_redis(self) -> None:
        self.counts["Redis stands still"] += 1
        with self._window(REDIS):
            self._redis.pause()
            await asyncio.sleep(3.0 * self._pace)
            self._redis.resume()

    async def _flush_redis(self) -> None:
        self.counts["Redis flushed"] += 1
        await self._stage.flush_redis()
