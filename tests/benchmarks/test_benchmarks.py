"""The benchmarks run, and count what they should; their times are never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SCENARIOS = ("storm", "overhead", "imports", "cancel", "fleet", "simulation")
"""The others have files of their own."""
NARROW, WIDE = "60 at once, 5 connections", "60 at once, any number of connections"

pytestmark = pytest.mark.timeout(150)


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def printed() -> str:
    done = benchmarks(*SCENARIOS, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def figures(printed: str) -> Any:
    return json.loads(printed.splitlines()[-1])


@pytest.fixture(params=["FileStore", "RedisStore"])
def store(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "RedisStore":
        request.getfixturevalue("redis_binary")
    return name


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
    """The last line is JSON with the machine and all scenarios."""
    assert set(figures) == {"machine", *SCENARIOS}


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize("way", ["ExterviewAuth", "AuthSession"])
@pytest.mark.parametrize("scene", ["dead token", "cold start"])
def test_a_storm_makes_one_login_and_loses_nothing(figures: Any, scene: str, way: str, size: str) -> None:
    """In each round of a storm there is one login and no failure."""
    found = figures["storm"][size][f"{scene}, {way}"]
    assert always(found["logins"]) == 1
    assert always(found["failures"]) == 0


@pytest.mark.parametrize(("size", "most"), [(NARROW, 5), (WIDE, 60)])
def test_what_is_not_written_at_the_first_refusal_never_carries_the_dead_token(
    figures: Any, size: str, most: int
) -> None:
    """Requests begun or written after the client saw a refusal wait for the login; of the others each is refused once at most."""
    found = figures["storm"][size]["dead token, watched"]
    assert always(found["begun_late"]) == always(found["written_late"]) == 0
    assert 1 <= found["refused"]["min"] <= found["refused"]["max"] <= most
    assert 1 <= figures["storm"][size]["dead token, AuthSession"]["refused"]["max"] <= most


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize("way", ["ExterviewAuth", "AuthSession"])
def test_a_cold_start_is_never_refused(figures: Any, way: str, size: str) -> None:
    """Requests that find no token are sent with the login's only."""
    assert always(figures["storm"][size][f"cold start, {way}"]["refused"]) == 0


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


@pytest.mark.parametrize("scene", ["token revoked", "cold"])
def test_a_fleet_makes_one_login_and_loses_nothing(figures: Any, store: str, scene: str) -> None:
    """In each round there is one login by all processes together, no failure, and each request is refused once at most."""
    found = figures["fleet"]["storm"][f"{store}, {scene}"]
    assert always(found["logins"]) == 1
    assert always(found["failures"]) == 0
    assert always(found["refused"]) == (60 if scene == "token revoked" else 0)


def test_one_login_wakes_all_other_processes(figures: Any, store: str) -> None:
    """Both processes that did not log in send again with the token of the one that did."""
    assert always(figures["fleet"]["wake-up"][store]["woken"]) == 2


def test_a_killed_login_is_made_by_another_process(figures: Any, store: str) -> None:
    """One more login ends, and the requests of the processes that live are all answered."""
    found = figures["fleet"]["kill"][store]
    assert always(found["begun"]) == 2
    assert always(found["ended"]) == 1
    assert always(found["failures"]) == 0


@pytest.mark.usefixtures("redis_binary")
def test_a_revocation_costs_each_process_few_commands(figures: Any) -> None:
    """At most six at Redis, whether the process logs in or waits, and none while the token serves."""
    commands = figures["fleet"]["traffic"]["commands"]
    assert 1 <= commands["per_revocation"]["min"] <= commands["per_revocation"]["max"] <= 6
    assert commands["steady"] == 0


def test_a_revocation_costs_one_save_and_a_request_no_look_at_a_file(figures: Any) -> None:
    """One process saves the token, each looks for it, and none does while the token serves."""
    traffic = figures["fleet"]["traffic"]
    assert traffic["saves"]["mean"] == pytest.approx(1 / 3)
    assert traffic["loads"]["per_revocation"]["min"] >= 1
    assert traffic["loads"]["steady"] == traffic["saves"]["steady"] == traffic["calls"]["steady"] == 0


def test_one_scenario_can_be_chosen() -> None:
    """Only the named scenario runs, and without ``--json`` no JSON is printed."""
    done = benchmarks("cancel", "--quick")
    assert done.returncode == 0, done.stderr
    assert "\ncancel: " in done.stdout
    assert not any(f"\n{other}: " in done.stdout for other in SCENARIOS if other != "cancel")
    assert "{" not in done.stdout


def test_what_is_not_installed_is_told_before_anything_runs() -> None:
    """One sentence that says what to do; the scenarios before it are not run for nothing."""
    program = "import runpy, sys; sys.modules['redis'] = None; runpy.run_module('benchmarks', run_name='__main__')"
    command = [sys.executable, "-c", program, "cancel", "fleet", "--quick"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The benchmarks need redis, of the extra dev: pip install -e '.[dev]'\n"


def test_an_unknown_scenario_is_named() -> None:
    """A mistyped scenario ends in an error that repeats it."""
    done = benchmarks("strom")
    assert done.returncode == 2
    assert "strom" in done.stderr
