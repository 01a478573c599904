"""SVG elements, short numbers, and scales."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

NAMESPACE = "http://www.w3.org/2000/svg"


def add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str | float) -> ET.Element:
    """Add an element to *parent*; ``_`` in the name of an attribute becomes ``-``, and is removed at its end."""
    named = {name.rstrip("_").replace("_", "-"): _text(value) for name, value in attributes.items()}
    child = ET.SubElement(parent, tag, named)
    child.text, child.tail = text, "\n"
    return child


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else short(value)


def short(value: float) -> str:
    """Format *value* with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def step(most: float) -> float:
    """Return a round distance of ticks, so that at most five lie between zero and *most*."""
    power = 10.0 ** math.floor(math.log10(most / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= most)


@dataclass(frozen=True)
class Scale:
    """Maps values between zero and *most* to coordinates between *low* and *high*."""

    most: float
    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of *value*."""
        return self.low + (self.high - self.low) * value / self.most

    def ticks(self) -> Iterator[tuple[float, float]]:
        """Return round values and their coordinates."""
        distance = step(self.most)
        for number in range(int(self.most / distance + 1e-9) + 1):
            yield number * distance, self(number * distance)
