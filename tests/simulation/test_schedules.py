"""The rules over many schedules: always the same ones, and those that once broke a rule. New ones are for the command alone."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import pytest

from tests.simulation import _parallel, _report
from tests.simulation._api import Platform
from tests.simulation._defect_list import DEFECTS, defect_named
from tests.simulation._defects import put_into, run_in, search
from tests.simulation._loop import WORLD, SimulatedLoop, StandstillError
from tests.simulation._plan import SUITE_SEEDS, Plan, plan_of
from tests.simulation._regressions import REGRESSIONS
from tests.simulation._run import run
from tests.simulation._schedule import Party, Policy
from tests.simulation._shrink import shortest
from tests.simulation.fleet.network import Dice

ROOT = Path(__file__).parents[2]
QUICKLY_FOUND = (
    "the flight is current only once its task runs",
    "waiters await the login's task itself (no shield)",
    "a rejected token stays usable",
    "a replay is sent with the old token",
    "a body factory is not asked again",
    "the window of renewal covers most of a short life",
    "an error of a hook ends the flight",
    "the store is never read",
)


@pytest.mark.timeout(1800)
def test_every_rule_holds_in_many_schedules() -> None:
    """All rules hold in the suite's schedules, and these reach what they are for."""
    total = _parallel.run_many(range(SUITE_SEEDS), _parallel.cores())
    failures = (
        _report.failure(seed, rule, shortest(plan_of(seed), rule)) for seed, rule in sorted(total.broken.items())[:1]
    )
    assert not total.broken, "\n".join((_report.summary(total), *failures))
    assert total.seeds == SUITE_SEEDS
    for what in ("tokens adopted", "tokens renewed ahead", "requests replayed", "store failures", "answered 401"):
        assert total.happened[what] > SUITE_SEEDS / 20, _report.summary(total)


@pytest.fixture(autouse=True)
def _collected() -> None:
    """Collect what earlier tests of this process left: no run may take it for its own."""
    with mock.patch("sys.unraisablehook"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.mark.parametrize("number", range(len(REGRESSIONS)))
def test_what_once_failed_holds(number: int) -> None:
    """A schedule that broke a rule is repeated in every test run."""
    assert REGRESSIONS[number].broken() == []


@pytest.mark.parametrize("number", range(len(REGRESSIONS)))
def test_what_once_failed_would_be_seen_again(number: int, tmp_path: Path) -> None:
    """A kept schedule still breaks its rule in a copy of the package that has the fault."""
    regression = REGRESSIONS[number]
    put_into(tmp_path, defect_named(regression.defect))
    program = (
        f"from tests.simulation._regressions import REGRESSIONS; print(*REGRESSIONS[{number}].broken(), sep='\\n')"
    )
    done = run_in(tmp_path, "-c", program)
    assert regression.rule in done.stdout.splitlines(), (
        f"find another schedule that shows it: {done.stdout}{done.stderr}"
    )


def test_a_seed_is_the_same_run_everywhere() -> None:
    """In any process, whatever its hashes and addresses are."""
    program = (
        "from tests.simulation._plan import plan_of; from tests.simulation._run import run;"
        "print([run(plan_of(seed)).trace for seed in range(20)])"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert traces == {f"{[run(plan_of(seed)).trace for seed in range(20)]}\n"}


def test_a_failing_seed_prints_the_shortest_schedule_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The printed command repeats the failure."""
    monkeypatch.setattr(Platform, "revoke", lambda _, __=None: None)
    monkeypatch.setattr(
        "exterview_auth._core.state.TokenState.reject", lambda state: setattr(state.current, "rejected", True)
    )
    seed, found = next((seed, run(plan_of(seed)).found) for seed in range(200) if run(plan_of(seed)).found)
    plan = shortest(plan_of(seed), found[0].rule)
    assert 0 < len(plan.actions) < len(plan_of(seed).actions)
    printed = _report.failure(seed, found[0].rule, plan)
    assert printed.startswith(f"\nseed {seed} breaks {found[0].rule!r}")
    command = printed.splitlines()[-1]
    numbers = ",".join(str(action.number) for action in plan.actions)
    assert command.startswith(f"again: python -m tests.simulation --seed {seed} --only {numbers}")
    assert "broken at" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--seeds", "30", "--from", "0", "--workers", "1"), 0, "every rule held"),
        (("--seed", "3"), 0, "every rule held"),
        (("--seed", "3", "--only", "0", "--orderly"), 0, "policy arrival"),
        (("--seeds", "0"), 2, "0 is not in the range"),
        (("--seed", "3", "--only", "x"), 2, "--only takes the numbers of actions"),
        (("--only", "0"), 2, "need --seed"),
    ],
)
def test_the_command(arguments: tuple[str, ...], code: int, says: str) -> None:
    """``python -m tests.simulation`` runs seeds, and refuses wrong arguments."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert says in done.stdout + done.stderr


# -- faults in copies of the package -----------------------------------------------------------------------------------------


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", QUICKLY_FOUND)
def test_a_fault_is_found(name: str) -> None:
    """The simulation finds faults; ``python -m tests.simulation defects`` searches for all of them."""
    finding = search(defect_named(name))
    assert finding.seeds is not None
    assert finding.found_by.startswith("simulation, ")


def test_every_fault_fits_the_package(tmp_path: Path) -> None:
    """A fault whose text is gone from the package would test nothing."""
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) > 20
    for number, defect in enumerate(DEFECTS):
        put_into(tmp_path / str(number), defect, parts=("exterview_auth",))


# -- the loop -----------------------------------------------------------------------------------------------------------


def order_of(policy: Policy, seed: int) -> list[int]:
    """Return the order in which ten ready tasks run."""
    order: list[int] = []
    loop = SimulatedLoop(policy, Dice(seed))

    async def one(number: int) -> None:
        order.append(number)

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(10)))

    loop.run_until_complete(main())
    loop.close()
    return order


