"""What happens in one run, drawn from its seed: data that can be printed and shortened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ._schedule import Policy
from .fleet.network import Dice

SUITE_SEEDS = 2000
"""Every test run tries the seeds below this; new ones are for the command."""
STORES = ("none", "memory", "memory", "plain", "plain", "redis", "redis", "redis", "redis", "file")
"""``plain`` is a store with only the protocol's four methods."""
LIFETIMES = (None, 1.0, 5.0, 20.0, 59.0, 600.0, 3600.0, 3600.0)

FEATURES = (
    "revoke", "storm", "cancel", "timeout", "logout", "close", "invalidate", "rotate", "ask",
    "api trouble", "login trouble", "store trouble", "pause", "kill", "suspend", "hook",
)  # fmt: skip
"""Each run has some of them: a feature of all runs hides errors that need its absence (Groce et al., "Swarm testing", 2012)."""

API_TROUBLES = (
    "refused", "refused for ever", "refused early", "refused and closed", "refused without end", "garbage", "reset",
    "broken off", "silence", "status 400", "status 403", "status 500", "unauthenticated", "redirected",
)  # fmt: skip
LOGIN_TROUBLES = (
    "refuses connections", "reset", "broken off", "silence", "drips", "status 429", "status 500", "status 503", "status 400",
    "status 401", "status 403", "graphql error", "no token", "html", "endless", "control characters", "redirected", "useless",
)  # fmt: skip
STORE_TROUBLES = ("down", "silent", "slow", "full", "flushed", "damaged", "deaf")
HOOK_TROUBLES = ("raises", "hangs", "calls back", "sends", "cancels itself")
BODIES = ("json", "json", "json", "bytes", "factory", "graphql", "once")


SLOW_LOGIN = 7.0
"""Seconds; longer than the lease of a lock."""


class Setting(NamedTuple):
    """The world that the actions happen in; times in seconds."""

    policy: Policy
    store: str
    processes: int
    owners: int
    accounts: int
    login: str
    lifetime: float | None
    quickest_login: float
    slowest_login: float
    slowest_answer: float
    limit: int
    refresh_ahead: float
    login_timeout: float
    max_logins: int
    hook: str
    rotates: bool
    one_session: bool


class Action(NamedTuple):
    """
    One thing that happens. *number* is its place in the plan of its seed, also in a shortened plan.

    *owner* counts through all processes; *what* and *how* are explained at the methods of `World`; *seconds* is a duration
    or a timeout, *times* how many at once or how often.
    """

    number: int
    at: float
    what: str
    owner: int
    how: str = ""
    seconds: float = 0.0
    times: int = 1
    cancel: float | None = None


class Plan(NamedTuple):
    """A run before it begins."""

    seed: int
    setting: Setting
    actions: tuple[Action, ...]

    def has(self, *kinds: str) -> bool:
        """Return whether one of these actions happens."""
        return any(action.what in kinds for action in self.actions)


def plan_of(seed: int) -> Plan:
    """Draw the plan of *seed*."""
    dice = Dice(seed)
    features = {feature for feature in FEATURES if dice.random() < dice.of((0.15, 0.4))}
    setting = _setting(dice, features)
    # Two actions at the same moment happen in the order of their numbers.
    drawn = sorted(_actions(dice, setting, features), key=lambda action: action.at)
    return Plan(seed, setting, tuple(action._replace(number=number) for number, action in enumerate(drawn)))


def _setting(dice: Dice, features: set[str]) -> Setting:
    store = dice.of(STORES)
    shared = store in ("redis", "file")
    quickest = dice.of((0.0, 0.05, 0.3))
    slowest = quickest + dice.of((0.0, 0.1, 0.5, 0.5, SLOW_LOGIN))
    return Setting(
        policy=dice.of(("any", "any", "priorities", "priorities", "arrival")),
        store=store,
        processes=dice.of((1, 2, 3, 4)) if shared else 1,
        owners=dice.of((1, 1, 2)) if store != "none" else 1,
        accounts=dice.of((1, 1, 1, 2)),
        login=dice.of(("password", "password", "oauth", "callable")),
        lifetime=dice.of(LIFETIMES),
        quickest_login=quickest,
        slowest_login=slowest,
        slowest_answer=dice.of((0.0, 0.02, 0.3)),
        limit=dice.of((1, 2, 5, 100, 100)),
        refresh_ahead=dice.of((300.0, 300.0, 5.0, 0.0)),
        login_timeout=dice.of((5.0, 10.0, 30.0)) if slowest < SLOW_LOGIN else 30.0,
        max_logins=dice.of((5, 5, 2, 1)),
        hook=dice.of(HOOK_TROUBLES) if "hook" in features else "",
        rotates="rotate" in features,
        one_session=dice.random() < 0.3,
    )


def _actions(dice: Dice, setting: Setting, features: set[str]) -> Iterator[Action]:
    owners = setting.processes * setting.owners
    seconds = dice.of((0.5, 2.0, 2.0, 10.0, 60.0))
    for _ in range(dice.of((2, 5, 10, 20))):
        yield _request(dice, seconds, owners, features)
    makers = [make for feature, make in _MAKERS.items() if feature in features]
    for _ in range(dice.of((1, 3, 6, 10)) if makers else 0):
        yield dice.of(makers)(dice, seconds * dice.random(), dice.number() % owners)


def _request(dice: Dice, seconds: float, owners: int, features: set[str]) -> Action:
    trouble = dice.of(API_TROUBLES) if "api trouble" in features and dice.random() < 0.3 else ""
    return Action(
        0,
        seconds * dice.random() * dice.of((0.1, 1.0)),
        "request",
        dice.number() % owners,
        f"{dice.of(BODIES)}:{trouble}",
        dice.of((0.05, 0.3, 1.0, 4.0)) if "timeout" in features and dice.random() < 0.3 else 60.0,
        dice.of((1, 1, 3, 10)) if "storm" in features else 1,
        dice.between(0.0, dice.of((0.01, 0.1, 1.0))) if "cancel" in features and dice.random() < 0.4 else None,
    )


def _trouble(what: str, kinds: tuple[str, ...], counts: tuple[int, ...]) -> Callable[[Dice, float, int], Action]:
    def make(dice: Dice, at: float, owner: int) -> Action:
        return Action(0, at, what, owner, dice.of(kinds), dice.of((0.2, 1.0, 3.0, 8.0)), dice.of(counts))

    return make


def _event(what: str, *seconds: float) -> Callable[[Dice, float, int], Action]:
    def make(dice: Dice, at: float, owner: int) -> Action:
        return Action(0, at, what, owner, seconds=dice.of(seconds or (0.0,)))

    return make


def _ask(dice: Dice, at: float, owner: int) -> Action:
    cancel = dice.between(0.0, 0.2) if dice.random() < 0.3 else None
    return Action(0, at, "ask", owner, dice.of(("token", "headers")), cancel=cancel)


_MAKERS: dict[str, Callable[[Dice, float, int], Action]] = {
    "revoke": _event("revoke"),
    "logout": _event("log out"),
    "close": _event("close"),
    "invalidate": _event("invalidate"),
    "rotate": _event("rotate"),
    "ask": _ask,
    "login trouble": _trouble("login trouble", LOGIN_TROUBLES, (1, 1, 2, 3, 1000)),
    "store trouble": _trouble("store trouble", STORE_TROUBLES, (1,)),
    "pause": _event("pause", 0.3, 3.0, 12.0, 40.0),
    "kill": _event("kill"),
    "suspend": _event("suspend", 30.0, 3600.0),
}
