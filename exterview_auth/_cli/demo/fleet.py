"""Processes that share one account and one store, and that send together as one sender."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Self

from exterview_auth.errors import ConfigurationError

from .child_environment import child_environment
from .plan import Plan, WorkerConfig
from .sender import Observer
from .store import StoreKind, temporary_store
from .timeline import Counts, total

COMMAND = (sys.executable, "-m", f"{__package__}.worker")
"""What a process runs. Its configuration has secrets, and therefore comes through standard input."""

START_SECONDS = 60.0
"""How long a process may take until it is ready: many start at once, on few processors."""
SILENCE_SECONDS = 30.0
"""How long a process may report nothing; it reports many times a second."""
END_SECONDS = 5.0
"""How long a process may take to end."""

LOST = "LostProcess"
"""The failure of a request whose process did not report how it ended."""

# The process has gone, is silent (`TimeoutError` is an `OSError`), or writes something else than counters.
_PROCESS_FAILURES = (OSError, ValueError)


class WorkerProcess:
    """A process that runs `worker` with *config*, as its parent sees it."""

    def __init__(self, process: Process, config: WorkerConfig) -> None:
        self._process = process
        self._config = config
        self.counts = Counts()

    @classmethod
    async def start(cls, config: WorkerConfig) -> Self:
        """Start a process; raises `ConfigurationError` if the machine does not allow another one."""
        try:
            # In a separate session, so that Ctrl-C reaches this process alone, which then ends the others.
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,
                env=child_environment(os.environ),
            )
        except OSError as error:
            raise ConfigurationError(
                f"this machine does not let so many processes start ({error.strerror}); give a smaller --processes"
            ) from error
        return cls(process, config)

    async def get_ready(self) -> None:
        """Send the configuration and wait until the process is ready; a process that fails is ended."""
        try:
            await self._write(self._config.to_json())
            await self._read(START_SECONDS)
        except _PROCESS_FAILURES:
            await self.end()

    async def send(self, observer: Observer) -> None:
        """Let the process begin, and read its counters until it has all answers or is lost."""
        try:
            await self._write("begin")
            while self.counts.answered < self._config.share:
                before = self.counts
                await self._read(SILENCE_SECONDS)
                if self.counts.logins > before.logins:
                    observer.on_login()
                if self.counts.answered > before.answered:
                    observer.on_answers()
        except _PROCESS_FAILURES:
            # What it leaves unanswered has failed. The others go on.
            lost = Counter({LOST: self._config.share - self.counts.answered})
            failures = Counter(self.counts.failures) + lost
            self.counts = replace(self.counts, answered=self._config.share, waiting=0, failures=failures)
            observer.on_answers()
            await self.end()

    async def end(self) -> None:
        """End the process: it ends by itself when its standard input does, or is killed."""
        # The worker takes the end of its standard input for the end of its parent, in whatever state it is.
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
        await self._process.communicate()  # to the end of its pipes, so that they are closed

    async def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def _read(self, seconds: float) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            line = await self._process.stdout.readline()
        self.counts = Counts.from_json(line)


class Fleet:
    """Processes that are ready, and begin all at once."""

    def __init__(self, processes: Sequence[WorkerProcess]) -> None:
        self._processes = processes

    @property
    def answered(self) -> int:
        """Requests that have an answer, in all processes together."""
        return sum(process.counts.answered for process in self._processes)

    def counts(self) -> Counts:
        """Return the counters of all processes together, by their last reports."""
        return total(process.counts for process in self._processes)

    async def send(self, observer: Observer) -> None:
        """Let all processes begin, and wait for every answer."""
        async with asyncio.TaskGroup() as group:
            for process in self._processes:
                group.create_task(process.send(observer))


@asynccontextmanager
async def opened_fleet(plan: Plan, kind: StoreKind, config: WorkerConfig) -> AsyncIterator[Fleet]:
    """Start the processes of *plan*, each with its share of *config*; they and their store are gone after the block."""
    # The order of the ends: processes first, then their store. A signal may arrive at any moment between.
    with _ended_by_signals():
        async with temporary_store(kind) as address:
            processes: list[WorkerProcess] = []
            try:
                each, left = divmod(plan.connections, plan.processes)
                for index in range(plan.processes):
                    connections = each + (index < left)
                    share = replace(config, index=index, workers=plan.processes, connections=connections, store=address)
                    processes.append(await WorkerProcess.start(share))
                # All are ready before the first begins: loading modules takes longer than a small storm.
                await asyncio.gather(*(process.get_ready() for process in processes))
                yield Fleet(processes)
            finally:
                await asyncio.gather(*(process.end() for process in processes))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, and a terminal that goes away, end the block as Ctrl-C does, so that no process is left behind."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    with ExitStack() as stack:
        for name in ("SIGTERM", "SIGHUP"):
            # Windows has only one of them, and no such handlers: there, Ctrl-C alone ends the block.
            with suppress(AttributeError, NotImplementedError):
                loop.add_signal_handler(getattr(signal, name), task.cancel)
                stack.callback(loop.remove_signal_handler, getattr(signal, name))
        yield
