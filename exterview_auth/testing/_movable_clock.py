"""`Clock`: seconds that a test can advance, `exterview_auth.testing.Clock`."""

from __future__ import annotations

from threading import Lock
from typing import Protocol
from weakref import WeakSet

from .._clock import boot_time
from .._options import number


class Timer(Protocol):
    """What waits for a time on a clock."""

    def look_again(self) -> None:
        """Do what is due by now, on the timer's own event loop."""


class Clock:
    """
    A clock that a test can advance: the ``clock=`` of an `ExterviewAuth` and of an `Emulator`.

    It also runs by itself, so that a timeout on it ends. Pass the same clock to both, so that a token expires for both. What is
    due after an `advance` begins at once: a renewal ahead of expiry in the background, for which ``async with`` `expect` waits,
    and the next attempt of a login that pauses, or the login's end if no time is left. An attempt that is under way takes real
    time, which counts too. Wait for its failure with ``async with`` `expect`, or until ``auth.stats().login_failures`` counts it,
    then advance by one second more than the pause.

    A change of the wall clock does not move it, and neither does a library that patches Python's time: after two hours of
    freezegun or time-machine, a token of one hour is still valid. `Token.expires_at` is by the wall clock.
    """

    __module__ = "exterview_auth.testing"

    def __init__(self) -> None:
        """Create a clock that runs as real time does, until it is advanced."""
        self._ahead = 0.0
        self._timers: WeakSet[Timer] = WeakSet()
        # Owners may use one clock from several threads.
        self._lock = Lock()

    def __call__(self) -> float:
        return boot_time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Advance by *seconds* at once. Raises `ConfigurationError` if *seconds* is not a number, or is negative."""
        seconds = number(seconds, "a clock advances by a number of seconds, zero or more")
        with self._lock:
            self._ahead += seconds
            timers = list(self._timers)
        for timer in timers:
            timer.look_again()

    def notify(self, timer: Timer) -> None:
        """Let *timer* look again whenever this clock is advanced. The clock does not keep *timer* alive."""
        with self._lock:
            self._timers.add(timer)

    def __repr__(self) -> str:
        return f"<Clock, {self._ahead:g} s ahead>"
