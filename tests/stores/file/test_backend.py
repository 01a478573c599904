"""Waiting for files: how a change is noticed, and how often a crowd looks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from exterview_auth import FileStore, Token
from exterview_auth.stores._entry import key_of
from exterview_auth.stores._file.backend import DELAY_PER_POLLER, LOOKS_PER_ATTEMPT, POLL_DELAYS, FileLockBackend
from exterview_auth.stores._file.entries import FileEntries
from tests.kit.stores import ACCOUNT


def backend(entries: FileEntries) -> FileLockBackend:
    """One more who waits for the account."""
    return FileLockBackend(entries, key_of(ACCOUNT), 60)


async def test_a_waiter_returns_when_the_file_has_changed(directory: Path) -> None:
    """A new file, another one, none any more; without a change, it is time to try the lock again."""
    async with FileStore(directory) as store:
        entries, name = store._entries, key_of(ACCOUNT)
        waiting = backend(entries)
        await waiting.subscribe()
        assert waiting._known is None
        for change in (store.save(ACCOUNT, Token("1")), store.save(ACCOUNT, Token("2")), store.delete(ACCOUNT)):
            before = waiting._known
            await change
            await waiting.wait_for_change()
            assert waiting._known == entries.identity(name) != before
        known = waiting._known
        await waiting.wait_for_change()
        assert waiting._known == known


async def test_a_crowd_of_waiters_looks_less_often(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The delay grows with the number of waiters in the process, and is short again when they have gone."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async with FileStore(directory) as store:
        turns = [backend(store._entries) for _ in range(100)]
        await asyncio.gather(*(turn.subscribe() for turn in turns))
        monkeypatch.setattr(asyncio, "sleep", counted)
        await asyncio.gather(*(turn.wait_for_change() for turn in turns))
        assert max(pauses) == pytest.approx(100 * DELAY_PER_POLLER)
        assert len(pauses) == 100 * LOOKS_PER_ATTEMPT
        assert store._entries.pollers == 0
        pauses.clear()
        patient = backend(store._entries)
        for _ in range(2):
            await patient.wait_for_change()
        assert pauses == [*POLL_DELAYS, *[POLL_DELAYS[-1]] * (2 * LOOKS_PER_ATTEMPT - len(POLL_DELAYS))]
