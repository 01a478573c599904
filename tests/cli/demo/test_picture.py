"""The demo's picture: a pure function of the timeline."""

from __future__ import annotations

import pytest

from exterview_auth._cli.demo._picture import ASCII, UNICODE, bar_lines, picture, tick_step
from exterview_auth._cli.demo._timeline import Counts, Mark, Timeline


def storm() -> Timeline:
    """A thousand requests in two seconds: a login, a revocation at 0.8 s, a login."""
    timeline = Timeline()
    for step in range(101):
        timeline.add(step / 50, _counts(step))
    timeline.marks += [Mark(0.4, "login"), Mark(0.8, "every token revoked", guided=True), Mark(1.2, "login")]
    return timeline


def _counts(step: int) -> Counts:
    if step < 20:
        return Counts(waiting=1000)
    if step < 40:
        return Counts(sent=(step - 20) * 20, answered=(step - 20) * 20)
    if step < 60:
        return Counts(sent=500, refused=100, answered=400, waiting=600)
    return Counts(sent=500 + (step - 60) * 15, refused=100, replayed=100, answered=400 + (step - 60) * 15)


def plain(timeline: Timeline, **options: object) -> list[str]:
    return [line.plain for line in picture(timeline, **options)]  # type: ignore[arg-type]


def test_the_picture_is_small() -> None:
    """It takes at most 14 lines of at most 80 columns."""
    lines = plain(storm())
    assert len(lines) <= 14
    assert max(map(len, lines)) <= 80


def test_each_row_has_its_name_and_its_total() -> None:
    """Sent, refused, replayed and answered show their sum, waiting its peak."""
    ends = [(line.split()[0], line.split()[-1]) for line in plain(storm()) if line[:1].isalpha()]
    assert ends == [
        ("sent", "1100"),
        ("refused", "100"),
        ("waiting", "1000"),
        ("replayed", "100"),
        ("answered", "1000"),
    ]


def test_the_waiting_are_high_while_the_login_runs_and_gone_after_it() -> None:
    """Where nobody waits nothing is drawn; the cold start fills both lines."""
    upper, lower = (line[10:68] for line in plain(storm())[4:6])
    assert upper[:11] == lower[:11] == "█" * 11
    assert lower[14:22].strip() == ""


def test_the_revocation_is_marked_through_empty_rows() -> None:
    """Its guide stands in the column of its arrow, and only where no bar is."""
    lines = plain(storm())
    column = next(line.index("▲ every") for line in lines if "▲ every" in line)
    assert "┊" in {line[column] for line in lines[:10]}
    assert {line[column] for line in lines[:10]} <= set("┊ ▁▂▃▄▅▆▇█")


def test_marks_without_room_on_the_right_stand_on_the_left() -> None:
    """A label that would leave the picture comes before its arrow."""
    timeline = storm()
    timeline.marks[:] = [Mark(2.0, "the last answer came in at the end")]
    assert plain(timeline)[-1].endswith("the last answer came in at the end ▲")


def test_marks_close_to_each_other_take_a_second_line() -> None:
    """Where both lines are full, a mark is left out rather than written over another."""
    timeline = storm()
    timeline.marks[:] = [
        Mark(0.8, "every token revoked"),
        Mark(1.0, "login"),
        Mark(1.02, "no room for this one anywhere"),
    ]
    first, second = plain(timeline)[-2:]
    assert first.strip() == "▲ every token revoked"
    assert second.strip() == "▲ login"
    assert second.index("▲") > first.index("▲")


def test_a_narrow_terminal_gets_a_narrow_picture() -> None:
    """No line is longer than the width that there is."""
    assert max(map(len, plain(storm(), width=50))) <= 50


def test_ascii_is_enough() -> None:
    """Where the output cannot take block characters, the picture has none."""
    assert all(line.isascii() for line in plain(storm(), glyphs=ASCII))


def test_an_empty_timeline_draws_empty_rows() -> None:
    """Before the first look there is nothing to see and nothing that breaks."""
    lines = plain(Timeline())
    assert "sent" in lines[1]
    assert not set("▁▂▃▄▅▆▇█") & set("".join(lines))


def test_the_smallest_value_shows() -> None:
    """One refused request among thousands is one eighth of a line, not nothing."""
    assert bar_lines([0, 1, 10_000], UNICODE.steps) == ["  █", " ▁█"]


def test_no_values_are_no_bars() -> None:
    """Nothing to draw gives empty lines."""
    assert bar_lines([], UNICODE.steps) == ["", ""]


@pytest.mark.parametrize(
    ("duration", "step"), [(0.0, 1.0), (0.3, 0.05), (1.9, 0.5), (2.0, 0.5), (7.0, 2.0), (60.0, 10.0), (250.0, 50.0)]
)
def test_ticks_are_round(duration: float, step: float) -> None:
    """The step is 1, 2 or 5 times a power of ten, and at most six follow the first."""
    assert tick_step(duration) == pytest.approx(step)


def test_tick_labels_never_run_into_each_other() -> None:
    """For any duration, the label of each tick can be read."""
    for hundredths in range(1, 20_000, 37):
        timeline = Timeline()
        timeline.add(0.0, Counts())
        timeline.add(hundredths / 100, Counts(sent=1))
        labels = plain(timeline)[-2].replace(" s", "s").split()
        assert labels == sorted(labels, key=lambda label: float(label[:-1]))
        assert len(set(labels)) == len(labels)


def test_colours_are_readable_on_light_and_dark() -> None:
    """Neither yellow, white, black nor blue is used for a bar."""
    styles = {str(span.style) for line in picture(storm()) for span in line.spans} - {""}
    assert styles <= {"red", "magenta", "cyan", "green", "dim", "bold"}
