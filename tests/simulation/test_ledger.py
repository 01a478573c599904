"""The simulation's own judgement of what logins were worth."""

from __future__ import annotations

from tests.simulation._ledger import WINDOW, Ledger


def test_a_token_refused_before_it_served_is_useless() -> None:
    """It counts from its refusal for a window, and forbids the next login within the budget."""
    ledger = Ledger(1)
    ledger.came("a", 10.0)
    assert not ledger.may_forbid(0.0, 100.0)
    ledger.refused("a", 11.0)
    assert ledger.forbids(11.0)
    assert ledger.may_forbid(11.0, 12.0)
    assert not ledger.forbids(10.0 + WINDOW)
    assert not ledger.may_forbid(12.0 + WINDOW, 100.0 + WINDOW)


def test_a_token_that_served_or_was_adopted_costs_nothing() -> None:
    """A revoked token is no login's fault, and a token from the store was none."""
    ledger = Ledger(1)
    ledger.came("served", 0.0)
    ledger.accepted("served", 1.0)
    ledger.refused("served", 5.0)
    ledger.refused("adopted", 5.0)
    ledger.came("old", 0.0)
    ledger.refused("old", 5.0 + WINDOW)
    assert not ledger.may_forbid(0.0, 100.0)
    assert not ledger.forbids(6.0)


def test_a_login_that_did_not_help_its_own_request_is_useless() -> None:
    """A request that waited for the login is refused again, although others were accepted."""
    ledger = Ledger(1)
    ledger.came("b", 5.0)
    ledger.accepted("b", 6.0)
    ledger.refused("b", 9.0, again=4.0)
    assert ledger.forbids(9.0)


def test_what_the_contract_leaves_open_forbids_nothing_and_excuses_an_error() -> None:
    """A request that was refused with another token only after the login had come, or whose refusal nobody may have seen."""
    ledger = Ledger(1)
    ledger.came("b", 5.0)
    ledger.accepted("b", 6.0)
    ledger.refused("b", 9.0, again=8.0)
    assert not ledger.forbids(9.0)
    assert ledger.may_forbid(9.0, 9.0)
    unseen = Ledger(1)
    unseen.came("c", 5.0)
    unseen.refused("c", 6.0, sure=False)
    assert not unseen.forbids(6.0)
    assert unseen.may_forbid(6.0, 6.0)
    assert unseen.nearly(6.0, 6.0)
