"""
``python -m benchmarks [storm] [overhead] [imports] [cancel] [fleet] [simulation] [--quick] [--json] [--plot FILE]``.

Figures for this machine; those of the simulation are the same on every one.
"""

from __future__ import annotations

import argparse
import json
import sys

from . import _simulated_drawing, cancel, fleet, imports, overhead, simulation, storm
from ._machine import machine
from ._report import Report

SCENARIOS = {
    "storm": storm.report,
    "overhead": overhead.report,
    "imports": imports.report,
    "cancel": cancel.report,
    "fleet": fleet.report,
    "simulation": simulation.report,
}


def main() -> None:
    """Run the scenarios that were asked for, all by default, and print a table or two for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What exterview_auth costs, measured.")
    parser.add_argument("scenario", nargs="*", help=f"any of: {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, in seconds: counts hold, times mean little")
    parser.add_argument("--json", action="store_true", help="one line of JSON at the end")
    parser.add_argument("--plot", metavar="FILE", help="draw the simulation, as SVG or PNG (needs the extra bench)")
    arguments = parser.parse_args()
    unknown = set(arguments.scenario) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    names = arguments.scenario or list(SCENARIOS)
    if arguments.plot and "simulation" not in names:
        parser.error("--plot draws the scenario simulation; name it too")
    figure = _simulated_drawing.canvas() if arguments.plot else None
    here = machine()
    print("  ".join(f"{name} {value}" for name, value in here.items()))
    reports = {name: _run(name, quick=arguments.quick) for name in names}
    if figure is not None:
        _simulated_drawing.draw(figure, reports["simulation"].data, arguments.plot)
    if arguments.json:
        print(json.dumps({"machine": here, **{name: report.data for name, report in reports.items()}}))


def _run(name: str, *, quick: bool) -> Report:
    print(f"{name} ...", file=sys.stderr, flush=True)
    report = SCENARIOS[name](quick=quick)
    print(report.text(), flush=True)
    return report


if __name__ == "__main__":
    main()
