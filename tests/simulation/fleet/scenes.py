"""What can happen to a simulated fleet."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from tests.kit.clock import run

from .network import Dice
from .process import LONGEST_PAUSE, Process
from .run import Fleet, Settings

WORKERS = 5
"""Requests that each process has in flight."""
WARM, SENDING = 1.0, 0.08
"""Seconds until all processes have a token, and for which they send requests before it is revoked."""
OUTAGE = PARTITION = 5.0
AHEAD_LIFETIME = 600.0


async def _storm(fleet: Fleet, quiet: float = 0.0) -> None:
    """Let all processes take the token from the store and send after *quiet* seconds; then revoke the token."""
    await fleet.stock()
    for process in fleet.processes:
        process.start(partial(_starter, sends_at=WARM + quiet))
    await asyncio.sleep(WARM + quiet + SENDING)
    fleet.begin()
    fleet.api.revoke()


async def _starter(process: Process, dice: Dice, *, sends_at: float) -> None:
    await dice.pause(0.0, WARM / 2)
    await process.keeper.obtain()
    await asyncio.sleep(sends_at - asyncio.get_running_loop().time())
    process.start(*[_sender] * WORKERS)


async def _sender(process: Process, dice: Dice) -> None:
    await dice.pause(0.0, LONGEST_PAUSE)
    await process.serve_again(dice)


async def revoked(fleet: Fleet) -> None:
    """Revoke the token."""
    await _storm(fleet)


async def revoked_and_killed(fleet: Fleet) -> None:
    """Kill the first process that logs in during its login."""
    loop = asyncio.get_running_loop()

    def kill(process: Process) -> None:
        fleet.api.on_login = lambda _: None
        loop.call_later(0.1, process.die)

    fleet.api.on_login = kill
    await _storm(fleet)


async def revoked_in_outage(fleet: Fleet) -> None:
    """Revoke the token during an outage of the store."""
    loop = asyncio.get_running_loop()
    loop.call_at(WARM, fleet.redis.go_down)
    loop.call_at(WARM + OUTAGE, fleet.redis.come_back)
    await _storm(fleet, quiet=OUTAGE / 2)


async def revoked_in_partition(fleet: Fleet) -> None:
    """Revoke the token while a tenth of the processes cannot reach the store."""
    loop = asyncio.get_running_loop()
    for process in fleet.share(0.1):
        loop.call_at(WARM, setattr, process.link, "cut", True)
        loop.call_at(WARM + PARTITION, setattr, process.link, "cut", False)
    await _storm(fleet)


async def cold(fleet: Fleet) -> None:
    """Start all processes at once with an empty store."""
    fleet.begin()
    for process in fleet.processes:
        process.start(*[_sender] * WORKERS)


async def ahead(fleet: Fleet) -> None:
    """Let two lifetimes pass, in which half of the processes send a request a minute, and the others none."""
    await fleet.stock()
    busy = fleet.share(0.5)
    for process in fleet.processes:
        process.start(_idle)
    for process in busy:
        process.start(_busy)
    fleet.begin()


async def _idle(process: Process, dice: Dice) -> None:
    await dice.pause(0.0, 10.0)
    await process.request(dice)
    await asyncio.sleep(dice.between(1.75, 1.9) * AHEAD_LIFETIME)
    await process.request(dice)


async def _busy(process: Process, dice: Dice) -> None:
    loop = asyncio.get_running_loop()
    await dice.pause(0.0, 60.0)
    while loop.time() < 1.9 * AHEAD_LIFETIME:
        await process.request(dice)
        await dice.pause(30.0, 90.0)


class Scene(NamedTuple):
    """What happens, and to which fleet."""

    happens: Callable[[Fleet], Awaitable[None]]
    settings: dict[str, Any] = {}
    renewals: int = 1


SCENES = {
    "revoked, healthy": Scene(revoked),
    "revoked, 1 % of messages lost": Scene(revoked, {"loss": 0.01}),
    "revoked, login killed": Scene(revoked_and_killed),
    "revoked in an outage of 5 s": Scene(revoked_in_outage),
    "revoked, 10 % cut off for 5 s": Scene(revoked_in_partition),
    "renewal ahead of expiry": Scene(ahead, {"lifetime": AHEAD_LIFETIME, "longest": 2.5 * AHEAD_LIFETIME}, renewals=2),
    "cold start": Scene(cold),
    "one session per user, revoked": Scene(revoked, {"single_session": True}),
}


def figures(name: str, processes: int, seed: int) -> dict[str, float]:
    """Run the scene called *name*, and return what is counted."""
    # The library takes some of its jitter from the module `random`.
    chance = random.getstate()
    random.seed(seed)
    gc.collect()
    gc.disable()  # it would visit a million objects again and again
    try:
        return run(_lived(SCENES[name], Settings(processes, seed, **SCENES[name].settings)))
    finally:
        gc.enable()
        random.setstate(chance)


async def _lived(scene: Scene, settings: Settings) -> dict[str, float]:
    fleet = Fleet(settings)
    await scene.happens(fleet)
    await fleet.rest()
    found = fleet.figures(scene.renewals)
    await fleet.aclose()
    return found
