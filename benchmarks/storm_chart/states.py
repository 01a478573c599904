"""Which state each request of a storm is in, and how many are in each at any time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..harness.api import ServerLog

FINEST = 0.01
"""Seconds between two samples, at least."""
MOST = 240
"""Samples of one storm, about at most: the picture stays small."""


class State(Enum):
    """What happens to a request at the moment."""

    UNDER_WAY = "under way"
    """Handed to aiohttp: it queues for a connection, or is sent, or its answer comes."""
    REFUSED = "refused"
    """Its 401 has come; it is not yet sent again."""
    HELD = "held"
    """Begun and not yet handed to aiohttp: it waits for a login that goes on."""
    ANSWERED = "answered"
    FAILED = "failed"
    """Its caller got the 401."""


OPEN = (State.UNDER_WAY, State.REFUSED, State.HELD)
"""The states of requests that have begun and not ended."""


@dataclass(frozen=True)
class Sample:
    """How many requests have begun before *time*, and are in each open state then."""

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
    """When each login came to the server, and when it was answered."""
    failed: Sequence[float]
    """When each request failed that did."""
    answered: int
    refusals: int
    seconds: float
    """Until the last request had ended."""


@dataclass(frozen=True)
class Move:
    """One request's step from one state to the next."""

    time: float
    number: str
    state: State


class Notes:
    """All moves of a storm's requests."""

    def __init__(self) -> None:
        self._moves: list[Move] = []

    def move(self, number: str, state: State) -> None:
        """Request *number* is in *state* from now on."""
        self._moves.append(Move(time.monotonic(), number, state))

    def course(self, log: ServerLog) -> Course:
        """What these notes and the server's *log* say together."""
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
    """The counts at equal distances, from the first of *moves* until none is left."""
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
