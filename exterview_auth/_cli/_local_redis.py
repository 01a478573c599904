"""A redis-server of one's own on this machine, for as long as a block runs."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from exterview_auth.errors import ConfigurationError

HOST = "127.0.0.1"
START_SECONDS = 10.0
"""How long it may take until it answers."""
STOP_SECONDS = 5.0
"""How long it may take to end when it is told to."""

_PORTS_TRIED = 5
_SECONDS_BETWEEN_PROBES = 0.01
_IS_UP = (b"+PONG", b"-NOAUTH")  # the second from a server that an option gave a password


def redis_server_path() -> str | None:
    """Where this machine's redis-server is, or ``None``."""
    return shutil.which("redis-server")


class LocalRedis:
    """
    A redis-server on a free loopback port, empty and without persistence; *options* end its command line.

    It works in *directory*, or in a temporary one that goes with it. Without a redis-server on the machine, or where it
    does not come up, entering raises `ConfigurationError`.
    """

    port: int
    process: Process

    def __init__(self, *options: str, directory: Path | None = None) -> None:
        self._options = options
        self._directory = directory
        self._opened = ExitStack()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://{HOST}:{self.port}/0"

    async def __aenter__(self) -> Self:
        with ExitStack() as stack:
            if self._directory is None:
                self._directory = Path(stack.enter_context(TemporaryDirectory(prefix="exterview-auth-redis-")))
                stack.callback(setattr, self, "_directory", None)
            await self._start_on_a_free_port()
            self._opened = stack.pop_all()
        return self

    async def __aexit__(self, *_error: object) -> None:
        with self._opened:
            await self.stop()

    async def stop(self) -> None:
        """End it; fine where it has ended already."""
        if self.process.returncode is not None:
            return
        self.resume()
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            await self.kill()

    async def restart(self) -> None:
        """The same port again, and nothing in it."""
        await self.stop()
        if not await self._start():
            raise _not_up()

    async def kill(self) -> None:
        """End it at once, as a crash would."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    def pause(self) -> None:
        """Let it hang: connections are accepted, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    async def _start_on_a_free_port(self) -> None:
        for _ in range(_PORTS_TRIED):
            self.port = _free_port()
            if await self._start():
                return
        raise _not_up()

    async def _start(self) -> bool:
        """Whether it is up; it ends at once where somebody else has taken the port."""
        self.process = await asyncio.create_subprocess_exec(
            *self._command(), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                return await self._is_up()
        except TimeoutError:
            await self.kill()
        except BaseException:
            await self.kill()
            raise
        raise _not_up()

    def _command(self) -> list[str]:
        path = redis_server_path()
        if path is None:
            raise ConfigurationError("redis-server is not on this machine; install it, or use --store file")
        where = ["--port", str(self.port), "--bind", HOST, "--dir", str(self._directory)]
        return [path, *where, "--save", "", "--appendonly", "no", *self._options]

    async def _is_up(self) -> bool:
        """Ask until it answers, or has ended."""
        while self.process.returncode is None:
            if await _answers(self.port):
                return True
            await asyncio.sleep(_SECONDS_BETWEEN_PROBES)
        return False


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def _answers(port: int) -> bool:
    """Whether a server on *port* answers a PING."""
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


def _not_up() -> ConfigurationError:
    return ConfigurationError(
        "redis-server does not come up on this machine; see whether it starts by hand, or use --store file"
    )
