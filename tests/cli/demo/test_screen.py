"""What the demo shows, on terminals and elsewhere."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest

from exterview_auth._cli.demo import _scenario
from exterview_auth._cli.demo._plan import Plan
from exterview_auth._cli.demo._screen import Screen
from exterview_auth._cli.demo._shared_store import StoreKind
from exterview_auth._cli.demo._story import ServerCount, Story
from exterview_auth._cli.demo._summary import as_dict, summary
from exterview_auth._cli.demo._tally import Tally
from exterview_auth._cli.demo._timeline import Counts, Timeline
from exterview_auth._cli.output import console


class Stream(io.StringIO):
    """Standard output, on a terminal or not."""

    def __init__(self, *, is_terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__()
        self._is_terminal = is_terminal
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain one, whatever the developer's is, and descriptors enough."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("exterview_auth._cli.demo._bounds._affordable", lambda _workers: 100)


def timeline() -> Timeline:
    """Half a second with something of everything."""
    timeline = Timeline()
    timeline.add(0.0, Counts())
    timeline.add(0.25, Counts(sent=10, waiting=5))
    timeline.add(0.5, Counts(sent=20, refused=8, replayed=8, answered=12))
    return timeline


def shown(stream: Stream, *, quiet: bool = False) -> str:
    """All that a demo writes to *stream*."""
    screen = Screen(console(stream), Plan(12), quiet=quiet, clock=iter(float(tick) for tick in range(100)).__next__)
    screen.begin()
    with screen.live():
        screen.show(timeline())
        screen.show(timeline())
    if not quiet:
        screen.end(timeline(), [("failures", "0")])
    return stream.getvalue()


def test_a_terminal_gets_live_progress_and_colours() -> None:
    """The picture grows while the demo runs, with the numbers of the moment below it."""
    text = shown(Stream(is_terminal=True))
    assert "12 answered, 0 waiting, 0.5 s" in text
    assert "\x1b[31m" in text


def test_frames_are_not_drawn_more_often_than_they_can_be_seen() -> None:
    """The demo looks fifty times a second, the screen changes ten times (and shows its last frame once more at the end)."""
    stream = Stream(is_terminal=True)
    screen = Screen(console(stream), Plan(12), quiet=False, clock=iter([1.0, 1.0, 1.05, 1.2, 1.2]).__next__)
    with screen.live():
        for _ in range(3):
            screen.show(timeline())
    assert stream.getvalue().count("12 answered") == 2 + 1


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither colour nor bold nor dim (https://no-color.org)."""
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(Stream(is_terminal=True))
    assert "12 answered" in text
    assert not re.search(r"\x1b\[[0-9;]*m", text)


