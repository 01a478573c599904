"""
Two processes with one Redis and one API, disturbed all the time: no answer is wrong, and nothing grows.

Figures are taken each second. After the first fifth of the time, and at its end, the traffic pauses until nothing changes any
more; what is held then must be the same, to the piece.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from ..harness.report import Report, Table
from .course import Found, Plan, soak
from .flatness import MEBIBYTE, Figure, at_rest, grown, under_load
from .judge import Event, Judge
from .owners import login_timeout

SECONDS, QUICK_SECONDS = 60.0, 20.0
SEED = 1
_SHOWN = 5
"""Wrong answers that are printed of each kind."""
_TYPES = 6


def report(*, quick: bool, seconds: float | None = None, seed: int | None = None) -> Report:
    """Run the soak; ``data["ok"]`` says whether no answer was wrong, and nothing grew."""
    plan = Plan(seconds or (QUICK_SECONDS if quick else SECONDS), SEED if seed is None else seed)
    found = asyncio.run(soak(plan))
    judge = Judge(found.windows, found.events, login_timeout=login_timeout(plan.pace))
    right, wrong = judge.verdicts()
    load, rest = under_load(found), list(at_rest(found))
    meanwhile = {**found.disturbances, **judge.acts, **found.counted}
    tables = [
        _outcomes(found, right, wrong),
        Table("What happened meanwhile:", ("", "times"), [[name, str(count)] for name, count in meanwhile.items()]),
        _figures(
            "Under load, each second: the median after the warm-up (second fifth), and at the end (last fifth).\n"
            "  Flat: grows by less than 5 % and 3 MB (memory), or 30 or 50 % (the others follow the traffic; they are compared at rest).",
            load,
        ),
        _figures(
            "At rest, the traffic paused until nothing changes: after the warm-up, and at the end.\n"
            f"  Grew most: {', '.join(grown(found, _TYPES)) or 'nothing'}",
            rest,
        ),
    ]
    data = {
        "ok": not wrong and all(one.flat or not one.judged for one in [*load, *rest]),
        "seconds": round(found.seconds, 1),
        "outcomes": found.outcomes,
        "explained": right,
        "wrong": len(wrong),
        "first wrong": list(_first_of_each(wrong)),
        "disturbances": found.disturbances,
        "meanwhile": meanwhile,
        "under load": {f"{one.measure}, {one.process}": [one.early, one.late, one.verdict] for one in load},
        "at rest": {f"{one.measure}, {one.process}": [one.early, one.late, one.flat] for one in rest},
    }
    return Report(tables, data)


def _outcomes(found: Found, right: Counter[str], wrong: list[Event]) -> Table:
    errors = Counter(f"WRONG: {event['error']}" for event in wrong)
    counts = [pair for counted in (found.outcomes, right, errors) for pair in sorted(counted.items())]
    shown = "".join(
        f"\n  wrong: {event['kind']} of {event['account']} by {event['by']}, {event['ended'] - event['began']:.2f} s:"
        f" {event['error']}: {event['text']}"
        for event in _first_of_each(wrong)
    )
    return Table(
        f"soak: {found.seconds:.0f} s of traffic by 2 processes, with a pool of 20 accounts and one account beside it;"
        f" wrong answers: {len(wrong)}{shown}",
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


def _figures(sentence: str, figures: Sequence[Figure]) -> Table:
    rows = []
    for one in figures:
        in_megabytes = one.measure == "memory"
        name, unit, spec = ("memory (MB)", MEBIBYTE, ".2f") if in_megabytes else (one.measure, 1, ".0f")
        values = ("-" if value is None else f"{value / unit:{spec}}" for value in (one.early, one.late))
        rows.append([f"{name}, {one.process}", *values, one.verdict])
    return Table(sentence, ("measure, process", "after warm-up", "at the end", "verdict"), rows)
