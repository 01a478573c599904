"""What happens in one run, drawn from its seed: data that can be printed and shortened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ._schedule import Policy
from .fleet.network import Dice

SUITE_SEEDS = 1000
"""Every test run tries the seeds below this; new ones are for the command."""
STORES = ("none", "memory", "memory", "plain", "plain", "redis", "redis", "redis", "redis", "file", "file")
"""``plain`` is a store with only the protocol's four methods."""
LIFETIMES = (None, 1.0, 5.0, 20.0, 59.0, 600.0, 3600.0, 3600.0)

FEATURES = (
    "revoke", "storm", "cancel", "timeout", "logout", "close", "invalidate", "rotate", "ask",
    "api trouble", "login trouble", "store trouble", "pause", "kill", "suspend", "hook", "door",
    "restart", "stale", "forgotten", "lives",
)  # fmt: skip
"""Each run has some of them: a feature of all runs hides errors that need its absence (Groce et al., "Swarm testing", 2012)."""

API_TROUBLES = (
    "refused", "refused for ever", "refused early", "refused and closed", "refused without end", "garbage", "reset",
    "broken off", "silence", "status 400", "status 403", "status 404", "status 500", "unauthenticated", "redirected",
    "refused, then status 500", "refused, then status 404",
)  # fmt: skip
"""What goes wrong with a request, or (after ``, then``) with its next attempt."""
LOGIN_TROUBLES = (
    "refuses connections", "reset", "broken off", "silence", "drips", "status 429", "status 500", "status 503", "status 400",
    "status 401", "status 403", "status 404", "graphql error", "no token", "html", "endless", "control characters",
    "redirected", "useless",
)  # fmt: skip
STORE_TROUBLES = ("down", "silent", "slow", "full", "flushed", "damaged", "deaf")
HOOK_TROUBLES = ("raises", "hangs", "slow", "calls back", "sends", "cancels itself")
BODIES = ("json", "json", "json", "bytes", "factory", "slow factory", "slow chunk", "graphql", "once", "slow once")

_AROUND = ("request", "request", "request", "revoke", "revoke", "close", "invalidate", "log out")
LONGEST_SCENE = 20.0
"""Seconds of a life of which a scene has several."""
SLOW_LOGINS = (7.0, 17.0)
"""Seconds; longer than the lease of a lock, and longer than half of the longest login timeout."""


class Setting(NamedTuple):
    """
    The world that the actions happen in; times in seconds.

    *turn*: how long a callback may take. *distance*: how long a byte may be on its way. *subclassed*: the store is a subclass that overrides what it may. *lazy*: the
    application's own login returns the old token while that has much of its life left. *factory*: how long a body is made, or its first bytes.
    """

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
    distance: float
    store_latency: float
    turn: float
    subclassed: bool
    lazy: bool
    factory: float


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
    slowest = quickest + dice.of((0.0, 0.1, 0.5, 0.5, 0.5, *SLOW_LOGINS))
    login = dice.of(("password", "password", "oauth", "callable"))
    return Setting(
        policy=dice.of(("any", "any", "priorities", "priorities", "arrival")),
        store=store,
        processes=dice.of((1, 2, 3, 4)) if shared else 1,
        owners=dice.of((1, 1, 2)) if store != "none" else 1,
        accounts=dice.of((1, 1, 1, 2)),
        login=login,
        lifetime=dice.of(LIFETIMES),
        quickest_login=quickest,
        slowest_login=slowest,
        slowest_answer=dice.of((0.0, 0.02, 0.3)),
        limit=dice.of((1, 2, 5, 100, 100)),
        refresh_ahead=dice.of((300.0, 300.0, 5.0, 0.0)),
        login_timeout=dice.of((5.0, 10.0, 30.0)) if slowest < SLOW_LOGINS[0] else 30.0,
        max_logins=dice.of((5, 2, 1, 1)),
        hook=dice.of(HOOK_TROUBLES) if "hook" in features else "",
        rotates="rotate" in features,
        one_session=dice.random() < 0.3,
        distance=dice.of((0.03, 0.002)),
        store_latency=dice.of((0.005, 0.3)),
        turn=dice.of((0.0, 0.0, 0.0002, 0.0005)),
        subclassed=dice.random() < 0.3 and store in ("memory", "redis", "file"),
        lazy=login == "callable" and dice.random() < 0.5,
        factory=dice.of((0.0, 0.02, 0.5, 2.0)),
    )


def _actions(dice: Dice, setting: Setting, features: set[str]) -> Iterator[Action]:
    owners = setting.processes * setting.owners
    seconds = dice.of((0.5, 2.0, 2.0, 10.0, 60.0))
    for _ in range(dice.of((2, 5, 10, 20))):
        yield _request(dice, seconds, owners, features)
    makers = [make for feature, make in _MAKERS.items() if feature in features]
    for _ in range(dice.of((1, 3, 6, 10)) if makers else 0):
        action = dice.of(makers)(dice, seconds * dice.random(), dice.number() % owners)
        yield action
        if action.what == "store trouble":
            yield from _around(dice, action, owners)
    scenes = [scene for feature, scene in _SCENES.items() if feature in features]
    for _ in range(dice.of((1, 2)) if scenes else 0):
        one = dice.number() % owners
        other = (one + setting.accounts) % owners  # of the same account, if there is another
        yield from dice.of(scenes)(dice, setting, seconds * dice.random(), one, other)


