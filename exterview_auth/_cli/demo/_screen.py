"""What the demo shows while it runs, and at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ._bounds import MOST_IN_FLIGHT
from ._picture import ASCII, UNICODE, WIDTH, picture
from ._plan import Plan
from ._timeline import Timeline

_SECONDS_BETWEEN_FRAMES = 0.1


class Screen:
    """
    Writes to *console*: live on a terminal, else line by line.

    A *quiet* one shows nothing but the live progress, and that on a terminal only.
    """

    def __init__(
        self, console: Console, plan: Plan, *, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._plan = plan
        self._quiet = quiet
        self._clock = clock
        self._next_frame = 0.0
        self._glyphs = UNICODE if console.encoding.startswith("utf") else ASCII
        self._live: Live | None = None

    def begin(self) -> None:
        """The first line, before anything is loaded."""
        if not self._quiet:
            self._console.print(f"Sending {_what(self._plan)} ...")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the timeline while the block runs; it is gone afterwards."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def show(self, timeline: Timeline) -> None:
        """Show *timeline* as it is now, some ten times a second."""
        if self._live is None or self._clock() < self._next_frame:
            return
        self._live.update(self._frame(timeline), refresh=True)
        self._next_frame = self._clock() + _SECONDS_BETWEEN_FRAMES

    def end(self, timeline: Timeline, summary: Iterable[tuple[str, str]]) -> None:
        """The picture, and the *summary* as names and what they are."""
        for line in [*self._picture(timeline), ""]:
            self._console.print(line)
        for name, text in summary:
            self._console.print(Text.assemble((f"{name:<10}", "bold"), text))

    def _frame(self, timeline: Timeline) -> RenderableType:
        counts = timeline.last
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=self._plan.requests, completed=counts.answered, width=40),
            f"{counts.answered} answered, {counts.waiting} waiting, {timeline.duration:.1f} s",
        )
        return Group(*self._picture(timeline), "", bar)

    def _picture(self, timeline: Timeline) -> list[Text]:
        return picture(timeline, width=min(WIDTH, self._console.width), glyphs=self._glyphs)


def _what(plan: Plan) -> str:
    """What is sent where, in one line of a terminal."""
    number = "1 request" if plan.requests == 1 else f"{plan.requests} requests"
    senders = "1 process" if plan.processes == 1 else f"{plan.processes} processes"
    all_at_once = plan.requests <= MOST_IN_FLIGHT
    if plan.store is not None:
        return f"{number}{' at once' if all_at_once else ''} from {senders} to a local emulator"
    if all_at_once:
        return f"{number} at once to a local emulator of the API"
    return f"{number}, {MOST_IN_FLIGHT} at once, to a local emulator"