def test_tasks_run_in_the_order_of_the_seed() -> None:
    """The same order for the same seed, another for another; asyncio's own with the policy ``arrival``."""
    assert order_of("arrival", 1) == list(range(10))
    for policy in ("any", "priorities"):
        assert order_of(policy, 1) == order_of(policy, 1)
        assert len({tuple(order_of(policy, seed)) for seed in range(20)}) > 15


def test_time_passes_while_waiters_wake() -> None:
    """Each callback takes a moment, if the plan says so."""
    seen: list[float] = []
    loop = SimulatedLoop("any", Dice(1), turn=0.01)

    async def wait_for(event: asyncio.Event) -> None:
        await event.wait()
        seen.append(loop.time())

    async def main() -> None:
        event = asyncio.Event()
        tasks = [loop.create_task(wait_for(event)) for _ in range(20)]
        await asyncio.sleep(1.0)
        event.set()
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())
    loop.close()
    assert len(set(seen)) == 20
    assert 0.05 < max(seen) - min(seen) < 0.4


def test_a_frozen_party_does_not_run_and_its_timers_fire_late() -> None:
    """Like a process between SIGSTOP and SIGCONT."""
    seen: list[float] = []
    loop, party = SimulatedLoop("any", Dice(1)), Party("frozen")

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(loop.time())

    async def main() -> None:
        with loop.acting(party):
            task = loop.create_task(work())
        loop.call_for(WORLD, 1.5, loop.freeze, party)
        loop.call_for(WORLD, 10.0, loop.thaw, party)
        await task

    loop.run_until_complete(main())
    loop.close()
    assert seen == [1.0, 10.0, 11.0]


def test_a_waiter_that_nothing_can_wake_ends_the_run() -> None:
    """A lost waiter is an error, and does not block the run."""
    loop = SimulatedLoop("any", Dice(1))
    lost = loop.create_future()
    with pytest.raises(StandstillError, match="nothing is ready"):
        loop.run_until_complete(lost)
    loop.close()


def test_plans_differ_and_leave_nothing_out() -> None:
    """Every kind of trouble, store, login and policy is drawn by some seed."""
    plans: list[Plan] = [plan_of(seed) for seed in range(1500)]
    assert {plan.setting.store for plan in plans} == {"none", "memory", "plain", "redis", "file"}
    assert {plan.setting.policy for plan in plans} == {"arrival", "any", "priorities"}
    whats = {action.what for plan in plans for action in plan.actions}
    assert whats >= {"request", "ask", "revoke", "rotate", "invalidate", "log out", "close", "pause", "kill", "suspend"}
    assert "refuse at a door" in whats
    assert {(plan.setting.subclassed, plan.setting.lazy, plan.setting.turn > 0) for plan in plans} == set(
        itertools.product((False, True), repeat=3)
    )
    hows = {action.how for plan in plans for action in plan.actions}
    assert len(hows) > 60
