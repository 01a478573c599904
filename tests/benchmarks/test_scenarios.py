"""The scenarios of one process count what they should; times and sizes are never asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from .running import always, benchmarks, figures

OURS = ("ExterviewAuth", "AuthSession")
NARROW, WIDE = "60 at once, 5 connections", "60 at once, any number of connections"


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize("way", OURS)
@pytest.mark.parametrize("scene", ["dead token", "cold start"])
def test_a_storm_makes_one_login_and_loses_nothing(scene: str, way: str, size: str) -> None:
    """In each round there is one login and no failure; with no token yet, no request is refused."""
    found = figures("storm")[size][f"{scene}, {way}"]
    assert always(found["logins"]) == 1
    assert always(found["failures"]) == 0
    assert scene == "dead token" or always(found["refused"]) == 0


@pytest.mark.parametrize("way", OURS)
@pytest.mark.parametrize(("size", "most"), [(NARROW, 5), (WIDE, 60)])
def test_what_is_not_written_at_the_first_refusal_never_carries_the_dead_token(size: str, most: int, way: str) -> None:
    """Of requests that queue for a connection, at most one per connection is refused; what begins later waits for the login."""
    found = figures("storm")[size][f"dead token, {way}"]
    assert 1 <= found["refused"]["min"] <= found["refused"]["max"] <= most


def test_the_import_loads_nothing_unwanted() -> None:
    """What belongs to single features is not loaded with the package."""
    assert figures("imports")["unwanted"] == []


def test_the_import_is_never_measured_while_it_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where Python writes no bytecode in spite of all, the scenario says so and ends."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.dont_write_bytecode = True")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = benchmarks("imports", "--quick")
    assert done.returncode == 1
    assert "has written no bytecode" in done.stderr.splitlines()[-1]
    assert "imports: " not in done.stdout


def test_an_environment_without_bytecode_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``PYTHONDONTWRITEBYTECODE`` set, the modules are compiled before they are measured, as without."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    done = benchmarks("imports", "--quick")
    assert done.returncode == 0, done.stderr
    assert "\nimports: " in done.stdout


@pytest.mark.parametrize("way", OURS)
def test_cancelling_all_waiters_leaves_the_login_alone(way: str) -> None:
    """All waiters end as cancelled, none is left, and the next request is sent with the one login's token."""
    found = figures("cancel")[way]
    assert always(found["waiting"]) == always(found["cancelled"]) == 200
    assert always(found["left"]) == 0
    assert always(found["logins"]) == 1
    assert always(found["next_status"]) == 200


def test_all_contestants_wait_while_memory_is_measured() -> None:
    """All requests of each contestant wait and take memory, resident and under tracing; each ends as it should."""
    found = figures("memory")
    assert set(found) > set(OURS)
    for name, one in found.items():
        assert (always(one["waiting"]), always(one["waiting_traced"])) == (500, 200)
        assert one["traced"]["min"] > 0
        assert always(one["unanswered"]) == always(one["failures"]) == 0
        assert (always(one["answered"]), always(one["cancelled"])) == ((600, 0) if name in OURS else (0, 600))


def test_accounts_are_compared_with_one_and_with_one_again() -> None:
    """One account, its control and many stand beside each other; no request is refused."""
    found = figures("accounts")
    assert set(found["requests"]) == set(found["alone"]) == {"1 account", "1 account again", "200 accounts"}
    assert found["refused"] == 0


def test_an_account_is_measured_after_one_login_or_none() -> None:
    """Accounts that log in do so once each, the others never."""
    logins = {name: always(found["logins"]) for name, found in figures("accounts")["memory"].items()}
    assert logins.pop("in the pool, logged in") == 200
    assert logins.pop("in the pool, logged in, token of 1000 characters") == 200
    assert len(logins) == 4
    assert set(logins.values()) == {0}


@pytest.mark.parametrize("name", ["without a renewal", "without a renewal again", "with a renewal"])
def test_a_renewal_ahead_is_one_login_and_costs_no_request(name: str) -> None:
    """The server sees one login in a window with a renewal and none in others; nothing is refused and nothing fails."""
    found = figures("ahead")[name]
    assert always(found["logins"]) == always(found["ahead"]) == (name == "with a renewal")
    assert always(found["refused"]) == always(found["failures"]) == 0
    assert found["requests"]["min"] >= 64
