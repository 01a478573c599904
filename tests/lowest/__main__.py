"""
Run the core suite with the lowest versions of all dependencies that ``pyproject.toml`` allows.

``python -m tests.lowest [PYTEST OPTIONS]``, in the environment of the README's second command. uv resolves the versions; they are
installed into ``.lowest`` in the clone, beside the newest test tools. A bound that cannot be reached is an error too: some other
dependency asks for more, and the bound says what nobody has tried.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PLACE = CHECKOUT / ".lowest"
CORE = (
    "tests/core",
    "tests/aiohttp",
    "tests/logins",
    "tests/stores",
    "tests/emulator",
    "tests/cli/test_cli.py",
    "tests/test_telemetry.py",
)

_BOUND = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?>=([0-9.]+)")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([0-9.]+)")


def main(options: list[str]) -> int:
    """Resolve, install and test; return pytest's exit code."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    pins = PLACE / "pins.txt"
    uv(
        "pip",
        "compile",
        "--resolution",
        "lowest-direct",
        "--extra",
        "all",
        "--output-file",
        str(pins),
        "pyproject.toml",
    )
    if unreached := sorted(above(pins.read_text(encoding="utf-8").splitlines())):
        print("no version as low as these bounds can be installed; raise them:", *unreached, sep="\n  ")
        return 1
    uv("venv", str(PLACE / "venv"))
    python = str(PLACE / "venv" / "bin" / "python")
    uv("pip", "install", "--python", python, "--constraint", str(pins), "--editable", ".[all,test]")
    return subprocess.run([python, "-m", "pytest", "-n", "auto", *options, *CORE], cwd=CHECKOUT, check=False).returncode


def uv(*arguments: str) -> None:
    """Run uv, quietly, for this Python."""
    command = [sys.executable, "-m", "uv", *arguments[:2], "--quiet"]
    if arguments[0] == "venv":
        command = [sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, *arguments[1:]]
    else:
        command += arguments[2:]
    subprocess.run(command, cwd=CHECKOUT, check=True)


def above(pins: Iterable[str]) -> Iterator[str]:
    """Yield each bound below the version that *pins* has for it."""
    pinned = {match[1]: match[2] for line in pins if (match := _PIN.match(line))}
    for requirement in direct_requirements():
        if match := _BOUND.match(requirement):
            low, got = match[2], pinned.get(match[1].lower(), match[2])
            if _release(got) != _release(low):
                yield f"{requirement}: {got}"


def direct_requirements() -> list[str]:
    """Return what the package itself requires, with the extras that its users install."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ("cli", "emulator", "redis", "crypto", "otel")
    return [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]


def _release(version: str) -> list[int]:
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
