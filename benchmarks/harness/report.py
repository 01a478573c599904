"""Tables of plain text, and the figures in them."""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

K = TypeVar("K")
T = TypeVar("T")

Figures = Mapping[str, float]
"""What one round found."""


@dataclass(frozen=True)
class Spread:
    """
    The median of repeated measurements, and the range in which all lie; formats as ``median [min..max]``.

    ``sure`` is the range in which the median itself lies with 95 % (by order statistics, for any distribution).
    """

    median: float
    low: float
    high: float
    sure: tuple[float, float]

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return the spread of *values*."""
        known = sorted(values)
        rank = max(0, math.floor((len(known) - 1.96 * math.sqrt(len(known))) / 2))
        return cls(statistics.median(known), known[0], known[-1], (known[rank], known[-1 - rank]))

    @classmethod
    def of_ratios(cls, values: Iterable[float], bases: Iterable[float]) -> Self:
        """Return the spread of *values*, each divided by the one of *bases* in the same round."""
        return cls.of(value / base for value, base in zip(values, bases, strict=True))

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} [{self.low:{spec}}..{self.high:{spec}}]"

    def count(self) -> str:
        """Format a count that should be the same in each round: as one number if it was."""
        return f"{self.low:.0f}" if self.low == self.high else f"{self.low:.0f}..{self.high:.0f}"


Column = tuple[str, str, Callable[[Spread], str]]
"""A heading, the name of the figure below it, and how it is shown."""


def within(spec: str) -> Callable[[Spread], str]:
    """Show the median and the range of all rounds."""
    return lambda spread: f"{spread:{spec}}"


def median(spec: str) -> Callable[[Spread], str]:
    """Show the median alone."""
    return lambda spread: f"{spread.median:{spec}}"


# A base divided by itself is exactly 1 in each round, and says nothing.


def ratio(spec: str) -> Callable[[Spread], str]:
    """Show a ratio and its range."""
    return lambda spread: "-" if spread.low == spread.high == 1 else f"{spread:{spec}}"


def sure(spec: str) -> Callable[[Spread], str]:
    """Show the range in which the median of a ratio lies with 95 %."""
    return lambda spread: "-" if spread.low == spread.high == 1 else f"{spread.sure[0]:{spec}}..{spread.sure[1]:{spec}}"


def spreads(rounds: Sequence[Figures]) -> dict[str, Spread]:
    """Return the spread of each figure over all *rounds*."""
    return {name: Spread.of(one[name] for one in rounds) for name in rounds[0]}


async def in_random_order(
    names: Iterable[K], rounds: int, measure: Callable[[K], Awaitable[T]], what: str = "", every: int = 1
) -> dict[K, list[T]]:
    """Measure all *names* once in each round, in random order: no contestant always follows another."""
    found: dict[K, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        if number % every == 0:
            progress(number + 1, rounds, f"{what} round".strip())
        # A machine slows down and speeds up for seconds: contestants are only comparable within a round.
        for name in random.sample(list(found), len(found)):
            found[name].append(await measure(name))
    return found


def progress(done: int, of: int, what: str) -> None:
    """Print to stderr how far a scenario is."""
    print(f"  {what} {done}/{of}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Table:
    """A sentence that explains what is shown, and rows under the names of their columns."""

    sentence: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, sentence: str, columns: Sequence[Column], found: Mapping[str, Mapping[str, Spread]]) -> Self:
        """Return a table with a row for each name in *found*, and a dash for each figure that it lacks."""
        rows = [
            [name, *(show(one[figure]) if figure in one else "-" for _, figure, show in columns)]
            for name, one in found.items()
        ]
        return cls(sentence, ["", *(heading for heading, *_ in columns)], rows)

    def text(self) -> str:
        """Return the table, with its first column on the left and the others aligned to the right."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        return "\n".join([self.sentence, *(f"  {_line(line, widths)}" for line in lines)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([first.strip().ljust(widths[0]), *others]).rstrip()


@dataclass(frozen=True)
class Report:
    """What one scenario found: as tables for people, and as JSON."""

    tables: Sequence[Table]
    data: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, sentence: str, columns: Sequence[Column], found: Mapping[str, Mapping[str, Spread]]) -> Self:
        """Return a report of one table, and the same figures as JSON, without the rows that are empty."""
        data = {name: plain(one) for name, one in found.items() if one}
        return cls([Table.of(sentence, columns, found)], data)

    @classmethod
    def joined(cls, parts: Mapping[str, Report]) -> Self:
        """Return the tables of all *parts*, and their data by name."""
        tables = [table for part in parts.values() for table in part.tables]
        return cls(tables, {name: part.data for name, part in parts.items()})

    def text(self) -> str:
        """Return all tables, with an empty line before each."""
        return "".join(f"\n{table.text()}\n" for table in self.tables)


def plain(figures: Mapping[str, Spread]) -> dict[str, Any]:
    """Return *figures* as JSON takes them, with four digits each."""
    return {
        name: {
            "median": _short(spread.median),
            "min": _short(spread.low),
            "max": _short(spread.high),
            "median_95": [_short(end) for end in spread.sure],
        }
        for name, spread in figures.items()
    }


def _short(figure: float) -> float:
    return float(f"{figure:.4g}")
