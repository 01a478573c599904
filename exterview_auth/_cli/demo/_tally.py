"""What those who send have counted, in one process or in many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Tally:
    """The counters of one sender so far, or of several together."""

    answered: int = 0
    """Requests whose caller has an answer, or an error."""
    waiting: int = 0
    """Requests that wait for a token now."""
    waiting_peak: int = 0
    """The most that one process ever had waiting."""
    replays: int = 0
    logins: int = 0
    adopted: int = 0
    """Tokens taken from the store that another process got."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """The errors among the answered, by name."""

    def to_json(self) -> str:
        """One line of it, for `from_json` in another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes) -> Tally:
        """What `to_json` wrote; a `ValueError` where it was something else."""
        told = json.loads(line)
        if not isinstance(told, dict) or told.keys() != {item.name for item in fields(cls)}:
            raise ValueError("this is no tally")
        failures = told.pop("failures")
        if not isinstance(failures, dict) or not _are_numbers([*told.values(), *failures.values()]):
            raise ValueError("a tally is made of numbers")
        return cls(**told, failures=failures)


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    together: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    peak = 0
    for tally in tallies:
        peak = max(peak, tally.waiting_peak)
        failures.update(tally.failures)
        together.update({name: getattr(tally, name) for name in _ADDED})
    return Tally(waiting_peak=peak, failures=failures, **together)


_ADDED = tuple(item.name for item in fields(Tally) if item.name not in {"waiting_peak", "failures"})


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)
