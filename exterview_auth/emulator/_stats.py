"""Counts what the emulator was asked and how it answered."""

# Annotations are not texts here: `typing.get_type_hints` would look texts up in the module that ``__module__`` names.
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmulatorStats:
    """
    The emulator's counters since it was created or reset.

    *requests* are all requests, logins among them, except those of the page and the controls. *requests_running* are the requests
    that are not answered yet. *statuses* is the number of answers with each status. *logins* are login requests with a valid API
    key, accepted or refused. *logins_refused* are the refused ones, and *logins_running* those in progress. *logins_running_peak*
    is the most that ran at once. *refresh_tokens_reused* counts refresh tokens that were used again. *websockets_open* are the
    open WebSockets.
    """

    __module__ = "exterview_auth.emulator"

    requests: int
    requests_running: int
    statuses: Mapping[int, int]
    logins: int
    logins_refused: int
    logins_running: int
    logins_running_peak: int
    refresh_tokens_reused: int
    websockets_open: int


class EmulatorCounters:
    """The running totals. Requests that began before a reset go on in the counters of their beginning."""

    def __init__(self, *, websockets_open: int = 0) -> None:
        self.requests = 0
        self.requests_running = 0
        self.statuses: Counter[int] = Counter()
        self.logins = 0
        self.logins_refused = 0
        self.websockets_open = websockets_open
        self._running: dict[int, float] = {}
        self._running_peak = 0

    @contextmanager
    def login(self) -> Iterator[None]:
        """Count one login while it runs."""
        self.logins += 1
        number = self.logins
        self._running[number] = time.perf_counter()
        self._running_peak = max(self._running_peak, len(self._running))
        try:
            yield
        finally:  # also when its client has gone away
            del self._running[number]

    def login_ages(self, most: int) -> list[float]:
        """Return for how many seconds each login has been running, the longest first, of *most* at most."""
        now = time.perf_counter()
        return [round(now - begun, 3) for begun, _ in zip(self._running.values(), range(most), strict=False)]

    def snapshot(self, *, refresh_tokens_reused: int) -> EmulatorStats:
        """Return the totals so far."""
        return EmulatorStats(
            requests=self.requests,
            requests_running=self.requests_running,
            statuses=dict(sorted(self.statuses.items())),
            logins=self.logins,
            logins_refused=self.logins_refused,
            logins_running=len(self._running),
            logins_running_peak=self._running_peak,
            refresh_tokens_reused=refresh_tokens_reused,
            websockets_open=self.websockets_open,
        )
