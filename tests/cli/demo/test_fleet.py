"""The demo with many processes: real ones, which share one account and one store."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exterview_auth._cli import main
from exterview_auth._cli.demo import _member, _plan, _scenario, _shared_store, _worker
from exterview_auth._cli.demo._assignment import Access, Assignment
from exterview_auth._cli.demo._fleet import Fleet
from exterview_auth._cli.demo._member import LOST, Member
from exterview_auth._cli.demo._plan import Plan, checked_plan
from exterview_auth._cli.demo._scenario import play
from exterview_auth._cli.demo._screen import Screen
from exterview_auth._cli.demo._sender import Sender
from exterview_auth._cli.demo._shared_store import StoreAddress, StoreKind
from exterview_auth._cli.demo._tally import Tally, total
from exterview_auth._cli.demo._timeline import Timeline
from exterview_auth._cli.demo._workload import Catalogue, Workload
from exterview_auth._cli.demo.redis_server import LocalRedis
from exterview_auth.emulator import Emulator
from exterview_auth.errors import ConfigurationError
from tests.kit.api import until

TOLD = Tally(answered=7, waiting=2, waiting_peak=5, replays=1, logins=1, adopted=1, failures={"TimeoutError": 1})


class Traces:
    """All that a demo starts and makes, and whether it is gone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: list[asyncio.subprocess.Process] = []

    def are_gone(self) -> bool:
        left = [process for process in self.processes if process.returncode is None]
        return bool(self.processes) and not left and not list(self.directory.iterdir())


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traces:
    """Those of this test."""
    traces, start = Traces(tmp_path), asyncio.create_subprocess_exec

    async def start_noted(*command: str, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **options)
        traces.processes.append(process)
        return process

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_noted)
    return traces


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins take less than people want to see; an answer takes what it does, so that something is left to revoke."""
    monkeypatch.setattr(_scenario, "LOGIN_DELAY", 0.05)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as it is by default, also where the runner was started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def told_by(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line of JSON; nothing else was printed."""
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("\n") == 1
    told: dict[str, Any] = json.loads(printed.out)
    return told


def ignore(_timeline: Timeline) -> None:
    """Nobody watches."""


@pytest.mark.usefixtures("redis_binary")
@pytest.mark.parametrize("store", list(StoreKind))
def test_a_fleet_logs_in_once(store: str, traces: Traces, capsys: pytest.CaptureFixture[str]) -> None:
    """Once at the start and once after the revocation, in all processes together; no request fails, nothing is left."""
    assert main(["demo", "--processes", "3", "--store", store, "--requests", "240", "--json"]) == 0
    told = told_by(capsys)
    assert (told["processes"], told["store"]) == (3, store)
    assert (told["requests"], told["ok"], told["failed"], told["failures"]) == (240, 240, 0, {})
    assert (told["logins"], told["logins_before_revocation"]) == (2, 1)
    assert 2 <= told["adopted"] <= 4  # two at the start, and those who had something left to send when it was revoked
    assert told["replays"] == told["server"]["statuses"]["401"] > 0
    assert told["server"] == {
        "logins": 2,
        "logins_at_a_time": 1,
        "statuses": {"200": 240, "401": told["replays"]},
    }
    assert told["mix"] == {"query": 120, "mutation": 60, "upload": 60}
    assert 0 < told["waiting_peak"] <= 240
    assert len(traces.processes) == 3 + (store == StoreKind.REDIS)
    assert traces.are_gone()