@pytest.mark.parametrize("forced", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_pipe_gets_no_control_codes(forced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the environment would have them."""
    monkeypatch.setenv(forced, "1")
    text = shown(Stream(is_terminal=False))
    assert "\x1b" not in text
    assert "answered, " not in text
    assert "failures  0" in text


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not move the cursor back."""
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown(Stream(is_terminal=True))


def test_quiet_is_silent_in_a_pipe_and_live_on_a_terminal() -> None:
    """With `--json`, progress goes to standard error, if that is a terminal."""
    assert shown(Stream(is_terminal=False), quiet=True) == ""
    live = shown(Stream(is_terminal=True), quiet=True)
    assert "12 answered" in live
    assert "Sending" not in live


def test_an_old_encoding_gets_ascii() -> None:
    """The picture is the same, of other characters."""
    assert shown(Stream(is_terminal=False, encoding="cp1252")).isascii()


def test_one_request_is_not_many() -> None:
    """The first line counts properly."""
    stream = Stream(is_terminal=False)
    Screen(console(stream), Plan(1), quiet=False).begin()
    assert stream.getvalue().startswith("Sending 1 request at once")


def test_what_is_not_sent_at_once_is_not_said_to_be() -> None:
    """Beyond five thousand, the first line has both numbers."""
    stream = Stream(is_terminal=False)
    Screen(console(stream), Plan(100_000), quiet=False).begin()
    assert stream.getvalue() == "Sending 100000 requests, 5000 at once, to a local emulator ...\n"


SERVED = ServerCount(logins=2, logins_peak=1, statuses={200: 1000, 401: 600})


def story(plan: Plan = Plan(1000), server: ServerCount = SERVED, **changes: Any) -> Story:  # noqa: B008 - it is frozen
    """A thousand requests that went well."""
    counted: dict[str, Any] = {"logins": 2, "replays": 600, "waiting_peak": 1000, **changes}
    return Story(plan, timeline(), 2.0, Tally(answered=plan.requests, **counted), server, logins_before=1)


def test_the_summary() -> None:
    """Requests, logins, replays, failures, wall time, and the same by the server's count."""
    assert dict(summary(story())) == {
        "requests": "1000: 500 queries, 250 mutations, 250 uploads; 100 connections",
        "logins": "2: 1 at the start, 1 after the revocation",
        "replays": "600, each after a 401 and with the new token",
        "failures": "0",
        "wall time": "2.00 s; the emulator takes 50 ms to answer and 300 ms to log in",
        "server": "1000 x 200, 600 x 401; 2 logins, at most 1 at a time",
    }


def test_the_summary_fits_a_terminal() -> None:
    """Whatever the numbers, no line is longer than 80 columns."""
    served = ServerCount(logins=2, logins_peak=1, statuses={200: 100_000, 401: 5000})
    for plan in (Plan(100_000), *(Plan(100_000, processes, kind) for processes in (1, 64) for kind in StoreKind)):
        many = replace(story(plan, served, replays=5000, adopted=126), seconds=199.99)
        assert max(len(text) + 10 for _, text in summary(many)) <= 80


def test_the_summary_tells_the_emulators_real_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall time is explained by what the emulator was told to take."""
    monkeypatch.setattr(_scenario, "LATENCY", 0.02)
    monkeypatch.setattr(_scenario, "LOGIN_DELAY", 0.5)
    assert dict(summary(story()))["wall time"].endswith("20 ms to answer and 520 ms to log in")


def test_the_summary_of_a_fleet() -> None:
    """Who sends and what they share, and the tokens that one process got and the others took."""
    told = dict(summary(story(Plan(1000, 4, StoreKind.REDIS), adopted=6)))
    assert list(told) == ["requests", "processes", "logins", "adopted", "replays", "failures", "wall time", "server"]
    assert told["processes"] == "4, sharing one token by RedisStore on a redis-server of their own"
    assert told["adopted"] == "6: taken from the store by the processes that did not log in"
    alone = dict(summary(story(Plan(1000, 1, StoreKind.FILE))))
    assert alone["processes"] == "1, keeping its token by FileStore in a directory of its own"
    assert alone["adopted"] == "0"


@pytest.mark.parametrize("requests", [1, 1000, 100_000])
@pytest.mark.parametrize("processes", [1, 64])
def test_the_first_line_of_a_fleet_fits_a_terminal(requests: int, processes: int) -> None:
    """It says how many processes send, in at most 80 columns."""
    stream = Stream(is_terminal=False)
    Screen(console(stream), Plan(requests, processes, StoreKind.FILE), quiet=False).begin()
    (line,) = stream.getvalue().splitlines()
    assert f"from {processes} process{'es' if processes > 1 else ''} to a local emulator" in line
    assert len(line) <= 80


def test_no_replay_is_just_zero() -> None:
    """There is no 401 that it came after."""
    assert dict(summary(story(replays=0)))["replays"] == "0"


def test_a_revocation_that_came_last() -> None:
    """It is not called a login that did not happen."""
    assert dict(summary(story(logins=1)))["logins"] == "1; nothing was left to send when the tokens were revoked"


def test_failures_are_named() -> None:
    """The most frequent kind first."""
    told = story(failures={"TimeoutError": 1, "ServerDisconnectedError": 4})
    assert dict(summary(told))["failures"] == "5 (4 ServerDisconnectedError, 1 TimeoutError)"
    assert (as_dict(told)["ok"], as_dict(told)["failed"]) == (995, 5)
