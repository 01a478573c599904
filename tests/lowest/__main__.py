"""
Run the core suite with the lowest versions of all dependencies that ``pyproject.toml`` allows.

``python -m tests.lowest [PYTEST OPTIONS]``, in the environment of the README's second command. uv resolves the versions; they are
installed into ``.lowest`` in the clone, beside the newest test tools. A bound that cannot be reached is an error too: some other
dependency asks for more, and the bound says what nobody has tried.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

CHECKOUT = Path(__file__).resolve().parents[2]
PLACE = CHECKOUT / ".lowest"
CORE = (
    "tests/core",
    "tests/aiohttp",
    "tests/logins",
    "tests/stores",
    "tests/emulator/test_emulator.py",
    "tests/emulator/test_graphql.py",
    "tests/emulator/test_resolvers.py",
    "tests/emulator/test_uploads.py",
    "tests/emulator/test_websocket.py",
    "tests/cli/test_cli.py",
    "tests/test_httpx.py",
    "tests/test_telemetry.py",
)


def main(options: list[str]) -> int:
    """Resolve, install and test; return pytest's exit code."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    pins = PLACE / "pins.txt"
    lowest = ("--resolution", "lowest-direct", "--extra", "all", "--python", sys.executable)
    uv("pip", "compile", *lowest, "--output-file", str(pins), "pyproject.toml")
    if unreached := sorted(above(pins.read_text(encoding="utf-8").splitlines())):
        print("no version as low as these bounds can be installed; raise them:", *unreached, sep="\n  ")
        return 1
    uv("venv", "--python", sys.executable, str(PLACE / "venv"))
    python = str(PLACE / "venv" / "bin" / "python")
    uv("pip", "install", "--python", python, "--constraint", str(pins), "--editable", ".[all,test]")
    # Properties try thousands of examples of the package's own rules, which no version of a dependency changes.
    command = [python, "-m", "pytest", "-n", "auto", "-m", "not hypothesis", *options, *CORE]
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode


def uv(*arguments: str) -> None:
    """Run uv, quietly."""
    subprocess.run([sys.executable, "-m", "uv", "--quiet", *arguments], cwd=CHECKOUT, check=True)


def above(pins: Iterable[str]) -> Iterator[str]:
    """Yield each bound below the version that *pins* has for it."""
    pinned = dict(line.split("==") for line in pins if "==" in line and not line.lstrip().startswith("#"))
    for requirement in direct_requirements():
        (low,) = (Version(one.version) for one in requirement.specifier if one.operator == ">=")
        got = Version(pinned[canonicalize_name(requirement.name)])
        if got != low:
            yield f"{requirement}: {got}"


def direct_requirements() -> list[Requirement]:
    """Return what the package itself requires, with the extras that its users install."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ("cli", "emulator", "redis", "crypto", "otel")
    texts = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    found = map(Requirement, texts)
    return [requirement for requirement in found if requirement.name != project["name"]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
