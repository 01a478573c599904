"""The clock for lifetimes: changes of the wall clock do not move it, and it runs on while the machine sleeps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

Clock = Callable[[], float]

boot_time: Clock
"""Seconds on that clock. A partial of the system's call, without a Python function around it, because requests call it."""

if hasattr(time, "CLOCK_BOOTTIME"):  # Linux, see clock_gettime(2)
    boot_time = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
elif sys.platform == "darwin":  # pragma: no cover - time.monotonic does not run in sleep
    boot_time = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
else:  # pragma: no cover - on Windows, it runs on in sleep
    boot_time = time.monotonic
