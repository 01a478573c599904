"""A simulated fleet from start to end, and what is counted meanwhile."""

from __future__ import annotations

import asyncio
import math
import statistics
from dataclasses import dataclass

from exterview_auth import RedisStore

from .api import SimulatedApi
from .client import SimulatedClient
from .network import Dice, Link
from .process import ACCOUNT, Process
from .redis import SimulatedRedis

CLOCK_ERROR = 120.0
"""Seconds by which the clock of Redis may be wrong."""
STEP, LAST_TIMEOUT = 0.25, 10.0


@dataclass(frozen=True)
class Settings:
    """Options of a fleet."""

    processes: int
    seed: int
    loss: float = 0.0
    single_session: bool = False
    lifetime: float = 3600.0
    longest: float = 120.0
    """Virtual seconds after which a fleet is closed even if it is not at rest."""


class Fleet:
    """Processes, the Redis that they share, and the API that they use. Times are seconds since `begin`."""

    def __init__(self, settings: Settings) -> None:
        self.dice = Dice(settings.seed)
        error = self.dice.between(-CLOCK_ERROR, CLOCK_ERROR)
        self.redis = SimulatedRedis(Dice(settings.seed, -1), clock_error=error, loss=settings.loss)
        self.api = SimulatedApi(
            Dice(settings.seed, -2), lifetime=settings.lifetime, single_session=settings.single_session
        )
        self.old: set[str] = set()
        numbers = range(1, settings.processes + 1)
        self.processes = [Process(settings.seed, number, self.redis, self.api, self.old) for number in numbers]
        self.longest = settings.longest
        self.began = 0.0

    async def stock(self) -> None:
        """Save a token in the store, as another process would."""
        token = self.api.issue()
        self.old.add(token.value)
        await RedisStore(SimulatedClient(self.redis, Link(self.dice))).save(ACCOUNT, token)

    def begin(self) -> None:
        """Begin to count."""
        self.began = asyncio.get_running_loop().time()
        self.redis.begin_counting()
        self.api.begun = self.api.completed = 0

    def share(self, part: float) -> list[Process]:
        """Return a *part* of the processes; they are all alike."""
        return self.processes[: math.ceil(len(self.processes) * part)]

    async def rest(self) -> None:
        """Wait until all requests have ended, and everything that they caused."""
        end = self.began + self.longest
        loop = asyncio.get_running_loop()
        # Polling is cheaper than an event for each of ten thousand processes.
        while loop.time() < end and not all(process.settled for process in self.processes):  # noqa: ASYNC110
            await asyncio.sleep(STEP)

    async def aclose(self) -> None:
        """End what is left, and wait for the timeouts of the dead processes."""
        for process in self.processes:
            for worker in process.workers:
                worker.cancel()
        await asyncio.gather(*(process.keeper.lifecycle.aclose() for process in self.processes))
        await asyncio.sleep(LAST_TIMEOUT)

    # -- what was found ---------------------------------------------------------------------------------------------

    def figures(self, renewals: int) -> dict[str, float]:
        """Return what was counted since `begin`; so many tokens had to be replaced meanwhile."""
        return {
            "logins": self.api.completed / renewals,
            "logins_died": self.api.begun - self.api.completed,
            "commands": self.redis.commands.total() / renewals,
            "commands_each": self.redis.commands.total() / renewals / len(self.processes),
            "peak_commands": self.redis.peak,
            "longest_queue": self.redis.longest_queue,
            "connections": self.redis.connections_peak,
            "lost_messages": self.redis.lost,
            "failed_commands": self.redis.failed,
            **self._requests(),
            "seconds": asyncio.get_running_loop().time() - self.began,
        }

    def _requests(self) -> dict[str, float]:
        living = [process for process in self.processes if not process.rejected]
        served = sorted(process.served_at - self.began for process in living if process.served_at < math.inf)
        times = {"half_serve": statistics.median(served), "all_serve": served[-1]} if served else {}
        return {
            "failures": sum(process.problems.total() for process in living),
            "unserved": len(living) - len(served) if served else 0,
            "unanswered": sum(not worker.done() for process in self.processes for worker in process.workers),
            "longest_request": max(process.longest for process in living),
            **times,
        }
