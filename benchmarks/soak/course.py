"""The course of the soak: traffic with disturbances, a rest after the first fifth, and one at the end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ..harness.report import progress
from .disturbances import Disturbances, Window
from .judge import Event
from .stage import Stage, opened_stage

WARM_UP = 0.2
CALM = 2.0
"""Seconds of traffic without disturbances before each rest, so that everything has recovered by then."""
LIFETIME, SHORTEST_LIFETIME = 4.0, 3.0
"""Of tokens; none is over before a request of a busy machine has arrived."""
_OBJECTS_EVERY = 10

Point = tuple[float, float]
"""A time, and a figure at that time."""
Rest = list[dict[str, Any]]
"""What each process holds at rest."""


@dataclass(frozen=True)
class Plan:
    """How long the traffic continues, and the seed; in a short soak disturbances are short too."""

    seconds: float
    seed: int

    @property
    def pace(self) -> float:
        """The factor for durations."""
        return min(1.0, self.seconds / 60)

    @property
    def lifetime(self) -> float:
        """Seconds for which a token is good: few, so that tokens are renewed ahead."""
        return max(SHORTEST_LIFETIME, LIFETIME * self.pace)


@dataclass
class Found:
    """Everything that was observed."""

    points: dict[tuple[str, str], list[Point]] = field(default_factory=lambda: defaultdict(list))
    outcomes: Counter[str] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)
    rests: list[Rest] = field(default_factory=list)
    redis_clients: list[int | None] = field(default_factory=list)
    disturbances: Counter[str] = field(default_factory=Counter)
    windows: list[Window] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    """What the API and the main account's owners counted."""
    left: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Soak:
    """One run."""

    def __init__(self, plan: Plan, stage: Stage) -> None:
        self._plan, self._stage = plan, stage
        self._disturbances = Disturbances(stage, Random(plan.seed), plan.pace)
        self._sampling = itertools.count()
        self._paused = 0.0
        """Seconds of rest so far: the points are placed as if there had been none."""
        self.found = Found(disturbances=self._disturbances.counts, windows=self._disturbances.windows)

    async def run(self) -> Found:
        """Run the whole plan."""
        self._began = time.monotonic()
        await self._traffic(self._plan.seconds * WARM_UP, each=False)
        # By now caches, pools and threads are filled: what is held at this rest must be held at the last one too.
        await self._rest()
        await self._traffic(self._plan.seconds * (1 - WARM_UP), each=True)
        self.found.seconds = self._now()
        await self._rest()
        await self._close()
        return self.found

    def _now(self) -> float:
        return time.monotonic() - self._began - self._paused

    async def _traffic(self, seconds: float, *, each: bool) -> None:
        await self._stage.order_all("go")
        done = asyncio.Event()
        sampling = asyncio.create_task(self._sample_until(done))
        calm = CALM * self._plan.pace
        try:
            # The calm is part of the traffic: after it, everything has recovered, and failures have no excuse.
            await self._disturbances.run(time.monotonic() + seconds - calm, each=each)
            await asyncio.sleep(calm)
        finally:
            done.set()
            await sampling

    async def _sample_until(self, done: asyncio.Event) -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await done.wait()
            await self._sample()
            sent, failed = self.found.outcomes.total(), sum(event["what"] == "failed" for event in self.found.events)
            whole = round(self._plan.seconds)
            progress(min(round(self._now()), whole), whole, f"{sent} requests, {failed} to be judged, second")

    async def _sample(self) -> None:
        number = next(self._sampling)
        answers = await self._stage.order_all("sample", objects=number % _OBJECTS_EVERY == 0)
        clients = await self._stage.redis_clients()
        now = self._now()
        if clients is not None:
            self.found.points["Redis' clients", "both"].append((now, clients))
        for worker, answer in enumerate(answers, 1):
            for measure, value in answer["gauges"].items():
                self.found.points[measure, str(worker)].append((now, value))
            self.found.outcomes += Counter(answer["outcomes"])
            self.found.events += answer["events"]
        await self._stage.api.count()

    async def _rest(self) -> None:
        began = time.monotonic()
        self.found.rests.append(await self._stage.order_all("rest"))
        self.found.redis_clients.append(await self._stage.redis_clients())
        await self._sample()
        self._paused += time.monotonic() - began

    async def _close(self) -> None:
        for answer in await self._stage.order_all("close"):
            self.found.events += answer["events"]
            self.found.counted += Counter(
                {f"(the main owners) {name}": count for name, count in answer["counted"].items()}
            )
            self.found.left.update(answer["left"])  # keeps zeros, unlike +=
        self.found.counted |= {f"(the API) {name}": count for name, count in self._stage.api.counts.items()}


async def soak(plan: Plan) -> Found:
    """Run *plan* on a new stage."""
    async with opened_stage(lifetime=plan.lifetime, seed=plan.seed, pace=plan.pace) as stage:
        return await Soak(plan, stage).run()
