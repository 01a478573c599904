"""The simulation as a small picture of text."""

from __future__ import annotations

import math
from typing import Any

from ..harness.report import Report

CAPACITY = 100_000
"""Commands a second that one Redis serves, about."""
WIDTH = 50
_EIGHTHS = " ▏▎▍▌▋▊▉"

Data = dict[str, dict[str, dict[str, Any]]]
"""By scene and number of processes: the figures, as JSON."""


class PlottedReport(Report):
    """A report whose data is `Data`."""

    def text(self) -> str:
        """The tables, with the small picture below them."""
        return super().text() + _picture(self.data)


def medians(by_size: dict[str, dict[str, Any]], key: str) -> dict[int, float]:
    """One scene's medians of one figure, by number of processes."""
    return {int(size): one[key]["median"] for size, one in by_size.items() if key in one}


def slope(points: dict[int, float]) -> float:
    """The straight line through zero that fits best (least squares): its rise for each process."""
    return sum(size * value for size, value in points.items()) / sum(size * size for size in points)


def _picture(data: Data) -> str:
    """How the store's load grows, and how long a fleet of the largest size takes."""
    name, healthy = next(iter(data.items()))
    loads = medians(healthy, "peak_commands")
    largest = max(loads)
    times = {scene: medians(one, "all_serve").get(largest) for scene, one in data.items()}
    each = slope(medians(healthy, "commands"))
    return "\n".join(
        [
            "",
            f"simulation: commands a second at the peak, logarithmic, {name}; one Redis serves about {CAPACITY}.",
            *_bars({f"{size} processes": (math.log10(max(1.0, load)), f"{load:.0f}") for size, load in loads.items()}),
            f"  Commands in all grow linearly: {each:.2f} for each process.",
            "",
            f"simulation: seconds until all of {largest} processes serve again.",
            *_bars({scene: (time, f"{time:.2f}") for scene, time in times.items() if time is not None}),
            "",
        ]
    )


def _bars(lengths: dict[str, tuple[float, str]]) -> list[str]:
    margin = max(map(len, lengths))
    longest = max(length for length, _ in lengths.values()) or 1.0
    return [f"  {name:<{margin}}  {_bar(length / longest)} {label}" for name, (length, label) in lengths.items()]


def _bar(part: float) -> str:
    whole, rest = divmod(round(part * WIDTH * 8), 8)
    return "█" * whole + _EIGHTHS[rest].strip()
