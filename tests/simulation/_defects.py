"""Put faults into copies of the package: what finds each of them, and after how many seeds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ._defect_list import DEFECTS, Defect

ROOT = Path(__file__).parents[2]
COPIED = ("exterview_auth", "tests", "pyproject.toml")
SEEDS = 2000
"""Seeds that the simulation may try for each defect."""
LONGEST = 300.0
"""Seconds that a search may take; a run that hangs has found the defect too."""


class Finding(NamedTuple):
    """What found a defect: the simulation, after *seeds* seeds, or a test."""

    defect: Defect
    found_by: str
    seeds: int | None
    seconds: float


def search(defect: Defect) -> Finding:
    """Look for *defect* with the simulation, and if that finds nothing, with the tests that state its rule."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        put_into(copy, defect)
        seeds, rule = _simulate(copy)
        if seeds is None and defect.tests:
            rule = _test(copy, defect.tests)
        return Finding(defect, rule, seeds, time.monotonic() - began)


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


def _simulate(copy: Path) -> tuple[int | None, str]:
    """Return after how many seeds which rule was broken."""
    program = f"from tests.simulation._parallel import first_failure; first_failure(range({SEEDS}))"
    done = _run(copy, [sys.executable, "-c", program])
    if done is None:
        return 0, "a run that does not end"
    printed = done.stdout.strip().splitlines()
    if done.returncode or not printed:
        return 0, f"the simulation itself: {(done.stderr.strip().splitlines() or ['?'])[-1][:60]}"
    seeds, _, rule = printed[-1].partition("\t")
    return (int(seeds), f"simulation, {rule}") if rule else (None, "")


def _test(copy: Path, tests: tuple[str, ...]) -> str:
    """Return the first test that fails."""
    options = ("-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header", "--timeout=60")
    done = _run(copy, [sys.executable, "-m", "pytest", *options, *tests])
    if done is None:
        return "a test that does not end"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" ")[1].split("[")[0].removeprefix("tests/") if failed else ""


def _run(copy: Path, command: list[str]) -> subprocess.CompletedProcess[str] | None:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        return None


def main(workers: int) -> int:
    """Search for all of them and print a table; return 1 if one was not found."""
    missed = 0
    with ThreadPoolExecutor(workers) as threads:
        for finding in threads.map(search, DEFECTS):
            missed += not finding.found_by
            after = "" if finding.seeds is None else f"{finding.seeds} seeds"
            found = finding.found_by or "NOT FOUND"
            print(f"{finding.defect.name:<64} {after:>11} {finding.seconds:6.1f} s  {found}", flush=True)
    print(f"{len(DEFECTS)} defects, {missed} not found")
    return 1 if missed else 0
