"""Counts what the emulator was asked and how it answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmulatorStats:
    """
    What the emulator has seen since it was created.

    *requests* are all requests on the API's paths, logins among them; *statuses* is how many were answered with which
    status. *logins* are login requests with a valid API key, accepted or refused; *logins_refused* the refused ones;
    *logins_running_peak* the most that ran at once. *refresh_tokens_reused* counts refresh tokens that were used again.
    """

    requests: int
    statuses: Mapping[int, int]
    logins: int
    logins_refused: int
    logins_running: int
    logins_running_peak: int
    refresh_tokens_reused: int
    websockets_open: int


class EmulatorCounters:
    """The running totals."""

    def __init__(self) -> None:
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self.logins = 0
        self.logins_refused = 0
        self.websockets_open = 0
        self._running = 0
        self._running_peak = 0

    @contextmanager
    def login(self) -> Iterator[None]:
        """Count one login while it runs."""
        self.logins += 1
        self._running += 1
        self._running_peak = max(self._running_peak, self._running)
        try:
            yield
        finally:  # also when its client has gone away
            self._running -= 1

    def snapshot(self, *, refresh_tokens_reused: int) -> EmulatorStats:
        """Return the totals so far."""
        return EmulatorStats(
            requests=self.requests,
            statuses=dict(sorted(self.statuses.items())),
            logins=self.logins,
            logins_refused=self.logins_refused,
            logins_running=self._running,
            logins_running_peak=self._running_peak,
            refresh_tokens_reused=refresh_tokens_reused,
            websockets_open=self.websockets_open,
        )
