"""The fleet of real processes counts what it should; times are never asserted."""

from __future__ import annotations

import pytest

from .running import always, figures


@pytest.fixture(params=["FileStore", "RedisStore"])
def store(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "RedisStore":
        request.getfixturevalue("redis_binary")
    return name


@pytest.mark.parametrize("scene", ["token revoked", "cold"])
def test_a_fleet_makes_one_login_and_loses_nothing(store: str, scene: str) -> None:
    """In each round there is one login by all processes together, no failure, and each request is refused once at most."""
    found = figures("fleet")["storm"][f"{store}, {scene}"]
    assert always(found["logins"]) == 1
    assert always(found["failures"]) == 0
    assert always(found["refused"]) == (60 if scene == "token revoked" else 0)


def test_one_login_wakes_all_other_processes(store: str) -> None:
    """Both processes that did not log in send again with the token of the one that did."""
    assert always(figures("fleet")["wake-up"][store]["woken"]) == 2


def test_a_killed_login_is_made_by_another_process(store: str) -> None:
    """One more login ends, and the requests of the living processes are all answered."""
    found = figures("fleet")["kill"][store]
    assert always(found["begun"]) == 2
    assert always(found["ended"]) == 1
    assert always(found["failures"]) == 0


@pytest.mark.usefixtures("redis_binary")
def test_a_revocation_costs_each_process_few_commands() -> None:
    """At most six at Redis, whether the process logs in or waits, and none while the token is good."""
    commands = figures("fleet")["traffic"]["commands"]
    assert 1 <= commands["per_revocation"]["min"] <= commands["per_revocation"]["max"] <= 6
    assert commands["steady"] == 0


def test_a_request_with_a_good_token_uses_no_file() -> None:
    """Each process uses files for a revocation, and none while the token is good."""
    calls = figures("fleet")["traffic"]["calls"]
    assert calls["per_revocation"]["min"] >= 1
    assert calls["steady"] == 0
