"""A redis-server of one's own, and what tests do where there is none."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from exterview_auth._cli import _local_redis
from exterview_auth._cli._local_redis import HOST, LocalRedis, redis_server_path
from exterview_auth.errors import ConfigurationError
from tests.kit import redis_server
from tests.kit.api import until


def ask(port: int, *commands: str) -> list[str]:
    """The answers to *commands*, each of one line."""
    with socket.create_connection((HOST, port), timeout=10) as connection, connection.makefile("rb") as answers:
        connection.sendall("".join(f"{command}\r\n" for command in commands).encode())
        return [answers.readline().decode().strip() for _ in commands]


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def contents(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary")
async def test_it_serves_and_is_gone_afterwards(temporary: Path) -> None:
    """Its URL leads to it while the block runs; then there is no process, no port and no file."""
    async with LocalRedis() as redis:
        assert redis.url == f"redis://127.0.0.1:{redis.port}/0"
        assert ask(redis.port, "SET a b", "EXISTS a") == ["+OK", ":1"]
        assert len(contents(temporary)) == 1
    assert redis.process.returncode == 0
    assert not is_listening(redis.port)
    assert contents(temporary) == []


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary")
async def test_it_keeps_nothing_on_the_disk(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A directory that was given is used and stays, and no snapshot is in it; options reach the server."""
    directory = tmp_path_factory.mktemp("redis")
    async with LocalRedis("--requirepass", "secret", directory=directory) as redis:
        assert ask(redis.port, "GET a", "AUTH secret", "SET a b")[1:] == ["+OK", "+OK"]
        assert ask(redis.port, "GET a")[0].startswith("-NOAUTH")
    assert contents(directory) == []
    assert contents(temporary) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("end", [LocalRedis.stop, LocalRedis.kill])
async def test_a_restart_is_on_the_same_port_and_empty(
    end: Callable[[LocalRedis], Awaitable[None]], own_redis: LocalRedis
) -> None:
    """As after a crash with no persistence; one that runs is stopped first."""
    port = own_redis.port
    assert ask(port, "SET a b") == ["+OK"]
    await end(own_redis)
    assert not is_listening(port)
    for _ in range(2):
        await own_redis.restart()
        assert (own_redis.port, ask(port, "EXISTS a", "SET a b")) == (port, [":0", "+OK"])


@pytest.mark.asyncio
async def test_a_paused_server_answers_when_it_is_resumed(own_redis: LocalRedis) -> None:
    """Until then it takes connections and says nothing; paused, it can still be stopped."""
    own_redis.pause()
    reader, writer = await asyncio.open_connection(HOST, own_redis.port)
    writer.write(b"PING\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readline(), 0.1)
    own_redis.resume()
    assert await reader.readline() == b"+PONG\r\n"
    writer.close()
    await writer.wait_closed()
    own_redis.pause()
    await own_redis.stop()
    own_redis.resume()
    assert own_redis.process.returncode is not None


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary")
async def test_a_port_that_was_taken_in_between_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes up on another one; where there is none, one sentence says that it did not come up."""
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        free = iter([port, _local_redis._free_port()])
        monkeypatch.setattr(_local_redis, "_free_port", lambda: next(free, port))
        monkeypatch.setattr(_local_redis, "_answers", _unless(_local_redis._answers, port))
        async with LocalRedis() as redis:
            assert redis.port != port
        with pytest.raises(ConfigurationError, match=r"^redis-server does not come up on this machine; see whether"):
            await LocalRedis().__aenter__()


def _unless(answers: Callable[[int], Awaitable[bool]], taken: int) -> Callable[[int], Awaitable[bool]]:
    """Nobody answers on the *taken* port."""

    async def answering(port: int) -> bool:
        return port != taken and await answers(port)

    return answering


def stand_in(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A redis-server that does what *script* says."""
    path = directory / "redis-server"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(_local_redis, "redis_server_path", lambda: str(path))


@pytest.mark.asyncio
async def test_a_server_that_does_not_come_up_is_ended(
    temporary: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bound it is killed, its directory removed, and one sentence says so."""
    stand_in(tmp_path_factory.mktemp("bin"), monkeypatch, "exec sleep 60")
    monkeypatch.setattr(_local_redis, "START_SECONDS", 0.05)
    redis = LocalRedis()
    with pytest.raises(ConfigurationError, match="does not come up"):
        await redis.__aenter__()
    assert redis.process.returncode == -9
    assert contents(temporary) == []


@pytest.mark.asyncio
async def test_whoever_is_interrupted_at_the_start_leaves_nothing(
    temporary: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the process nor its directory."""
    stand_in(tmp_path_factory.mktemp("bin"), monkeypatch, "exec sleep 60")
    redis = LocalRedis()
    starting = asyncio.ensure_future(redis.__aenter__())
    await until(lambda: hasattr(redis, "process"))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert redis.process.returncode == -9
    assert contents(temporary) == []


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary")
async def test_a_server_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound, whatever it is busy with."""
    monkeypatch.setattr(_local_redis, "STOP_SECONDS", 0.05)
    async with LocalRedis() as redis:
        monkeypatch.setattr(redis.process, "terminate", lambda: None)
    assert redis.process.returncode == -9


@pytest.mark.asyncio
async def test_a_restart_that_fails_says_so(own_redis: LocalRedis) -> None:
    """Where somebody else has its port by then."""
    await own_redis.stop()
    with socket.create_server((HOST, own_redis.port)) as _, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_local_redis, "_answers", _unless(_local_redis._answers, own_redis.port))
        with pytest.raises(ConfigurationError, match="does not come up"):
            await own_redis.restart()


@pytest.mark.asyncio
async def test_a_peer_that_hangs_up_has_not_answered() -> None:
    """Nor has one that says something else than Redis does."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n")
        writer.close()

    for peer in (hang_up, talk):
        server = await asyncio.start_server(peer, HOST, 0)
        async with server:
            assert not await _local_redis._answers(server.sockets[0].getsockname()[1])


@pytest.mark.asyncio
async def test_without_redis_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    """One sentence, and nothing is left."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert redis_server_path() is None
    with pytest.raises(ConfigurationError, match=r"^redis-server is not on this machine; install it, or use --store"):
        await LocalRedis().__aenter__()
    assert contents(temporary) == []


def test_the_shared_server_is_empty_for_each_test(redis_url: str) -> None:
    """What one test leaves, the next does not find."""
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    assert ask(port, "DBSIZE", "SET a b") == [":0", "+OK"]
    redis_server.flush(port)
    assert ask(port, "DBSIZE") == [":0"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, ...]]]:
    """A machine without redis-server, with what else it has; gives the commands that are run on it."""

    def make(*programs: str, uid: int = 0, fails: str = "") -> list[tuple[str, ...]]:
        ran: list[tuple[str, ...]] = []

        def run(command: tuple[str, ...]) -> tuple[int, str]:
            ran.append(command)
            return (1, f"{fails} failed") if fails and fails in command else (0, "")

        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name in programs else None)
        monkeypatch.setattr("os.geteuid", lambda: uid)
        monkeypatch.setattr(redis_server, "_run", run)
        return ran

    return make


Machine = Callable[..., list[tuple[str, ...]]]


def test_missing_in_ci_fails(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that counts does not leave tests out."""
    machine()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception) as failure:
        redis_server.redis_binary()
    assert str(failure.value) == redis_server.MISSING


