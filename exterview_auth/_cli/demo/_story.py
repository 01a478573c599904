"""What happened in the demo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ._plan import Plan
from ._tally import Tally
from ._timeline import Timeline


@dataclass(frozen=True, slots=True)
class ServerCount:
    """The same by the server's count."""

    logins: int = 0
    logins_peak: int = 0
    """The most that ever ran at once."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    """Its answers by status, logins apart."""


@dataclass(frozen=True, slots=True)
class Story:
    """A performance of *plan*, as clients and server counted it."""

    plan: Plan
    timeline: Timeline
    seconds: float
    client: Tally
    server: ServerCount
    logins_before: int
    """Logins until the tokens were revoked."""

    @property
    def failed(self) -> int:
        """Requests whose caller got no good answer."""
        return sum(self.client.failures.values())

    @property
    def waiting_peak(self) -> int:
        """The most that were seen to wait at once, in all processes together."""
        return max(self.client.waiting_peak, *(counts.waiting for counts in self.timeline.counts), 0)