def test_the_picture_and_the_summary_of_a_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    """The same rows and lines as with one process, and who the processes are."""
    assert main(["demo", "--processes", "2", "--store", "file", "--requests", "80"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert printed.err == ""
    assert lines[0] == "Sending 80 requests at once from 2 processes to a local emulator ..."
    assert [line.split()[0] for line in lines if line[:1].isalpha()][1:] == [
        *("sent", "refused", "waiting", "replayed", "answered"),
        *("requests", "processes", "logins", "adopted", "replays", "failures", "wall", "server"),
    ]
    assert "processes 2, sharing one token by FileStore in a directory of their own" in lines
    assert "logins    2: 1 at the start, 1 after the revocation" in lines
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24


@pytest.mark.asyncio
async def test_the_timeline_of_a_fleet_of_one_ends_with_the_totals(traces: Traces) -> None:
    """What the picture shows adds up to what is told, every login is marked, and one process alone adopts nothing."""
    story = await play(checked_plan(60, 1, "file"), ignore)
    assert (story.client.logins, story.client.adopted, story.failed) == (2, 0, 0)
    last, replays = story.timeline.last, story.client.replays
    assert (last.sent, last.answered, last.waiting, last.refused, last.replayed) == (
        60 + replays,
        60,
        0,
        replays,
        replays,
    )
    assert [mark.label for mark in story.timeline.marks] == ["login", "every token revoked", "login"]
    assert traces.are_gone()


def test_a_process_without_requests_is_ready_and_ends(traces: Traces, capsys: pytest.CaptureFixture[str]) -> None:
    """There may be more processes than requests."""
    assert main(["demo", "--processes", "3", "--store", "file", "--requests", "1", "--json"]) == 0
    assert told_by(capsys)["ok"] == 1
    assert traces.are_gone()


def _once_some_are_answered(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """In mid-flight, once."""
    left = [do]

    def show(_self: Screen, timeline: Timeline) -> None:
        if timeline.last.answered > 10 and left:
            left.pop()()

    monkeypatch.setattr(Screen, "show", show)


def test_a_process_that_is_killed_fails_its_requests(
    traces: Traces, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it leaves unanswered has failed, exit code 1; the others go on, and nothing is left behind."""
    _once_some_are_answered(monkeypatch, lambda: os.kill(traces.processes[0].pid, signal.SIGKILL))
    assert main(["demo", "--processes", "2", "--store", "file", "--requests", "200", "--json"]) == 1
    told = told_by(capsys)
    assert told["failures"] == {LOST: told["failed"]}
    assert 0 < told["failed"] <= 100
    assert told["ok"] == 200 - told["failed"]
    assert traces.are_gone()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no os.kill for these signals")
@pytest.mark.usefixtures("interruptible", "redis_binary")
@pytest.mark.parametrize(("number", "store"), [(signal.SIGINT, "file"), (signal.SIGTERM, "redis")])
def test_a_signal_in_mid_flight_leaves_nothing_behind(
    number: signal.Signals,
    store: str,
    traces: Traces,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C, SIGTERM or the end of the terminal: no process, no redis-server, no file, and one sentence."""
    before = signal.getsignal(number)
    _once_some_are_answered(monkeypatch, lambda: os.kill(os.getpid(), number))
    assert main(["demo", "--processes", "2", "--store", store, "--requests", "4000"]) == 130
    error = capsys.readouterr().err
    assert error.startswith("exterview-auth: interrupted")
    assert error.count("\n") == 1
    assert traces.are_gone()
    assert signal.getsignal(number) == before


def test_a_performance_that_is_cancelled_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is how a signal other than Ctrl-C ends it: exit code 130, one sentence, no traceback."""

    async def cancelled(*_arguments: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(_scenario, "play", cancelled)
    assert main(["demo", "--store", "file", "--json"]) == 130
    assert capsys.readouterr().err.startswith("exterview-auth: interrupted")


def test_many_processes_report_less_often() -> None:
    """So that their parent reads as many lines from sixty-four as from eight."""
    sender = Sender(assignment())
    paces = [processes / _worker._Reporter(sender, processes)._interval for processes in (1, 8, 16, 64)]
    assert paces == pytest.approx([50, 400, 400, 400])


STAND_INS = {
    "ends at once": "",
    "is not ready": "input(); print('Traceback'); input()",
    "says garbage": f"input(); print({TOLD.to_json()!r}, flush=True); input(); print('[1]', flush=True); input()",
    "goes silent": f"input(); print({TOLD.to_json()!r}, flush=True); input(); input()",
    "says more than a line": "input(); print('x' * 1_000_000, flush=True); input()",
    "does not end": f"import time; input(); print({TOLD.to_json()!r}, flush=True); time.sleep(60)",
}


@pytest.mark.parametrize("program", STAND_INS.values(), ids=STAND_INS)
def test_a_process_that_is_of_no_use_is_no_hang(
    program: str, traces: Traces, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it says or does not say, the demo ends, its requests have failed, and no traceback is shown."""
    monkeypatch.setattr(_member, "COMMAND", (sys.executable, "-c", program))
    monkeypatch.setattr(_member, "SECONDS_OF_SILENCE", 0.2)
    monkeypatch.setattr(_member, "SECONDS_TO_END", 0.2)
    assert main(["demo", "--processes", "2", "--store", "file", "--requests", "40", "--json"]) == 1
    told = told_by(capsys)
    assert told["failed"] == 40 - told["ok"] >= 26
    assert told["failures"][LOST] >= 26
    assert traces.are_gone()


def test_a_machine_that_starts_no_more_processes_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], traces: Traces
) -> None:
    """Exit code 2 and what to change; those that have started end."""
    start = asyncio.create_subprocess_exec

    async def start_one(*command: str, **options: Any) -> asyncio.subprocess.Process:
        if traces.processes:
            raise OSError(errno.EMFILE, "Too many open files")
        return await start(*command, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_one)
    assert main(["demo", "--processes", "2", "--store", "file", "--json"]) == 2
    assert capsys.readouterr().err == (
        "exterview-auth: this machine does not let so many processes start (Too many open files); "
        "give a smaller --processes\n"
    )
    assert traces.are_gone()


def test_redis_without_a_redis_server_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and what to do, before anything is printed."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert main(["demo", "--processes", "2", "--store", "redis"]) == 2
    assert capsys.readouterr() == (
        "",
        "exterview-auth: redis-server is not installed on this machine; install it, or use --store file\n",
    )


@pytest.mark.parametrize(
    ("server", "client", "store"), [("/redis", object(), "redis"), (None, object(), "file"), ("/redis", None, "file")]
)
def test_the_best_store_is_redis_where_it_can_be_had(
    server: str | None, client: object, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the processes share a directory; one process needs neither."""
    monkeypatch.setattr(_plan, "redis_server_path", lambda: server)
    monkeypatch.setattr(_plan, "find_spec", lambda _name: client)
    assert checked_plan(10, 2, None).store == store
    assert checked_plan(10, 1, None).store is None
    assert checked_plan(10, 1, "file").store == StoreKind.FILE


@pytest.mark.asyncio
async def test_a_store_that_cannot_be_used_is_said_once(monkeypatch: pytest.MonkeyPatch, traces: Traces) -> None:
    """Before any process is started."""

    def missing(_address: StoreAddress) -> object:
        raise ConfigurationError("FileStore needs filelock; run: pip install filelock")

    monkeypatch.setattr(_shared_store, "opened_store", missing)
    with pytest.raises(ConfigurationError, match="needs filelock"):
        await play(Plan(10, 2, StoreKind.FILE), ignore)
    assert traces.processes == []


def assignment(endpoint: str = "http://127.0.0.1:1/graphql", **changes: Any) -> Assignment:
    access = Access(endpoint, "the-key", "user@example.com", "the-password")
    catalogue = Catalogue("organization-1", ("job-1",), ("candidate-1",))
    return Assignment(access, catalogue, **{"requests": 100, "connections": 4, "in_flight": 50, **changes})


def test_an_assignment_arrives_as_it_was_given() -> None:
    """With the secrets that its repr does not show."""
    given = assignment(sender=1, senders=3, store=StoreAddress(StoreKind.FILE, "/somewhere"))
    arrived = Assignment.from_json(given.to_json().encode())
    assert arrived.to_json() == given.to_json()
    assert (arrived.access, arrived.store, arrived.numbers()) == (given.access, given.store, given.numbers())
    assert "the-key" not in repr(given)
    assert "the-password" not in repr(given)


@pytest.mark.parametrize("senders", [1, 2, 3, 8, 64])
def test_every_request_has_one_sender_and_every_sender_the_same_mix(senders: int) -> None:
    """In numbers that differ by one at most, of each kind of request too where there are many."""
    requests = 64 * 8 * 2
    shares = [assignment(requests=requests, sender=sender, senders=senders).numbers() for sender in range(senders)]
    assert sorted(number for share in shares for number in share) == list(range(requests))
    assert [len(share) for share in shares] == [
        assignment(requests=requests, sender=sender, senders=senders).share for sender in range(senders)
    ]
    assert {len(share) for share in shares} <= {requests // senders, requests // senders + 1}
    kinds = [Counter(number % len(Workload.MIX) for number in share) for share in shares]
    for kind in range(len(Workload.MIX)):
        counts = [mix[kind] for mix in kinds]
        assert max(counts) - min(counts) <= 1


def test_a_tally_arrives_as_it_was_told() -> None:
    """Line by line, through JSON."""
    assert Tally.from_json(TOLD.to_json().encode()) == TOLD


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Traceback (most recent call last):\n",
        b"[1]\n",
        b"{}\n",
        b"\xff\xfe\n",
        TOLD.to_json().replace("7", '"7"').encode(),
        TOLD.to_json().replace("7", "-7").encode(),
        TOLD.to_json().replace("7", "true").encode(),
        TOLD.to_json().replace('{"TimeoutError": 1}', "[]").encode(),
        TOLD.to_json().replace('{"TimeoutError": 1}', '{"TimeoutError": null}').encode(),
    ],
)
def test_what_is_no_tally_is_refused(line: bytes) -> None:
    """With a `ValueError`, whatever it is."""
    with pytest.raises(ValueError, match=r".*"):
        Tally.from_json(line)


def test_tallies_add_up() -> None:
    """All but the peak, which is not of one moment: the highest of one process is known to have been reached."""
    assert total([]) == Tally()
    assert total([TOLD, Tally(answered=1, waiting_peak=3, failures={"TimeoutError": 1, LOST: 2})]) == Tally(
        answered=8, waiting=2, waiting_peak=5, replays=1, logins=1, adopted=1, failures={"TimeoutError": 2, LOST: 2}
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("begins", [True, False])
async def test_a_process_whose_parent_goes_ends(begins: bool, tmp_path: Path, traces: Traces) -> None:  # noqa: FBT001 - a parameter of the test
    """In mid-flight, where nothing would answer for a minute, and before it has begun."""
    async with Emulator(latency=60) as emulator:
        address = StoreAddress(StoreKind.FILE, str(tmp_path / "store"))
        member = await Member.started(assignment(emulator.endpoint, store=address))
        await member.get_ready()
        assert member.tally == Tally()
        sending = asyncio.create_task(Fleet([member]).send(Deaf()))
        if begins:
            await until(lambda: emulator.stats().requests > 0)
        else:
            sending.cancel()
        await member.end()
        await asyncio.wait([sending])
    assert member.tally.failures == ({LOST: 100} if begins else {})
    assert traces.processes[0].returncode == int(begins)


class Deaf:
    """An audience that takes no notice."""

    def login_made(self) -> None: ...

    def answers_came(self) -> None: ...


@pytest.mark.asyncio
async def test_an_interruption_while_the_processes_start_leaves_none(traces: Traces) -> None:
    """Not even those that have not yet loaded what they need."""
    playing = asyncio.create_task(play(Plan(100, 2, StoreKind.FILE), ignore))
    await until(lambda: len(traces.processes) == 2)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert traces.are_gone()


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary")
async def test_the_processes_redis_server_is_their_own(traces: Traces) -> None:
    """A server that is there already is not used."""
    async with LocalRedis() as other, _shared_store.opened_place(StoreKind.REDIS) as address:
        assert address.where != other.url
