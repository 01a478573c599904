"""What the demo prints: its progress on a terminal, then the picture and the summary, or one line of JSON."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .picture import ASCII, UNICODE, WIDTH, picture
from .plan import MAX_IN_FLIGHT, Plan
from .store import StoreKind
from .timeline import DemoResult, Timeline
from .workload import RequestKind, mix_of

_SECONDS_BETWEEN_FRAMES = 0.1
_PLURALS = {RequestKind.QUERY: "queries", RequestKind.MUTATION: "mutations", RequestKind.UPLOAD: "uploads"}
_STORES = {
    StoreKind.REDIS: "RedisStore on a private redis-server",
    StoreKind.FILE: "FileStore in a temporary directory",
}


class Screen:
    """
    Writes to *console*: live on a terminal, else line by line.

    A *quiet* screen shows only the live progress, and only on a terminal.
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
        """Print the first line, before the emulator is loaded."""
        if not self._quiet:
            self._console.print(f"Sending {_what(self._plan)} ...")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the timeline while the block runs, and remove it afterwards."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            yield
            return
        # Without a thread that redraws: `show` is called often enough, from the loop that sends.
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def show(self, timeline: Timeline) -> None:
        """Show *timeline* as it is now, at most ten times a second."""
        if self._live is None or self._clock() < self._next_frame:
            return
        sample = timeline.last
        progress = Table.grid(padding=(0, 1))
        progress.add_row(
            ProgressBar(total=self._plan.requests, completed=sample.answered, width=40),
            f"{sample.answered} answered, {sample.waiting} waiting, {timeline.duration:.1f} s",
        )
        frame = Group(*self._picture(timeline), "", progress)
        # A frame that leaves no row free is scrolled, and what has left the screen cannot be removed.
        fitting = (each for each in (frame, progress) if len(self._console.render_lines(each)) < self._console.height)
        self._live.update(next(fitting, ""), refresh=True)
        self._next_frame = self._clock() + _SECONDS_BETWEEN_FRAMES

    def end(self, timeline: Timeline, summary: Iterable[tuple[str, str]]) -> None:
        """Print the picture and the *summary*, which is pairs of a name and a text."""
        for line in [*self._picture(timeline), ""]:
            self._console.print(line)
        for name, text in summary:
            self._console.print(Text.assemble((f"{name:<10}", "bold"), text))

    def _picture(self, timeline: Timeline) -> list[Text]:
        return picture(timeline, width=min(WIDTH, self._console.width), glyphs=self._glyphs)


def _what(plan: Plan) -> str:
    """Return what is sent where, in at most one line of a terminal."""
    number, all_at_once = _count(plan.requests, "request"), plan.requests <= MAX_IN_FLIGHT
    if plan.store is not None:
        senders = "1 process" if plan.processes == 1 else f"{plan.processes} processes"
        return f"{number}{' at once' if all_at_once else ''} from {senders} to a local emulator"
    if all_at_once:
        return f"{number} at once to a local emulator of the API"
    return f"{number}, {MAX_IN_FLIGHT} at once, to a local emulator"


def summary(result: DemoResult) -> Iterator[tuple[str, str]]:
    """Return the name and the text of each line."""
    plan, client, server = result.plan, result.client, result.server
    counted = ((kind, count) for kind, count in mix_of(plan.requests).items() if count)
    mix = ", ".join(f"{count} {kind if count == 1 else _PLURALS[kind]}" for kind, count in counted)
    yield "requests", f"{plan.requests}: {mix}; {_count(plan.connections, 'connection')}"
    if plan.store is not None:
        does = "keeping its token" if plan.processes == 1 else "sharing one token"
        yield "processes", f"{plan.processes}, {does} through {_STORES[plan.store]}"
    after = client.logins - result.logins_before
    if after > 0:
        yield "logins", f"{client.logins}: {result.logins_before} at the start, {after} after the revocation"
    else:
        yield "logins", f"{client.logins}; nothing was left to send when the tokens were revoked"
    if plan.store is not None:
        adopted = f"{client.adopted}: taken from the store by the processes that did not log in"
        yield "adopted", adopted if client.adopted else "0"
    yield "replays", f"{client.replays}, each after a 401 and with the new token" if client.replays else "0"
    kinds = ", ".join(f"{count} {name}" for name, count in Counter(client.failures).most_common())
    yield "failures", f"{result.failed} ({kinds})" if kinds else "0"
    # A login has the emulator's delay for any answer too.
    answer, login = (f"{seconds * 1000:.0f} ms" for seconds in (plan.latency, plan.latency + plan.login_delay))
    yield "wall time", f"{result.seconds:.2f} s; the emulator takes {answer} to answer and {login} to log in"
    statuses = ", ".join(f"{count} x {status}" for status, count in server.statuses.items())
    yield "server", f"{statuses}; {_count(server.logins, 'login')}, at most {server.logins_peak} at a time"


def as_dict(result: DemoResult) -> dict[str, object]:
    """Return the numbers, for programs."""
    plan, client, server = result.plan, result.client, result.server
    return {
        "requests": plan.requests,
        "processes": plan.processes,
        "store": plan.store,
        "ok": plan.requests - result.failed,
        "failed": result.failed,
        "logins": client.logins,
        "adopted": client.adopted,
        "replays": client.replays,
        "waiting_peak": result.waiting_peak,
        "logins_before_revocation": result.logins_before,
        "seconds": round(result.seconds, 3),
        "requests_per_second": round(plan.requests / result.seconds, 1),
        "connections": plan.connections,
        "mix": {str(kind): count for kind, count in mix_of(plan.requests).items()},
        "failures": dict(client.failures),
        "server": {
            "logins": server.logins,
            "logins_at_a_time": server.logins_peak,
            "statuses": {str(status): count for status, count in server.statuses.items()},
        },
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
