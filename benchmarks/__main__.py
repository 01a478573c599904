"""
``python -m benchmarks [SCENARIO ...] [--quick] [--json] [--plot FILE]``: what the library costs, on this machine.

Without names all of `SCENARIOS` run, in less than ten minutes. Three more run only by name: ``instructions`` (what a request
costs by instructions, which a busy machine does not change; needs valgrind), ``simulation`` (the same figures on every machine),
and ``soak [--seconds N] [--seed N]``, which ends with exit code 1 if an answer was wrong or something grew.
``python -m benchmarks.storm_chart FILE`` draws the README's picture of a storm.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module

from . import instructions, peers
from .harness.machine import machine
from .harness.report import Report
from .simulation import picture

Scenario = Callable[..., Report]

SCENARIOS = {
    **{name: f"scenarios.{name}" for name in ("overhead", "storm", "ahead", "accounts", "memory", "cancel", "imports")},
    "fleet": "fleet.scenario",
    "peers": "peers",
}
"""Names and modules of the scenarios that run by default."""
BY_NAME = {"instructions": "instructions", "simulation": "simulation.scenario", "soak": "soak.scenario"}
"""Names and modules of the others."""


def main() -> None:
    """Run the named scenarios, or all, and print their tables."""
    arguments = _arguments()
    names = arguments.scenario or list(SCENARIOS)
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what exterview_auth costs.")
    parser.add_argument(
        "scenario", nargs="*", help=f"any of {', '.join(SCENARIOS)} (all by default), {', '.join(BY_NAME)}"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, in seconds: counts hold, times mean little")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    parser.add_argument("--plot", metavar="FILE", help="draw the simulation, as SVG or PNG (needs the extra bench)")
    parser.add_argument("--seconds", type=float, help="duration of the soak (60 by default)")
    parser.add_argument("--seed", type=int, help="seed of the soak's disturbances (1 by default)")
    arguments = parser.parse_args()
    unknown = set(arguments.scenario) - {*SCENARIOS, *BY_NAME}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if arguments.plot and "simulation" not in arguments.scenario:
        parser.error("--plot draws the scenario simulation; name it too")
    if (arguments.seconds, arguments.seed) != (None, None) and "soak" not in arguments.scenario:
        parser.error("--seconds and --seed are options of the scenario soak; name it too")
    return arguments


def _loaded(names: Sequence[str]) -> dict[str, Scenario]:
    """Import the scenarios. What is not installed is an error before the first of them runs."""
    for scenario in (instructions, peers):
        if scenario.__name__.rpartition(".")[2] in names:
            scenario.require()
    try:
        modules = {name: SCENARIOS.get(name) or BY_NAME[name] for name in names}
        return {name: import_module(f"{__package__}.{module}").report for name, module in modules.items()}
    except ModuleNotFoundError as error:
        raise SystemExit(f"The benchmarks need {error.name}: install exterview_auth with its extra `dev`") from None


def _run(name: str, scenario: Scenario, *, quick: bool) -> Report:
    print(f"{name} ...", file=sys.stderr, flush=True)
    report = scenario(quick=quick)
    print(report.text(), flush=True)
    return report


if __name__ == "__main__":
    main()
