"""The scenarios of memory, of many accounts and of renewal ahead count what they should; sizes and times are never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
OURS = ("ExterviewAuth", "AuthSession")
PROGRAM = """
import json
from benchmarks.scenarios import {scenario}
report = {scenario}.report(quick=True)
print(json.dumps({{"text": report.text(), "tables": len(report.tables), "data": report.data}}))
"""


def ran(scenario: str) -> Any:
    """What the scenario reports, run once in a process of its own; the JSON of its data must exist."""
    command = [sys.executable, "-c", PROGRAM.format(scenario=scenario)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def memory() -> Any:
    return ran("memory")


@pytest.fixture(scope="module")
def accounts() -> Any:
    return ran("accounts")


@pytest.fixture(scope="module")
def ahead() -> Any:
    return ran("ahead")


def always(figure: dict[str, float]) -> float:
    assert figure["min"] == figure["max"]
    return figure["min"]


@pytest.mark.parametrize(("scenario", "tables"), [("memory", 1), ("accounts", 3), ("ahead", 1)])
def test_each_table_has_its_sentence(request: pytest.FixtureRequest, scenario: str, tables: int) -> None:
    """Every table stands under a sentence that begins with the scenario's name."""
    found = request.getfixturevalue(scenario)
    assert found["tables"] == found["text"].count(f"\n{scenario}: ") == tables


def test_all_contestants_wait_at_once(memory: Any) -> None:
    """With each contestant all requests wait when memory is looked at, of the resident kind and under tracing."""
    contestants = {name for name, found in memory["data"].items() if always(found["waiting"]) == 500}
    assert contestants == set(memory["data"]) > set(OURS)
    assert all(always(found["waiting_traced"]) == 200 for found in memory["data"].values())


@pytest.mark.parametrize("name", OURS)
def test_who_waited_for_the_login_is_answered(memory: Any, name: str) -> None:
    """Once the login's gate opens, each request that was measured, and each that waited before it, gets a 200."""
    found = memory["data"][name]
    assert always(found["answered"]) == 600
    assert always(found["unanswered"]) == always(found["failures"]) == always(found["cancelled"]) == 0


def test_who_waits_without_a_login_is_cancelled(memory: Any) -> None:
    """The plain requests end when they are cancelled, none is left and none fails."""
    for name in set(memory["data"]) - set(OURS):
        found = memory["data"][name]
        assert always(found["cancelled"]) == 600
        assert always(found["answered"]) == always(found["failures"]) == 0


def test_every_waiting_request_takes_memory(memory: Any) -> None:
    """No contestant's bytes are zero: the figures are of requests that exist."""
    assert all(found["traced"]["min"] > 0 for found in memory["data"].values())


def test_accounts_are_compared_with_one_and_with_one_again(accounts: Any) -> None:
    """Through the network and without it one account, its control and many stand beside each other."""
    contestants = {"1 account", "1 account again", "200 accounts"}
    assert set(accounts["data"]["requests"]) == contestants
    assert set(accounts["data"]["alone"]) == contestants | {f"{name}, in a dict" for name in contestants} - {
        "1 account again, in a dict"
    }


def test_no_account_is_refused(accounts: Any) -> None:
    """The API accepts every request of every account."""
    assert accounts["data"]["refused"] == 0


def test_an_account_is_measured_after_one_login_or_none(accounts: Any) -> None:
    """Accounts that sign in make one login each, the others none."""
    logins = {name: always(found["logins"]) for name, found in accounts["data"]["memory"].items()}
    assert logins.pop("in the pool, signed in") == 200
    assert len(logins) == 3
    assert set(logins.values()) == {0}


@pytest.mark.parametrize("name", ["without a renewal", "without a renewal again", "with a renewal"])
def test_a_renewal_ahead_is_one_login_and_costs_no_request(ahead: Any, name: str) -> None:
    """The server sees one login in a window with a renewal and none in others; nothing is refused and nothing fails."""
    found = ahead["data"][name]
    assert always(found["logins"]) == always(found["ahead"]) == (name == "with a renewal")
    assert always(found["refused"]) == always(found["failures"]) == 0
    assert found["requests"]["min"] >= 64
