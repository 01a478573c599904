"""A timeline as a small picture: a few lines of block characters, readable on light and dark, with colour or without."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from ._timeline import Counts, Mark, Timeline, column_of

WIDTH = 80
"""Columns that the picture takes at most."""

_LABEL, _TOTAL = 10, 12
_LINES_PER_ROW = 2
_TICKS = 6


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What bars, axis and marks are made of."""

    steps: str
    guide: str
    line: str
    tick: str
    start: str
    mark: str


UNICODE = Glyphs(steps=" ▁▂▃▄▅▆▇█", guide="┊", line="─", tick="┴", start="└", mark="▲")
ASCII = Glyphs(steps=" .:=#", guide=":", line="-", tick="+", start="+", mark="^")


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    style: str
    read: Callable[[Counts], int]
    is_level: bool = False

    def values(self, timeline: Timeline, columns: int) -> list[float]:
        return (timeline.level if self.is_level else timeline.grown)(self.read, columns)

    def total(self, timeline: Timeline) -> str:
        if self.is_level:
            return f"peak {max(map(self.read, timeline.counts), default=0)}"
        return str(self.read(timeline.last))


# No yellow and no blue: one is lost on a light background, the other on a dark one.
_ROWS = (
    _Row("sent", "", lambda counts: counts.sent),
    _Row("refused", "red", lambda counts: counts.refused),
    _Row("waiting", "magenta", lambda counts: counts.waiting, is_level=True),
    _Row("replayed", "cyan", lambda counts: counts.replayed),
    _Row("answered", "green", lambda counts: counts.answered),
)


def picture(timeline: Timeline, *, width: int = WIDTH, glyphs: Glyphs = UNICODE) -> list[Text]:
    """The lines of the picture, each at most *width* columns wide."""
    columns = max(10, min(width, WIDTH) - _LABEL - _TOTAL)
    guides = {column_of(mark.at, timeline.duration, columns) for mark in timeline.marks if mark.guided}
    lines = [line for row in _ROWS for line in _row_lines(row, timeline, columns, guides, glyphs)]
    return [*lines, *_axis_lines(timeline.duration, columns, glyphs), *_mark_lines(timeline, columns, glyphs)]


def _row_lines(row: _Row, timeline: Timeline, columns: int, guides: set[int], glyphs: Glyphs) -> Iterator[Text]:
    for number, bars in enumerate(bar_lines(row.values(timeline, columns), glyphs.steps), start=1):
        is_last = number == _LINES_PER_ROW
        line = Text.assemble(((row.label if is_last else "").ljust(_LABEL), "bold"))
        for column, bar in enumerate(bars):
            is_guide = bar == glyphs.steps[0] and column in guides
            line.append(glyphs.guide if is_guide else bar, style="dim" if is_guide else row.style)
        yield line.append((" " + row.total(timeline)) if is_last else "")


def bar_lines(values: Sequence[float], steps: str, lines: int = _LINES_PER_ROW) -> list[str]:
    """Bars as high as *values*, the highest filling all *lines* (given from the top); what is not zero shows."""
    highest, full = max(values, default=0.0), len(steps) - 1
    heights = [math.ceil(value / highest * full * lines) if value > 0 else 0 for value in values]
    floors = range((lines - 1) * full, -1, -full)
    return ["".join(steps[min(full, max(0, height - floor))] for height in heights) for floor in floors]


def _axis_lines(duration: float, columns: int, glyphs: Glyphs) -> Iterator[Text]:
    step = tick_step(duration)
    axis, labels = [glyphs.start, *glyphs.line * (columns - 1)], [" "] * (columns + _TOTAL)
    for number in range(int(duration / step) + 1 if duration > 0 else 1):
        column = column_of(number * step, duration, columns)
        axis[column] = glyphs.tick if number else glyphs.start
        text = f"{number * step:g} s"
        labels[column : column + len(text)] = text
    yield Text(" " * _LABEL + "".join(axis), style="dim")
    yield Text(" " * _LABEL + "".join(labels).rstrip(), style="dim")


def tick_step(duration: float) -> float:
    """A round number of seconds (1, 2 or 5 times a power of ten), so that there are at most six ticks after the first."""
    if duration <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(duration / _TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * _TICKS >= duration)


def _mark_lines(timeline: Timeline, columns: int, glyphs: Glyphs) -> Iterator[Text]:
    """One line, and a second one for the marks that the first has no room for."""
    lines = [[" "] * (columns + _TOTAL) for _ in range(2)]
    for mark in timeline.marks:
        _place(mark, column_of(mark.at, timeline.duration, columns), lines, glyphs.mark)
    texts = ["".join(cells).rstrip() for cells in lines]
    yield from (Text(" " * _LABEL + text, style="bold") for number, text in enumerate(texts) if text or number == 0)


def _place(mark: Mark, column: int, lines: Sequence[list[str]], arrow: str) -> None:
    """Write *mark* where there is room: to the right of its column, else to the left of it, on the first line if it can be."""
    right, left = f"{arrow} {mark.label}", f"{mark.label} {arrow}"
    for cells in lines:
        for start, text in ((column, right), (column - len(left) + 1, left)):
            if _has_room(cells, start, start + len(text)):
                cells[start : start + len(text)] = text
                return


def _has_room(cells: Sequence[str], start: int, end: int) -> bool:
    """Whether nothing stands there, nor directly beside it."""
    return start >= 0 and end <= len(cells) and not "".join(cells[max(0, start - 1) : end + 1]).strip()
