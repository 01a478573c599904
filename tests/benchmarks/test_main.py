"""The command: what it prints, and what it refuses."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks.harness.report import Report
from benchmarks.soak import scenario as soak

from .running import benchmarks, python, quick

TABLES = {"overhead": 2, "storm": 2, "ahead": 1, "accounts": 3, "memory": 1, "cancel": 1, "imports": 2, "simulation": 1}


@pytest.mark.parametrize("scenario", TABLES)
def test_a_scenario_prints_the_machine_its_tables_and_json(scenario: str) -> None:
    """The versions come first, then each table under a sentence that begins with the scenario's name, then one line of JSON."""
    printed = quick(scenario).stdout
    assert printed.startswith("python ")
    assert "aiohttp " in printed.splitlines()[0]
    assert printed.count(f"\n{scenario}: ") == TABLES[scenario]
    assert set(json.loads(printed.splitlines()[-1])) == {"machine", scenario}


def test_without_json_no_json_is_printed() -> None:
    """Only the tables of the named scenario are printed."""
    done = benchmarks("cancel", "--quick")
    assert done.returncode == 0, done.stderr
    assert "\ncancel: " in done.stdout
    assert "{" not in done.stdout


@pytest.mark.parametrize("module", ["redis", "gql"])
def test_what_is_not_installed_is_named_before_anything_runs(module: str) -> None:
    """One sentence says what to install; the scenarios before it do not run for nothing."""
    program = f"import runpy, sys; sys.modules[{module!r}] = None; runpy.run_module('benchmarks', run_name='__main__')"
    done = python("-c", program, "cancel", "fleet", "peers", "--quick")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr in (
        "The benchmarks need redis: install exterview_auth with its extra `dev`\n",
        "The scenario peers needs gql: install exterview_auth with its extra `peers`\n",
    )
    assert module in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["strom"], "strom"),
        (["storm", "--seconds", "5"], "name it too"),
        (["storm", "--plot", "storm.svg"], "simulation"),
    ],
)
def test_a_mistake_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    """An unknown scenario, and an option of a scenario that does not run, are errors."""
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


def test_a_soak_that_finds_something_ends_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that runs it notices."""
    monkeypatch.setattr(soak, "report", lambda **_: Report([], {"ok": False}))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "soak"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1
