"""Rule 20: one owner, one event loop at a time."""

from __future__ import annotations

import asyncio
import os

import pytest

from exterview_auth import ConfigurationError
from exterview_auth._core.lifecycle import Lifecycle
from tests.kit.keepers import ScriptedLogin, keeper


def made() -> Lifecycle:
    """The lifecycle of an owner that nobody has used yet."""
    return keeper(ScriptedLogin()).lifecycle


async def entered(lifecycle: Lifecycle) -> asyncio.AbstractEventLoop | None:
    """The loop that *lifecycle* belongs to once it was entered in the running one."""
    lifecycle.enter()
    return lifecycle.loop


def test_an_owner_may_be_made_outside_any_loop() -> None:
    """An owner that nobody used yet belongs to no loop, and cannot be entered without one."""
    lifecycle = made()
    with pytest.raises(RuntimeError, match="no running event loop"):
        lifecycle.enter()
    assert lifecycle.loop is None
    assert not lifecycle._alive


def test_a_new_loop_takes_over_after_the_old_one_has_ended() -> None:
    """Each new `asyncio.run` is a new loop, and what belonged to the old one is no longer alive."""
    lifecycle = made()
    loops = [asyncio.run(entered(lifecycle)) for _ in range(3)]
    assert len({id(loop) for loop in loops}) == 3
    assert not lifecycle._alive


def test_a_loop_that_stands_still_does_not_keep_its_owner() -> None:
    """A loop that is not closed but does not run either lets the owner go, and is left alive."""
    lifecycle, first = made(), asyncio.new_event_loop()
    try:
        for _ in range(2):
            assert first.run_until_complete(entered(lifecycle)) is first
            assert lifecycle._alive
        assert asyncio.run(entered(lifecycle)) is not first
        assert first.run_until_complete(entered(lifecycle)) is first
    finally:
        first.close()


@pytest.mark.asyncio
async def test_a_second_running_loop_is_refused() -> None:
    """Used from another thread's loop while the first runs, it says what to do, and stays with the first."""
    lifecycle = made()
    lifecycle.enter()
    with pytest.raises(ConfigurationError, match="another event loop that is still running; create one owner for each"):
        await asyncio.to_thread(lambda: asyncio.run(entered(lifecycle)))
    assert await entered(lifecycle) is asyncio.get_running_loop()


@pytest.mark.asyncio
async def test_a_forked_child_lets_go_of_its_parents_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process the loop that seems to run is the parent's: it is not alive here, and not in the way."""
    lifecycle = made()
    lifecycle.enter()
    other = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    assert not lifecycle._alive
    assert await asyncio.to_thread(lambda: asyncio.run(entered(lifecycle))) is not asyncio.get_running_loop()
