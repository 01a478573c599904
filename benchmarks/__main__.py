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
from collections.abc import Callable
from functools import partial

from . import (
    _simulated_drawing,
    accounts,
    ahead,
    cancel,
    fleet,
    imports,
    memory,
    overhead,
    peers,
    simulation,
    soak,
    storm,
)
from ._machine import machine
from ._report import Report

SCENARIOS = {
    "overhead": overhead.report,
    "storm": storm.report,
    "ahead": ahead.report,
    "accounts": accounts.report,
    "memory": memory.report,
    "cancel": cancel.report,
    "imports": imports.report,
    "fleet": fleet.report,
    "peers": peers.report,
}
"""All that run by default."""
BY_NAME = ("simulation", "soak")
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
    scenarios: dict[str, Callable[..., Report]] = {
        **SCENARIOS,
        "simulation": simulation.report,
        "soak": partial(soak.report, seconds=arguments.seconds, seed=arguments.seed),
    }
    unknown = set(arguments.scenario) - set(scenarios)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    names = arguments.scenario or list(SCENARIOS)
    if arguments.plot and "simulation" not in names:
        parser.error("--plot draws the scenario simulation; name it too")
    if (arguments.seconds, arguments.seed) != (None, None) and "soak" not in names:
        parser.error("--seconds and --seed are the soak's; name it too")
    figure = _simulated_drawing.canvas() if arguments.plot else None
    here = machine()
    print("  ".join(f"{name} {value}" for name, value in here.items()))
    reports = {name: _run(name, scenarios[name], quick=arguments.quick) for name in names}
    if figure is not None:
        _simulated_drawing.draw(figure, reports["simulation"].data, arguments.plot)
    if arguments.json:
        print(json.dumps({"machine": here, **{name: report.data for name, report in reports.items()}}))
    if not all(report.data.get("ok", True) for report in reports.values()):
        sys.exit(1)


def _run(name: str, scenario: Callable[..., Report], *, quick: bool) -> Report:
    print(f"{name} ...", file=sys.stderr, flush=True)
    report = scenario(quick=quick)
    print(report.text(), flush=True)
    return report


if __name__ == "__main__":
    main()
