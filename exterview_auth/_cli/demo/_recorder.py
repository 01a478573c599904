"""Looks at the demo many times a second while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ._timeline import Counts, Mark, Timeline

INTERVAL = 0.02
"""Seconds between two looks."""


class Recorder:
    """
    Fills a `Timeline` with what *observe* sees.

    *clock* is any that counts seconds; *on_look* is called after each look, for a live display.
    """

    def __init__(
        self,
        observe: Callable[[], Counts],
        clock: Callable[[], float],
        *,
        on_look: Callable[[Timeline], None] = lambda _timeline: None,
    ) -> None:
        self.timeline = Timeline()
        self._observe = observe
        self._clock = clock
        self._on_look = on_look
        self._started = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the recorder was made."""
        return self._clock() - self._started

    def look(self) -> None:
        """Note what is seen now."""
        self.timeline.add(self.elapsed, self._observe())
        self._on_look(self.timeline)

    def mark(self, label: str, *, guided: bool = False) -> None:
        """Note that something happened now."""
        self.timeline.marks.append(Mark(self.elapsed, label, guided))

    async def run(self, interval: float = INTERVAL) -> None:
        """Look again and again until cancelled; the first and the last look are taken too."""
        try:
            while True:
                self.look()
                await asyncio.sleep(interval)
        finally:
            self.look()