@pytest.mark.parametrize("ci", [None, ""])
def test_missing_elsewhere_skips(ci: str | None, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer reads what to install, and goes on."""
    machine()
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    with pytest.raises(pytest.skip.Exception, match="install it: apt-get install redis-server"):
        redis_server.redis_binary()


def test_what_is_there_is_used(machine: Machine) -> None:
    """Nothing is installed, and the path is the one that was found."""
    ran = machine("redis-server", "apt-get")
    assert redis_server.install_if_missing() == ""
    assert redis_server.redis_binary() == "/usr/bin/redis-server"
    assert ran == []


def test_root_installs(machine: Machine) -> None:
    """Quietly, with no question, and without starting the packaged daemon."""
    ran = machine("apt-get")
    assert redis_server.install_if_missing() == ""
    assert [command[4:6] for command in ran] == [("apt-get", "-qq")] * 2
    assert [command[6] for command in ran] == ["update", "install"]
    assert all({"DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"} < set(command) for command in ran)


def test_a_user_with_sudo_installs(machine: Machine) -> None:
    """Where it asks for no password."""
    ran = machine("apt-get", "sudo", uid=1000)
    assert redis_server.install_if_missing() == ""
    assert ran[0] == ("sudo", "-n", "true")
    assert [command[:2] for command in ran[1:]] == [("sudo", "-n")] * 2


@pytest.mark.parametrize(
    ("programs", "options"),
    [((), {}), (("apt-get",), {"uid": 1000}), (("apt-get", "sudo"), {"uid": 1000, "fails": "true"})],
    ids=["no apt-get", "no sudo", "sudo that asks"],
)
def test_who_may_not_install_does_not_try(programs: tuple[str, ...], options: dict[str, int], machine: Machine) -> None:
    """Nothing but sudo is asked."""
    ran = machine(*programs, **options)
    assert redis_server.install_if_missing() == ""
    assert all(command == ("sudo", "-n", "true") for command in ran)


def test_what_apt_get_printed_is_shown_where_it_failed(machine: Machine) -> None:
    """And the step after it is not tried."""
    ran = machine("apt-get", fails="update")
    assert redis_server.install_if_missing() == "update failed"
    assert len(ran) == 1


def test_a_command_that_hangs_or_is_missing_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output, or why there is none, is told."""
    assert redis_server._run(("sh", "-c", "echo both; echo of them >&2; exit 3")) == (3, "both\nof them\n")
    assert redis_server._run(("/nowhere/at-all",))[0] == 1
    monkeypatch.setattr(redis_server, "INSTALL_SECONDS", 0.05)
    code, why = redis_server._run(("sleep", "60"))
    assert (code, "timed out" in why) == (1, True)
