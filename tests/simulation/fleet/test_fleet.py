"""The simulated fleet: its figures are the same each time, no request fails, and its faults happen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.harness.report import Report
from benchmarks.simulation import scenario as simulation

CHECKOUT = Path(__file__).resolve().parents[3]
LEASE = 5.0
SIZES = ("10", "100")
ONE_LOGIN = (
    "revoked, healthy",
    "revoked, 1 % of messages lost",
    "renewal ahead of expiry",
    "cold start",
    "one session per user, revoked",
)


@pytest.fixture(scope="module")
def report() -> Report:
    return simulation.report(quick=True)


@pytest.fixture(scope="module")
def figures(report: Report) -> Callable[[str, str, str], float]:
    def figure(scene: str, size: str, key: str) -> float:
        found = report.data[scene][size][key]
        assert found["min"] == found["max"]
        return float(found["median"])

    return figure


Figures = Callable[[str, str, str], float]


def test_the_same_seed_gives_the_same_table(report: Report) -> None:
    """A second run prints the same bytes and finds the same figures."""
    again = simulation.report(quick=True)
    assert json.dumps(again.data) == json.dumps(report.data)
    assert again.text() == report.text()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", ONE_LOGIN)
def test_a_fleet_makes_one_login(figures: Figures, scene: str, size: str) -> None:
    """Where the store can be reached, a revocation, a renewal and a cold start each cost one login."""
    assert figures(scene, size, "logins") == 1
    assert figures(scene, size, "logins_died") == 0


@pytest.mark.parametrize("size", SIZES)
def test_no_request_fails(report: Report, figures: Figures, size: str) -> None:
    """In no scene a request of a living process ends in an error or a 401, or does not end; every one serves again."""
    for scene in report.data:
        assert figures(scene, size, "failures") == 0, scene
        assert figures(scene, size, "unanswered") == 0, scene
        assert figures(scene, size, "unserved") == 0, scene


@pytest.mark.parametrize("size", SIZES)
def test_a_login_that_dies_is_made_again_within_two_leases(figures: Figures, size: str) -> None:
    """The process that logs in dies: another one logs in, and all living processes serve again."""
    scene = "revoked, login killed"
    assert figures(scene, size, "logins_died") == 1
    assert figures(scene, size, "logins") == 1
    assert LEASE - 1 < figures(scene, size, "all_serve") < 2 * LEASE


def test_a_revocation_costs_a_healthy_store_few_commands(figures: Figures) -> None:
    """Each process asks the store six times at most, on average."""
    assert 1 < figures("revoked, healthy", "100", "commands_each") <= 6


@pytest.mark.parametrize("size", SIZES)
def test_a_process_without_its_store_serves_again_soon(figures: Figures, size: str) -> None:
    """An outage or a partition costs a request two seconds of patience and a login."""
    for scene in ("revoked in an outage of 5 s", "revoked, 10 % cut off for 5 s"):
        assert figures(scene, size, "longest_request") < 2.0 + 0.6, scene


def test_the_faults_happen(figures: Figures) -> None:
    """Messages are lost, commands fail, and a process that is cut off logs in for itself."""
    assert figures("revoked, 1 % of messages lost", "100", "lost_messages") > 0
    assert figures("revoked, 1 % of messages lost", "100", "all_serve") > figures(
        "revoked, healthy", "100", "all_serve"
    )
    assert figures("revoked in an outage of 5 s", "10", "failed_commands") >= 10
    assert figures("revoked in an outage of 5 s", "10", "logins") == 10
    assert figures("revoked, 10 % cut off for 5 s", "100", "logins") == 1 + 10
    assert (
        figures("revoked, healthy", "100", "failed_commands")
        == figures("revoked, healthy", "100", "lost_messages")
        == 0
    )


def test_a_picture_needs_matplotlib_and_says_so(tmp_path: Path) -> None:
    """Without matplotlib ``--plot`` ends at once in one sentence with what to install."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError")
    command = [sys.executable, "-m", "benchmarks", "simulation", "--quick", "--plot", str(tmp_path / "fleet.svg")]
    environ = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=CHECKOUT, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == "--plot needs matplotlib: install exterview_auth with its extra `bench`"


def test_the_picture_is_an_svg_with_both_halves(report: Report, tmp_path: Path) -> None:
    """The file is a picture that says what the load and the times are of."""
    pytest.importorskip("matplotlib", exc_type=ImportError)
    from benchmarks.simulation.picture import canvas, draw  # noqa: PLC0415 - with matplotlib alone

    for name in ("one.svg", "two.svg"):
        draw(canvas(), report.data, str(tmp_path / name))
    picture = (tmp_path / "one.svg").read_text()
    assert picture.startswith("<?xml")
    assert picture == (tmp_path / "two.svg").read_text()
