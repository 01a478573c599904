"""The command, here or as a process of its own, and servers for it on an event loop in a thread."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar
from unittest.mock import patch

from aiohttp import web
from aiohttp.test_utils import RawTestServer

from exterview_auth._cli import main
from exterview_auth.emulator._emulator import all_accepted

T = TypeVar("T")
Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

COMMAND = [sys.executable, "-m", "exterview_auth"]
"""What `exterview-auth` runs."""


class Elsewhere:
    """An event loop in a thread: the servers' side, while the command runs in this one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=120)

    async def closed(self, server: RawTestServer) -> None:
        """Close *server*, and every connection with it."""
        await all_accepted()
        await server.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Done(NamedTuple):
    """A process that has ended."""

    code: int
    out: str
    err: str

    def failed(self, code: int, *parts: str) -> str:
        """Return the one sentence on standard error, which has all *parts*; the exit code is *code*, and nothing else was printed."""
        assert (self.code, self.out) == (code, ""), self
        assert self.err.startswith("exterview-auth: "), self
        assert self.err.count("\n") == 1, self
        assert all(part in self.err for part in parts), self
        return self.err.strip()

    def printed(self) -> str:
        """Return what a run that was fine has printed."""
        assert (self.code, self.err) == (0, ""), self
        return self.out


def ran(*arguments: str, stdin: str | bytes = "", environ: Mapping[str, str] | None = None) -> Done:
    """Run the command with *arguments* in this process, with *stdin* and *environ* beside its environment: most tests need no other."""
    streams = [_Stream(), _Stream(stdin.encode() if isinstance(stdin, str) else stdin), _Stream()]
    with (
        patch.dict(os.environ, environ or {}),
        patch.multiple(sys, stdout=streams[0], stdin=streams[1], stderr=streams[2]),
    ):
        code = main(arguments)
    return Done(code, streams[0].text(), streams[2].text())


class _Stream(io.TextIOWrapper):
    """A pipe's end: no terminal."""

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", write_through=True)

    def text(self) -> str:
        self.seek(0)
        return self.read()


def ran_apart(*arguments: str, stdin: str | bytes = "", environ: Mapping[str, str] | None = None) -> Done:
    """Run the command as `ran` does, in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start the command, and kill it at the end of the block."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*COMMAND, *arguments], **{**pipes, **options}) as process:
        try:
            yield process
        finally:
            process.kill()
