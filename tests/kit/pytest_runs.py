"""A project with tests of its own, and pytest that runs them in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

# Plugins that this clone's environment has, and that say nothing about ours; some take longer to load than all else.
QUIET = tuple(
    part
    for plugin in ("cacheprovider", "faker", "hypothesispytest", "pyreqwest", "randomly", "timeout", "valkey")
    for part in ("-p", f"no:{plugin}")
)


class Run(NamedTuple):
    """What pytest did."""

    code: int
    outcomes: dict[str, int]
    output: str

    @property
    def passed(self) -> bool:
        """Whether all tests have passed, and there were some."""
        return self.code == 0 and set(self.outcomes) == {"passed"}


def project(place: Path, **files: str) -> Path:
    """Write *files*, modules by name, into *place*, which no configuration above it reaches."""
    (place / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    for name, source in files.items():
        (place / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    return place


def run(place: Path, *options: str, own_coverage: bool = False) -> Run:
    """Run pytest there, with warnings as errors. *own_coverage*: it measures what it is told, and this clone's run does not."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "EXTERVIEW_"))}
    if own_coverage:
        environ = {name: value for name, value in environ.items() if not name.startswith("COV")}
    # A project need not choose the scope of loops for async fixtures, of which ours are none.
    warnings = ("-W", "error", "-W", "ignore:The configuration option:pytest.PytestDeprecationWarning")
    command = [sys.executable, "-m", "pytest", *warnings, "--strict-markers", *QUIET, *options]
    done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, timeout=240, check=False)
    output = done.stdout + done.stderr
    summary = next((line for line in reversed(output.splitlines()) if re.search(r" in [\d.]+s", line)), "")
    outcomes = {what: int(count) for count, what in re.findall(r"(\d+) (\w+)", summary.partition(" in ")[0])}
    return Run(done.returncode, outcomes, output)
