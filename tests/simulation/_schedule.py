"""Which ready callback runs next: an order that asyncio could have taken, drawn from a seed."""

from __future__ import annotations

from bisect import insort
from collections import deque
from operator import itemgetter
from typing import Generic, Literal, TypeVar

from .fleet.network import Dice

H = TypeVar("H")

Policy = Literal["arrival", "any", "priorities"]
"""
``arrival`` is asyncio's own order, but of tasks that became ready in one step the oldest is first. ``any`` draws from the
ready tasks with equal chances. ``priorities`` runs the task with the highest priority and sometimes lowers it: an error that
needs few changes of order is found with a known chance (Burckhardt et al., "A randomized scheduler with probabilistic
guarantees of finding bugs", 2010).
"""
LOWERED = 0.05
"""The chance that a task loses its priority when it runs."""


class Party:
    """A simulated process, or the world around the processes. A *frozen* one does not run."""

    __slots__ = ("frozen", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False

    def __repr__(self) -> str:
        return self.name


class Ready(Generic[H]):
    """
    The callbacks that are ready to run.

    Any task may be next; of a party's other callbacks the oldest, since asyncio promises their order. Tasks are sorted by
    their numbers: if a set of futures wakes them, they arrive in an order that depends on no seed.
    """

    def __init__(self, policy: Policy, dice: Dice) -> None:
        self.policy = policy
        self._dice = dice
        self._steps = 0
        self._tasks: list[tuple[int, int, H]] = []
        self._calls: dict[Party, deque[tuple[int, H]]] = {}
        self._priorities: dict[object, float] = {}

    def __bool__(self) -> bool:
        return bool(self._tasks or self._calls)

    def add(self, party: Party, number: int | None, handle: H) -> None:
        """Add a step of the task with this *number*, or another callback of *party*."""
        if number is None:
            self._calls.setdefault(party, deque()).append((self._steps, handle))
        else:
            insort(self._tasks, (number, self._steps, handle), key=itemgetter(0, 1))

    def take(self) -> H:
        """Remove and return the next callback."""
        self._steps += 1
        count = len(self._tasks) + len(self._calls)
        chosen = 0 if count == 1 else self._choose(count)
        if chosen < len(self._tasks):
            return self._tasks.pop(chosen)[2]
        party = list(self._calls)[chosen - len(self._tasks)]
        queue = self._calls[party]
        handle = queue.popleft()[1]
        if not queue:
            del self._calls[party]
        return handle

    def _choose(self, count: int) -> int:
        if self.policy == "any":
            return self._dice.number() % count
        if self.policy == "priorities":
            return self._by_priority(count)
        arrived = [entry[1] for entry in self._tasks] + [queue[0][0] for queue in self._calls.values()]
        return min(range(count), key=arrived.__getitem__)

    def _by_priority(self, count: int) -> int:
        known: list[object] = [entry[0] for entry in self._tasks]
        known += self._calls
        for one in known:
            if one not in self._priorities:
                self._priorities[one] = self._dice.random()
        chosen = max(range(count), key=lambda position: self._priorities[known[position]])
        if self._dice.random() < LOWERED:
            self._priorities[known[chosen]] = -self._dice.random()
        return chosen
