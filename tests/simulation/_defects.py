"""Put faults into copies of the package: what finds each of them, and after how many seeds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ._defect_list import DEFECTS, Defect

ROOT = Path(__file__).parents[2]
COPIED = ("exterview_auth", "tests", "pyproject.toml")
SEEDS = 2000
"""Seeds that the simulation may try for each defect."""
LONGEST = 600.0
"""Seconds that it may take for that, and the tests for theirs."""

_FAILED = re.compile(r"(?m)^(?:FAILED|ERROR) tests/([^\s\[]+)")
"""In pytest's summary; a line of a captured log begins with a level and more spaces."""


class Finding(NamedTuple):
    """What found a defect: a test, or the simulation after so many *seeds*; nothing, if `found_by` is empty."""

    defect: Defect
    found_by: str
    seeds: int | None
    seconds: float


def search(defect: Defect) -> Finding:
    """Look for *defect* with the tests that state its rule, if it names some, and else with the simulation."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        put_into(copy, defect)
        seeds, found = None, _test(copy, defect.tests) if defect.tests else ""
        if not found:
            seeds, found = _simulate(copy)
        return Finding(defect, found, seeds, time.monotonic() - began)


def put_into(copy: Path, defect: Defect, parts: tuple[str, ...] = COPIED) -> None:
    """Copy the repository, or these *parts* of it, and put *defect* into the copy."""
    for name in parts:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    for file, old, new in defect.changes:
        path = copy / "exterview_auth" / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"the defect {defect.name!r} does not fit {file}: {text.count(old)} times {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")


def _simulate(copy: Path) -> tuple[int, str]:
    """Return how many seeds were run, and what the last one broke, if anything."""
    call = f"first_failure(range({SEEDS}), {LONGEST})"
    done = run_in(copy, "-c", f"from tests.simulation._parallel import first_failure; {call}")
    if done.returncode:
        return 0, f"the simulation itself: {_first_line(done.stderr)}"
    seeds, _, rule = done.stdout.strip().splitlines()[-1].partition("\t")
    return int(seeds), f"simulation, {rule}" if rule else ""


def _test(copy: Path, tests: Iterable[str]) -> str:
    """Return the first test that fails."""
    options = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header", "--timeout=60")
    done = run_in(copy, "-m", "pytest", *options, *tests)
    if failed := _FAILED.search(done.stdout):
        return failed[1]
    return f"the tests themselves: {_first_line(done.stderr)}" if done.returncode else ""


def run_in(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these *arguments* in *copy*, on the copied package."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=2 * LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "it does not end")


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["?"])[0][:60]


def failing_anyway() -> str:
    """Return a named test that fails in a copy without any defect: it would find whatever is put in."""
    with tempfile.TemporaryDirectory() as directory:
        put_into(Path(directory), Defect("none", ()))
        return _test(Path(directory), sorted({test for defect in DEFECTS for test in defect.tests}))


def main(workers: int) -> int:
    """Search for all of them and print a table; return 1 if one was not found."""
    if failing := failing_anyway():
        print(f"{failing} fails without a defect; it must pass in a copy of {', '.join(COPIED)}")
        return 1
    missed = 0
    with ThreadPoolExecutor(workers) as threads:
        for finding in threads.map(search, DEFECTS):
            missed += not finding.found_by
            after = "" if finding.seeds is None else f"{finding.seeds} seeds"
            found = finding.found_by or "NOT FOUND"
            print(f"{finding.defect.name:<74} {after:>11} {finding.seconds:6.1f} s  {found}", flush=True)
    print(f"{len(DEFECTS)} defects, {missed} not found")
    return 1 if missed else 0
