"""The token in use: what requests are signed with, and until when without asking anybody."""

from __future__ import annotations

import math
from typing import Protocol

from .._clock import Clock
from .grant import Grant


class Watcher(Protocol):
    """Who has to know that requests are not to be sent any more as they are signed."""

    def changes(self, held: Held, grant: Grant) -> None:
        """*grant* is about to be replaced, dead or forgotten."""


class Held:
    """One account's current grant. Every change is one synchronous step."""

    __slots__ = ("_clock", "current", "express", "express_until", "fresh_until", "issued", "watcher")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Invariant: requests are signed with `current` alone, and without asking anybody only before `fresh_until`,
        # which lies in the past whenever `current` is missing or dead.
        self.current: Grant | None = None
        self.fresh_until = -math.inf
        self.issued = 0
        self.watcher: Watcher | None = None
        # Invariant: `express` is missing, or `current` and `ready` until `express_until`; who opens it answers for all else.
        self.express: Grant | None = None
        self.express_until: float | None = None

    @property
    def living(self) -> Grant | None:
        """The grant unless it is dead; whether it is too old, only the API can tell."""
        return None if self.current is None or self.current.dead else self.current

    @property
    def ready(self) -> Grant | None:
        """The grant, where a request may be signed with it without asking anybody."""
        return self.current if self._clock() < self.fresh_until else None

    def open_express(self) -> None:
        """Let requests be signed with the current grant and ask nothing but the time, until there is a change."""
        self.express = grant = self.ready
        self.express_until = None if grant is None or grant.expires == math.inf else grant.expires

    def close_express(self) -> None:
        """Let the next request look at everything."""
        self.express = None

    @property
    def fresh(self) -> Grant | None:
        """The grant if it is neither dead nor at its end."""
        grant = self.living
        return grant if grant is not None and self._clock() < grant.expires else None

    def install(self, grant: Grant) -> None:
        """Make *grant* the current one."""
        self._leave()
        self.issued += 1
        grant.number = self.issued
        grant.lasting = self._clock() < grant.expires
        self.current = grant
        self.fresh_until = grant.expires

    def watch(self, grant: Grant) -> None:
        """Have the next request ask for *grant*, although it is fresh: nobody did when its renewal was due."""
        grant.overdue = True
        self.fresh_until = -math.inf
        self.close_express()

    def unwatch(self, grant: Grant) -> None:
        """Somebody has asked."""
        grant.overdue = False
        self.fresh_until = grant.expires

    def kill(self) -> None:
        """The current grant was refused."""
        self._leave()
        if self.current is not None:
            self.current.dead = True
        self.fresh_until = -math.inf

    def revive(self) -> None:
        """There is nothing newer than the current grant: it is sent again, and only the API can tell whether it serves."""
        grant = self.current
        if grant is not None:
            if self.fresh is None:
                grant.goes_on()
            self.fresh_until = grant.expires

    def forget(self) -> None:
        """There is no token any more."""
        self._leave()
        self.current, self.fresh_until = None, -math.inf

    def _leave(self) -> None:
        self.close_express()
        if self.current is not None and self.watcher is not None:
            self.watcher.changes(self, self.current)
