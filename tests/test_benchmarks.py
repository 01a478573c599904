"""The benchmarks run, and count what they should; their times are never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
SCENARIOS = ("storm", "overhead", "imports", "cancel")


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=50, check=False)


@pytest.fixture(scope="module")
def printed() -> str:
    done = benchmarks("--quick", "--json")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def figures(printed: str) -> Any:
    return json.loads(printed.splitlines()[-1])


def always(figure: dict[str, float]) -> float:
    assert figure["min"] == figure["max"]
    return figure["min"]


def test_each_scenario_prints_a_table_under_the_machine_line(printed: str) -> None:
    """The versions come first, then each scenario's sentence with rows under it."""
    assert printed.startswith("python ")
    assert "aiohttp " in printed.splitlines()[0]
    for scenario in SCENARIOS:
        assert f"\n{scenario}: " in printed


def test_the_json_holds_every_scenario(figures: Any) -> None:
    """The last line is JSON with the machine and all four scenarios."""
    assert set(figures) == {"machine", *SCENARIOS}


@pytest.mark.parametrize("limit", [0, 5])
@pytest.mark.parametrize("scene", ["dead token", "cold start"])
def test_a_storm_makes_one_login_and_loses_nothing(figures: Any, scene: str, limit: int) -> None:
    """In each round of a storm there is one login and no failure."""
    found = figures["storm"][f"{scene}, limit {limit}"]
    assert always(found["logins"]) == 1
    assert always(found["failures"]) == 0


@pytest.mark.parametrize("limit", [0, 5])
def test_what_begins_after_the_first_refusal_never_carries_the_dead_token(figures: Any, limit: int) -> None:
    """Requests begun after the client saw a refusal wait for the login; the others at most are refused once."""
    found = figures["storm"][f"dead token, limit {limit}"]
    assert always(found["begun_late"]) == 0
    assert 1 <= found["refused"]["min"] <= found["refused"]["max"] <= 60


@pytest.mark.parametrize("limit", [0, 5])
def test_a_cold_start_is_never_refused(figures: Any, limit: int) -> None:
    """Requests that find no token are sent with the login's only."""
    assert always(figures["storm"][f"cold start, limit {limit}"]["refused"]) == 0


def test_the_import_loads_nothing_unwanted(figures: Any) -> None:
    """What belongs to single features is not loaded with the package."""
    assert figures["imports"]["unwanted"] == []


@pytest.mark.parametrize("scene", ["ExterviewAuth", "AuthSession"])
def test_cancelling_all_who_wait_leaves_the_login_alone(figures: Any, scene: str) -> None:
    """All waiters end as cancelled, none is left, and the next request is sent with the one login's token."""
    found = figures["cancel"][scene]
    assert always(found["waiting"]) == always(found["cancelled"]) == 200
    assert always(found["left"]) == 0
    assert always(found["logins"]) == 1
    assert always(found["next_status"]) == 200


def test_one_scenario_can_be_chosen() -> None:
    """Only the named scenario runs, and without ``--json`` no JSON is printed."""
    done = benchmarks("cancel", "--quick")
    assert done.returncode == 0, done.stderr
    assert "\ncancel: " in done.stdout
    assert not any(f"\n{other}: " in done.stdout for other in SCENARIOS if other != "cancel")
    assert "{" not in done.stdout


def test_an_unknown_scenario_is_named() -> None:
    """A mistyped scenario ends in an error that repeats it."""
    done = benchmarks("strom")
    assert done.returncode == 2
    assert "strom" in done.stderr
