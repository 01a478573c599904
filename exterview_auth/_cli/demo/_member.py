"""One process of the fleet, as its parent sees it."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from dataclasses import replace
from typing import Self

from exterview_auth.errors import ConfigurationError

from ._assignment import Assignment
from ._sender import Audience
from ._tally import Tally

COMMAND = (sys.executable, "-m", f"{__package__}._worker")
"""What is started; all that it is to know, secrets included, comes by its standard input."""

SECONDS_TO_START = 60.0
"""How long it may take until it is ready: many start at once, on few processors."""
SECONDS_OF_SILENCE = 30.0
"""How long it may say nothing; it reports many times a second."""
SECONDS_TO_END = 5.0
"""How long it may take to end."""

LOST = "LostProcess"
"""The failure of a request whose process did not tell how it ended."""

_FAILURES = (OSError, ValueError)
"""It has gone, is silent (`TimeoutError` is an `OSError`), or says what is no tally; nothing is no tally either."""


class Member:
    """A process with an *assignment*: what it is told, and what it tells."""

    def __init__(self, process: Process, assignment: Assignment) -> None:
        self._process = process
        self._assignment = assignment
        self.tally = Tally()

    @classmethod
    async def started(cls, assignment: Assignment) -> Self:
        """A new process; `ConfigurationError` where the machine does not give one."""
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
            )
        except OSError as error:
            raise ConfigurationError(
                f"this machine does not let so many processes start ({error.strerror}); give a smaller --processes"
            ) from error
        return cls(process, assignment)

    async def get_ready(self) -> None:
        """Tell it what to do, and wait until it could begin; where it cannot, it ends."""
        try:
            await self._tell(self._assignment.to_json())
            await self._hear(SECONDS_TO_START)
        except _FAILURES:
            await self.end()

    async def send(self, audience: Audience) -> None:
        """Let it begin, and listen until it has an answer to each request or is lost."""
        try:
            await self._tell("begin")
            while self.tally.answered < self._assignment.share:
                await self._hear(SECONDS_OF_SILENCE, audience)
        except _FAILURES:
            self._give_up()
            audience.answers_came()
            await self.end()

    async def end(self) -> None:
        """It has ended: by itself, as its standard input ends, or killed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(SECONDS_TO_END):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
        await self._process.communicate()  # to the end of its pipes, so that they are closed

    async def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def _hear(self, seconds: float, audience: Audience | None = None) -> None:
        """Take its next report."""
        assert self._process.stdout is not None
        async with asyncio.timeout(seconds):
            line = await self._process.stdout.readline()
        before, self.tally = self.tally, Tally.from_json(line)
        if audience is not None:
            self._tell_growth(before, audience)

    def _tell_growth(self, before: Tally, audience: Audience) -> None:
        if self.tally.logins > before.logins:
            audience.login_made()
        if self.tally.answered > before.answered:
            audience.answers_came()

    def _give_up(self) -> None:
        """Count what it leaves unanswered."""
        told = self.tally
        failures = Counter(told.failures) + Counter({LOST: self._assignment.share - told.answered})
        self.tally = replace(told, answered=self._assignment.share, waiting=0, failures=failures)
