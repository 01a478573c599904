"""Rule 20: one owner, one event loop at a time."""

from __future__ import annotations

import asyncio
import os

import pytest

from exterview_auth import ConfigurationError
from exterview_auth._core.lifecycle import LoopBond


async def entered(bond: LoopBond) -> bool:
    """`LoopBond.entered` in the running loop."""
    return bond.entered()


def test_a_bond_may_be_made_outside_any_loop() -> None:
    """An owner that nobody used yet belongs to no loop."""
    bond = LoopBond()
    assert bond.loop is None
    assert not bond.alive


@pytest.mark.asyncio
async def test_the_first_use_in_a_loop_is_told_from_the_later_ones() -> None:
    """The first entry finds another loop than last time, the next ones the same."""
    bond = LoopBond()
    assert [bond.entered(), bond.entered(), bond.entered()] == [False, True, True]
    assert bond.loop is asyncio.get_running_loop()
    assert bond.alive


def test_a_new_loop_takes_over_after_the_old_one_has_ended() -> None:
    """Each new `asyncio.run` is a new loop, and what belonged to the old one is no longer alive."""
    bond = LoopBond()
    for _ in range(3):
        assert not asyncio.run(entered(bond))
        assert not bond.alive


def test_a_loop_that_stands_still_does_not_keep_its_owner() -> None:
    """A loop that is not closed but does not run either lets the owner go, and is left alive."""
    bond, first = LoopBond(), asyncio.new_event_loop()
    try:
        assert not first.run_until_complete(entered(bond))
        assert bond.alive
        assert first.run_until_complete(entered(bond))
        assert not asyncio.run(entered(bond))
        assert not first.run_until_complete(entered(bond))
    finally:
        first.close()


@pytest.mark.asyncio
async def test_a_second_running_loop_is_refused() -> None:
    """Used from another thread's loop while the first runs, it says what to do, and stays with the first."""
    bond = LoopBond()
    bond.entered()
    with pytest.raises(ConfigurationError, match="another event loop that still runs; make one owner for each loop"):
        await asyncio.to_thread(lambda: asyncio.run(entered(bond)))
    assert bond.entered()


@pytest.mark.asyncio
async def test_a_forked_child_lets_go_of_its_parents_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process the loop that seems to run is the parent's: it is not alive here, and not in the way."""
    bond = LoopBond()
    bond.entered()
    other = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    assert not bond.alive
    assert not await asyncio.to_thread(lambda: asyncio.run(entered(bond)))


def test_outside_any_loop_nothing_is_entered() -> None:
    """Without a running loop there is nothing to belong to, and the bond stays as it was."""
    bond = LoopBond()
    with pytest.raises(RuntimeError, match="no running event loop"):
        bond.entered()
    assert bond.loop is None
