"""
Schedules that once broke a rule: every test run repeats them, and puts each fault back to see that they still show it.

They are kept whole. A seed would draw another schedule after the next change of the plans, and would show nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from ._plan import Action, Plan, Setting
from ._rules import FAILURE_REMEMBERED, IN_TIME, NOT_CANCELLED, RENEWED_AHEAD
from ._run import run
from ._verdict import NOTHING_LEFT

ORDERS = 20
"""In so many orders each schedule is run: after a change of the package another one of them may show the fault."""
CALM = Setting(
    policy="any",
    store="none",
    processes=1,
    owners=1,
    accounts=1,
    login="password",
    lifetime=3600.0,
    quickest_login=0.1,
    slowest_login=0.1,
    slowest_answer=0.02,
    limit=100,
    refresh_ahead=300.0,
    login_timeout=30.0,
    max_logins=5,
    hook="",
    rotates=False,
    one_session=False,
    distance=0.002,
    store_latency=0.3,
    turn=0.0,
    subclassed=False,
    lazy=False,
    factory=0.0,
)
"""A world in which nothing goes wrong by itself."""


class Regression(NamedTuple):
    """A schedule, the *rule* that it broke, and the name of the *defect* that is the fault."""

    defect: str
    rule: str
    setting: Setting
    actions: tuple[Action, ...]

    def broken(self) -> list[str]:
        """Return the rules that are broken in any of the orders."""
        numbered = tuple(action._replace(number=number) for number, action in enumerate(self.actions))
        plans = (Plan(seed, self.setting, numbered) for seed in range(ORDERS))
        return sorted({broken.rule for plan in plans for broken in run(plan).found})


def _request(at: float) -> Action:
    return Action(0, at, "request", 0, "json:", 60.0)


REGRESSIONS = (
    Regression(
        "a token is used that expired while its waiters waited",
        IN_TIME,
        CALM._replace(lifetime=5.0, quickest_login=3.0, slowest_login=3.0, hook="hangs"),
        (_request(0.0),),
    ),
    Regression(
        "a call that never began leaves a warning",
        NOTHING_LEFT,
        CALM._replace(policy="priorities", store="memory", rotates=True),
        (Action(0, 0.0, "ask", 0, "token"), Action(0, 0.0, "close", 0)) * 10,
    ),
    Regression(
        "a flight is dropped only after the logout that it waits for",
        NOT_CANCELLED,
        CALM._replace(store="plain"),
        (
            Action(0, 0.0, "store trouble", 0, "slow", 5.0),
            Action(0, 0.1, "log out", 0),
            _request(0.2),
            Action(0, 0.3, "log out", 0),
            _request(0.4),
        ),
    ),
    Regression(
        "the timer of a renewal is not armed when a flight ends",
        RENEWED_AHEAD,
        CALM._replace(lifetime=5.0, hook="slow"),
        tuple(_request(0.5 * number) for number in range(30)),
    ),
    Regression(
        "the timer of a renewal is not armed when a flight ends",
        RENEWED_AHEAD,
        CALM._replace(login="callable", lifetime=20.0, lazy=True),
        tuple(_request(2.0 * number) for number in range(30)),
    ),
    Regression(
        "a wrong login URL is asked at once again",
        FAILURE_REMEMBERED,
        CALM,
        (Action(0, 0.0, "login trouble", 0, "status 404", times=2), _request(0.1), _request(0.8)),
    ),
)
