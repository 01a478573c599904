"""The fault table, row by row: what the callers get, how long they wait, how many logins are made, and what is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from exterview_auth import ExterviewAuthError
from tests.faults import ROWS, SECRETS, TABLE, Got, Outcome, Row, Stage


@pytest.mark.usefixtures("redis_binary")
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row(row: Row, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The fault table: callers get what is due in time, logins are counted, it heals, and nothing is lost or left behind."""
    caplog.set_level(logging.DEBUG, "exterview_auth")
    threads = set(threading.enumerate())
    stage = Stage(tmp_path, caplog)
    outcome = asyncio.run(played(row, stage))
    gc.collect()
    assert_got(row, outcome)
    assert outcome.seconds < row.within, f"somebody waited for {outcome.seconds:.2f} s"
    least, most = row.logins if isinstance(row.logins, tuple) else (row.logins, row.logins)
    assert least <= outcome.logins <= most, f"{outcome.logins} logins"
    assert outcome.saved or not row.saves, "the newest token is not in the store"
    assert_told(row, caplog)
    assert [*stage.left, *outcome.left, *threads_beside(threads)] == []


def threads_beside(known: set[threading.Thread]) -> list[threading.Thread]:
    """Those that do not end by themselves."""
    others = set(threading.enumerate()) - known
    for thread in others:
        thread.join(3)
    return [thread for thread in others if thread.is_alive()]


async def played(row: Row, stage: Stage) -> Outcome:
    """What is seen of *row*."""
    async with stage:
        return await row.play(stage)


def assert_got(row: Row, outcome: Outcome) -> None:
    """Each caller what is due; the next one a good answer, or the latch's error and a good answer after its time."""
    expected = row.gets if isinstance(row.gets, tuple) else (row.gets,) * len(outcome.got)
    assert outcome.got
    assert [kind(got) for got in outcome.got] == list(expected), outcome.got
    assert kind(outcome.then) == row.then, outcome.then
    assert outcome.later == (None if row.then == 200 else 200)
    for got in (*outcome.got, outcome.then):
        if isinstance(got, ExterviewAuthError):
            assert re.search(row.says, str(got)), str(got)
        if isinstance(got, BaseException):
            assert_clear(got)


def kind(got: Got) -> object:
    """A status, or an error's exact type."""
    return got if isinstance(got, int) else type(got)


def assert_clear(error: BaseException) -> None:
    """One sentence, without a secret in it or in anything that is chained to it."""
    if isinstance(error, ExterviewAuthError):
        assert 10 < len(str(error)) < 300, str(error)
        assert "\n" not in str(error)
    for one in chain(error):
        assert not SECRETS.search(f"{one} {one!r} {one.args!r} {vars(one)!r}"), repr(one)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it came from, and what that came from."""
    if error is not None:
        yield error
        yield from chain(error.__cause__)
        yield from chain(error.__context__)


def assert_told(row: Row, caplog: pytest.LogCaptureFixture) -> None:
    """The log holds no secret, and what it has to tell once."""
    texts = [record.getMessage() for record in caplog.records if record.name == "exterview_auth"]
    assert not SECRETS.search(caplog.text), caplog.text
    if row.tells:
        assert [text.partition(" ")[0] for text in texts].count(row.tells) == 1, texts


@pytest.mark.parametrize("place", TABLE)
def test_the_table_is_played_whole(place: str) -> None:
    """No fault without a scenario, no scenario without a fault, and none twice."""
    assert sorted(row.fault for row in ROWS if row.place == place) == sorted(TABLE[place])
    assert {row.place for row in ROWS} == set(TABLE)
