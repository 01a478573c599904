"""
Two processes with one Redis and one API, disturbed all the time: no answer is wrong, and nothing grows.

Figures are taken each second. After the first fifth of the time, and at its end, the traffic pauses until nothing changes any
more; what is held then must be the same, to the piece.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..harness.report import Report, Table
from .course import Found, Plan, soak
from .flatness import MEBIBYTE, Course, Held, compared, course, grown
from .judge import Event, Judge

SECONDS, QUICK_SECONDS = 60.0, 20.0
SEED = 1
_SHOWN = 5
"""Wrong answers that are printed of each kind."""
_TYPES = 6


@dataclass(frozen=True)
class Verdict:
    """What was found, judged."""

    found: Found
    judge: Judge
    right: Counter[str]
    wrong: list[Event]
    courses: Sequence[Course]
    rest: Sequence[Held]

    @property
    def ok(self) -> bool:
        """Whether no answer was wrong, and nothing grew."""
        flat = all(one.flat or not one.judged for one in self.courses)
        return not self.wrong and flat and all(held.same for held in self.rest)


def report(*, quick: bool, seconds: float | None = None, seed: int | None = None) -> Report:
    """Run the soak; ``data["ok"]`` says whether all is well."""
    plan = Plan(seconds or (QUICK_SECONDS if quick else SECONDS), SEED if seed is None else seed)
    found = asyncio.run(soak(plan))
    judge = Judge(found.windows, found.events)
    courses = [course(measure, process, points, found.seconds) for (measure, process), points in found.points.items()]
    known = sorted((one for one in courses if one is not None), key=lambda one: (one.measure, one.process))
    verdict = Verdict(found, judge, *judge.verdicts(), known, list(compared(found)))
    tables = [_outcomes(verdict), _disturbances(verdict), _under_load(verdict), _at_rest(verdict)]
    return Report(tables, _data(verdict))


# -- tables -------------------------------------------------------------------------------------------------------------


def _outcomes(verdict: Verdict) -> Table:
    found = verdict.found
    wrong = Counter(f"WRONG: {event['error']}" for event in verdict.wrong)
    counts = [pair for counted in (found.outcomes, verdict.right, wrong) for pair in sorted(counted.items())]
    shown = "".join(f"\n  wrong: {_line(event)}" for event in _first_of_each(verdict.wrong))
    return Table(
        f"soak: {found.seconds:.0f} s of traffic by 2 processes, with a pool of 20 accounts and one account beside it;"
        f" wrong answers: {len(verdict.wrong)}{shown}",
        ("outcome", "requests"),
        [[name, str(count)] for name, count in counts],
    )


def _first_of_each(wrong: list[Event]) -> Iterator[Event]:
    """Return a few of each kind of error."""
    shown = Counter[str]()
    for event in wrong:
        shown[event["error"]] += 1
        if shown[event["error"]] <= _SHOWN:
            yield event


def _line(event: Event) -> str:
    taken = event["ended"] - event["began"]
    return f"{event['kind']} of {event['account']} by {event['by']}, {taken:.2f} s: {event['error']}: {event['text']}"


def _disturbances(verdict: Verdict) -> Table:
    found = verdict.found
    acts = {f"(the processes themselves) {act}": count for act, count in verdict.judge.acts.items()}
    served = {f"(the API saw) {name}": count for name, count in sorted(found.served.items())}
    owned = {f"(the main owners counted) {name}": count for name, count in found.owned.items()}
    rows = [[name, str(count)] for name, count in {**found.disturbances, **acts, **served, **owned}.items()]
    return Table("What happened meanwhile:", ("", "times"), rows)


def _under_load(verdict: Verdict) -> Table:
    rows = []
    for one in verdict.courses:
        in_megabytes = one.measure == "memory"
        name, unit, digits = ("memory (MB)", MEBIBYTE, ".2f") if in_megabytes else (one.measure, 1, ".0f")
        figures = (f"{figure / unit:{digits}}" for figure in (one.early, one.late))
        rows.append([f"{name}, {one.process}", *figures, one.verdict])
    return Table(
        "Under load, each second: the median after the warm-up (second fifth), and at the end (last fifth).\n"
        "  Flat: grows by less than 5 % and 3 MB (memory), or 30 or 50 % (the others follow the traffic; they are compared at rest).",
        ("measure, process", "after warm-up", "at the end", "verdict"),
        rows,
    )


def _at_rest(verdict: Verdict) -> Table:
    more = ", ".join(f"{name} {before} + {after}" for name, before, after in grown(verdict.found, _TYPES))
    rows = [
        [f"{held.measure}, {held.process}", str(held.first), str(held.last), "the same" if held.same else "DIFFERS"]
        for held in verdict.rest
    ]
    return Table(
        "At rest, the traffic paused until nothing changes: after the warm-up, and at the end.\n"
        f"  Grew most: {more or 'nothing'}",
        ("measure, process", "after warm-up", "at the end", "verdict"),
        rows,
    )


def _data(verdict: Verdict) -> dict[str, Any]:
    found = verdict.found
    return {
        "ok": verdict.ok,
        "seconds": round(found.seconds, 1),
        "outcomes": found.outcomes,
        "explained": verdict.right,
        "wrong": len(verdict.wrong),
        "first wrong": list(_first_of_each(verdict.wrong)),
        "disturbances": found.disturbances,
        "own acts": verdict.judge.acts,
        "served": found.served,
        "counted": found.owned,
        "under load": {f"{one.measure}, {one.process}": [one.early, one.late, one.verdict] for one in verdict.courses},
        "at rest": {f"{held.measure}, {held.process}": [held.first, held.last, held.same] for held in verdict.rest},
    }
