"""
Two processes with one Redis and one API, which are disturbed all the time: no answer is wrong, and nothing grows.

Figures are taken each second. After the first fifth of the time, and at its end, the traffic is paused until nothing moves
any more; what is held then must be the same, to the piece.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..harness.report import Report, Table
from .course import Found, Plan, soak
from .flatness import MEBIBYTE, Course, course
from .judge import Event, Judge
from .rest import Held, compared, grown

SECONDS, QUICK_SECONDS = 60.0, 20.0
SEED = 1
_SHOWN = 5
_TYPES = 6


@dataclass(frozen=True)
class Verdict:
    """What is made of that which was found."""

    found: Found
    judge: Judge
    right: Counter[str]
    wrong: list[Event]
    courses: Sequence[Course]
    rest: Sequence[Held]

    @property
    def ok(self) -> bool:
        """No wrong answer, and nothing that grows."""
        flat = all(one.flat or not one.judged for one in self.courses)
        return not self.wrong and flat and all(held.same for held in self.rest)


def report(*, quick: bool, seconds: float | None = None, seed: int | None = None) -> Report:
    """What came of it; ``data["ok"]`` says whether all is well."""
    plan = Plan(seconds or (QUICK_SECONDS if quick else SECONDS), SEED if seed is None else seed)
    found = asyncio.run(soak(plan))
    judge = Judge(found.windows, found.told)
    verdict = Verdict(found, judge, *judge.verdicts(), list(_courses(found)), list(compared(found)))
    tables = [_outcomes(verdict), _disturbances(verdict), _flatness(verdict), _at_rest(verdict)]
    return Report(tables, _data(verdict))


def _courses(found: Found) -> Iterator[Course]:
    for (measure, process), points in found.points.items():
        one = course(measure, process, points, 0.0, found.seconds)
        if one is not None:
            yield one


# -- tables -------------------------------------------------------------------------------------------------------------


def _outcomes(verdict: Verdict) -> Table:
    found = verdict.found
    plain = sorted(found.outcomes.items())
    right = sorted(verdict.right.items())
    wrong = sorted(Counter(f"WRONG: {event['error']}" for event in verdict.wrong).items())
    rows = [[name, str(count)] for name, count in [*plain, *right, *wrong]]
    shown = "".join(f"\n  wrong: {_shown(event)}" for event in _first_of_each(verdict.wrong))
    return Table(
        f"soak: {found.seconds:.0f} s of traffic by 2 processes, with a pool of 20 accounts and one account beside it;"
        f" wrong answers: {len(verdict.wrong)}{shown}",
        ("outcome", "requests"),
        rows,
    )


def _first_of_each(wrong: list[Event]) -> Iterator[Event]:
    """A few of each kind of error."""
    shown = Counter[str]()
    for event in wrong:
        shown[event["error"]] += 1
        if shown[event["error"]] <= _SHOWN:
            yield event


def _shown(event: Event) -> str:
    taken = event["ended"] - event["began"]
    return f"{event['kind']} of {event['account']} by {event['by']}, {taken:.2f} s: {event['error']}: {event['text']}"


def _disturbances(verdict: Verdict) -> Table:
    found = verdict.found
    counts = {**found.disturbances, **{f"(the processes themselves) {act}": n for act, n in verdict.judge.acts.items()}}
    served = {f"(the API saw) {name}": count for name, count in sorted(found.served.items())}
    owned = {f"(the main owners counted) {name}": count for name, count in found.owned.items()}
    rows = [[name, str(count)] for name, count in {**counts, **served, **owned}.items()]
    return Table("What happened meanwhile:", ("", "times"), rows)


def _flatness(verdict: Verdict) -> Table:
    rows = [_course_row(one) for one in sorted(verdict.courses, key=lambda one: (one.measure, one.process))]
    return Table(
        "Under load, each second: the median after the warm-up (second fifth), at the end (last fifth), and the slope.\n"
        "  Flat: grows by less than 5 % and 3 MB (memory; blocks at rest 2 %), 30 or 50 % (the rest, which follow the traffic; see below).",
        ("measure, process", "after warm-up", "at the end", "per hour", "verdict"),
        rows,
    )


def _course_row(one: Course) -> list[str]:
    unit = MEBIBYTE if one.measure == "memory" else 1
    name = "memory (MB)" if one.measure == "memory" else one.measure
    digits = ".2f" if one.measure == "memory" else ".0f"
    figures = (one.early, one.late, one.per_hour)
    return [f"{name}, {one.process}", *(f"{figure / unit:{digits}}" for figure in figures), one.verdict]


def _at_rest(verdict: Verdict) -> Table:
    more = ", ".join(f"{name} {before} + {after}" for name, before, after in grown(verdict.found, _TYPES))
    rows = [
        [f"{held.measure}, {held.process}", str(held.first), str(held.last), "the same" if held.same else "DIFFERS"]
        for held in verdict.rest
    ]
    return Table(
        "At rest, the traffic paused until nothing moves: after the warm-up, and at the end.\n"
        f"  Most grown: {more or 'nothing'}",
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
        "under load": {
            f"{one.measure}, {one.process}": [one.early, one.late, one.per_hour, one.verdict] for one in verdict.courses
        },
        "at rest": {f"{held.measure}, {held.process}": [held.first, held.last, held.same] for held in verdict.rest},
    }
