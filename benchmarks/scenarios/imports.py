"""What ``import exterview_auth`` adds to a program that already imports aiohttp."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from ..harness.process import CHECKOUT
from ..harness.report import Column, Report, Spread, Table, in_random_order, within

UNWANTED = (
    "authlib",
    "redis",
    "cryptography",
    "exterview_auth.emulator",
    "exterview_auth._cli",
    "click",
    "rich",
    "opentelemetry",
    "cachetools",
    "tenacity",
)

BASE = "aiohttp"
STATEMENTS = {
    BASE: "import aiohttp",
    "aiohttp again": "import aiohttp",
    "aiohttp, exterview_auth": "import aiohttp; from exterview_auth import AuthSession, ExterviewAuth",
}
_PROGRAM = """
import json, os, sys, time
cpu, wall = time.process_time(), time.perf_counter()
{statement}
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
cached = {{name: getattr(getattr(module, "__spec__", None), "cached", None) for name, module in sys.modules.items()}}
uncompiled = sorted(name for name, file in cached.items() if file and not os.path.exists(file))
print(json.dumps({{"cpu": cpu, "wall": wall, "modules": sorted(cached), "uncompiled": uncompiled}}))
"""


def _fresh(statement: str, bytecode: str) -> dict[str, Any]:
    """Run *statement* in a new interpreter; return its times, and the modules that are loaded after it."""
    # Compiled modules go to a separate folder, so that neither the checkout nor earlier runs matter.
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _PROGRAM.format(statement=statement)]
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _measured(rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Import with all modules compiled, as from an installation: the first imports, which compile them, are not counted."""
    with tempfile.TemporaryDirectory() as bytecode:
        for statement in STATEMENTS.values():
            _refuse_uncompiled(_fresh(statement, bytecode)["uncompiled"])

        async def measure(name: str) -> dict[str, Any]:
            return _fresh(STATEMENTS[name], bytecode)  # nothing else is to run meanwhile

        return asyncio.run(in_random_order(STATEMENTS, rounds, measure, every=10))


def _refuse_uncompiled(modules: list[str]) -> None:
    # Each import would compile them again, which takes longer than to import them: the ratio would be that of compiling.
    if modules:
        raise SystemExit(
            f"The scenario imports measures compiled modules, and Python has written no bytecode for {len(modules)} of them"
            f" (the first is {modules[0]}): let it write to {tempfile.gettempdir()}, and do not set sys.dont_write_bytecode"
        )


COLUMNS: list[Column] = [
    ("ms", "wall_ms", within(".0f")),
    ("ratio", "wall_ratio", within(".3f")),
    ("CPU ms", "cpu_ms", within(".0f")),
    ("CPU ratio", "cpu_ratio", within(".3f")),
]


def _unwanted(modules: list[str]) -> list[str]:
    return [name for name in UNWANTED if any(module == name or module.startswith(f"{name}.") for module in modules)]


def _figures(found: dict[str, list[dict[str, Any]]], name: str) -> dict[str, Spread]:
    figures = {}
    for clock in ("wall", "cpu"):
        times, bases = ([one[clock] for one in found[contestant]] for contestant in (name, BASE))
        figures[f"{clock}_ms"] = Spread.of(time * 1e3 for time in times)
        figures[f"{clock}_ratio"] = Spread.of_ratios(times, bases)
    return figures


def report(*, quick: bool) -> Report:
    """Measure the import, and list the modules that it loads."""
    rounds = 2 if quick else 20
    found = _measured(rounds)
    with_auth, alone = found["aiohttp, exterview_auth"][0]["modules"], set(found[BASE][0]["modules"])
    unwanted, added = _unwanted(with_auth), [module for module in with_auth if module not in alone]
    times = Report.of(
        f"imports: new interpreters, everything compiled before, {rounds} rounds in random order; ratios compare with aiohttp alone in the same round.",
        COLUMNS,
        {name: _figures(found, name) for name in found},
    )
    packages = [module.partition(".")[0] for module in added]
    modules = Table(
        "imports: modules that are loaded in addition to aiohttp's own, and those that must not be.",
        ("", "modules"),
        [
            ["of exterview_auth", str(packages.count("exterview_auth"))],
            ["others", ", ".join(sorted({*packages} - {"exterview_auth"})) or "none"],
            ["unwanted", ", ".join(unwanted) or "none"],
        ],
    )
    return Report([*times.tables, modules], {**times.data, "unwanted": unwanted, "added": added})
