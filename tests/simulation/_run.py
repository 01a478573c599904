"""One run: the world of a plan on a separate loop, and whether all rules held."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import random
import tempfile
import warnings
from collections.abc import Iterator
from typing import NamedTuple
from unittest import mock

from exterview_auth._aiohttp import login_request as _login_request
from exterview_auth._aiohttp import origins as _origins
from exterview_auth._aiohttp.chains import Chains
from exterview_auth.stores._file import entries as _file_entries
from exterview_auth.stores._file import host_lock as _host_lock

from ._callers import Call
from ._loop import SimulatedLoop, StandstillError
from ._plan import Plan
from ._rules import Broken
from ._stores import VirtualTime
from ._verdict import ENDS, NOTHING_LEFT
from ._world import World
from .fleet.network import Dice

_CHAINS = [one for module in (_login_request, _origins) for one in vars(module).values() if isinstance(one, Chains)]
"""What the package remembers of redirected calls, for a whole process."""
NOTHING_ESCAPES = "no error escapes"


class Result(NamedTuple):
    """The broken rules; ``trace`` is the same for the same plan on the same code."""

    found: list[Broken]
    trace: str
    steps: int
    seconds: float
    calls: list[Call]
    counts: dict[str, int]


def run(plan: Plan) -> Result:
    """Run *plan*."""
    if plan.setting.store != "file":
        return _run(plan, "")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        return _run(plan, directory)


def _run(plan: Plan, directory: str) -> Result:
    loop = SimulatedLoop(plan.setting.policy, Dice(plan.seed, -2), plan.setting.turn)
    problems: list[str] = []
    loop.set_exception_handler(
        lambda _, context: problems.append(f"{context.get('message')}: {context.get('exception')!r}")
    )
    with _as_seeded(plan.seed, loop), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        world = _run_world(plan, loop, directory)
        loop.close()
        del loop
        gc.collect()
    for problem in (*problems, *(str(warning.message) for warning in warned)):
        if not plan.has("kill"):  # a killed process leaves everything
            world.monitor.broken(NOTHING_LEFT, problem)
    return Result(world.monitor.found, _trace(world), world.loop.steps, world.loop.now, world.calls, world.counts())


def _run_world(plan: Plan, loop: SimulatedLoop, directory: str) -> World:
    worlds: list[World] = []

    async def main() -> None:
        worlds.append(World(plan, loop, directory))
        await worlds[0].run()

    try:
        loop.run_until_complete(main())
    except StandstillError as failure:
        worlds[0].monitor.broken(ENDS, str(failure))
    except Exception as failure:  # noqa: BLE001 - whatever escapes from the library
        worlds[0].monitor.broken(NOTHING_ESCAPES, repr(failure))
    return worlds[0]


@contextlib.contextmanager
def _as_seeded(seed: int, loop: SimulatedLoop) -> Iterator[None]:
    """Take the library's own draws from *seed*, and its time from *loop*."""
    chance, virtual, collecting = random.getstate(), VirtualTime(loop.time), gc.isenabled()
    random.seed(seed)
    gc.disable()  # its moment would depend on earlier runs
    for chains in _CHAINS:
        chains.__init__()  # type: ignore[misc]  # as in a new process: calls of an earlier run may still be in there
    try:
        with mock.patch.object(_file_entries, "time", virtual), mock.patch.object(_host_lock, "time", virtual):
            yield
    finally:
        random.setstate(chance)
        if collecting:
            gc.enable()


def _trace(world: World) -> str:
    lines = [f"{call!r} {call.began:.9f} {call.ended} {call.sendings}" for call in world.calls]
    return hashlib.sha256("\n".join((*lines, str(world.loop.steps))).encode()).hexdigest()[:16]
