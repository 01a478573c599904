"""One owner, one event loop at a time."""

from __future__ import annotations

import asyncio
import os

import pytest

from exterview_auth import ConfigurationError
from exterview_auth._core.lifecycle import Lifecycle
from tests.kit.keepers import scripted


@pytest.fixture
def lifecycle() -> Lifecycle:
    """Return the lifecycle of an owner that has not been used yet."""
    return scripted().lifecycle


async def entered(lifecycle: Lifecycle) -> asyncio.AbstractEventLoop | None:
    """Enter *lifecycle* in the running loop; the loop that it belongs to then."""
    lifecycle.enter()
    return lifecycle.loop


def test_an_owner_may_be_created_outside_any_loop(lifecycle: Lifecycle) -> None:
    """It belongs to no loop yet, and cannot be entered without one."""
    with pytest.raises(
        ConfigurationError, match=r"^ExterviewAuth needs asyncio, and none of its event loops runs here"
    ):
        lifecycle.enter()
    assert lifecycle.loop is None
    assert not lifecycle._alive


def test_a_loop_that_is_not_running_does_not_keep_its_owner(lifecycle: Lifecycle) -> None:
    """It lets the owner go, although it is not closed, and is not touched; only a loop that is not closed is alive."""
    first = asyncio.new_event_loop()
    for _ in range(2):
        assert first.run_until_complete(entered(lifecycle)) is first
        assert lifecycle._alive
    assert asyncio.run(entered(lifecycle)) is not first
    assert not lifecycle._alive
    assert first.run_until_complete(entered(lifecycle)) is first
    first.close()


async def test_a_second_running_loop_is_refused(lifecycle: Lifecycle) -> None:
    """Used from another thread's loop while the first runs, it says what to do, and stays with the first."""
    lifecycle.enter()
    with pytest.raises(ConfigurationError, match="another event loop that is still running; create one owner for each"):
        await asyncio.to_thread(lambda: asyncio.run(entered(lifecycle)))
    assert await entered(lifecycle) is asyncio.get_running_loop()


async def test_a_forked_child_releases_its_parents_loop(lifecycle: Lifecycle, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another process the loop that seems to run is the parent's: it is not alive here, and not in the way."""
    lifecycle.enter()
    other = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    assert not lifecycle._alive
    assert await asyncio.to_thread(lambda: asyncio.run(entered(lifecycle))) is not asyncio.get_running_loop()
