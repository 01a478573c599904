"""The demo as users see it: real requests, one revocation, one login more, no failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from unittest.mock import Mock

import pytest

from exterview_auth._cli import main
from exterview_auth._cli.demo import plan as plan_module
from exterview_auth._cli.demo import scenario
from exterview_auth._cli.demo.plan import Plan
from exterview_auth._cli.demo.scenario import run_scenario
from exterview_auth._cli.demo.store import StoreKind
from exterview_auth._cli.demo.timeline import Timeline
from exterview_auth._cli.demo.workload import RequestKind, Workload, WrongAnswerError, mix_of

COMMAND = [sys.executable, "-m", "exterview_auth", "demo"]


@pytest.fixture(autouse=True)
def latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process is quick enough to have something left to send when the tokens are revoked."""
    monkeypatch.setattr(Plan, "latency", 0.005)


def ignore(_timeline: Timeline) -> None:
    """Nobody watches."""


def test_the_command_ends_with_a_picture_and_a_summary() -> None:
    """Through a pipe: the first line, the rows, the summary; no control code, exit code 0, two logins, no failure."""
    done = subprocess.run(COMMAND, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == "Sending 1000 requests at once to a local emulator of the API ..."
    assert not {"\x1b", "\r"} & set(done.stdout)
    assert [line.split()[0] for line in lines if line[:1].isalpha()][1:] == [
        *("sent", "refused", "waiting", "replayed", "answered"),
        *("requests", "logins", "replays", "failures", "wall", "server"),
    ]
    assert "logins    2: 1 at the start, 1 after the revocation" in lines
    assert "failures  0" in lines
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 22


@pytest.mark.parametrize("requests", [1, 2, 7, 40])
async def test_small_storms_are_revoked_in_mid_flight_too(requests: int) -> None:
    """As long as there are two requests, one of them meets the rejected token."""
    result = await run_scenario(Plan(requests), ignore)
    assert result.failed == 0
    assert result.client.logins == result.server.logins == (1 if requests == 1 else 2)
    assert result.client.replays == result.server.statuses.get(401, 0)
    assert result.server.statuses[200] == requests == sum(mix_of(requests).values())
    assert (result.client.replays > 0) == (requests > 1)


@pytest.mark.parametrize("plan", [Plan(40), Plan(60, 1, StoreKind.FILE)], ids=["this process", "one worker"])
async def test_the_timeline_ends_with_the_totals(plan: Plan) -> None:
    """What the picture shows adds up to what the summary says, and every login is marked."""
    seen: list[float] = []
    result = await run_scenario(plan, lambda timeline: seen.append(timeline.duration))
    last, replays = result.timeline.last, result.client.replays
    assert (last.sent, last.answered, last.waiting) == (plan.requests + replays, plan.requests, 0)
    assert (last.refused, last.replayed, result.client.adopted) == (replays, replays, 0)
    assert [mark.label for mark in result.timeline.marks] == ["login", "every token revoked", "login"]
    assert seen == result.timeline.times


async def test_a_recorder_that_fails_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a picture would be taken for the whole."""
    monkeypatch.setattr(scenario._Run, "_sample", Mock(side_effect=LookupError))
    with pytest.raises(LookupError):
        await run_scenario(Plan(4), ignore)


async def test_requests_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound, the next is sent when one is answered; each process of a fleet has its part of the bound."""
    assert [Plan(1, processes, StoreKind.FILE).in_flight for processes in (1, 4, 64)] == [5000, 1250, 78]
    monkeypatch.setattr(plan_module, "MAX_IN_FLIGHT", 3)
    running, peak = 0, 0
    send = Workload.send

    async def counted(self: Workload, number: int) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await send(self, number)
        running -= 1

    monkeypatch.setattr(Workload, "send", counted)
    result = await run_scenario(Plan(20), ignore)
    assert (result.failed, result.server.statuses[200], peak) == (0, 20, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(
    ("limit", "plan", "connections"),
    [
        (4096, Plan(7), 1),
        (4096, Plan(100_000), 100),
        (41, Plan(1000), 1),
        (64, Plan(1000), 12),
        (-1, Plan(1000), 100),
        (10, Plan(1000, 2, StoreKind.FILE), 2),
        (128, Plan(1000, 4, StoreKind.FILE), 72),
    ],
)
def test_connections_are_bounded(limit: int, plan: Plan, connections: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a hundred, fewer than requests, and as the descriptors allow: two for each in one process, one in a fleet."""
    import resource  # noqa: PLC0415 - not on Windows

    soft = resource.RLIM_INFINITY if limit < 0 else limit
    monkeypatch.setattr("resource.getrlimit", lambda _which: (soft, soft))
    assert plan.connections == connections
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows, where nothing limits them
    assert Plan(1000).connections == 100


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_few_descriptors_are_enough() -> None:
    """The demo ends without a failure, and without a word about sockets."""
    limited = 'ulimit -n 64; exec "$0" -m exterview_auth demo --requests 400 --json'
    command = ["sh", "-c", limited, sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    numbers = json.loads(done.stdout)
    assert (numbers["ok"], numbers["failed"], numbers["connections"]) == (400, 0, 12)


def test_failures_are_counted_named_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if the server answered 200, but not with what was asked for."""
    errors: list[Exception] = []

    async def send(_self: Workload, _number: int) -> None:
        if errors:
            raise errors.pop()

    monkeypatch.setattr(Workload, "send", send)
    errors += [WrongAnswerError("x"), TimeoutError(), TimeoutError()]
    assert main(["demo", "--requests", "4"]) == 1
    assert "failures  3 (2 TimeoutError, 1 WrongAnswerError)" in capsys.readouterr().out
    errors += [TimeoutError()]
    assert main(["demo", "--requests", "4", "--json"]) == 1
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["ok"], numbers["failed"], numbers["failures"]) == (3, 1, {"TimeoutError": 1})


async def test_a_wrong_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that arrived changed is a failure, whatever the status."""
    monkeypatch.setattr(Workload, "MIX", [(RequestKind.UPLOAD, Workload._upload)])
    monkeypatch.setattr("exterview_auth._cli.demo.workload.io.BytesIO", lambda _content: b"changed on the way")
    result = await run_scenario(Plan(1), ignore)
    assert result.client.failures == {"WrongAnswerError": 1}


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
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.startswith("exterview-auth: interrupted")
    assert err.count("\n") == 1


def test_an_output_that_accepts_only_ascii_gets_ascii() -> None:
    """Block characters would be an error there, or boxes."""
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "--requests", "2"], capture_output=True, env=environ, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"#" in done.stdout
    assert b"\\u" not in done.stdout
