"""The demo's timeline, and the recorder that fills it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from exterview_auth._cli.demo._recorder import Recorder
from exterview_auth._cli.demo._timeline import Counts, Mark, Timeline, column_of


def test_growth_adds_up_to_the_total() -> None:
    """However the columns are cut, their sum is the counter's last value."""
    timeline = Timeline()
    for at, sent in ((0.0, 0), (0.1, 7), (0.5, 7), (0.55, 90), (1.0, 100)):
        timeline.add(at, Counts(sent=sent))
    for columns in (1, 3, 10, 57):
        assert sum(timeline.grown(lambda counts: counts.sent, columns)) == pytest.approx(100)


def test_growth_between_two_looks_is_spread_evenly() -> None:
    """A loop that was busy for a second leaves no gap and no spike in the picture."""
    timeline = Timeline()
    timeline.add(0.0, Counts())
    timeline.add(1.0, Counts(answered=100))
    assert timeline.grown(lambda counts: counts.answered, 4) == pytest.approx([25, 25, 25, 25])


def test_the_level_of_a_column_is_the_highest_in_it() -> None:
    """A short peak between two columns' middles is not lost."""
    timeline = Timeline()
    for at, waiting in ((0.0, 0), (0.49, 0), (0.5, 1000), (0.51, 0), (1.0, 0)):
        timeline.add(at, Counts(waiting=waiting))
    assert timeline.level(lambda counts: counts.waiting, 3)[1] == 1000


def test_an_empty_timeline_is_all_zero() -> None:
    """Nothing has happened for no time."""
    timeline = Timeline()
    assert (timeline.duration, timeline.last) == (0.0, Counts())
    assert timeline.grown(lambda counts: counts.sent, 3) == [0, 0, 0]
    assert timeline.level(lambda counts: counts.waiting, 3) == [0, 0, 0]


@pytest.mark.parametrize(("at", "column"), [(-1.0, 0), (0.0, 0), (0.99, 4), (1.0, 5), (2.0, 9), (3.0, 9)])
def test_instants_fall_into_columns(at: float, column: int) -> None:
    """The last instant belongs to the last column, and none is outside."""
    assert column_of(at, 2.0, 10) == column


@pytest.fixture
def ticks() -> Iterator[float]:
    return iter([100.0, 100.5, 101.0, 102.0, 103.0])


def test_the_recorder_counts_time_from_its_making(ticks: Iterator[float]) -> None:
    """Looks and marks are in seconds since then, and the live display sees each look."""
    seen: list[Timeline] = []
    recorder = Recorder(lambda: Counts(sent=3), lambda: next(ticks), on_look=seen.append)
    recorder.look()
    recorder.mark("login")
    recorder.mark("revoked", guided=True)
    assert recorder.timeline.times == [0.5]
    assert recorder.timeline.last == Counts(sent=3)
    assert recorder.timeline.marks == [Mark(1.0, "login"), Mark(2.0, "revoked", guided=True)]
    assert seen == [recorder.timeline]
    assert recorder.elapsed == 3.0


@pytest.mark.asyncio
async def test_the_last_look_is_taken_when_the_recorder_ends() -> None:
    """What happened since the look before is in the timeline."""
    looks, third = iter(range(1_000_000)), asyncio.Event()

    def seen(timeline: Timeline) -> None:
        if len(timeline.counts) == 3:
            third.set()

    recorder = Recorder(lambda: Counts(answered=next(looks)), asyncio.get_running_loop().time, on_look=seen)
    task = asyncio.create_task(recorder.run(interval=0))
    await third.wait()
    before = recorder.timeline.last.answered
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.timeline.last.answered == before + 1
