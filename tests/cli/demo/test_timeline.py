"""The demo's counters, its timeline, and the recorder that fills it."""

from __future__ import annotations

import asyncio

import pytest

from exterview_auth._cli.demo.timeline import Counts, Recorder, Sample, Timeline, total

COUNTS = Counts(answered=7, waiting=2, waiting_peak=5, replays=1, logins=1, adopted=1, failures={"TimeoutError": 1})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Traceback (most recent call last):\n",
        b"[1]\n",
        b"{}\n",
        b"\xff\xfe\n",
        *(COUNTS.to_json().replace("7", odd).encode() for odd in ('"7"', "-7", "true")),
        COUNTS.to_json().replace('{"TimeoutError": 1}', "[]").encode(),
        COUNTS.to_json().replace('{"TimeoutError": 1}', '{"TimeoutError": null}').encode(),
    ],
)
def test_only_counters_are_read(line: bytes) -> None:
    """They arrive as they were written; any other line is a `ValueError`."""
    assert Counts.from_json(COUNTS.to_json().encode()) == COUNTS
    with pytest.raises(ValueError, match=r".*"):
        Counts.from_json(line)


def test_counters_add_up() -> None:
    """All but the peak, which is not of one moment: the highest of one process was certainly reached."""
    assert total([]) == Counts()
    assert total([COUNTS, Counts(answered=1, waiting_peak=3, failures={"TimeoutError": 1, "Lost": 2})]) == Counts(
        answered=8, waiting=2, waiting_peak=5, replays=1, logins=1, adopted=1, failures={"TimeoutError": 2, "Lost": 2}
    )


@pytest.mark.parametrize("columns", [1, 3, 10, 57])
def test_growth_adds_up_to_the_total(columns: int) -> None:
    """However the columns are cut, their sum is the counter's last value."""
    timeline = Timeline([0.0, 0.1, 0.5, 0.55, 1.0], [Sample(sent=sent) for sent in (0, 7, 7, 90, 100)])
    assert sum(timeline.growth(lambda sample: sample.sent, columns)) == pytest.approx(100)


async def test_the_last_sample_is_taken_when_the_recorder_ends() -> None:
    """What happened since the sample before is in the timeline."""
    numbers, third = iter(range(1_000_000)), asyncio.Event()

    def seen(timeline: Timeline) -> None:
        if len(timeline.samples) == 3:
            third.set()

    recorder = Recorder(lambda: Sample(answered=next(numbers)), asyncio.get_running_loop().time, on_sample=seen)
    task = asyncio.create_task(recorder.run(interval=0))
    await third.wait()
    before = recorder.timeline.last.answered
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.timeline.last.answered == before + 1
