"""The shortest schedule that still breaks the same rule."""

from __future__ import annotations

from collections.abc import Callable

from ._plan import Action, Plan
from ._run import run

Actions = tuple[Action, ...]
MOST_RUNS = 400
"""Runs that shortening a plan may take."""


def breaks(plan: Plan, rule: str) -> bool:
    """Return whether *plan* breaks *rule*."""
    return any(broken.rule == rule for broken in run(plan).found)


def shortest(plan: Plan, rule: str) -> Plan:
    """Return *plan* with as few actions as still break *rule*, in asyncio's own order if that is enough."""
    attempts = iter(range(MOST_RUNS))

    def fails(shorter: Plan) -> bool:
        return next(attempts, None) is not None and breaks(shorter, rule)

    plan = plan._replace(actions=_fewest(plan.actions, lambda some: fails(plan._replace(actions=some))))
    orderly = plan._replace(setting=plan.setting._replace(policy="arrival"))
    return orderly if fails(orderly) else plan


def _fewest(actions: Actions, fails: Callable[[Actions], bool]) -> Actions:
    """Leave out smaller and smaller parts: delta debugging (Zeller and Hildebrandt, 2002)."""
    size = len(actions) // 2
    while size:
        start = 0
        while start < len(actions):
            fewer = actions[:start] + actions[start + size :]
            if fails(fewer):
                actions = fewer
            else:
                start += size
        size //= 2
    return actions
