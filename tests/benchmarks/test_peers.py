"""The benchmark of peers runs, and counts what it should; what a peer does otherwise one day is noticed here."""

from __future__ import annotations

import re
from typing import Any

import pytest

from . import running
from .running import always

OURS = ("ExterviewAuth", "AuthSession")
STATIC = (
    "aiohttp, static headers",
    "aiohttp, static headers again",
    "httpx, static headers",
    "httpx, static headers again",
)
THROUGHPUT_ONLY = "gql, static headers"
OTHERS = (
    "aiohttp's cookbook",
    "aiohttp-oauth2-client",
    "google-auth aio",
    "azure-core",
    "aiobotocore credentials",
    "singleflight-auth",
    "own httpx.Auth with a lock",
    "own httpx.Auth without",
    "httpx-auth",
    "authlib",
)
TABLES = ("steady", "storm", "cold start", "failing login", "adverse")

LIBRARIES = {"httpx", "google.auth", "azure.core", "aiobotocore", "gql", "singleflight_auth"}


@pytest.fixture(scope="module")
def figures() -> Any:
    return running.figures("peers")


def counts(found: Any) -> tuple[float, float]:
    """Logins and failures."""
    return always(found["logins"]), always(found["failures"])


def ends(figures: Any, name: str, scene: str) -> tuple[float, float]:
    """Logins and failures of an adverse scene."""
    found = figures["adverse"][name][scene]
    return found["logins"], found["failures"]


def test_each_contestant_has_a_row_in_each_table(figures: Any) -> None:
    """One row in every table, with dashes where it cannot take part, and figures in the JSON where it does."""
    tables = running.quick("peers").stdout.split("\npeers, ")[1:]
    assert [table.partition(":")[0] for table in tables] == list(TABLES)
    for name in (*OURS, *STATIC, THROUGHPUT_ONLY, *OTHERS):
        for table in tables:
            assert sum(line.startswith(f"  {name}  ") for line in table.splitlines()) == 1, name
    assert set(figures["steady"]) == {*OURS, *STATIC, THROUGHPUT_ONLY, *OTHERS}
    for scene in ("storm", "cold start", "adverse"):
        assert set(figures[scene]) == {*OURS, *STATIC, *OTHERS}


def test_nothing_is_printed_but_tables_and_progress() -> None:
    """No warning, log or traceback of a peer reaches standard error; what is left open would be a warning."""
    assert re.fullmatch(r"peers \.\.\.\n(  (steady|storms|adverse), round \d+/\d+\n)+", running.quick("peers").stderr)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(("scene", "most"), [("storm", 2), ("cold start", 1)])
def test_a_storm_makes_one_login_and_loses_nothing(figures: Any, name: str, scene: str, most: int) -> None:
    """One login, no failure, and each request is sent twice at most; without a token, none is sent before the login."""
    found = figures[scene][name]
    assert counts(found) == (1, 0)
    assert always(found["wire"]) <= most * always(found["requests"])


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("scene", ["late 401", "leader cancelled", "token of 20 s"])
def test_late_refusals_cancelled_leaders_and_short_lives_cost_one_login(figures: Any, name: str, scene: str) -> None:
    """One login, and no request fails."""
    assert ends(figures, name, scene) == (1, 0)


@pytest.mark.parametrize("name", OURS)
def test_no_credential_arrives_off_the_origin(figures: Any, name: str) -> None:
    """Neither bearer nor key follows a redirect, not even a key among the session's own headers."""
    assert figures["adverse"][name]["arrives off the origin"]["arrived"] == []


@pytest.mark.parametrize("name", OURS)
def test_a_failing_login_is_few_calls_for_all_who_wait(figures: Any, name: str) -> None:
    """One call where the credentials are rejected, few where the endpoint is unavailable; all fail, and nothing hangs."""
    assert ends(figures, name, "401 for ever") == (1, 10)
    logins, failed = ends(figures, name, "503 for ever")
    assert 2 <= logins <= 4
    assert failed == 10
    assert all(found["hung"] == 0 for found in figures["adverse"][name].values())


@pytest.mark.parametrize("name", OURS)
def test_a_login_endpoint_that_is_away_for_a_moment_costs_no_request(figures: Any, name: str) -> None:
    """After one 503 the second login serves all."""
    assert ends(figures, name, "503 once") == (2, 0)


def test_every_other_contestant_takes_the_key_along_a_redirect(figures: Any) -> None:
    """Also httpx, which takes the bearer off, and plain aiohttp, which does the same."""
    for name in {*STATIC, *OTHERS}:
        assert "x-api-key" in figures["adverse"][name]["arrives off the origin"]["arrived"], name


def test_the_cookbooks_middleware_logs_in_for_each_waiter_and_signs_for_strangers(figures: Any) -> None:
    """A rejected login is repeated by all waiters, a cancelled leader's is made again, a redirect is signed."""
    name = "aiohttp's cookbook"
    assert ends(figures, name, "401 for ever") == (10, 10)
    assert ends(figures, name, "leader cancelled") == (2, 0)
    assert figures["adverse"][name]["arrives off the origin"]["arrived"] == ["Authorization", "x-api-key"]


@pytest.mark.parametrize(
    "name", ["aiohttp-oauth2-client", "azure-core", "aiobotocore credentials", "httpx-auth", "authlib"]
)
def test_those_that_renew_by_time_alone_return_every_401(figures: Any, name: str) -> None:
    """In a storm there is no login and no second try; a short life makes a login for each request."""
    found = figures["storm"][name]
    assert counts(found) == (0, always(found["requests"]))
    assert always(found["wire"]) == always(found["requests"])
    assert figures["adverse"][name]["token of 20 s"]["logins"] >= 10


@pytest.mark.parametrize("name", ["google-auth aio", "own httpx.Auth without"])
def test_those_without_a_lock_log_in_for_each_request(figures: Any, name: str) -> None:
    """As many logins as requests that come with no token."""
    found = figures["cold start"][name]
    assert counts(found) == (always(found["requests"]), 0)


def test_the_peers_are_imported_when_the_scenario_runs() -> None:
    """Other scenarios need none of them."""
    done = running.python("-c", "import sys; from benchmarks import peers; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not LIBRARIES & set(done.stdout.split())
