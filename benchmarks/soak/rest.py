"""What is held at rest: the same after the first fifth of the time and at its end, and nothing once all is closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .course import Found
from .owners import POOLED

_ROUGHLY, _SHARE = ("objects", "blocks"), 0.02
"""By how much objects and allocated blocks may grow: tables of a fixed size are not all full after the first fifth."""
_NOT_COMPARED = ("memory",)
"""What the allocator keeps for later says nothing of what is in use; the blocks do."""


@dataclass(frozen=True)
class Held:
    """One figure at rest."""

    measure: str
    process: str
    first: float | None
    last: float | None

    @property
    def same(self) -> bool:
        """To the piece; of objects and blocks, to two per cent; of owners, at most one for the main account and a full pool."""
        if self.first is None or self.last is None:
            return False
        if self.measure in _ROUGHLY:
            return self.last <= self.first * (1 + _SHARE)
        return self.first == self.last or (self.measure == "owners" and self.last <= 1 + POOLED)


def compared(found: Found) -> Iterator[Held]:
    """Each figure at the first rest and at the last; once all is closed, beside nothing."""
    first, last = found.rests[0], found.rests[-1]
    for process, (before, after) in enumerate(zip(first, last, strict=True), 1):
        for measure, value in before["gauges"].items():
            if measure not in _NOT_COMPARED:
                yield Held(measure, str(process), value, after["gauges"][measure])
    yield Held("Redis' clients", "both", found.redis_clients[0], found.redis_clients[-1])
    for measure, value in sorted(found.left.items()):
        yield Held(f"{measure} after closing", "both", 0, value)


def grown(found: Found, most: int) -> list[tuple[str, int, int]]:
    """The types of which there are more objects than at the first rest: the name, how many before, how many more."""
    first, last = _types(found.rests[0]), _types(found.rests[-1])
    more = {name: count - first[name] for name, count in last.items() if count > first[name]}
    return [(name, first[name], more[name]) for name in sorted(more, key=lambda name: -more[name])[:most]]


def _types(rest: list[dict[str, Any]]) -> Counter[str]:
    return sum((Counter(one["types"]) for one in rest), Counter[str]())
