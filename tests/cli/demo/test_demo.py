"""The demo as users see it: real requests, one revocation, one login, no failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from exterview_auth._cli import main
from exterview_auth._cli.demo import _bounds, _scenario
from exterview_auth._cli.demo._bounds import connections_for, in_flight_for
from exterview_auth._cli.demo._plan import Plan
from exterview_auth._cli.demo._scenario import play
from exterview_auth._cli.demo._timeline import Timeline
from exterview_auth._cli.demo._workload import Kind, Workload, WrongAnswerError, mix_of, resume_of

COMMAND = [sys.executable, "-m", "exterview_auth", "demo"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less to wait for than people want to see."""
    monkeypatch.setattr(_scenario, "LOGIN_DELAY", 0.02)
    monkeypatch.setattr(_scenario, "LATENCY", 0.005)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as it is by default, also where the runner was started with it ignored: children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ignore(_timeline: Timeline) -> None:
    """Nobody watches."""


def test_the_command_ends_with_a_picture_and_a_summary() -> None:
    """Through a pipe: the first line, the rows, the summary; no control code, exit code 0, two logins, no failure."""
    done = subprocess.run(COMMAND, capture_output=True, text=True, encoding="utf-8", timeout=50, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == "Sending 1000 requests at once to a local emulator of the API ..."
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert [line.split()[0] for line in lines if line[:1].isalpha()][1:] == [
        *("sent", "refused", "waiting", "replayed", "answered"),
        *("requests", "logins", "replays", "failures", "wall", "server"),
    ]
    assert "logins    2: 1 at the start, 1 after the revocation" in lines
    assert "failures  0" in lines
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 22


def test_json_is_one_line_and_its_numbers_agree(capsys: pytest.CaptureFixture[str]) -> None:
    """What the client counted is what the server counted, and every refusal was replayed."""
    assert main(["demo", "--requests", "240", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    told = json.loads(printed.out)
    assert (told["requests"], told["ok"], told["failed"], told["logins"]) == (240, 240, 0, 2)
    assert told["waiting_peak"] == 240
    assert told["replays"] == told["server"]["statuses"]["401"] > 0
    assert told["server"] == {
        "logins": 2,
        "logins_at_a_time": 1,
        "statuses": {"200": 240, "401": told["replays"]},
    }
    assert told["mix"] == {"query": 120, "mutation": 60, "upload": 60}


@pytest.mark.asyncio
@pytest.mark.parametrize("requests", [1, 2, 7, 40])
async def test_small_storms_are_revoked_in_mid_flight_too(requests: int) -> None:
    """As long as there are two requests, one of them meets the dead token."""
    story = await play(Plan(requests), ignore)
    assert story.failed == 0
    assert story.client.logins == story.server.logins == (1 if requests == 1 else 2)
    assert story.client.replays == story.server.statuses.get(401, 0)
    assert story.server.statuses[200] == requests
    assert (story.client.replays > 0) == (requests > 1)


@pytest.mark.asyncio
async def test_the_timeline_ends_with_the_totals() -> None:
    """What the picture shows adds up to what the summary says."""
    seen: list[float] = []
    story = await play(Plan(40), lambda timeline: seen.append(timeline.duration))
    last = story.timeline.last
    assert (last.answered, last.waiting, last.refused, last.replayed) == (
        40,
        0,
        story.client.replays,
        story.client.replays,
    )
    assert last.sent == 40 + story.client.replays
    assert [mark.label for mark in story.timeline.marks] == ["login", "every token revoked", "login"]
    assert seen == story.timeline.times


@pytest.mark.asyncio
async def test_a_recorder_that_fails_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of half of it would be taken for the whole."""

    def fail(_self: object) -> None:
        raise LookupError

    monkeypatch.setattr(_scenario._Stage, "_counts", fail)
    with pytest.raises(LookupError):
        await play(Plan(4), ignore)


@pytest.mark.asyncio
async def test_requests_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound, the next request is made when one is answered."""
    monkeypatch.setattr(_bounds, "MOST_IN_FLIGHT", 3)
    running, peak = 0, 0
    send = Workload.send

    async def counted(self: Workload, number: int) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await send(self, number)
        running -= 1

    monkeypatch.setattr(Workload, "send", counted)
    story = await play(Plan(20), ignore)
    assert (story.failed, story.server.statuses[200], peak) == (0, 20, 3)


@pytest.mark.parametrize(("requests", "connections"), [(1, 1), (7, 1), (8, 2), (1000, 100), (100_000, 100)])
def test_connections_are_bounded(requests: int, connections: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a hundred, and fewer than there are requests."""
    _limit_descriptors(monkeypatch, 4096)
    assert connections_for(requests) == connections


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(("limit", "connections"), [(10, 1), (41, 1), (64, 12), (128, 44), (256, 100), (-1, 100)])
def test_connections_fit_the_descriptors(limit: int, connections: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two for each, as the server is in the same process; -1 stands for no limit."""
    _limit_descriptors(monkeypatch, limit)
    assert connections_for(1000) == connections


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(
    ("limit", "workers", "connections"), [(10, 2, 2), (64, 4, 8), (128, 4, 72), (256, 4, 100), (-1, 64, 100)]
)
def test_connections_of_workers_fit_the_descriptors(
    limit: int, workers: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each, the server's, beside those to talk to the workers; each worker has at least one connection."""
    _limit_descriptors(monkeypatch, limit)
    assert connections_for(1000, workers) == connections


def test_a_fleet_has_as_many_requests_under_way_as_one_process() -> None:
    """Each of its processes has its part of them."""
    assert [in_flight_for(workers) for workers in (0, 1, 4, 64)] == [5000, 5000, 1250, 78]


def test_where_descriptors_are_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not have the module that knows."""
    monkeypatch.setitem(sys.modules, "resource", None)
    assert connections_for(1000) == 100


def _limit_descriptors(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    """As many descriptors as *soft* says, -1 being no limit."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on Windows

        limit = resource.RLIM_INFINITY if soft < 0 else soft
        monkeypatch.setattr("resource.getrlimit", lambda _which: (limit, limit))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("limit", [64, 128])
def test_few_descriptors_are_enough(limit: int) -> None:
    """The demo ends without a failure, and without a word about sockets."""
    limited = f'ulimit -n {limit}; exec "$0" -m exterview_auth demo --requests 400 --json'
    done = subprocess.run(
        ["sh", "-c", limited, sys.executable], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["ok"], told["failed"]) == (400, 0)
    assert told["connections"] == (limit - 40) // 2


def _failing(errors: Iterator[Exception | None]) -> object:
    async def send(_self: Workload, _number: int) -> None:
        error = next(errors, None)
        if error is not None:
            raise error

    return send


def test_failures_are_counted_named_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the server answered 200 and said something else than was asked for."""
    monkeypatch.setattr(Workload, "send", _failing(iter([WrongAnswerError("x"), TimeoutError(), TimeoutError()])))
    assert main(["demo", "--requests", "4"]) == 1
    assert "failures  3 (2 TimeoutError, 1 WrongAnswerError)" in capsys.readouterr().out
    monkeypatch.setattr(Workload, "send", _failing(iter([TimeoutError()])))
    assert main(["demo", "--requests", "4", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["failed"], told["failures"]) == (3, 1, {"TimeoutError": 1})


@pytest.mark.asyncio
async def test_a_wrong_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that arrived changed is a failure, whatever the status."""
    monkeypatch.setattr(Workload, "MIX", [(Kind.UPLOAD, Workload._upload)])
    monkeypatch.setattr("exterview_auth._cli.demo._workload.io.BytesIO", lambda _content: b"changed on the way")
    story = await play(Plan(1), ignore)
    assert story.client.failures == {"WrongAnswerError": 1}


@pytest.mark.parametrize("requests", [1, 8, 13, 1000])
def test_the_mix_adds_up(requests: int) -> None:
    """Every request is a query, a mutation or an upload."""
    assert sum(mix_of(requests).values()) == requests


def test_resumes_differ() -> None:
    """But not endlessly: the emulator keeps what it has not seen before."""
    assert len({resume_of(number) for number in range(1000)}) == 40
    assert resume_of(3).startswith(b"%PDF-")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no os.kill for SIGINT")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_mid_flight_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No task, no connection and no warning, which would be an error here."""
    send = Workload.send

    async def interrupting(self: Workload, number: int) -> None:
        await send(self, number)
        if number == 20:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Workload, "send", interrupting)
    assert main(["demo", "--requests", "400"]) == 130
    assert capsys.readouterr().err.startswith("exterview-auth: interrupted")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_it_cleanly() -> None:
    """Exit code 130 and one sentence, no traceback, also while modules are still being imported."""
    command = [*COMMAND, "--requests", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Sending 100000 requests")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.startswith("exterview-auth: interrupted")
    assert err.count("\n") == 1


def test_an_output_that_takes_ascii_only_gets_ascii() -> None:
    """Block characters would be an error there, or boxes."""
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "--requests", "2"], capture_output=True, env=environ, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"#" in done.stdout
    assert b"\\u" not in done.stdout
