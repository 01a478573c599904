"""The clock that lifetimes run on: no change of the wall clock moves it, and it goes on while the machine sleeps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Clock = Callable[[], float]

if hasattr(time, "CLOCK_BOOTTIME"):

    def boot_time() -> float:
        """Seconds on Linux's ``CLOCK_BOOTTIME``, see ``clock_gettime(2)``."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

elif sys.platform == "darwin":  # pragma: no cover - another operating system

    def boot_time() -> float:
        """Seconds on macOS' ``CLOCK_MONOTONIC``, which goes on in sleep (``time.monotonic`` there does not)."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

else:  # pragma: no cover - another operating system

    def boot_time() -> float:
        """Seconds on the monotonic clock (on Windows it goes on in sleep)."""
        return time.monotonic()
