"""A private redis-server, and what tests do where none is installed."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from exterview_auth._cli.demo import redis_server
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis, redis_server_path
from exterview_auth.errors import ConfigurationError
from tests.kit.api import until
from tests.kit.redis_server import MISSING, redis_binary


def ask(port: int, *commands: str) -> list[str]:
    """Return the answers to *commands*, each of one line."""
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
    """Return the directory in which temporary directories are made."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a redis-server that starts and never listens."""
    path = tmp_path / "redis-server"
    path.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(redis_server, "redis_server_path", lambda: str(path))


def silent_on(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """Let no server answer on the *taken* port."""
    answers = redis_server._answers

    async def answering(port: int) -> bool:
        return port != taken and await answers(port)

    monkeypatch.setattr(redis_server, "_answers", answering)


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary")
async def test_it_serves_and_is_gone_afterwards(temporary: Path) -> None:
    """Its URL leads to it while the block runs; then no process, no port and no file is left."""
    async with LocalRedis() as redis:
        assert redis.url == f"redis://127.0.0.1:{redis.port}/0"
        assert ask(redis.port, "SET a b", "EXISTS a") == ["+OK", ":1"]
        assert len(contents(temporary)) == 1
    assert redis.process.returncode == 0
    assert not is_listening(redis.port)
    assert contents(temporary) == []


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary", "temporary")
async def test_it_keeps_nothing_on_the_disk(tmp_path: Path) -> None:
    """A given directory is used and stays, without a snapshot in it; options reach the server."""
    directory = tmp_path / "redis"
    directory.mkdir()
    async with LocalRedis("--requirepass", "secret", directory=directory) as redis:
        assert ask(redis.port, "GET a", "AUTH secret", "SET a b")[1:] == ["+OK", "+OK"]
    assert contents(directory) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("end", [LocalRedis.stop, LocalRedis.kill])
async def test_a_restart_is_on_the_same_port_and_empty(
    end: Callable[[LocalRedis], Awaitable[None]], own_redis: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running server is stopped first; if another process has taken the port, an error says so."""
    port = own_redis.port
    assert ask(port, "SET a b") == ["+OK"]
    await end(own_redis)
    for _ in range(2):
        await own_redis.restart()
        assert (own_redis.port, ask(port, "EXISTS a", "SET a b")) == (port, [":0", "+OK"])
    await own_redis.stop()
    with socket.create_server((HOST, port)):
        silent_on(monkeypatch, port)
        with pytest.raises(ConfigurationError, match="does not start"):
            await own_redis.restart()


@pytest.mark.asyncio
async def test_a_paused_server_can_still_be_stopped(own_redis: LocalRedis) -> None:
    """It is resumed first, and ends in its usual way."""
    own_redis.pause()
    await own_redis.stop()
    own_redis.resume()
    assert own_redis.process.returncode == 0


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary")
async def test_a_port_that_was_taken_in_between_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server starts on another port; if there is none, one sentence says that it does not start."""
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        free = iter([port, redis_server._free_port()])
        monkeypatch.setattr(redis_server, "_free_port", lambda: next(free, port))
        silent_on(monkeypatch, port)
        async with LocalRedis() as redis:
            assert redis.port != port
        with pytest.raises(ConfigurationError, match=r"^redis-server does not start on this machine; check that"):
            await LocalRedis().__aenter__()


@pytest.mark.asyncio
@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_start_that_does_not_succeed_leaves_nothing(
    interrupted: bool,  # noqa: FBT001 - a parameter of the test
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process is killed and its directory removed, after a bound and when the caller is cancelled."""
    monkeypatch.setattr(redis_server, "START_SECONDS", 60 if interrupted else 0.05)
    redis = LocalRedis()
    starting = asyncio.ensure_future(redis.__aenter__())
    await until(lambda: hasattr(redis, "process"))
    if interrupted:
        starting.cancel()
    with pytest.raises(asyncio.CancelledError if interrupted else ConfigurationError):
        await starting
    assert redis.process.returncode == -9
    assert contents(temporary) == []


@pytest.mark.asyncio
@pytest.mark.usefixtures("redis_binary")
async def test_a_server_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound, whatever it is busy with."""
    monkeypatch.setattr(redis_server, "STOP_SECONDS", 0.05)
    async with LocalRedis() as redis:
        monkeypatch.setattr(redis.process, "terminate", lambda: None)
    assert redis.process.returncode == -9


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n"], ids=["hangs up", "is not Redis"])
async def test_a_peer_that_is_not_redis_has_not_answered(answer: bytes) -> None:
    """It hangs up, or says something else."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not answer:
            writer.transport.abort()
            return
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, HOST, 0)
    async with server:
        assert not await redis_server._answers(server.sockets[0].getsockname()[1])


@pytest.mark.asyncio
async def test_without_redis_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    """One sentence, and nothing is left."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert redis_server_path() is None
    with pytest.raises(ConfigurationError, match=r"^redis-server is not installed on this machine; install it, or"):
        await LocalRedis().__aenter__()
    assert contents(temporary) == []


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_tests_that_need_redis_do_not_pass_without_it(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They fail in CI, where a run counts; elsewhere a developer reads what to install, and goes on."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome) as raised:
        redis_binary()
    assert str(raised.value) == MISSING
