"""Runs the command as users do, each scenario once, and reads its figures."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=240, check=False)


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-W", "error", "-m", "benchmarks", *arguments)


@functools.cache
def quick(scenario: str) -> subprocess.CompletedProcess[str]:
    done = benchmarks(scenario, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    return done


def figures(scenario: str) -> Any:
    return json.loads(quick(scenario).stdout.splitlines()[-1])[scenario]


def always(figure: dict[str, float]) -> float:
    """Return a figure that must be the same in each round."""
    assert figure["min"] == figure["max"]
    return figure["min"]
