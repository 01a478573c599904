"""The fault table, row by row: what the callers get, how long they wait, how many logins begin, and what is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from exterview_auth import ExterviewAuthError
from tests.faults import ROWS, SECRETS, Got, Outcome, Row, Stage


@pytest.mark.usefixtures("redis_binary")
@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row(row: Row, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Callers get what the row says in time, logins are counted, service resumes, and nothing is lost or left behind."""
    caplog.set_level(logging.DEBUG, "exterview_auth")
    threads = set(threading.enumerate())
    stage = Stage(tmp_path, caplog)
    outcome = asyncio.run(played(row, stage))
    gc.collect()
    assert_got(row, outcome)
    assert outcome.seconds < row.within, f"a caller waited for {outcome.seconds:.2f} s"
    least, most = row.logins if isinstance(row.logins, tuple) else (row.logins, row.logins)
    assert least <= outcome.logins <= most, f"{outcome.logins} logins"
    assert outcome.saved or not row.saves, "the newest token is not in the store"
    assert_logged(row, caplog)
    assert [*stage.left, *outcome.left, *threads_beside(threads)] == []


def threads_beside(known: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that do not end by themselves."""
    others = set(threading.enumerate()) - known
    for thread in others:
        thread.join(20)
    return [thread for thread in others if thread.is_alive()]


async def played(row: Row, stage: Stage) -> Outcome:
    """Return what is seen of *row*."""
    async with stage:
        return await row.play(stage)


def assert_got(row: Row, outcome: Outcome) -> None:
    """Check each caller's result, and the next request: a good answer, or the latch's error and then a good answer."""
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
    """Return a status, or an error's exact type."""
    return got if isinstance(got, int) else type(got)


def assert_clear(error: BaseException) -> None:
    """Check that the error is one sentence, with no secret in it or in anything that is chained to it."""
    if isinstance(error, ExterviewAuthError):
        assert 10 < len(str(error)) < 300, str(error)
        assert "\n" not in str(error)
    for one in chain(error):
        assert not SECRETS.search(f"{one} {one!r} {one.args!r} {vars(one)!r}"), repr(one)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and everything that is chained to it."""
    if error is not None:
        yield error
        yield from chain(error.__cause__)
        yield from chain(error.__context__)


def assert_logged(row: Row, caplog: pytest.LogCaptureFixture) -> None:
    """Check that the log shows no secret, and the row's warning once."""
    texts = [record.getMessage() for record in caplog.records if record.name == "exterview_auth"]
    assert not SECRETS.search(caplog.text), caplog.text
    if row.tells:
        assert [text.partition(" ")[0] for text in texts].count(row.tells) == 1, texts


def test_the_table_is_complete() -> None:
    """Rows are made by helpers; none is lost, and none is there twice."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert Counter(row.place for row in ROWS) == {
        "login endpoint": 24, "API": 10, "caller": 5, "store": 31, "process": 8, "hooks": 36
    }  # fmt: skip
