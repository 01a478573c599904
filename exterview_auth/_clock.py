"""The clock that lifetimes run on: no change of the wall clock moves it, and it goes on while the machine sleeps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

Clock = Callable[[], float]

boot_time: Clock
"""Seconds, without a call of Python's own around the system's: requests read it."""

if hasattr(time, "CLOCK_BOOTTIME"):  # Linux, see clock_gettime(2)
    boot_time = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
elif sys.platform == "darwin":  # pragma: no cover - where time.monotonic stands still in sleep
    boot_time = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
else:  # pragma: no cover - on Windows it goes on in sleep
    boot_time = time.monotonic
