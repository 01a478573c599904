"""What ``import exterview_auth`` adds to a program that has aiohttp anyway."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from typing import Any

from ..harness.api import CHECKOUT
from ..harness.report import Report, Spread, Table, plain, progress

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
    "aiohttp, exterview_auth": "import aiohttp, exterview_auth",
}
_PROGRAM = """
import json, sys, time
cpu, wall = time.process_time(), time.perf_counter()
{statement}
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(json.dumps({{"cpu": cpu, "wall": wall, "modules": sorted(sys.modules)}}))
"""


def _fresh(statement: str, bytecode: str) -> dict[str, Any]:
    """*statement*'s times in an interpreter of its own, and the modules loaded after it."""
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _PROGRAM.format(statement=statement)]
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _measured(rounds: int) -> dict[str, list[dict[str, Any]]]:
    """All modules come compiled, as from an installation: the first imports, which do that, are not counted."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in STATEMENTS}
    with tempfile.TemporaryDirectory() as bytecode:
        for statement in STATEMENTS.values():
            _fresh(statement, bytecode)
        for number in range(rounds):
            if number % 10 == 0:
                progress(number, rounds, "round")
            for name in random.sample(list(STATEMENTS), len(STATEMENTS)):
                found[name].append(_fresh(STATEMENTS[name], bytecode))
    return found


def _unwanted(modules: list[str]) -> list[str]:
    return [name for name in UNWANTED if any(module == name or module.startswith(f"{name}.") for module in modules)]


def _figures(found: dict[str, list[dict[str, Any]]], name: str) -> dict[str, Spread]:
    pairs = list(zip(found[name], found[BASE], strict=True))
    return {
        "wall_ms": Spread.of(one["wall"] * 1e3 for one, _ in pairs),
        "cpu_ms": Spread.of(one["cpu"] * 1e3 for one, _ in pairs),
        "wall_ratio": Spread.of(one["wall"] / base["wall"] for one, base in pairs),
        "cpu_ratio": Spread.of(one["cpu"] / base["cpu"] for one, base in pairs),
    }


def report(*, quick: bool) -> Report:
    """Times of the import, and the modules that it loads."""
    rounds = 2 if quick else 20
    found = _measured(rounds)
    figures = {name: _figures(found, name) for name in found}
    with_auth, alone = found["aiohttp, exterview_auth"][0]["modules"], set(found[BASE][0]["modules"])
    unwanted, added = _unwanted(with_auth), [module for module in with_auth if module not in alone]
    times = Table(
        f"imports: fresh interpreters, everything compiled before, {rounds} rounds in random order; ratios are to aiohttp alone in the same round.",
        ("", "ms", "ratio", "CPU ms", "CPU ratio"),
        [
            [
                name,
                f"{one['wall_ms']:.0f}",
                f"{one['wall_ratio']:.3f}",
                f"{one['cpu_ms']:.0f}",
                f"{one['cpu_ratio']:.3f}",
            ]
            for name, one in figures.items()
        ],
    )
    own = sum(module.partition(".")[0] == "exterview_auth" for module in added)
    modules = Table(
        "imports: what is loaded beside aiohttp's own modules, and what must not be.",
        ("", "modules"),
        [
            ["of exterview_auth", str(own)],
            [
                "others",
                ", ".join(sorted({module.partition(".")[0] for module in added} - {"exterview_auth"})) or "none",
            ],
            ["unwanted", ", ".join(unwanted) or "none"],
        ],
    )
    data = {**{name: plain(one) for name, one in figures.items()}, "unwanted": unwanted, "added": added}
    return Report([times, modules], data)
