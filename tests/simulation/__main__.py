"""
``python -m tests.simulation --seeds 100000``: many schedules, on all cores; ``--seed N`` one of them, with what happened.

The exit code is 1 if a rule was broken; the seed, the shortest schedule found and the command that repeats it are printed.
``python -m tests.simulation defects`` puts faults into copies of the package, and prints what finds each.
"""

from __future__ import annotations

import argparse
import sys

from . import _defects, _parallel, _report
from ._plan import Plan, plan_of
from ._run import run
from ._shrink import shortest

DESCRIPTION = "Deterministic simulation of exterview_auth: the rules of its contract over many schedules."
SHOWN = 3
"""Failing seeds whose schedules are shortened and printed."""


def main() -> int:
    """Run the command line."""
    arguments = _checked(_parser())
    try:
        if arguments.what == "defects":
            return _defects.main(arguments.workers)
        if arguments.seed is None:
            return _seeds(arguments)
        return _one(_part_of(plan_of(arguments.seed), arguments.only, orderly=arguments.orderly))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=DESCRIPTION)
    parser.add_argument("what", nargs="?", choices=("seeds", "defects"), default="seeds")
    parser.add_argument("--seeds", type=_at_least_one, default=1000, metavar="N", help="number of seeds (1000)")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the first seed (0)")
    parser.add_argument("--seed", type=int, metavar="N", help="one seed alone, with everything that happened")
    parser.add_argument("--only", type=_numbers, metavar="N,N,...", help="with --seed: only these of its actions")
    parser.add_argument("--orderly", action="store_true", help="with --seed: callbacks run in asyncio's own order")
    parser.add_argument(
        "--workers", type=_at_least_one, default=_parallel.cores(), metavar="N", help="processes (one per core)"
    )
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that fails")
    return parser


def _checked(parser: argparse.ArgumentParser) -> argparse.Namespace:
    arguments = parser.parse_args()
    if arguments.seed is None and (arguments.only or arguments.orderly):
        parser.error("--only and --orderly need one seed; name it with --seed")
    if arguments.seed is not None and arguments.stop:
        parser.error("--stop is for many seeds; leave it out with --seed")
    there = {action.number for action in plan_of(arguments.seed).actions} if arguments.only else set()
    if arguments.only and not arguments.only <= there:
        parser.error(f"seed {arguments.seed} has the actions 0 to {len(there) - 1}; --only names others")
    return arguments


def _at_least_one(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number of at least 1, not {text!r}")
    return number


def _numbers(text: str) -> set[int]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"numbers of actions such as 0,3,5, not {text!r}")
    return {int(part) for part in text.split(",")}


def _part_of(plan: Plan, only: set[int] | None, *, orderly: bool) -> Plan:
    if only is not None:
        plan = plan._replace(actions=tuple(action for action in plan.actions if action.number in only))
    return plan._replace(setting=plan.setting._replace(policy="arrival")) if orderly else plan


def _one(plan: Plan) -> int:
    result = run(plan)
    print(_report.schedule(plan, result))
    return 1 if result.found else 0


def _seeds(arguments: argparse.Namespace) -> int:
    seeds = range(arguments.start, arguments.start + arguments.seeds)
    progress = _parallel.Progress(len(seeds), _report.progress)
    total = _parallel.run_many(seeds, arguments.workers, progress, stop_at_first=arguments.stop)
    print(_report.summary(total), flush=True)
    for seed in sorted(total.broken)[:SHOWN]:
        print(_report.failure(seed, total.broken[seed], shortest(plan_of(seed), total.broken[seed])), flush=True)
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
