"""What the demo shows: the picture, the live progress on a terminal, and the summary."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from exterview_auth._cli.demo import plan as plan_module
from exterview_auth._cli.demo.picture import ASCII, picture
from exterview_auth._cli.demo.plan import Plan
from exterview_auth._cli.demo.report import Screen, as_dict, summary
from exterview_auth._cli.demo.store import StoreKind
from exterview_auth._cli.demo.timeline import Counts, DemoResult, Mark, Sample, ServerCounts, Timeline
from exterview_auth._cli.output import console


class Stream(io.StringIO):
    """Standard output, on a terminal or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test a plain terminal, whatever the developer's is, and descriptors enough."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(plan_module, "_free_descriptors", lambda _taken: None)


def storm() -> Timeline:
    """Return a thousand requests in two seconds: a login, a revocation at 0.8 s, a login."""
    samples = [
        *(Sample(waiting=1000) for _ in range(20)),
        *(Sample(sent=step * 20, answered=step * 20) for step in range(20)),
        *(Sample(sent=500, refused=100, answered=400, waiting=600) for _ in range(20)),
        *(Sample(sent=500 + step * 15, refused=100, replayed=100, answered=400 + step * 15) for step in range(41)),
    ]
    marks = [Mark(0.4, "login"), Mark(0.8, "every token revoked", guided=True), Mark(1.2, "login")]
    return Timeline([step / 50 for step in range(101)], samples, marks)


def plain(timeline: Timeline, **options: Any) -> list[str]:
    return [line.plain for line in picture(timeline, **options)]


def test_the_picture_has_each_counter_and_its_total() -> None:
    """Sent, refused, replayed and answered show their sum, waiting its peak, in at most 14 lines of 80 columns."""
    lines = plain(storm())
    ends = [(line.split()[0], line.split()[-1]) for line in lines if line[:1].isalpha()]
    assert ends == [
        ("sent", "1100"),
        ("refused", "100"),
        ("waiting", "1000"),
        ("replayed", "100"),
        ("answered", "1000"),
    ]
    assert len(lines) <= 14
    assert max(map(len, lines)) <= 80
    upper, lower = (line[10:68] for line in lines[4:6])  # waiting: high while the login runs, then nothing
    assert upper[:11] == lower[:11] == "█" * 11
    assert lower[14:22].strip() == ""


def test_the_picture_fits_what_shows_it() -> None:
    """A narrow terminal, an output that accepts only ASCII, and the moment before the first sample."""
    assert max(map(len, plain(storm(), width=50))) <= 50
    assert all(line.isascii() for line in plain(storm(), glyphs=ASCII))
    assert not set("▁▂▃▄▅▆▇█") & set("".join(plain(Timeline())))


def shown(stream: Stream, *, quiet: bool = False) -> str:
    """Return all that a demo writes to *stream*."""
    ticks = iter([1.0, 1.0, 1.05, 1.2, 1.2])
    screen = Screen(console(stream), Plan(1000), quiet=quiet, clock=ticks.__next__)
    screen.begin()
    with screen.live():
        for _ in range(3):
            screen.show(storm())
    if not quiet:
        screen.end(storm(), [("failures", "0")])
    return stream.getvalue()


COLOUR = r"\x1b\[[0-9;]*m"


def test_a_terminal_gets_live_progress_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn at most ten times a second (and once more at the end); colours not with `NO_COLOR` (https://no-color.org)."""
    text = shown(Stream(is_terminal=True))
    assert text.count("1000 answered, 0 waiting, 2.0 s") == 2 + 1
    assert re.search(COLOUR, text)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(COLOUR, shown(Stream(is_terminal=True)))


@pytest.mark.parametrize(("variable", "value"), [("FORCE_COLOR", "1"), ("TTY_COMPATIBLE", "1"), ("TERM", "dumb")])
def test_a_pipe_and_a_dumb_terminal_get_no_control_codes(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the environment asks for them; a dumb terminal cannot move its cursor back."""
    monkeypatch.setenv(variable, value)
    text = shown(Stream(is_terminal=variable == "TERM"))
    assert "\x1b" not in text
    assert "answered, " not in text
    assert "failures  0" in text


def test_quiet_is_silent_in_a_pipe_and_live_on_a_terminal() -> None:
    """With `--json`, progress goes to standard error, if that is a terminal."""
    assert shown(Stream(is_terminal=False), quiet=True) == ""
    live = shown(Stream(is_terminal=True), quiet=True)
    assert "1000 answered" in live
    assert "Sending" not in live


SERVED = ServerCounts(logins=2, logins_peak=1, statuses={200: 1000, 401: 600})


def result(plan: Plan = Plan(1000), server: ServerCounts = SERVED, **changes: Any) -> DemoResult:  # noqa: B008 - it is frozen
    """Return the result of a thousand requests that went well."""
    counted: dict[str, Any] = {"logins": 2, "replays": 600, "waiting_peak": 1000, **changes}
    return DemoResult(plan, storm(), 2.0, Counts(answered=plan.requests, **counted), server, logins_before=1)


def test_the_summary() -> None:
    """What was sent, what it cost, and the same by the server's count; a fleet's processes and their store; 80 columns."""
    lines = dict(summary(result()))
    assert lines == {
        "requests": "1000: 500 queries, 250 mutations, 250 uploads; 100 connections",
        "logins": "2: 1 at the start, 1 after the revocation",
        "replays": "600, each after a 401 and with the new token",
        "failures": "0",
        "wall time": "2.00 s; the emulator takes 50 ms to answer and 100 ms to log in",
        "server": "1000 x 200, 600 x 401; 2 logins, at most 1 at a time",
    }
    fleet = dict(summary(result(Plan(100_000, 4, StoreKind.REDIS), adopted=126)))
    assert fleet["processes"] == "4, sharing one token through RedisStore on a private redis-server"
    assert fleet["adopted"] == "126: taken from the store by the processes that did not log in"
    assert max(len(text) + 10 for text in (*lines.values(), *fleet.values())) <= 80


def test_the_summary_of_what_did_not_happen_or_failed() -> None:
    """No replay is just zero, a revocation that came last is not called a login, and failures are named."""
    failed = result(logins=1, replays=0, failures={"TimeoutError": 1, "ServerDisconnectedError": 4})
    lines = dict(summary(failed))
    assert lines["replays"] == "0"
    assert lines["logins"] == "1; nothing was left to send when the tokens were revoked"
    assert lines["failures"] == "5 (4 ServerDisconnectedError, 1 TimeoutError)"
    assert (as_dict(failed)["ok"], as_dict(failed)["failed"]) == (995, 5)
