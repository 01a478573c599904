"""How long the garbage collector was at work."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator


class Collections:
    """Seconds in which it was, so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __call__(self, phase: str, _: object) -> None:
        """For ``gc.callbacks``."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began


@contextlib.contextmanager
def collections() -> Iterator[Collections]:
    """Note the collector's time; begins with nothing to collect."""
    gc.collect()
    noted = Collections()
    gc.callbacks.append(noted)
    try:
        yield noted
    finally:
        gc.callbacks.remove(noted)
