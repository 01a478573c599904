"""
``python -m benchmarks [SCENARIO ...] [--quick] [--json] [--plot FILE]``: what the library costs, on this machine.

Without a name all of `SCENARIOS` run, in less than ten minutes. By name alone: ``simulation`` (the same figures on every
machine), and ``soak [--seconds N] [--seed N]``, which ends with exit code 1 where an answer was wrong or something grew.
The README's picture of a storm is drawn by ``python -m benchmarks.storm_chart FILE``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module

from . import peers
from .harness.machine import machine
from .harness.report import Report
from .simulation import picture

Scenario = Callable[..., Report]

SCENARIOS = {
    **{name: f"scenarios.{name}" for name in ("overhead", "storm", "ahead", "accounts", "memory", "cancel", "imports")},
    "fleet": "fleet.scenario",
    "peers": "peers",
}
"""Names and modules; all that run by default."""
BY_NAME = {"simulation": "simulation.scenario", "soak": "soak.scenario"}
"""And those that do not."""


def main() -> None:
    """Run the scenarios that were asked for, all by default, and print a table or two for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What exterview_auth costs, measured.")
    parser.add_argument(
        "scenario", nargs="*", help=f"any of: {', '.join(SCENARIOS)}; all by default; or {', '.join(BY_NAME)}"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, in seconds: counts hold, times mean little")
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end")
    parser.add_argument("--plot", metavar="FILE", help="draw the simulation, as SVG or PNG (needs the extra bench)")
    parser.add_argument("--seconds", type=float, help="how long the soak goes on (60 by default)")
    parser.add_argument("--seed", type=int, help="what the soak's disturbances are drawn from (1 by default)")
    arguments = parser.parse_args()
    unknown = set(arguments.scenario) - {*SCENARIOS, *BY_NAME}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    names = arguments.scenario or list(SCENARIOS)
    if arguments.plot and "simulation" not in names:
        parser.error("--plot draws the scenario simulation; name it too")
    if (arguments.seconds, arguments.seed) != (None, None) and "soak" not in names:
        parser.error("--seconds and --seed are the soak's; name it too")
    scenarios = _loaded(names)
    if "soak" in scenarios:
        scenarios["soak"] = partial(scenarios["soak"], seconds=arguments.seconds, seed=arguments.seed)
    figure = picture.canvas() if arguments.plot else None
    here = machine()
    print("  ".join(f"{name} {value}" for name, value in here.items()))
    reports = {name: _run(name, scenario, quick=arguments.quick) for name, scenario in scenarios.items()}
    if figure is not None:
        picture.draw(figure, reports["simulation"].data, arguments.plot)
    if arguments.json:
        print(json.dumps({"machine": here, **{name: report.data for name, report in reports.items()}}))
    if not all(report.data.get("ok", True) for report in reports.values()):
        sys.exit(1)


def _loaded(names: Sequence[str]) -> dict[str, Scenario]:
    """The scenarios; what one of them needs and is not installed is told before the first begins."""
    if "peers" in names:
        peers.require()
    try:
        return {name: import_module(f"{__package__}.{SCENARIOS.get(name) or BY_NAME[name]}").report for name in names}
    except ModuleNotFoundError as error:
        raise SystemExit(f"The benchmarks need {error.name}, of the extra dev: pip install -e '.[dev]'") from None


def _run(name: str, scenario: Scenario, *, quick: bool) -> Report:
    print(f"{name} ...", file=sys.stderr, flush=True)
    report = scenario(quick=quick)
    print(report.text(), flush=True)
    return report


if __name__ == "__main__":
    main()
