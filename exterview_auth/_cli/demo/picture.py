"""Draws a timeline with block characters in a few lines, readable on light and dark, with colour or without."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from .timeline import Sample, Timeline, column_of

WIDTH = 80
"""Columns of the picture, at most."""

_LABEL, _TOTAL = 10, 12
_LINES_PER_CURVE = 2
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
class _Curve:
    label: str
    style: str
    read: Callable[[Sample], int]
    is_level: bool = False

    def values(self, timeline: Timeline, columns: int) -> list[float]:
        return (timeline.level if self.is_level else timeline.growth)(self.read, columns)

    def total(self, timeline: Timeline) -> str:
        if self.is_level:
            return f"peak {max(map(self.read, timeline.samples), default=0)}"
        return str(self.read(timeline.last))


# Neither yellow nor blue: one cannot be read on a light background, the other on a dark one.
_CURVES = (
    _Curve("sent", "", lambda sample: sample.sent),
    _Curve("refused", "red", lambda sample: sample.refused),
    _Curve("waiting", "magenta", lambda sample: sample.waiting, is_level=True),
    _Curve("replayed", "cyan", lambda sample: sample.replayed),
    _Curve("answered", "green", lambda sample: sample.answered),
)


def picture(timeline: Timeline, *, width: int = WIDTH, glyphs: Glyphs = UNICODE) -> list[Text]:
    """Return the lines of the picture, each at most *width* columns wide."""
    columns = max(10, min(width, WIDTH) - _LABEL - _TOTAL)
    guides = {column_of(mark.at, timeline.duration, columns) for mark in timeline.marks if mark.guided}
    lines = [line for curve in _CURVES for line in _curve_lines(curve, timeline, columns, guides, glyphs)]
    return [*lines, *_axis_lines(timeline.duration, columns, glyphs), *_mark_lines(timeline, columns, glyphs)]


def _curve_lines(curve: _Curve, timeline: Timeline, columns: int, guides: set[int], glyphs: Glyphs) -> Iterator[Text]:
    for number, bars in enumerate(bar_lines(curve.values(timeline, columns), glyphs.steps), start=1):
        is_last = number == _LINES_PER_CURVE
        line = Text.assemble(((curve.label if is_last else "").ljust(_LABEL), "bold"))
        # The guide is drawn only where the bars leave it room.
        for column, bar in enumerate(bars):
            is_guide = bar == glyphs.steps[0] and column in guides
            line.append(glyphs.guide if is_guide else bar, style="dim" if is_guide else curve.style)
        yield line.append((" " + curve.total(timeline)) if is_last else "")


def bar_lines(values: Sequence[float], steps: str, lines: int = _LINES_PER_CURVE) -> list[str]:
    """Return bars as high as *values*, from the top line down: the highest fills all *lines*, the smallest still shows."""
    highest, full = max(values, default=0.0), len(steps) - 1
    # Heights are counted in steps of a character, rounded up so that one request among thousands is still seen.
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
    """Return 1, 2 or 5 times a power of ten: seconds between ticks, of which at most six follow the first."""
    if duration <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(duration / _TICKS))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * _TICKS >= duration)


def _mark_lines(timeline: Timeline, columns: int, glyphs: Glyphs) -> Iterator[Text]:
    """Return one line, and a second one for the marks that have no room in the first."""
    lines = [[" "] * (columns + _TOTAL) for _ in range(2)]
    for mark in timeline.marks:
        column = column_of(mark.at, timeline.duration, columns)
        right, left = f"{glyphs.mark} {mark.label}", f"{mark.label} {glyphs.mark}"
        # To the right of the arrow, else to the left; on the first line, else on the second; else the mark is left out.
        places = (
            (cells, start, text) for cells in lines for start, text in ((column, right), (column - len(left) + 1, left))
        )
        for cells, start, text in places:
            end = start + len(text)
            if start >= 0 and end <= len(cells) and not "".join(cells[max(0, start - 1) : end + 1]).strip():
                cells[start:end] = text
                break
    texts = ["".join(cells).rstrip() for cells in lines]
    yield from (Text(" " * _LABEL + text, style="bold") for number, text in enumerate(texts) if text or number == 0)