def _around(dice: Dice, trouble: Action, owners: int) -> Iterator[Action]:
    """Draw what happens while a store has its trouble and just after it: there most of what can go wrong with stores is."""
    for _ in range(dice.of((0, 2, 4, 8))):
        at = trouble.at + (
            trouble.seconds * dice.random() if dice.random() < 0.4 else trouble.seconds + 3.0 * dice.random() ** 2
        )
        what, owner = dice.of(_AROUND), dice.number() % owners
        how, seconds = ("json:", 60.0) if what == "request" else ("", 0.0)
        yield Action(0, at, what, owner, how, seconds)


def _restarted_after_an_outage(dice: Dice, setting: Setting, at: float, one: int, other: int) -> Iterator[Action]:
    """Draw a login whose save fails, a login of another owner after the outage, and the close of the first one."""
    how, lasts = dice.of(("down", "full", "silent", "slow")), dice.of((0.5, 2.0, 5.0))
    yield Action(0, at, "store trouble", one, how, lasts)
    yield Action(0, at + 0.1, "revoke", one)
    yield Action(0, at + 0.1 + lasts * 0.5 * dice.random(), "request", one, "json:", 60.0)
    after = at + lasts + 3.5 * dice.random()  # within the pauses between two attempts to save
    yield Action(0, after, "revoke", one)
    yield Action(0, after + 0.2 * dice.random(), "request", other, "json:", 60.0)
    yield Action(0, after + setting.slowest_login + 1.5 * dice.random(), "close", one)


def _logged_out_in_an_outage(dice: Dice, setting: Setting, at: float, one: int, _: int) -> Iterator[Action]:
    """Draw a token that is saved, and its logout while the store does not hear it."""
    how, lasts = dice.of(("down", "full", "silent", "slow")), dice.of((0.5, 2.0, 5.0))
    yield Action(0, at, "request", one, "json:", 60.0)
    outage = at + setting.slowest_login + 1.0
    yield Action(0, outage, "store trouble", one, how, lasts)
    yield Action(0, outage + lasts * dice.random(), "log out", one)


def _through_several_lives(dice: Dice, setting: Setting, at: float, one: int, _: int) -> Iterator[Action]:
    """Draw requests through a few lives of a token, some of them just after its end."""
    life = min(setting.lifetime or LONGEST_SCENE, LONGEST_SCENE)
    for _step in range(12):
        yield Action(0, at, "request", one, "json:", 60.0)
        at += life * dice.of((0.1, 0.3, 0.5))


def _storm_at_a_stale_token(dice: Dice, setting: Setting, at: float, one: int, other: int) -> Iterator[Action]:
    """Draw a token that one owner saved, its end, and many requests of an owner that is new."""
    yield Action(0, at, "request", one, "json:", 60.0)
    after = at + setting.slowest_login + 1.0
    yield Action(0, after, "revoke", one)
    yield Action(0, after, "close", other)
    yield Action(0, after + 0.1 + 0.4 * dice.random(), "request", other, "json:", 60.0, 40)


def _request(dice: Dice, seconds: float, owners: int, features: set[str]) -> Action:
    trouble = dice.of(API_TROUBLES) if "api trouble" in features and dice.random() < 0.3 else ""
    return Action(
        0,
        seconds * dice.random() * dice.of((0.1, 1.0)),
        "request",
        dice.number() % owners,
        f"{dice.of(BODIES)}:{trouble}",
        dice.of((0.05, 0.3, 1.0, 4.0)) if "timeout" in features and dice.random() < 0.3 else 60.0,
        dice.of((1, 3, 10, 20)) if "storm" in features else 1,
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


def _refuse_at_a_door(dice: Dice, at: float, owner: int) -> Action:
    return Action(0, at, "refuse at a door", owner, times=dice.of((1, 3, 10)))


def _ask(dice: Dice, at: float, owner: int) -> Action:
    cancel = dice.between(0.0, 0.2) if dice.random() < 0.3 else None
    return Action(0, at, "ask", owner, dice.of(("token", "headers")), cancel=cancel)


_SCENES = {
    "restart": _restarted_after_an_outage,
    "stale": _storm_at_a_stale_token,
    "forgotten": _logged_out_in_an_outage,
    "lives": _through_several_lives,
}
"""What needs several things in a row, which would seldom be drawn one by one."""
_MAKERS: dict[str, Callable[[Dice, float, int], Action]] = {
    "revoke": _event("revoke"),
    "logout": _event("log out"),
    "close": _event("close"),
    "invalidate": _event("invalidate"),
    "rotate": _event("rotate"),
    "door": _refuse_at_a_door,
    "ask": _ask,
    "login trouble": _trouble("login trouble", LOGIN_TROUBLES, (1, 1, 2, 3, 1000)),
    "store trouble": _trouble("store trouble", STORE_TROUBLES, (1,)),
    "pause": _event("pause", 0.3, 3.0, 12.0, 40.0),
    "kill": _event("kill"),
    "suspend": _event("suspend", 30.0, 3600.0),
}
