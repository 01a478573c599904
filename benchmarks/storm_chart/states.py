"""The state of each request in a storm, and how many are in each state at any time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..harness.api import Log

FINEST = 0.01
"""Seconds between two samples, at least."""
MOST = 240
"""Samples of one storm, approximately: the picture stays small."""


class State(Enum):
    """The state of one request."""

    IN_FLIGHT = "in flight"
    """Handed to aiohttp: it queues for a connection, is being sent, or waits for its answer."""
    REFUSED = "refused"
    """It got a 401, and is not sent again yet."""
    HELD = "held"
    """It has begun, and waits for a login before it is handed to aiohttp."""
    ANSWERED = "answered"
    FAILED = "failed"
    """Its caller got the 401."""


OPEN = (State.IN_FLIGHT, State.REFUSED, State.HELD)
"""The states of requests that have begun and not ended."""


@dataclass(frozen=True)
class Sample:
    """How many requests have begun before *time*, and how many are in each open state."""

    time: float
    begun: int
    open: tuple[int, ...]
    """In the order of `OPEN`."""


@dataclass(frozen=True)
class Course:
    """What happened in one storm; all times are seconds since its first request."""

    samples: Sequence[Sample]
    revoked: float
    logins: Sequence[tuple[float, float]]
    """When each login arrived at the server, and when it was answered."""
    failed: Sequence[float]
    """When each failed request failed."""
    answered: int
    refusals: int
    seconds: float
    """Until the last request ended."""


@dataclass(frozen=True)
class Move:
    """A request enters a state."""

    time: float
    number: str
    state: State


class Notes:
    """All moves of a storm's requests."""

    def __init__(self) -> None:
        self._moves: list[Move] = []

    def move(self, number: str, state: State) -> None:
        """Note that request *number* enters *state*."""
        self._moves.append(Move(time.monotonic(), number, state))

    def course(self, log: Log) -> Course:
        """Return the course that these notes and the server's *log* show together."""
        began = self._moves[0].time
        ends = [move for move in self._moves if move.state not in OPEN]
        failed = [move.time - began for move in ends if move.state is State.FAILED]
        return Course(
            samples=samples(self._moves),
            revoked=log.revoked - began,
            logins=[(one.began - began, one.ended - began) for one in log.sessions if one.ended is not None],
            failed=failed,
            answered=len(ends) - len(failed),
            refusals=log.refused,
            seconds=ends[-1].time - began,
        )


def samples(moves: Sequence[Move]) -> list[Sample]:
    """Return the counts at equal distances, from the first of *moves* to the last."""
    began, left = moves[0].time, list(reversed(moves))
    distance = max(FINEST, (moves[-1].time - began) / MOST)
    states: dict[str, State] = {}
    found: list[Sample] = []
    while left:
        now = len(found) * distance
        while left and left[-1].time - began < now:
            move = left.pop()
            states[move.number] = move.state
        counts = Counter(states.values())
        found.append(Sample(now, len(states), tuple(counts[state] for state in OPEN)))
    return found
