"""
``python -m tests.simulation --seeds 100000 --from 5000``: many schedules, on all cores; ``--seed N`` one of them.

The test suite runs the same seeds each time, those below `SUITE_SEEDS`; this command is for others. The exit code is 1 if a rule
was broken; the seed, the shortest schedule found and the command that repeats it are printed. ``python -m tests.simulation
defects`` puts faults into copies of the package, and prints what finds each.
"""

from __future__ import annotations

import sys

import click

from . import _defects, _parallel, _report
from ._plan import SUITE_SEEDS, plan_of
from ._run import run
from ._shrink import shortest

SHOWN = 3
"""Failing seeds whose schedules are shortened and printed."""


@click.command()
@click.argument("what", type=click.Choice(("seeds", "defects")), default="seeds")
@click.option("--seeds", type=click.IntRange(1), default=1000, show_default=True, help="Number of seeds.")
@click.option(
    "--from",
    "start",
    type=click.IntRange(0),
    default=SUITE_SEEDS,
    show_default=True,
    help="The first seed; the test suite runs those below the default. Choose another for schedules that nobody has tried.",
)
@click.option("--seed", type=int, help="One seed alone, with everything that happened.")
@click.option("--only", metavar="N,N,...", default="", help="With --seed: only these of its actions.")
@click.option("--orderly", is_flag=True, help="With --seed: callbacks run in asyncio's own order.")
@click.option("--workers", type=click.IntRange(1), default=_parallel.cores(), show_default=True, help="Processes.")
def main(*, what: str, seeds: int, start: int, seed: int | None, only: str, workers: int, orderly: bool) -> None:
    """Check the rules of exterview_auth's contract over many simulated schedules."""
    if what == "defects":
        sys.exit(_defects.main(workers))
    if seed is not None:
        sys.exit(_one(seed, only, orderly=orderly))
    if only or orderly:
        raise click.UsageError("--only and --orderly need --seed; name the seed whose schedule they change")
    total = _parallel.run_many(range(start, start + seeds), workers)
    print(_report.summary(total), flush=True)
    for failed in sorted(total.broken)[:SHOWN]:
        rule = total.broken[failed]
        print(_report.failure(failed, rule, shortest(plan_of(failed), rule)), flush=True)
    sys.exit(1 if total.broken else 0)


def _one(seed: int, only: str, *, orderly: bool) -> int:
    plan = plan_of(seed)
    if only:
        try:
            numbers = {int(number) for number in only.split(",")}
        except ValueError:
            raise click.UsageError(f"--only takes the numbers of actions, such as 3,4,7, not {only!r}") from None
        plan = plan._replace(actions=tuple(action for action in plan.actions if action.number in numbers))
    if orderly:
        plan = plan._replace(setting=plan.setting._replace(policy="arrival"))
    result = run(plan)
    print(_report.schedule(plan, result))
    return 1 if result.found else 0


if __name__ == "__main__":
    main()
